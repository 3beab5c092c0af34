"""NIfTI files whose place is stated twice, or with noise or shear, and voxels that are not numbers."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSAMSegmentLib.errors import InputError, OutputError
from MedSAMSegmentLib.io.nifti_header import parse_nifti
from MedSAMSegmentLib.io.read_segmentation import read_segmentation
from MedSAMSegmentLib.io.read_volume import read_volume
from MedSAMSegmentLib.io.segments import SegmentToWrite
from MedSAMSegmentLib.io.write_segmentation import check_output_grid, write_segmentation

SHAPE = (4, 5, 6)  # z, y, x
VALUES = np.random.default_rng(0).normal(-900, 200, SHAPE).astype(np.float32)
MOVED = np.array([[1, 0, 0, 10], [0, 1, 0, -5], [0, 0, 1, 3.0]])


def nifti(
    values: np.ndarray,
    *,
    kind: int = 16,
    qform: int = 0,
    sform: int = 0,
    rows: np.ndarray | None = None,
    quaternion: tuple[float, ...] = (0, 0, 0, 0, 0, 0),
    voxel: tuple[float, ...] = (1, 1, 1, 1),
    scaling: tuple[float, float] = (1, 0),
    units: int = 2,
    order: str = "<",
) -> bytes:
    """A NIfTI-1 file of `values` in the file's own order of bytes."""
    head = bytearray(352)
    sizes = values.shape[::-1]
    struct.pack_into(order + "i", head, 0, 348)
    struct.pack_into(order + "8h", head, 40, len(sizes), *sizes, *[1] * (7 - len(sizes)))
    struct.pack_into(order + "2h", head, 70, kind, values.dtype.itemsize * 8)
    struct.pack_into(order + "8f", head, 76, *voxel, 1, 1, 1, 1)
    struct.pack_into(order + "3f", head, 108, 352, *scaling)
    head[123] = units
    struct.pack_into(order + "2h", head, 252, qform, sform)
    placed = np.eye(4)[:3] if rows is None else rows[:3]
    struct.pack_into(order + "18f", head, 256, *quaternion, *placed.ravel())
    head[344:348] = b"n+1\0"
    return bytes(head) + values.astype(values.dtype.newbyteorder(order)).tobytes()


def as_itk(path: Path) -> np.ndarray:
    """The matrix from i, j, k to LPS that ITK, and with it 3D Slicer, takes."""
    image = sitk.ReadImage(str(path))
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return matrix


@pytest.mark.parametrize("sform", range(5))
@pytest.mark.parametrize("qform", range(5))
def test_of_two_forms_that_disagree_slicers_is_taken_and_said(tmp_path: Path, qform: int, sform: int) -> None:
    path = tmp_path / "v.nii"
    path.write_bytes(nifti(VALUES, qform=qform, sform=sform, rows=MOVED))
    volume = read_volume(path)
    np.testing.assert_allclose(volume.geometry.ijk_to_lps, as_itk(path), atol=1e-5)
    said = [note for note in volume.notes if "disagree" in note]
    assert len(said) == (1 if qform and sform else 0)
    if said:
        assert "11.6 mm" in said[0]
        assert ("the sform was taken" if sform == 1 else "the qform was taken") in said[0]


@pytest.mark.parametrize("voxel", [(1, 1, 1, 1), (-1, 0.5, 2, 3), (0, 1, 1, 1), (1, -2, 3, 4), (1, 0, 3, 4)])
@pytest.mark.parametrize("units", [0, 1, 2, 3])
@pytest.mark.parametrize("codes", [(1, 0), (0, 1), (0, 0), (1, 1), (2, 3)])
def test_every_statement_of_a_place_is_read_as_slicer_does(
    tmp_path: Path, codes: tuple[int, int], units: int, voxel: tuple[float, ...]
) -> None:
    turned = (0.3, -0.2, 0.5, 12.5, -30.25, 105.0)
    path = tmp_path / "v.nii"
    path.write_bytes(
        nifti(VALUES, qform=codes[0], sform=codes[1], rows=MOVED, quaternion=turned, voxel=voxel, units=units)
    )
    volume = read_volume(path)
    np.testing.assert_allclose(volume.geometry.ijk_to_lps, as_itk(path), rtol=1e-4, atol=1e-4)
    assert any("negative" in note for note in volume.notes) == (min(voxel[1:]) < 0)


