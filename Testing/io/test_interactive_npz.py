"""The files of the interactive challenge: boxes, clicks and their order; and files that are none."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MedSAMSegmentLib.errors import InputError, OutputError
from MedSAMSegmentLib.io.challenge_npz import read_npz, write_segs
from MedSAMSegmentLib.io.interactive_npz import MiddleBox, read_interactive_npz, read_npz_objects
from MedSAMSegmentLib.prompts import Box, Point

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 12, 13)).astype(np.uint8)
LABELS = (IMAGES > 99).astype(np.uint8)
SIDES = {"z_mid_x_min": 3, "z_mid_y_min": 4, "z_mid_x_max": np.int64(9), "z_mid_y_max": 8}
BOX = {"z_min": np.int64(1), "z_max": np.int64(4), "z_mid": np.int64(3), **SIDES}
CLICKS = [{"fg": [[np.int64(1), np.int64(2), np.int64(3)]], "bg": [[2, 3, 4], [5, 0, 0]]}, {"fg": [], "bg": []}]
ORDER = [["bg", "fg", "bg"], [None, None, None]]

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def save_arrays(**arrays: Any) -> Path:
        np.savez_compressed(tmp_path / "case.npz", **{"imgs": IMAGES, "spacing": [0.5, 0.6, 5.0], **arrays})
        return tmp_path / "case.npz"

    return save_arrays


def test_a_case_is_read_as_the_evaluator_writes_it(save: Save) -> None:
    path = save(gts=LABELS, prev_pred=LABELS[::-1], boxes=[BOX, BOX], clicks=CLICKS, clicks_order=ORDER)
    case = read_interactive_npz(path)
    assert case.volume.spacing_zyx == pytest.approx((5.0, 0.6, 0.5))
    assert np.array_equal(case.volume.array_zyx, IMAGES)
    assert case.reference is not None
    assert case.previous is not None
    assert np.array_equal(case.reference, LABELS)
    assert np.array_equal(case.previous, LABELS[::-1])
    assert case.boxes == (MiddleBox(Box(i=(3, 9), j=(4, 8), k=(1, 4)), 3),) * 2
    assert case.class_count == 2


def test_clicks_come_in_the_order_of_clicking_and_their_axes_are_an_option(save: Save) -> None:
    path = save(clicks=CLICKS, clicks_order=ORDER)
    expected = (Point(4, 3, 2, positive=False), Point(3, 2, 1), Point(0, 0, 5, positive=False))
    assert read_interactive_npz(path).clicks == (expected, ())
    swapped = (Point(2, 3, 4, positive=False), Point(1, 2, 3), Point(5, 0, 0, positive=False))
    assert read_interactive_npz(path, click_axes="xyz").clicks == (swapped, ())
    without_order = read_interactive_npz(save(clicks=CLICKS)).clicks[0]
    assert [point.positive for point in without_order] == [True, False, False]


def test_a_case_without_boxes_and_clicks_has_none(save: Save) -> None:
    case = read_interactive_npz(save())
    assert (case.boxes, case.clicks, case.reference, case.previous, case.class_count) == ((), (), None, None, 0)
    assert read_interactive_npz(save(boxes=[], clicks=[], clicks_order=[])).class_count == 0


def test_the_texts_of_the_other_task_and_plain_rows_of_boxes_are_read(save: Save) -> None:
    case = read_interactive_npz(save(boxes=[[1, 2, 0, 8, 9, 3]], text_prompts={"1": "liver", "instance_label": 0}))
    assert case.texts == {"1": "liver", "instance_label": 0}
    assert case.boxes == (MiddleBox(Box(i=(1, 8), j=(2, 9), k=(0, 3)), 1),)


@pytest.mark.parametrize(
    "arrays",
    [
        {"imgs": np.zeros((0, 4, 4), np.uint8)},
        {"prev_pred": LABELS[:2]},
        {"boxes": [{"z_min": 1}]},
        {"boxes": [BOX, 7]},
        {"boxes": [{**BOX, "z_mid": 5}]},
        {"boxes": [{**BOX, "z_min": "1"}]},
        {"boxes": [{**BOX, "z_min": float("nan")}]},
        {"boxes": [{**BOX, "z_mid_x_min": 10}]},
        {"boxes": [{**BOX, "z_min": [1]}]},
        {"boxes": "everything"},
        {"clicks": [[1, 2, 3]]},
        {"clicks": [{"fg": [[1, 2]], "bg": []}]},
        {"clicks": [{"fg": [[1, 2, "x"]], "bg": []}]},
        {"clicks": [{"fg": 3}]},
        {"clicks": [{"fore": []}]},
        {"clicks": CLICKS, "clicks_order": ORDER[:1]},
        {"clicks": CLICKS, "clicks_order": [["fg", "fg", "bg"], [None, None, None]]},
        {"clicks": CLICKS, "clicks_order": [["fg", "bg", "?"], [None, None, None]]},
        {"clicks": {"fg": [], "bg": []}},
    ],
)
def test_arrays_that_make_no_case_are_refused_by_name(save: Save, arrays: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        read_interactive_npz(save(**arrays))


def test_no_pickle_is_loaded_and_the_image_is_never_an_object(save: Save, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "exploded",))

    bombs = [{**BOX, "z_min": Bomb()}]
    for name in ("boxes", "clicks", "clicks_order", "text_prompts", "imgs", "gts", "prev_pred", "spacing"):
        with pytest.raises(InputError):
            read_interactive_npz(save(**{name: np.array(bombs, dtype=object)}))
    assert not (tmp_path / "exploded").exists()


def an_npy(dtype: str, shape: str, body: bytes) -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + body


@pytest.mark.parametrize(
    ("dtype", "shape", "body"),
    [
        ("<U2", "(100000, 100000)", bytes(8)),
        ("<U0", "(100000000,)", b""),
        ("<f8", "(99999999, 0)", b""),
        ("<U1", "(1,)", b"\xff\xff\xff\xff"),
        ("<i8", "(-1,)", b""),
        ("|V8", "(1,)", bytes(8)),
        ("|O", "(1,)", b""),
        ("|O", "(1,)", b"\x80\x04."),
    ],
)
def test_headers_that_lie_are_refused_before_memory_is_taken(
    tmp_path: Path, dtype: str, shape: str, body: bytes
) -> None:
    with zipfile.ZipFile(tmp_path / "lie.npz", "w") as archive:
        archive.writestr("clicks_order.npy", an_npy(dtype, shape, body))
    with pytest.raises(InputError):
        read_npz_objects(tmp_path / "lie.npz", ("clicks_order",))


def test_a_bomb_of_zeros_is_refused_by_its_size(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("boxes.npy", an_npy("|O", "(1,)", bytes(64 << 20)))
    with pytest.raises(InputError, match="holds 67108"):
        read_npz_objects(tmp_path / "bomb.npz", ("boxes",))


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "case.npz").write_bytes(io.BytesIO(b"PK" + bytes(99)).getvalue())
    with pytest.raises(InputError, match="not a sound"):
        read_npz_objects(tmp_path / "case.npz", ("boxes",))
    with pytest.raises(InputError):
        read_interactive_npz(tmp_path / "missing.npz")


def test_answers_hold_segs_alone_and_of_a_run_all_steps(tmp_path: Path) -> None:
    labels = LABELS.astype(np.int64)
    write_segs(tmp_path / "one.npz", labels)
    arrays = read_npz(tmp_path / "one.npz")
    assert list(arrays) == ["segs"]
    assert arrays["segs"].dtype == np.uint8
    assert np.array_equal(arrays["segs"], labels)
    write_segs(tmp_path / "run.npz", labels, [labels * 0, labels * 300])
    arrays = read_npz(tmp_path / "run.npz")
    assert arrays["all_segs"].shape == (2, *labels.shape)
    assert arrays["all_segs"].max() == 300
    write_segs(tmp_path / "picture.npz", labels[0])
    assert read_npz(tmp_path / "picture.npz")["segs"].shape == labels.shape[1:]
    with pytest.raises(OutputError):
        write_segs(tmp_path / "no.npz", labels[0, 0])
