"""The challenge's files: arrays, boxes and spacing in; hostile archives out."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from MedSAMSegmentLib.errors import InputError, OutputError
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.io.challenge_npz import read_challenge_npz, read_npz, write_case, write_challenge_npz
from MedSAMSegmentLib.io.read_volume import read_volume
from MedSAMSegmentLib.prompts import Box

REPO = Path(__file__).parents[2]
SHARED = Path(os.environ.get("MEDSAM_SHARED", REPO.parent / "shared"))
LESION = SHARED / "data" / "CT_Lesion_000001_02_01_008-023.npz"

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 12, 13)).astype(np.uint8)


@pytest.fixture
def save(tmp_path: Path):
    def save_arrays(**arrays: object) -> Path:
        np.savez_compressed(tmp_path / "case.npz", **arrays)  # type: ignore[arg-type]
        return tmp_path / "case.npz"

    return save_arrays


def an_npy(shape: str, body: bytes = b"", dtype: str = "|u1") -> bytes:
    """An .npy file whose header claims `shape`, whatever its body holds."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + body


def test_a_case_has_its_volume_boxes_and_reference(save) -> None:
    case = read_challenge_npz(
        save(imgs=IMAGES, gts=IMAGES > 99, spacing=[0.5, 0.6, 5.0], boxes=[[1, 2, 0, 8, 9, 3], [0, 0, 1, 5, 5, 2]])
    )
    assert np.array_equal(case.volume.array_zyx, IMAGES)
    assert case.volume.spacing_zyx == pytest.approx((5.0, 0.6, 0.5))
    assert case.boxes == (Box(i=(1, 8), j=(2, 9), k=(0, 3)), Box(i=(0, 5), j=(0, 5), k=(1, 2)))
    assert case.reference is not None
    assert np.array_equal(case.reference, IMAGES > 99)


def test_boxes_of_four_numbers_span_all_slices(save) -> None:
    case = read_challenge_npz(save(imgs=IMAGES, boxes=np.array([1.9, 2, 8, 9])))
    assert case.boxes == (Box(i=(1, 8), j=(2, 9), k=(0, 3)),)
    assert read_challenge_npz(save(imgs=IMAGES)).boxes == ()


def test_direction_and_origin_are_honoured(save) -> None:
    direction = [-1, 0, 0, 0, 0, 1, 0, 1, 0]
    volume = read_volume(save(imgs=IMAGES, spacing=[1, 2, 3], direction=direction, origin=[7, 8, 9]))
    expected = [[-1, 0, 0, 7], [0, 0, 3, 8], [0, 2, 0, 9], [0, 0, 0, 1]]
    assert np.allclose(volume.geometry.ijk_to_lps, expected)


def test_the_rows_of_the_direction_are_those_of_the_matrix(save) -> None:
    """x runs along L, y along P and z along S in another order than any other, so that nothing can be swapped."""
    volume = read_volume(save(imgs=IMAGES, spacing=[1, 2, 3], direction=[0, 0, -1, 1, 0, 0, 0, -1, 0]))
    expected = [[0, 0, -3, 0], [1, 0, 0, 0], [0, -2, 0, 0], [0, 0, 0, 1]]
    assert np.allclose(volume.geometry.ijk_to_lps, expected)


def test_a_single_slice_in_grey_or_colour_is_a_volume(save) -> None:
    assert read_volume(save(imgs=IMAGES[0])).shape_zyx == (1, 12, 13)
    coloured = read_volume(save(imgs=np.stack([IMAGES[0]] * 3, axis=-1)))
    assert coloured.is_rgb
    assert coloured.shape_zyx == (1, 12, 13)


@pytest.mark.parametrize(
    "arrays",
    [
        {"data": IMAGES},
        {"imgs": np.zeros((0, 4, 4), np.uint8)},
        {"imgs": np.zeros((2, 2, 2, 2, 2))},
        {"imgs": IMAGES.astype(np.complex64)},
        {"imgs": IMAGES, "gts": IMAGES[:2]},
        {"imgs": IMAGES, "spacing": [1, 1]},
        {"imgs": IMAGES, "spacing": [1, 0, 1]},
        {"imgs": IMAGES, "spacing": [1, np.nan, 1]},
        {"imgs": IMAGES, "direction": np.zeros(9)},
        {"imgs": IMAGES, "boxes": [[1, 2, 3]]},
        {"imgs": IMAGES, "boxes": [[1, 2, np.inf, 4]]},
        {"imgs": IMAGES, "boxes": [[9, 2, 1, 4]]},
        {"imgs": np.array([{"a": 1}], object)},
        {"imgs": np.array(["text"])},
    ],
)
def test_arrays_that_make_no_case_are_refused(save, arrays: dict) -> None:
    with pytest.raises(InputError):
        read_challenge_npz(save(**arrays))