def test_an_sform_of_other_voxel_sizes_than_the_headers_is_said(tmp_path: Path) -> None:
    path = tmp_path / "v.nii"
    path.write_bytes(nifti(VALUES, sform=1, rows=MOVED * 2))
    (note,) = read_volume(path).notes
    assert "2 x 2 x 2 mm, the header says 1 x 1 x 1 mm" in note


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".NII.GZ"])
def test_a_label_map_repeats_both_forms_of_its_image(tmp_path: Path, suffix: str) -> None:
    turned = (0.3, -0.2, 0.5, 12.5, -30.25, 105.0)
    image = nifti(VALUES, qform=1, sform=2, rows=MOVED, quaternion=turned, voxel=(-1, 0.5, 2, 3), units=3)
    (tmp_path / "v.nii").write_bytes(image)
    volume = read_volume(tmp_path / "v.nii")
    mask = VALUES > -900
    out = tmp_path / f"mask{suffix}"
    write_segmentation(out, [SegmentToWrite("one", mask)], volume.geometry, volume.nifti_forms)
    content = out.read_bytes() if suffix == ".nii" else gzip.decompress(out.read_bytes())
    header, written = parse_nifti(image), parse_nifti(content)
    assert header is not None
    assert written is not None
    assert written.forms == header.forms
    found = read_segmentation(out)
    assert found.geometry.agrees_with(volume.geometry, 1e-6)
    np.testing.assert_array_equal(found.segments[0].mask_zyx, mask)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(out), imageIO="NiftiImageIO")), mask)


def test_the_forms_of_another_grid_are_not_written(tmp_path: Path) -> None:
    for name, rows in (("a.nii", MOVED), ("b.nii", np.eye(4)[:3])):
        (tmp_path / name).write_bytes(nifti(VALUES, sform=1, rows=rows))
    a, b = (read_volume(tmp_path / name) for name in ("a.nii", "b.nii"))
    write_segmentation(tmp_path / "m.nii", [SegmentToWrite("one", VALUES > -900)], a.geometry, b.nifti_forms)
    assert read_segmentation(tmp_path / "m.nii").geometry.agrees_with(a.geometry, 1e-6)


@pytest.mark.parametrize("noise", [2e-4, 1e-3, 4e-3])
def test_axes_that_are_nearly_at_right_angles_are_accepted(tmp_path: Path, noise: float) -> None:
    rows = MOVED.copy()
    rows[0, 1] = noise
    (tmp_path / "near.nii").write_bytes(nifti(VALUES, sform=1, rows=rows))
    volume = read_volume(tmp_path / "near.nii")
    assert volume.notes == ()
    np.testing.assert_allclose(volume.geometry.ijk_to_ras[:3], rows, atol=1e-4)
    for name in ("m.nii.gz", "m.nrrd", "m.mha", "m.seg.nrrd"):
        check_output_grid(tmp_path / name, volume.geometry, volume.nifti_forms)
        write_segmentation(tmp_path / name, [SegmentToWrite("one", VALUES > -900)], volume.geometry, volume.nifti_forms)
        found = read_segmentation(tmp_path / name).geometry
        np.testing.assert_allclose(found.ijk_to_lps, volume.geometry.ijk_to_lps, atol=1e-5)


def test_a_sheared_volume_keeps_its_grid(tmp_path: Path) -> None:
    rows = np.array([[0.5, 0, 0.6, 10], [0, 0.7, 0, -5], [0, 0, 2.0, 3]])
    size = float(np.hypot(0.6, 2.0))
    (tmp_path / "tilt.nii").write_bytes(nifti(VALUES, sform=1, rows=rows, voxel=(1, 0.5, 0.7, size)))
    volume = read_volume(tmp_path / "tilt.nii")
    assert volume.notes == ("The axes are not at right angles; the grid is kept as it is.",)
    np.testing.assert_allclose(volume.geometry.ijk_to_ras[:3], rows, atol=1e-5)
    segments = [SegmentToWrite("one", VALUES > -900)]
    for name in ("m.seg.nrrd", "m.nii.gz"):
        write_segmentation(tmp_path / name, segments, volume.geometry, volume.nifti_forms)
        assert read_segmentation(tmp_path / name).geometry.agrees_with(volume.geometry, 1e-4)
    with pytest.raises(OutputError, match="right angles"):
        check_output_grid(tmp_path / "m.mha", volume.geometry, volume.nifti_forms)


