"""Damaged files that other readers take for whole are refused, and none ends in an exception of a library."""

from __future__ import annotations

import bz2
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from MedSAMSegmentLib.errors import InputError
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.io.read_segmentation import read_segmentation
from MedSAMSegmentLib.io.read_volume import read_volume
from MedSAMSegmentLib.io.segments import SegmentToWrite
from MedSAMSegmentLib.io.write_segmentation import write_segmentation

VOXELS = np.random.default_rng(4).integers(-1000, 1500, (6, 30, 40)).astype(np.int16)
PACKED = ["a.nrrd", "a.nhdr", "a.mha", "a.mhd"]


def a_packed_image(folder: Path, name: str) -> tuple[Path, Path]:
    """The image and the file with its voxels."""
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS), str(folder / name), useCompression=True)
    data = next((p for p in folder.iterdir() if p.suffix in (".raw", ".zraw", ".gz")), folder / name)
    return folder / name, data


@pytest.mark.parametrize("name", PACKED)
def test_packed_voxels_are_read(tmp_path: Path, name: str) -> None:
    assert np.array_equal(read_volume(a_packed_image(tmp_path, name)[0]).array_zyx, VOXELS)


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("place", [0.4, 0.7, 0.95])
def test_packed_voxels_that_were_altered_are_refused(tmp_path: Path, name: str, place: float) -> None:
    image, data = a_packed_image(tmp_path, name)
    content = bytearray(data.read_bytes())
    start = int(len(content) * place)
    content[start : start + 16] = bytes(16)
    data.write_bytes(content)
    with pytest.raises(InputError, match=r"cut off or damaged"):
        read_volume(image)


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("lost", [1, 9, 500])
def test_packed_voxels_that_were_cut_are_refused(tmp_path: Path, name: str, lost: int) -> None:
    image, data = a_packed_image(tmp_path, name)
    data.write_bytes(data.read_bytes()[:-lost])
    with pytest.raises(InputError):
        read_volume(image)


@pytest.mark.parametrize("pack", [bz2.compress, lambda data: b"a line\n" + zlib.compress(data, wbits=31)])
def test_other_packings_of_nrrd_are_checked_where_they_begin(tmp_path: Path, pack) -> None:
    packed = pack(VOXELS.tobytes())
    encoding = "bzip2" if packed.startswith(b"BZh") else "gzip\nline skip: 1"
    header = f"NRRD0004\ntype: short\ndimension: 3\nsizes: 40 30 6\nendian: little\nencoding: {encoding}\n\n"
    path = tmp_path / "a.nrrd"
    path.write_bytes(header.encode() + packed[:-40] + bytes(40))
    with pytest.raises(InputError, match=r"cut off or damaged"):
        read_volume(path)
    path.write_bytes(header.encode() + packed)
    if "gzip" in encoding:  # ITK is built without bzip2
        assert np.array_equal(read_volume(path).array_zyx, VOXELS)


def alter_pixels(path: Path) -> None:
    """Turn a bit of the pixels of a PNG without its checksum, as a disk does."""
    content = bytearray(path.read_bytes())
    start = content.index(b"IDAT") + 4
    length = struct.unpack_from(">I", content, start - 8)[0]
    content[start + length // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_a_png_whose_pixels_were_altered_is_refused(tmp_path: Path, mode: str) -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    picture = pixels if mode == "RGB" else pixels[..., 0].astype(np.uint16 if mode == "I;16" else np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(picture).save(path, compress_level=0)  # stored: what is altered can be unpacked all the same
    assert np.array_equal(read_volume(path).array_zyx[0], picture)
    alter_pixels(path)
    with pytest.raises(InputError, match="cut off or damaged"):
        read_volume(path)


def test_a_png_with_a_wrong_date_beside_its_pixels_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(path)
    content = path.read_bytes()
    wrong = struct.pack(">I", 7) + b"tIME" + bytes(7) + b"\1\2\3\4"
    path.write_bytes(content[:33] + wrong + content[33:])
    assert np.array_equal(read_volume(path).array_zyx[0], np.eye(9))


def two_objects(tmp_path: Path, name: str) -> Path:
    first, second = np.zeros((2, 1, 20, 30), bool)
    first[0, 2:9, 3:12] = second[0, 11:18, 5:20] = True
    path = tmp_path / name
    write_segmentation(
        path, [SegmentToWrite("a", first), SegmentToWrite("b", second)], VolumeGeometry.from_spacing((1, 20, 30))
    )
    return path


def test_a_mask_picture_whose_pixels_were_altered_is_refused(tmp_path: Path) -> None:
    path = two_objects(tmp_path, "a.png")
    alter_pixels(path)
    with pytest.raises(InputError, match="cut off or damaged"):
        read_segmentation(path)


@pytest.mark.parametrize("damage", ["empty", "altered", "cut"])
def test_a_damaged_segmentation_of_slicer_is_refused(tmp_path: Path, damage: str) -> None:
    path = two_objects(tmp_path, "a.seg.nrrd")
    content = path.read_bytes()
    cuts = {"empty": b"", "altered": content[:-8] + bytes(8), "cut": content[:-20]}
    path.write_bytes(cuts[damage])
    with pytest.raises(InputError, match="cannot be read as a segmentation"):
        read_segmentation(path)


def test_a_tiff_whose_tables_lie_behind_its_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0" + struct.pack("<I", 5000) + bytes(50))
    with pytest.raises(InputError, match="cannot be read as an image"):
        read_volume(path)