def test_a_pickle_is_never_loaded(save, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "exploded",))

    with pytest.raises(InputError):
        read_challenge_npz(save(imgs=np.array([Bomb()], object)))
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "shape", ["(100000, 100000, 100000)", "(10, 12, 13)", "(3, 12, 13)", "(-1, 12, 13)", "(4, 12, 13.5)"]
)
def test_a_header_that_lies_about_its_size_is_refused_before_memory_is_taken(tmp_path: Path, shape: str) -> None:
    with zipfile.ZipFile(tmp_path / "lie.npz", "w") as archive:
        archive.writestr("imgs.npy", an_npy(shape, IMAGES.tobytes()))
    with pytest.raises(InputError):
        read_challenge_npz(tmp_path / "lie.npz")


def test_a_zip_bomb_is_refused_by_its_claimed_size(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("imgs.npy", an_npy("(64, 1024, 1024)", bytes(64 << 20)))
    assert (tmp_path / "bomb.npz").stat().st_size < 1 << 20
    with pytest.raises(InputError, match="GiB"):
        read_challenge_npz(tmp_path / "bomb.npz", max_bytes=32 << 20)


def test_a_cut_or_altered_archive_is_refused(save) -> None:
    path = save(imgs=IMAGES)
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"PK" + bytes(100), whole[:60] + b"\xff" * 40 + whole[100:]):
        path.write_bytes(broken)
        with pytest.raises(InputError):
            read_challenge_npz(path)


def test_labels_are_written_with_their_spacing(tmp_path: Path) -> None:
    labels = np.zeros((4, 12, 13), np.int64)
    labels[1, 2, 3] = 2
    write_challenge_npz(tmp_path / "segs.npz", labels, (5.0, 0.6, 0.5))
    arrays = read_npz(tmp_path / "segs.npz")
    assert arrays["segs"].dtype == np.uint8
    assert np.array_equal(arrays["segs"], labels)
    assert arrays["spacing"].tolist() == [0.5, 0.6, 5.0]
    with pytest.raises(OutputError):
        write_challenge_npz(tmp_path / "no.npz", labels[0], (1, 1, 1))


def test_arrays_in_fortran_order_and_large_headers_are_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asfortranarray(IMAGES), version=(2, 0))
    with zipfile.ZipFile(tmp_path / "f.npz", "w") as archive:
        archive.writestr("imgs.npy", buffer.getvalue())
    assert np.array_equal(read_volume(tmp_path / "f.npz").array_zyx, IMAGES)


@pytest.mark.skipif(not LESION.exists(), reason="needs the lesion cases in shared/data")
def test_a_real_lesion_case_is_read() -> None:
    case = read_challenge_npz(LESION)
    assert case.volume.shape_zyx == (16, 512, 512)
    assert case.volume.spacing_zyx == pytest.approx((5.0, 0.314453, 0.314453))
    assert case.reference is not None
    assert int((case.reference > 0).sum()) == 11697


def test_a_case_is_read_as_it_was_written(tmp_path: Path) -> None:
    turned = np.array([[0, -0.8, 0, 5], [0.7, 0, 0, -6], [0, 0, 3, 7], [0, 0, 0, 1]], np.float64)
    image = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6) - 50
    write_case(tmp_path / "case.npz", image, image > 10, VolumeGeometry((4, 5, 6), turned))
    case = read_challenge_npz(tmp_path / "case.npz")
    assert np.array_equal(case.volume.array_zyx, image)
    assert case.volume.array_zyx.dtype == np.int16
    assert case.reference is not None
    assert np.array_equal(case.reference == 1, image > 10)
    assert np.allclose(case.volume.geometry.ijk_to_lps, turned)
