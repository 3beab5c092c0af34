"""Headers whose voxels lie in other files: which files count, and which are never opened."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSAMSegmentLib.errors import InputError
from MedSAMSegmentLib.io import detached_headers
from MedSAMSegmentLib.io.detached_headers import image_files
from MedSAMSegmentLib.io.read_segmentation import read_segmentation
from MedSAMSegmentLib.io.read_volume import read_volume

META = "ObjectType = Image\nNDims = 3\nDimSize = 4 4 2\nElementType = MET_UCHAR\nElementDataFile = {}\n"
NRRD = (
    "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 4 2\nencoding: raw\nspace: left-posterior-superior\ndata file: {}\n"
)
SECRET = b"0123456789abcdef" * 2


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A folder for the image beside a file that is none of its business."""
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (tmp_path / "case").mkdir()
    return tmp_path / "case"


def written(folder: Path, name: str, header: str, data: str) -> Path:
    path = folder / name
    path.write_text(header.format(data))
    return path


@pytest.mark.parametrize(("name", "header"), [("v.mhd", META), ("v.mha", META), ("v.nhdr", NRRD), ("v.nrrd", NRRD)])
@pytest.mark.parametrize(
    "data",
    [
        "../secret.txt",
        "SECRET",
        "sub/../../secret.txt",
        "LIST\n../secret.txt",
        "list/../../secret.txt",
        "LISTS/../../secret.txt",
        "..\\secret.txt",
        "C:\\secret.txt",
    ],
)
def test_a_header_does_not_lead_out_of_its_folder(case: Path, name: str, header: str, data: str) -> None:
    (case / "sub").mkdir()
    path = written(case, name, header, data.replace("SECRET", str(case.parent / "secret.txt")))
    with pytest.raises(InputError, match=r"secret\.txt.*outside its own folder"):
        read_volume(path)


@pytest.mark.parametrize(
    "lines",
    [
        "Comment = ElementDataFile = LOCAL\nElementDataFile = ../secret.txt\n",
        "elementdatafile = LOCAL\nElementDataFile = ../secret.txt\n",
        "ElementDataFile : ../secret.txt\nElementDataFile = LOCAL\n",
    ],
)
def test_a_second_name_hides_nothing(case: Path, lines: str) -> None:
    path = case / "v.mha"
    path.write_text(META.partition("ElementDataFile")[0] + lines)
    with pytest.raises(InputError, match="outside its own folder"):
        read_volume(path)


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_a_pattern_or_a_link_does_not_lead_out_either(case: Path) -> None:
    with pytest.raises(InputError, match="outside its own folder"):
        read_volume(written(case, "v.mhd", META, "../slice%02d.raw 1 2 1"))
    with pytest.raises(InputError, match="not known"):
        read_volume(written(case, "v.mhd", META, "%s%n 1 2 1"))
    os.symlink(case.parent / "secret.txt", case / "v.raw")
    with pytest.raises(InputError, match="outside its own folder"):
        read_volume(written(case, "v.mhd", META, "v.raw"))


@pytest.mark.skipif(os.name != "posix", reason="there are no such files")
def test_what_is_not_a_file_is_not_opened(case: Path) -> None:
    os.mkfifo(case / "v.raw")  # whoever opens it waits for ever
    for name, header in (("v.mhd", META), ("v.nhdr", NRRD)):
        with pytest.raises(InputError, match="not a file"):
            read_volume(written(case, name, header, "v.raw"))


def test_a_name_that_no_file_can_have_is_a_sentence(case: Path) -> None:
    (case / "a.mhd").write_text(f"NDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = {'1' * 300}\n")
    with pytest.raises(InputError, match="which is not a file"):
        read_volume(case / "a.mhd")


def test_a_segmentation_does_not_lead_out_of_its_folder(case: Path) -> None:
    for name in ("v.seg.nrrd", "v.nrrd", "v.mha"):
        header = META if name.endswith("mha") else NRRD
        with pytest.raises(InputError, match="outside its own folder"):
            read_segmentation(written(case, name, header, "../secret.txt"))


def test_a_header_without_an_end_is_refused(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detached_headers, "MAX_HEADER", 1 << 10)
    padding = "#" + "x" * 2000 + "\n"
    path = case / "v.nhdr"
    path.write_text(NRRD.partition("data file")[0] + padding + "data file: ../secret.txt\n")
    with pytest.raises(InputError, match="no end"):
        read_volume(path)


@pytest.mark.parametrize(
    ("name", "header", "data", "files"),
    [
        ("v.mhd", META, "v.raw", ["v.raw"]),
        ("v.nhdr", NRRD, "./sub/v.raw", ["sub/v.raw"]),
        ("v.nhdr", NRRD, "LIST 2\nslice1.raw\nslice2.raw", ["slice1.raw", "slice2.raw"]),
        ("v.nhdr", NRRD, "slice%d.raw 1 2 1 2", ["slice1.raw", "slice2.raw"]),
        ("v.mhd", META, "LIST\nslice1.raw\nslice2.raw", ["slice1.raw", "slice2.raw"]),
        ("v.mhd", META, "slice%d.raw 1 2 1", ["slice1.raw", "slice2.raw"]),
    ],
)
def test_voxels_within_the_folder_are_read(case: Path, name: str, header: str, data: str, files: list[str]) -> None:
    (case / "sub").mkdir()
    voxels = np.arange(32, dtype=np.uint8)
    for file, part in zip(files, np.split(voxels, len(files)), strict=True):
        (case / file).write_bytes(part.tobytes())
    path = written(case, name, header, data)
    assert image_files(path) == (path, *(case / file for file in files))
    np.testing.assert_array_equal(read_volume(path).array_zyx.ravel(), voxels)


def test_the_halves_of_a_nifti_pair_belong_together(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 3, 4), np.int16)), str(tmp_path / "v.hdr"))
    assert image_files(tmp_path / "v.hdr") == (tmp_path / "v.hdr", tmp_path / "v.img")
    assert image_files(tmp_path / "v.img") == (tmp_path / "v.img", tmp_path / "v.hdr")
