"""Pixel data that is shorter than its header says is refused before anything is decoded, in every transfer syntax."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_support import a_dataset, save, write_series
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

from MedSAMSegmentLib.errors import InputError
from MedSAMSegmentLib.io.read_volume import read_volume

SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"


@pytest.mark.parametrize("syntax", [None, DeflatedExplicitVRLittleEndian])
def test_plain_pixels_that_are_too_few_are_refused_with_both_numbers(tmp_path: Path, syntax: str | None) -> None:
    data = a_dataset(np.full((512, 512), 7), PixelData=b"\7\0" * 32)
    if syntax:
        data.file_meta.TransferSyntaxUID = syntax
    with pytest.raises(InputError, match=r"short.dcm is cut off or damaged: it holds 64 bytes of pixels, and 524288"):
        read_volume(save(data, tmp_path / "short.dcm"))


def test_one_frame_too_few_is_refused(tmp_path: Path) -> None:
    data = a_dataset(np.zeros((3, 8, 8)), NumberOfFrames=4)
    with pytest.raises(InputError, match="384 bytes of pixels, and 512"):
        read_volume(save(data, tmp_path / "a.dcm"))


def test_more_pixels_than_the_header_says_are_said(tmp_path: Path) -> None:
    volume = read_volume(save(a_dataset(np.zeros((3, 8, 8)), NumberOfFrames=2), tmp_path / "a.dcm"))
    assert volume.shape_zyx == (2, 8, 8)
    assert any("128 bytes of pixels more than its header says" in note for note in volume.notes)


@pytest.mark.parametrize("count", ["-1", "0", "-2147483648", "2147483647"])
def test_absurd_numbers_of_frames_are_refused(tmp_path: Path, count: str) -> None:
    path = save(a_dataset(np.zeros((8, 8)), NumberOfFrames=count), tmp_path / "a.dcm")
    with pytest.raises(InputError, match=rf"a.dcm (says it has {count} frames|says it holds|is cut off)"):
        read_volume(path)


@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        ({"Rows": 0}, "empty"),
        ({"Columns": 0}, "empty"),
        ({"BitsAllocated": 12}, "of 12 bits"),
        ({"BitsStored": 17}, "17 of 16 bits"),
        ({"HighBit": 16}, "up to bit 16"),
        ({"SamplesPerPixel": 0}, "0 samples"),
        ({"Rows": 65535, "Columns": 65535}, r"bytes of pixels|GiB"),
    ],
)
def test_headers_that_cannot_be_are_refused(tmp_path: Path, tags: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_volume(save(a_dataset(np.zeros((8, 8)), **tags), tmp_path / "a.dcm"))


def a_compressed(tmp_path: Path, spoil: Callable[[bytes], list[bytes]], syntax: str, source: str) -> Path:
    """A real compressed file, its frame spoilt."""
    data = pydicom.dcmread(SAMPLES / source)
    assert data.file_meta.TransferSyntaxUID == syntax
    (frame,) = pydicom.encaps.generate_frames(data.PixelData, number_of_frames=1)
    data.PixelData = encapsulate(spoil(frame))
    data.save_as(tmp_path / "c.dcm")
    return tmp_path / "c.dcm"


@pytest.mark.parametrize(
    "source",
    [
        "JPEG-lossy.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm", "MR_small_RLE.dcm",
        "SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_rle_16bit.dcm", "SC_rgb_jls_lossy_line.dcm",
    ],
)  # fmt: skip
def test_a_compressed_frame_that_is_cut_off_is_refused(tmp_path: Path, source: str) -> None:
    syntax = pydicom.dcmread(SAMPLES / source).file_meta.TransferSyntaxUID
    whole = read_volume(a_compressed(tmp_path, lambda frame: [frame], syntax, source)).array_zyx
    assert np.array_equal(whole, read_volume(SAMPLES / source).array_zyx)
    for share in (0.05, 0.5, 0.9):
        path = a_compressed(tmp_path, lambda f, share=share: [f[: int(len(f) * share)]], syntax, source)
        with pytest.raises(InputError, match="cut off or damaged"):
            read_volume(path)


@pytest.mark.parametrize(
    "source", ["MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm", "SC_rgb_dcmtk_+eb+cr.dcm"]
)
def test_a_code_stream_of_another_size_than_the_header_is_refused(tmp_path: Path, source: str) -> None:
    data = pydicom.dcmread(SAMPLES / source)
    data.Rows += 1
    data.save_as(tmp_path / "c.dcm")
    with pytest.raises(InputError, match=f"{data.Rows - 1} rows"):
        read_volume(tmp_path / "c.dcm")


def test_fewer_compressed_frames_than_the_header_says_are_refused(tmp_path: Path) -> None:
    data = pydicom.dcmread(SAMPLES / "SC_rgb_rle_2frame.dcm")
    data.NumberOfFrames = 3
    data.save_as(tmp_path / "c.dcm")
    with pytest.raises(InputError, match=r"holds 2 compressed frames, and 3"):
        read_volume(tmp_path / "c.dcm")


def test_frames_in_several_fragments_are_put_together(tmp_path: Path) -> None:
    data = pydicom.dcmread(SAMPLES / "SC_rgb_rle_2frame.dcm")
    expected = read_volume(SAMPLES / "SC_rgb_rle_2frame.dcm").array_zyx
    frames = list(pydicom.encaps.generate_frames(data.PixelData, number_of_frames=2))
    data.PixelData = encapsulate(frames, fragments_per_frame=3)
    data.save_as(tmp_path / "c.dcm")
    assert np.array_equal(read_volume(tmp_path / "c.dcm").array_zyx, expected)


def test_a_file_cut_anywhere_is_refused_or_whole(tmp_path: Path) -> None:
    stored = np.arange(64).reshape(8, 8)
    whole = save(a_dataset(stored), tmp_path / "a.dcm").read_bytes()
    for length in range(1, len(whole), 7):
        (tmp_path / "a.dcm").write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_volume(tmp_path / "a.dcm")


def test_a_video_is_refused_by_name(tmp_path: Path) -> None:
    data = a_dataset(np.zeros((8, 8)), Modality="ES")
    data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    data.PixelData = encapsulate([b"\0" * 64])
    data["PixelData"].is_undefined_length = True
    with pytest.raises(InputError, match="video"):
        read_volume(save(data, tmp_path / "a.dcm"))


def test_rle_planes_of_the_wrong_number_are_refused(tmp_path: Path) -> None:
    data = a_dataset(np.zeros((8, 8)))
    data.file_meta.TransferSyntaxUID = RLELossless
    data.PixelData = encapsulate([struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * 2])
    with pytest.raises(InputError, match="1 RLE planes, and 2"):
        read_volume(save(data, tmp_path / "a.dcm"))


def test_an_rle_frame_shorter_than_its_header_is_refused(tmp_path: Path) -> None:
    data = a_dataset(np.zeros((8, 8)))
    data.file_meta.TransferSyntaxUID = RLELossless
    data.PixelData = encapsulate([b"\2\0\0\0" + b"\0" * 58])
    with pytest.raises(InputError, match="no RLE header"):
        read_volume(save(data, tmp_path / "a.dcm"))


def test_garbage_in_place_of_a_code_stream_is_refused(tmp_path: Path) -> None:
    data = a_dataset(np.zeros((8, 8)), BitsAllocated=8, BitsStored=8, HighBit=7)
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.PixelData = encapsulate([b"\x13\x37" * 40])
    with pytest.raises(InputError, match="no code stream of a known kind"):
        read_volume(save(data, tmp_path / "a.dcm"))


def test_an_unreadable_slice_is_named_and_its_place_kept(tmp_path: Path) -> None:
    stored = np.stack([np.full((6, 7), 100 * k) for k in range(6)])
    write_series(tmp_path, stored, RescaleSlope=1, RescaleIntercept=0)
    names = sorted(path.name for path in tmp_path.iterdir())[::-1]
    for lost, expected in ((0, 100), (3, 300), (5, 400)):
        path = tmp_path / names[lost]
        whole = path.read_bytes()
        path.write_bytes(whole[:-40])
        volume = read_volume(tmp_path)
        assert any(names[lost] in note and "cut off" in note for note in volume.notes)
        assert volume.filled == (lost,)
        assert volume.array_zyx[:, 0, 0].tolist() == [
            *range(0, 100 * lost, 100),
            expected,
            *range(100 * lost + 100, 600, 100),
        ]
        assert np.allclose(volume.geometry.ijk_to_lps[:3, 3], (10, -20, 30))
        path.write_bytes(whole)


def test_a_slice_whose_header_is_gone_is_named(tmp_path: Path) -> None:
    write_series(tmp_path, np.zeros((6, 6, 7)))
    path = sorted(tmp_path.iterdir())[2]
    path.write_bytes(path.read_bytes()[:300])
    (tmp_path / "empty.dcm").touch()
    volume = read_volume(tmp_path)
    assert volume.filled == (3,)
    for name in (path.name, "empty.dcm"):
        assert any(name in note for note in volume.notes)


def test_a_series_of_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path, np.zeros((3, 6, 7)))
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="No slice of the series can be read"):
        read_volume(tmp_path)
