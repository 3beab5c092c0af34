"""The size of voxels: from whatever states it, never invented, and given by hand."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_support import a_dataset, an_item, save, write_series
from PIL import Image

from MedSAMSegmentLib.errors import UsageError
from MedSAMSegmentLib.io.read_volume import read_volume
from MedSAMSegmentLib.io.segments import SegmentToWrite
from MedSAMSegmentLib.io.spacing import NO_SLICE_SPACING, NO_SPACING
from MedSAMSegmentLib.io.write_segmentation import write_segmentation

GREY = np.zeros((8, 10), np.uint8)


def a_slice(path: Path, *without: str, **tags: object) -> Path:
    data = a_dataset(np.zeros((6, 7)), **tags)
    for name in without:
        delattr(data, name)
    return save(data, path)


def test_a_single_slice_is_as_thick_as_it_says(tmp_path: Path) -> None:
    volume = read_volume(a_slice(tmp_path / "a.dcm", SliceThickness=3))
    assert volume.spacing_zyx == pytest.approx((3, 0.8, 0.6))
    assert volume.notes == ()
    volume = read_volume(a_slice(tmp_path / "b.dcm", "SliceThickness", SpacingBetweenSlices=2.5))
    assert volume.spacing_zyx[0] == 2.5
    volume = read_volume(a_slice(tmp_path / "c.dcm", "SliceThickness"))
    assert volume.spacing_known_zyx == (False, True, True)
    assert volume.notes == (NO_SLICE_SPACING,)


@pytest.mark.parametrize("spacing", [None, [0, 0], [-1, 1], [1]])
def test_a_slice_without_pixel_spacing_says_that_millimetres_mean_nothing(tmp_path: Path, spacing: object) -> None:
    path = a_slice(tmp_path / "a.dcm", "PixelSpacing")
    if spacing is not None:
        path = a_slice(tmp_path / "a.dcm", PixelSpacing=spacing)
    volume = read_volume(path)
    assert volume.notes == (NO_SPACING,)
    assert NO_SPACING.startswith("no spacing: mm and mL mean nothing")
    assert volume.spacing_known_zyx == (True, False, False)


@pytest.mark.parametrize(
    ("tags", "spacing"),
    [
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1)),
        ({"ImagerPixelSpacing": [0.2, 0.1], "EstimatedRadiographicMagnificationFactor": 2}, (0.1, 0.05)),
        ({"NominalScannedPixelSpacing": [0.3, 0.4]}, (0.3, 0.4)),
    ],
)
def test_other_tags_stand_for_pixel_spacing_and_are_named(
    tmp_path: Path, tags: dict, spacing: tuple[float, float]
) -> None:
    volume = read_volume(a_slice(tmp_path / "a.dcm", "PixelSpacing", Modality="DX", **tags))
    assert volume.spacing_zyx[1:] == pytest.approx(spacing)
    assert any(next(iter(tags)) in note for note in volume.notes)
    assert volume.spacing_known_zyx[1:] == (True, True)


def region(**tags: object) -> object:
    base = {
        "PhysicalUnitsXDirection": 3, "PhysicalUnitsYDirection": 3, "PhysicalDeltaX": 0.05, "PhysicalDeltaY": 0.04,
        "RegionSpatialFormat": 1, "RegionLocationMinX0": 0, "RegionLocationMaxX1": 6, "RegionLocationMinY0": 0,
        "RegionLocationMaxY1": 5,
    }  # fmt: skip
    return an_item(**{**base, **tags})


def test_the_calibration_of_an_ultrasound_region_counts(tmp_path: Path) -> None:
    path = a_slice(tmp_path / "a.dcm", "PixelSpacing", Modality="US", SequenceOfUltrasoundRegions=region())
    assert read_volume(path).spacing_zyx[1:] == pytest.approx((0.4, 0.5))
    for other in ({"PhysicalUnitsXDirection": 4}, {"RegionSpatialFormat": 3}, {"PhysicalDeltaX": 0}):
        path = a_slice(tmp_path / "b.dcm", "PixelSpacing", Modality="US", SequenceOfUltrasoundRegions=region(**other))
        assert NO_SPACING in read_volume(path).notes


def test_slices_without_places_lie_apart_as_they_say(tmp_path: Path) -> None:
    stored = np.stack([np.full((6, 7), k) for k in range(12)])
    write_series(tmp_path, stored, RescaleSlope=1, RescaleIntercept=0, SliceThickness=3)
    import pydicom

    for path in tmp_path.iterdir():
        data = pydicom.dcmread(path)
        del data.ImagePositionPatient, data.ImageOrientationPatient
        data.save_as(path)
    volume = read_volume(tmp_path)
    assert volume.array_zyx[:, 0, 0].tolist() == list(range(12))
    assert volume.spacing_zyx == pytest.approx((3, 0.8, 0.6))
    assert any("state no places; SliceThickness says 3 mm" in note for note in volume.notes)


def test_a_spacing_given_by_hand_replaces_what_is_not_known(tmp_path: Path) -> None:
    path = a_slice(tmp_path / "a.dcm", "PixelSpacing", ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    volume = read_volume(path, spacing=(0.5, 0.7, 2))
    assert volume.spacing_zyx == pytest.approx((2, 0.7, 0.5))
    assert np.allclose(volume.geometry.ijk_to_lps[:3, 0], (0, 0.5, 0))
    assert volume.spacing_known_zyx == (True, True, True)
    assert volume.notes == ("Spacing as given: 0.5, 0.7, 2 mm along i, j, k.",)
    for wrong in ((0, 1, 1), (1, 1, float("nan")), (1, 1), (-1, 1, 1)):
        with pytest.raises(UsageError, match="three numbers above zero"):
            read_volume(path, spacing=wrong)


@pytest.mark.parametrize(
    ("name", "options", "spacing"),
    [
        ("a.png", {"dpi": (254, 127)}, (0.2, 0.1)),
        ("a.tif", {"resolution": 20, "resolution_unit": 3}, (0.5, 0.5)),
        ("a.tif", {"dpi": (100, 50)}, (0.508, 0.254)),
        ("a.TIFF", {"x_resolution": 100, "y_resolution": 200, "resolution_unit": 2}, (0.127, 0.254)),
    ],
)
def test_the_resolution_of_a_picture_counts_where_it_has_a_unit(
    tmp_path: Path, name: str, options: dict, spacing: tuple[float, float]
) -> None:
    Image.fromarray(GREY).save(tmp_path / name, **options)
    volume = read_volume(tmp_path / name)
    assert volume.spacing_zyx[1:] == pytest.approx(spacing, rel=1e-3)
    assert volume.spacing_known_zyx == (False, True, True)
    assert volume.notes == (NO_SLICE_SPACING,)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.tif", {}),
        ("a.tif", {"resolution": 4, "resolution_unit": 1}),
        ("a.jpg", {"dpi": (72, 72)}),
        ("a.bmp", {}),
    ],
)
def test_a_picture_without_a_unit_has_no_spacing(tmp_path: Path, name: str, options: dict) -> None:
    Image.fromarray(GREY).save(tmp_path / name, **options)
    volume = read_volume(tmp_path / name)
    assert volume.notes == (NO_SPACING,)
    assert volume.spacing_known_zyx == (False, False, False)


def test_a_png_that_states_a_shape_alone_has_no_spacing(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    for unit, expected in ((0, (1.0, 1.0)), (1, (0.5, 0.25))):
        Image.fromarray(GREY).save(tmp_path / "a.png")
        plain = (tmp_path / "a.png").read_bytes()
        (tmp_path / "a.png").write_bytes(
            plain[:33] + chunk(b"pHYs", struct.pack(">IIB", 4000, 2000, unit)) + plain[33:]
        )
        assert read_volume(tmp_path / "a.png").spacing_zyx[1:] == pytest.approx(expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_the_spacing_of_a_picture_is_turned_with_it(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(GREY).save(tmp_path / name, dpi=(254, 127), exif=exif)
    rows_and_columns = (0.1, 0.2) if orientation >= 5 else (0.2, 0.1)
    volume = read_volume(tmp_path / name)
    assert volume.shape_zyx == ((1, 10, 8) if orientation >= 5 else (1, 8, 10))
    assert volume.spacing_zyx[1:] == pytest.approx(rows_and_columns, rel=1e-3)
    assert read_volume(tmp_path).spacing_zyx[1:] == pytest.approx(rows_and_columns, rel=1e-3)


def test_the_spacing_is_that_of_the_picture_and_not_of_its_thumbnail(tmp_path: Path) -> None:
    small = Image.fromarray(GREY[::2, ::2])
    whole = Image.fromarray(GREY)
    whole.encoderinfo = {"tiffinfo": {254: 0}, "dpi": (254, 254)}
    small.save(tmp_path / "a.tif", save_all=True, append_images=[whole], tiffinfo={254: 1}, dpi=(127, 127))
    volume = read_volume(tmp_path / "a.tif")
    assert volume.shape_zyx == (1, 8, 10)
    assert volume.spacing_zyx[1:] == pytest.approx((0.1, 0.1))
    small.save(tmp_path / "b.tif", tiffinfo={254: 1}, dpi=(127, 127))
    assert read_volume(tmp_path / "b.tif").spacing_zyx[1:] == pytest.approx((0.2, 0.2))


def test_a_label_map_has_the_spacing_that_was_given_for_its_nifti_image(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.zeros((3, 8, 10), np.float32))
    sitk.WriteImage(image, str(tmp_path / "a.nii"))
    volume = read_volume(tmp_path / "a.nii", spacing=(0.5, 0.7, 2))
    mask = np.ones((3, 8, 10), bool)
    write_segmentation(tmp_path / "m.nii", [SegmentToWrite("one", mask)], volume.geometry, volume.nifti_forms)
    assert sitk.ReadImage(str(tmp_path / "m.nii")).GetSpacing() == pytest.approx((0.5, 0.7, 2))


def a_described_tiff(path: Path, description: str, pages: int, **options: object) -> Path:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    tags = ImageFileDirectory_v2()
    tags[270] = description
    images = [Image.fromarray(GREY)] * pages
    images[0].save(path, save_all=True, append_images=images[1:], tiffinfo=tags, **options)
    return path


@pytest.mark.parametrize(
    ("unit", "factor"), [("um", 1e-3), ("\\u00B5m", 1e-3), ("micron", 1e-3), ("mm", 1), ("inch", 25.4)]
)
def test_a_stack_of_imagej_has_its_voxels(tmp_path: Path, unit: str, factor: float) -> None:
    description = f"ImageJ=1.53\nimages=3\nslices=3\nunit={unit}\nspacing=2.0\ninfo=x=1, y=2\n"
    path = a_described_tiff(tmp_path / "ij.tif", description, 3, x_resolution=4, y_resolution=5, resolution_unit=1)
    volume = read_volume(path)
    assert volume.spacing_zyx == pytest.approx((2 * factor, factor / 5, factor / 4))
    assert volume.notes == ()


def test_ome_has_micrometres_unless_it_says_otherwise(tmp_path: Path) -> None:
    text = (
        '<?xml version="1.0"?><OME><Image><Pixels PhysicalSizeX="0.5" PhysicalSizeY="600" PhysicalSizeYUnit="nm" {}/>'
        "</Image></OME>"
    )
    path = a_described_tiff(tmp_path / "a.ome.tif", text.format('PhysicalSizeZ="3"'), 2)
    volume = read_volume(path)
    assert volume.spacing_zyx == pytest.approx((3e-3, 6e-4, 5e-4))
    assert volume.notes == ()
    path = a_described_tiff(tmp_path / "b.ome.tif", text.format('PhysicalSizeZ="3" PhysicalSizeZUnit="pixel"'), 2)
    assert read_volume(path).spacing_known_zyx == (False, True, True)


def test_frames_have_a_spacing_where_all_agree(tmp_path: Path) -> None:
    for number in (1, 2):
        Image.fromarray(GREY).save(tmp_path / f"{number}.png", dpi=(254, 254))
    volume = read_volume(tmp_path)
    assert volume.spacing_zyx[1:] == pytest.approx((0.1, 0.1), rel=1e-3)
    assert volume.notes == ("2 frames, from 1.png to 2.png.",)
    Image.fromarray(GREY).save(tmp_path / "2.png", dpi=(127, 127))
    assert NO_SPACING in read_volume(tmp_path).notes


def test_a_damaged_header_of_a_picture_is_no_spacing(tmp_path: Path) -> None:
    from MedSAMSegmentLib.io.picture_spacing import picture_spacing

    Image.fromarray(GREY).save(tmp_path / "a.tif", dpi=(100, 50))
    whole = (tmp_path / "a.tif").read_bytes()
    random = np.random.default_rng(0)
    for _ in range(200):
        spoilt = bytearray(whole[: int(random.integers(4, len(whole)))])
        for place in random.integers(4, max(5, len(spoilt)), 6):
            if place < len(spoilt):
                spoilt[place] = int(random.integers(256))
        (tmp_path / "a.tif").write_bytes(spoilt)
        picture_spacing(tmp_path / "a.tif")
