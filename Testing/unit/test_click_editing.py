"""Clicks after a run: the voxel is right in 3D, all else far from it stays, and the preview shows the same."""

from __future__ import annotations

import numpy as np
import pytest
from fake_model import BrightPixels
from numpy.typing import NDArray

from MedSAMSegmentLib.geometry import VolumeGeometry, take_slice
from MedSAMSegmentLib.inference.plan import Click, ObjectPlan
from MedSAMSegmentLib.inference.session import AxisView, VolumeSession
from MedSAMSegmentLib.inference.strategies.click_editing import _against, _Answer, _labelled
from MedSAMSegmentLib.intensity import to_uint8
from MedSAMSegmentLib.prompts import Box, MaskPrompt, Point
from MedSAMSegmentLib.results import Progress, SliceResult

SHAPE = (20, 40, 50)


def ball(k: float, j: float, i: float, radius: float) -> NDArray[np.bool_]:
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return np.asarray((z - k) ** 2 + (y - j) ** 2 + (x - i) ** 2 <= radius**2)


OBJECT = ball(10, 20, 22, 8)
DARK = ball(10, 20, 27, 3) & OBJECT
"""A part of the object that the model does not see."""
BRIGHT = ball(10, 14, 17, 2)
"""What it takes for the object besides."""
BOX = Box.around(OBJECT | BRIGHT)


def a_session() -> VolumeSession:
    pixels = np.where(BRIGHT, 250, np.where(DARK, 100, np.where(OBJECT, 180, 20))).astype(np.uint8)
    return VolumeSession(BrightPixels(), to_uint8(pixels, "none"), VolumeGeometry.from_spacing(SHAPE))  # type: ignore[arg-type]


MISSED, WRONG = Point(27, 20, 10), Point(17, 14, 10, positive=False)


