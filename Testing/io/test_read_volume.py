"""Volumes of every file kind keep their numbers and their place; what cannot be read says why."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSAMSegmentLib.errors import InputError, UsageError
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.io.itk import image_from_array
from MedSAMSegmentLib.io.nifti_integrity import check_nifti_integrity
from MedSAMSegmentLib.io.read_volume import read_volume


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [(".nii", "nifti"), (".nii.gz", "nifti"), (".nrrd", "nrrd"), (".mha", "metaimage"), (".mhd", "metaimage")],
)
def test_an_oblique_volume_keeps_its_numbers_and_its_place(
    write_image, an_array: np.ndarray, an_oblique_geometry: VolumeGeometry, suffix: str, kind: str
) -> None:
    volume = read_volume(write_image(an_array, f"ct{suffix}"))
    assert volume.kind == kind
    assert volume.has_patient_axes
    assert np.array_equal(volume.array_zyx, an_array)
    assert np.allclose(volume.geometry.ijk_to_lps, an_oblique_geometry.ijk_to_lps, atol=1e-4)
    assert volume.spacing_zyx == pytest.approx((3.0, 0.8, 0.7), abs=1e-5)
    assert (volume.is_rgb, volume.is_time_series, volume.frame_count) == (False, False, 1)


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
)
def test_every_real_type_is_read_as_it_is(write_image, dtype: str) -> None:
    array = (
        np.arange(210).reshape(5, 6, 7).astype(dtype)
        if dtype != "int8"
        else np.arange(-100, 110).astype(np.int8).reshape(5, 6, 7)
    )
    volume = read_volume(write_image(array, "v.nrrd"))
    assert volume.array_zyx.dtype == array.dtype
    assert np.array_equal(volume.array_zyx, array)


def test_the_public_chest_ct_is_read_with_its_geometry(slicerio_data: Path) -> None:
    volume = read_volume(slicerio_data / "CTChest4.nrrd")
    assert volume.shape_zyx == (34, 128, 128)
    assert volume.spacing_zyx == pytest.approx((10.0, 3.046876, 3.046876), abs=1e-5)
    assert np.allclose(volume.geometry.ijk_to_lps[:3, 3], (193.096, 216.396, -340.25), atol=1e-3)
    assert int(volume.array_zyx.min()) == -3024


def test_a_nrrd_that_names_its_modality_is_believed(write_image, an_array: np.ndarray) -> None:
    path = write_image(an_array, "plain.nrrd")
    image = sitk.ReadImage(str(path))
    image.SetMetaData("modality", "mr")
    sitk.WriteImage(image, str(path.with_name("named.nrrd")))
    assert read_volume(path.with_name("named.nrrd")).modality == "MR"
    assert read_volume(path).modality is None


def test_a_colour_volume_has_three_channels_last_and_loses_its_alpha(write_image) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 4)).astype(np.uint8)
    volume = read_volume(write_image(colours[..., :3], "rgb.nrrd"))
    assert volume.is_rgb
    assert np.array_equal(volume.array_zyx, colours[..., :3])
    volume = read_volume(write_image(colours, "rgba.mha"))
    assert np.array_equal(volume.array_zyx, colours[..., :3])
    assert volume.notes == ("The alpha channel was dropped.",)


def test_vectors_are_not_taken_for_colours(write_image) -> None:
    field = np.random.default_rng(0).normal(size=(5, 6, 7, 3)).astype(np.float32)
    with pytest.raises(InputError, match="vectors"):
        read_volume(write_image(field, "field.mha"))


def test_five_values_a_voxel_are_refused(write_image) -> None:
    with pytest.raises(InputError, match="5 values"):
        read_volume(write_image(np.zeros((5, 6, 7, 5), np.float32), "tensor.mha"))


def test_a_4d_nifti_keeps_its_frames(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 900, (4, 3, 5, 6)).astype(np.int16)
    image = sitk.GetImageFromArray(frames, isVector=False)
    image.SetSpacing((0.5, 0.6, 2.0, 1.5))
    sitk.WriteImage(image, str(tmp_path / "perfusion.nii.gz"))
    volume = read_volume(tmp_path / "perfusion.nii.gz")
    assert (volume.frame_count, volume.shape_zyx, volume.is_time_series) == (4, (3, 5, 6), True)
    assert volume.spacing_zyx == pytest.approx((2.0, 0.6, 0.5))
    assert np.array_equal(volume.array_zyx, frames[0])
    third = volume.frame(2)
    assert np.array_equal(third.array_zyx, frames[2])
    assert third.frame_count == 1
    with pytest.raises(UsageError, match="0 to 3"):
        volume.frame(4)


def test_frames_of_one_slice_lie_along_k(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 900, (4, 1, 5, 6)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(frames, isVector=False), str(tmp_path / "cine.nii"))
    volume = read_volume(tmp_path / "cine.nii")
    assert volume.time_axis
    assert (volume.frame_count, volume.shape_zyx) == (4, (4, 5, 6))
    assert np.array_equal(volume.array_zyx, frames[:, 0])


def test_a_slicer_sequence_is_read_as_frames(tmp_path: Path) -> None:
    import nrrd

    frames = np.arange(2 * 3 * 4 * 5, dtype=np.int16).reshape(5, 4, 3, 2, order="F")
    header = {
        "kinds": ["list", "domain", "domain", "domain"],
        "space": "left-posterior-superior",
        "space directions": np.vstack([[np.nan] * 3, np.diag([1.0, 2.0, 3.0])]),
        "space origin": [1.0, 2.0, 3.0],
    }
    nrrd.write(str(tmp_path / "s.seq.nrrd"), frames, header)
    volume = read_volume(tmp_path / "s.seq.nrrd")
    assert volume.frame_count == 5
    assert volume.spacing_zyx == pytest.approx((3.0, 2.0, 1.0))
    assert np.array_equal(volume.frame(3).array_zyx, frames[3].transpose(2, 1, 0))


def test_a_2d_image_of_itk_is_one_slice(tmp_path: Path) -> None:
    array = np.arange(30, dtype=np.float32).reshape(5, 6)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.3, 0.4))
    sitk.WriteImage(image, str(tmp_path / "slice.mha"))
    volume = read_volume(tmp_path / "slice.mha")
    assert np.array_equal(volume.array_zyx, array[None])
    assert volume.spacing_zyx == pytest.approx((1.0, 0.4, 0.3))


def test_values_that_are_not_finite_are_replaced_and_counted(write_image) -> None:
    array = np.linspace(-5, 5, 210).reshape(5, 6, 7)
    array[0, 0, :3] = (np.nan, np.inf, -np.inf)
    volume = read_volume(write_image(array, "holes.nrrd"))
    assert volume.array_zyx[0, 0, :3] == pytest.approx((array[0, 0, 3], 5.0, array[0, 0, 3]))
    assert volume.notes[0].startswith("3 voxels were not finite")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_volume_without_a_finite_value_is_refused(write_image, value: float) -> None:
    with pytest.raises(InputError, match="no finite value"):
        read_volume(write_image(np.full((5, 6, 7), value), "nan.nrrd"))


@pytest.mark.parametrize(("name", "words"), [("c.nii", "complex"), ("c.nrrd", "complex"), ("c.mha", "2 values")])
def test_complex_numbers_are_refused(tmp_path: Path, name: str, words: str) -> None:
    image = sitk.Image(4, 4, 4, sitk.sitkComplexFloat32)
    sitk.WriteImage(image, str(tmp_path / name))
    with pytest.raises(InputError, match=words):
        read_volume(tmp_path / name)


def test_a_header_that_claims_too_much_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 60000 60000 60000\nencoding: raw\nendian: little\n\n"
    (tmp_path / "huge.nrrd").write_bytes(header.encode())
    with pytest.raises(InputError, match="GiB"):
        read_volume(tmp_path / "huge.nrrd")


def test_a_limit_on_the_size_can_be_given(write_image, an_array: np.ndarray) -> None:
    path = write_image(an_array, "v.nrrd")
    assert read_volume(path, max_bytes=420).shape_zyx == (5, 6, 7)
    with pytest.raises(InputError, match="Crop or downsample"):
        read_volume(path, max_bytes=419)


@pytest.mark.parametrize("name", ["cut.nii", "cut.nii.gz", "cut.nrrd", "cut.mha"])
def test_a_cut_file_is_refused_without_a_trace(write_image, an_array: np.ndarray, name: str) -> None:
    path = write_image(an_array, name)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="cannot be read") as caught:
        read_volume(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("name", ["half.nii", "half.nii.gz", "half.img", "half.nrrd", "half.mha"])
def test_a_file_that_lacks_some_of_its_voxels_is_refused(
    tmp_path: Path, an_oblique_geometry: VolumeGeometry, an_array: np.ndarray, name: str, compressed: bool
) -> None:
    path = tmp_path / name
    sitk.WriteImage(image_from_array(an_array, an_oblique_geometry), str(path), useCompression=compressed)
    np.testing.assert_array_equal(read_volume(path).array_zyx, an_array)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError):
        read_volume(path)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [1, 2])
def test_the_length_of_a_nifti_file_follows_from_its_header(tmp_path: Path, version: int, order: str) -> None:
    head = bytearray(348 if version == 1 else 544)
    places = {1: (348, "8h", 40, 72, "f", 108), 2: (540, "8q", 16, 14, "q", 168)}
    size, lengths, sizes_at, bits_at, kind, offset_at = places[version]
    struct.pack_into(order + "i", head, 0, size)
    struct.pack_into(order + lengths, head, sizes_at, 3, 7, 6, 5, 1, 1, 1, 1)
    struct.pack_into(order + "h", head, bits_at, 16)
    struct.pack_into(order + kind, head, offset_at, 544)
    whole = bytes(head).ljust(544 + 7 * 6 * 5 * 2, b"\0")
    (tmp_path / "v.nii").write_bytes(whole)
    check_nifti_integrity(tmp_path / "v.nii")
    (tmp_path / "v.nii").write_bytes(whole[:-1])
    with pytest.raises(InputError, match="cut off or damaged"):
        check_nifti_integrity(tmp_path / "v.nii")


def test_a_compressed_file_with_an_altered_byte_is_refused(write_image, an_array: np.ndarray) -> None:
    path = write_image(an_array, "altered.nii.gz")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(InputError):
        read_volume(path)


@pytest.mark.parametrize("name", ["noise.nii.gz", "noise.nrrd", "noise.png", "noise.npz", "noise.dcm", "noise.tif"])
def test_noise_in_a_known_suffix_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(InputError):
        read_volume(tmp_path / name)


def test_paths_that_hold_nothing_are_refused_by_name(tmp_path: Path, slicerio_data: Path) -> None:
    (tmp_path / "empty.nii").touch()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "folder").mkdir()
    for path, words in (
        (tmp_path / "missing.nii", "does not exist"),
        (tmp_path / "empty.nii", "empty file"),
        (tmp_path / "notes.txt", "not known"),
        (tmp_path / "folder", "no DICOM series and no frames"),
        (slicerio_data / "Segmentation.seg.nrrd", "is a segmentation"),
    ):
        with pytest.raises(InputError, match=words):
            read_volume(path)


def test_a_folder_with_a_volume_file_names_it(write_image, an_array: np.ndarray) -> None:
    path = write_image(an_array, "ct.nii.gz")
    with pytest.raises(InputError) as caught:
        read_volume(path.parent)
    assert "ct.nii.gz" in caught.value.cure


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz", "v.nrrd", "v.mha", "v.png", "v.tif", "v.npz"])
@pytest.mark.parametrize("change", [str.upper, str.title, lambda name: "plain", lambda name: "a.dat"])
def test_a_file_is_known_by_any_spelling_of_its_suffix_or_by_its_content(
    write_image, an_array: np.ndarray, tmp_path: Path, name: str, change: Callable[[str], str]
) -> None:
    from PIL import Image

    if name.endswith((".png", ".tif")):
        Image.fromarray(an_array[0].astype(np.uint8)).save(tmp_path / name)
    elif name.endswith(".npz"):
        np.savez_compressed(tmp_path / name, imgs=an_array)
    else:
        write_image(an_array, name)
    wanted = read_volume(tmp_path / name).array_zyx
    (tmp_path / name).rename(tmp_path / change(name))
    np.testing.assert_array_equal(read_volume(tmp_path / change(name)).array_zyx, wanted)


@pytest.mark.parametrize(
    ("name", "data", "spelled"),
    [
        *(("v.mhd", "v.raw", spelled) for spelled in (str, str.upper, lambda name: "plain")),
        *(("v.nhdr", "v.raw", spelled) for spelled in (str, str.upper, lambda name: "plain")),
        *(("v.hdr", "v.img", spelled) for spelled in (str, str.upper)),
    ],
)
def test_data_files_that_are_missing_are_named(
    write_image, an_array: np.ndarray, tmp_path: Path, *, name: str, data: str, spelled: Callable[[str], str]
) -> None:
    write_image(an_array, name)
    if name == "v.nhdr":
        header = (tmp_path / name).read_text().replace("gzip", "raw")
        (tmp_path / name).write_text("\n".join(line for line in header.splitlines() if "file" not in line))
        with (tmp_path / name).open("a") as file:
            file.write(f"\ndata file: {data}\n")
    for leftover in tmp_path.glob("v.*raw*"):
        leftover.unlink()
    (tmp_path / data).unlink(missing_ok=True)
    target = tmp_path / spelled(name)
    (tmp_path / name).rename(target)
    with pytest.raises(InputError, match=rf"(?i){target.name} takes its voxels from v\.\w+, which is not there"):
        read_volume(target)


def test_of_many_missing_data_files_the_first_are_named(tmp_path: Path) -> None:
    lines = ["NRRD0004", "type: uint8", "dimension: 3", "sizes: 4 4 9", "encoding: raw", "data file: s%d.raw 1 9 1 2"]
    (tmp_path / "v.nhdr").write_text("\n".join(lines) + "\n")
    for number in (1, 2, 4):
        (tmp_path / f"s{number}.raw").write_bytes(bytes(16))
    with pytest.raises(InputError, match=r"s3\.raw, s5\.raw, s6\.raw and 3 more, which are not there"):
        read_volume(tmp_path / "v.nhdr")


CLAIMS = {
    "raw.nrrd": "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 1000 1000 1000\nencoding: raw\n\n",
    "text.nrrd": "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 1000 1000 1000\nencoding: ascii\n\n1 2 3",
    "gzip.nrrd": "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 1000 1000 1000\nencoding: gzip\n\n\x1f\x8b",
    "bzip.nrrd": "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 1000 1000 1000\nencoding: bzip2\n\nBZh9",
    "raw.mha": "ObjectType = Image\nNDims = 3\nDimSize = 1000 1000 1000\nElementType = MET_UCHAR\n"
    "ElementDataFile = LOCAL\n",
    "packed.mha": "ObjectType = Image\nNDims = 3\nDimSize = 1000 1000 1000\nElementType = MET_UCHAR\n"
    "CompressedData = True\nElementDataFile = LOCAL\n",
    "apart.mhd": "ObjectType = Image\nNDims = 3\nDimSize = 1000 1000 1000\nElementType = MET_UCHAR\n"
    "ElementDataFile = some.raw\n",
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_that_the_file_cannot_hold_takes_no_memory(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(CLAIMS[name].encode("latin-1"))
    (tmp_path / "some.raw").write_bytes(bytes(100))
    code = (
        "import resource, sys; from MedSAMSegmentLib.io.read_volume import read_volume; import SimpleITK\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_volume(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / name)], capture_output=True, encoding="utf-8", check=True
    )
    said, megabytes = done.stdout.splitlines()
    assert said.startswith("InputError")
    assert "announces 1000000000 bytes" in said
    assert int(megabytes) < 60


def test_zeros_that_are_packed_well_are_no_lie(write_image, tmp_path: Path) -> None:
    zeros = sitk.Image(400, 400, 100, sitk.sitkInt16)
    for name in ("z.nrrd", "z.mha", "z.nii.gz"):
        sitk.WriteImage(zeros, str(tmp_path / name), useCompression=True)
        assert not read_volume(tmp_path / name).array_zyx.any()


def test_an_empty_path_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="empty"):
        read_volume("")