@pytest.mark.parametrize("axes", [np.zeros((3, 4)), np.full((3, 4), np.nan), np.ones((3, 4))])
def test_an_sform_of_no_use_is_passed_over(tmp_path: Path, axes: np.ndarray) -> None:
    (tmp_path / "v.nii").write_bytes(nifti(VALUES, qform=1, sform=1, rows=axes))
    np.testing.assert_allclose(read_volume(tmp_path / "v.nii").geometry.ijk_to_ras, np.eye(4), atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_what_is_no_number_becomes_the_lowest_value(tmp_path: Path, kind: str, value: float) -> None:
    array = VALUES.astype(kind)
    array[0, :, :3] = value
    (tmp_path / "v.nii.gz").write_bytes(gzip.compress(nifti(array, kind={"f4": 16, "f8": 64}[kind], qform=1)))
    volume = read_volume(tmp_path / "v.nii.gz")
    lowest = array[np.isfinite(array)].min()
    assert (volume.array_zyx[0, :, :3] == lowest).all()
    np.testing.assert_array_equal(volume.array_zyx[1:], array[1:])
    assert volume.notes[0].startswith("15 voxels were not finite numbers")
    array[:] = value
    (tmp_path / "v.nii.gz").write_bytes(gzip.compress(nifti(array, kind={"f4": 16, "f8": 64}[kind], qform=1)))
    with pytest.raises(InputError, match="no finite value"):
        read_volume(tmp_path / "v.nii.gz")


def test_an_analyze_file_with_holes_is_refused(tmp_path: Path) -> None:
    array = VALUES.copy()
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "v.img"))
    head = bytearray((tmp_path / "v.hdr").read_bytes())
    head[344:348] = bytes(4)
    (tmp_path / "v.hdr").write_bytes(head)
    np.testing.assert_array_equal(read_volume(tmp_path / "v.hdr").array_zyx, array)
    array[1, 2, 3] = np.nan
    (tmp_path / "v.img").write_bytes(array.tobytes())
    with pytest.raises(InputError, match="not numbers"):
        read_volume(tmp_path / "v.img")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("scaling", [(1, 0), (0, 7), (2.5, -3), (np.nan, 0)])
@pytest.mark.parametrize(
    ("kind", "name"),
    [(2, "u1"), (4, "i2"), (8, "i4"), (16, "f4"), (64, "f8"), (256, "i1"), (512, "u2"), (768, "u4"), (1024, "i8")],
)
def test_voxels_of_every_type_and_scaling_are_read(
    tmp_path: Path, kind: int, name: str, scaling: tuple[float, float], order: str
) -> None:
    array = np.arange(120).reshape(SHAPE).astype(name)
    if name != "i1":
        array[0, 0, 0] = np.iinfo(name).max if array.dtype.kind in "iu" else 1e9
    (tmp_path / "v.nii").write_bytes(nifti(array, kind=kind, qform=1, scaling=scaling, order=order))
    found = read_volume(tmp_path / "v.nii").array_zyx
    if scaling == (2.5, -3):
        np.testing.assert_allclose(found, array.astype(np.float64) * 2.5 - 3, rtol=1e-6)
    else:
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


def test_colours_and_frames_keep_their_order(tmp_path: Path) -> None:
    colours = np.random.default_rng(1).integers(0, 255, (*SHAPE, 3)).astype(np.uint8)
    pixels = np.ascontiguousarray(colours).view("V3")[..., 0]
    (tmp_path / "rgb.nii").write_bytes(nifti(pixels, kind=128, qform=1))
    np.testing.assert_array_equal(read_volume(tmp_path / "rgb.nii").array_zyx, colours)
    frames = np.arange(240, dtype=np.int16).reshape(2, *SHAPE)
    (tmp_path / "4d.nii").write_bytes(nifti(frames, kind=4, qform=1))
    volume = read_volume(tmp_path / "4d.nii")
    assert volume.frames_tzyx is not None
    np.testing.assert_array_equal(volume.frames_tzyx, frames)
    assert volume.nifti_forms is not None


@pytest.mark.parametrize(("kind", "bits"), [(16, 64), (1536, 128), (1, 1), (32, 64)])
def test_types_that_cannot_be_read_are_refused(tmp_path: Path, kind: int, bits: int) -> None:
    content = bytearray(nifti(VALUES, kind=kind, qform=1))
    struct.pack_into("<h", content, 72, bits)
    (tmp_path / "v.nii").write_bytes(bytes(content) + bytes(4000))
    with pytest.raises(InputError):
        read_volume(tmp_path / "v.nii")


@pytest.mark.parametrize("packed", [False, True])
def test_a_header_that_claims_more_than_its_file_can_hold_is_refused_before_memory_is_taken(
    tmp_path: Path, packed: bool
) -> None:
    import tracemalloc

    content = bytearray(nifti(VALUES, qform=1))
    struct.pack_into("<8h", content, 40, 3, 1000, 1000, 1000, 1, 1, 1, 1)
    (tmp_path / "v.nii.gz").write_bytes(gzip.compress(content) if packed else bytes(content))
    tracemalloc.start()
    with pytest.raises(InputError, match="announces 4000000"):
        read_volume(tmp_path / "v.nii.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