@pytest.mark.parametrize("strategy", ["consensus", "static", "handover"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_clicked_voxels_are_right_and_the_rest_stays(strategy: str, axis: int) -> None:
    before = a_session().propagate([BOX], axis=axis, strategy=strategy).mask
    after = a_session().propagate([[BOX, MISSED, WRONG]], axis=axis, strategy=strategy).mask
    assert not before[10, 20, 27]
    assert before[10, 14, 17]
    assert after[10, 20, 27]
    assert not after[10, 14, 17]
    near = ball(10, 20, 27, 7) | ball(10, 14, 17, 6)
    assert np.array_equal(after[~near], before[~near])
    assert (after & DARK).sum() > 0.7 * DARK.sum(), "the missed part is found on the slices beside as well"


def test_a_click_on_what_is_right_changes_nothing_and_marks_its_slice() -> None:
    before = a_session().propagate([BOX])
    after = a_session().propagate([[BOX, Point(20, 22, 12)]])
    assert np.array_equal(after.mask, before.mask)
    assert after.objects[0].slices[12].key
    assert not before.objects[0].slices[12].key


def test_a_further_click_leaves_the_earlier_edits_as_they_are() -> None:
    one = a_session().propagate([[BOX, MISSED]]).mask
    two = a_session().propagate([[BOX, MISSED, WRONG]]).mask
    far = ~ball(10, 14, 17, 7)
    assert np.array_equal(one[far], two[far])


@pytest.mark.parametrize("last", [True, False])
def test_of_two_clicks_on_one_voxel_the_last_one_counts(last: bool) -> None:
    clicks = [Point(25, 20, 12, positive=not last), Point(25, 20, 12, positive=last)]
    assert a_session().propagate([[BOX, *clicks]]).mask[12, 20, 25] == last


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_preview_is_what_the_run_gives_there(axis: int) -> None:
    prompts = [BOX, MISSED, WRONG]
    index = MISSED.slice_index(axis)
    preview = a_session().segment_slice(axis, index, prompts)
    here = [p for p in prompts if isinstance(p, Box) or p.slice_index(axis) == index]
    run = a_session().propagate([here], axis=axis, slice_range=(index, index))
    assert np.array_equal(preview.mask, take_slice(run.mask, axis, index))
    assert preview.key


def test_a_painted_slice_is_edited_where_it_was_clicked() -> None:
    painted = OBJECT[10] & ~DARK[10]
    prompts = [MaskPrompt(0, 10, painted), MISSED]
    preview = a_session().segment_slice(0, 10, prompts)
    assert preview.mask[20, 27]
    assert not (painted & ~preview.mask).any()
    result = a_session().propagate([prompts], slice_range=(8, 12))
    assert np.array_equal(result.mask[10], preview.mask)


@pytest.mark.parametrize("clicks", [[Point(27, 20, 10)], [Point(22, 20, 10), Point(24, 20, 10, positive=False)]])
def test_an_object_of_clicks_alone_holds_them_too(clicks: list[Point]) -> None:
    mask = a_session().propagate([clicks], slice_range=(8, 12)).mask
    assert all(mask[int(p.k), int(p.j), int(p.i)] == p.positive for p in clicks)


def test_a_click_outside_the_box_reaches_no_farther_than_its_region() -> None:
    before = a_session().propagate([BOX]).mask
    after = a_session().propagate([[BOX, Point(45, 35, 19)]]).mask
    assert after[19, 35, 45]
    near = ball(19, 35, 45, 12)
    assert np.array_equal(after[~near], before[~near])


def test_progress_counts_every_slice_once_and_slices_come_again() -> None:
    told: list[Progress] = []
    seen: list[SliceResult] = []
    result = a_session().propagate([[BOX, MISSED, WRONG]], on_progress=told.append, on_slice=seen.append)
    count = len(result.objects[0].slices)
    assert (told[-1].done, told[-1].total) == (count, count)
    assert [p.done for p in told] == sorted(p.done for p in told)
    assert len(seen) > count
    last = {item.index: item.mask for item in seen}
    assert all(np.array_equal(result.mask[k], mask) for k, mask in last.items())


def a_click(index: int = 12, x: int = 20, y: int = 22, *, positive: bool = True) -> Click:
    return Click(index, x, y, positive)


def test_a_click_is_against_earlier_ones_of_the_other_kind_on_the_same_slice_and_another_pixel() -> None:
    before = [
        a_click(x=1, positive=False),
        a_click(x=2, positive=True),
        a_click(11, x=3, positive=False),
        a_click(positive=False),
        a_click(y=5, positive=False),
    ]
    assert _against(a_click(), before, 12) == [(1, 22), (20, 5)]
    assert _against(a_click(positive=False), before, 12) == [(2, 22)]
    # On a slice beside, an earlier click counts where this one has its own pixel, too.
    assert _against(a_click(), before, 11) == [(3, 22)]
    assert _against(a_click(), [a_click(11, positive=False)], 11) == [(20, 22)]


def test_a_region_is_added_or_taken() -> None:
    mask, region = np.array([[True, True, False, False]]), np.array([[True, False, True, False]])
    assert _labelled(mask, region, True).tolist() == [[True, True, True, False]]
    assert _labelled(mask, region, False).tolist() == [[False, True, False, False]]


@pytest.mark.parametrize(
    ("box", "click", "first", "last"),
    [
        (None, a_click(5), 2, 15),
        ((4, 9), a_click(4), 4, 9),
        ((4, 9), a_click(9), 4, 9),
        ((4, 9), a_click(3), 2, 15),
        ((4, 9), a_click(10), 2, 15),
        ((4, 9), a_click(5, positive=False), 2, 15),
        ((0, 19), a_click(5), 2, 15),
    ],
)
def test_what_is_added_in_the_3d_box_stays_in_its_slices(
    box: tuple[int, int] | None, click: Click, first: int, last: int
) -> None:
    whole = None if box is None else Box(i=(3, 9), j=(3, 9), k=box)
    plan = ObjectPlan("object", {}, 2, 15, False, box=whole)
    answer = _Answer(AxisView(a_session(), 0, lambda: False), 0, plan)
    assert answer._reach(click) == range(first, last + 1)
    assert answer._bounds() == (None if box is None else (3, 3, 9, 9))


def test_a_changed_slice_keeps_its_score_and_stays_a_key_slice() -> None:
    answer = _Answer(AxisView(a_session(), 0, lambda: False), 3, ObjectPlan("object", {}, 0, 19, False))
    mask = np.zeros(SHAPE[1:], dtype=bool)
    new = answer._change(7, mask)
    assert (new.object_index, new.index, new.score, new.key) == (3, 7, 1.0, False), "the user says that it is there"
    answer.keep(SliceResult(3, 0, 7, mask, 0.25, ("low-score",), key=True))
    answer.keep(SliceResult(3, 0, 7, ~mask, 0.5, ("low-score",)))
    assert answer._mask(7).all()
    assert not answer._mask(8).any()
    assert answer._mask(8).shape == SHAPE[1:]
    changed = answer._change(7, mask)
    assert (changed.score, changed.flags, changed.key) == (0.5, ("low-score",), True)
    assert not answer._mask(7).any()
    answer.keep(SliceResult(3, 0, 9, mask, 0.5))
    assert [answer._change(9, mask, key=key).key for key in (False, True, False)] == [False, True, True]


def test_the_official_behaviour_hears_clicks_itself() -> None:
    """It hands over what the clicked slice shows, and edits nothing."""
    session = a_session()
    session.reference = True
    mask = session.propagate([[BOX, MISSED, WRONG]]).mask
    assert not mask[10, 20, 27]
