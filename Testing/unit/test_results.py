"""Packed masks give back what was put into them, and an object says how sure it is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from MedSAMSegmentLib.errors import InputError
from MedSAMSegmentLib.results import (
    DOUBTFUL_CONFIDENCE,
    FLAG_AREA_JUMP,
    FLAG_EMPTY,
    FLAG_LOW_SCORE,
    FLAG_TWO_READINGS,
    SURE_CONFIDENCE,
    ObjectResult,
    PackedMask,
    PackedResult,
    PackedSlice,
    SliceResult,
    SliceScore,
    flag_slices,
)

SHAPE = (6, 7, 9)


def a_mask() -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[1, 2, 3] = mask[4, 6, 8] = mask[4, 0, 5] = True
    mask[2:4, 3:5, 2:7] = True
    return mask


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("other", [0, 1, 2])
def test_a_mask_is_the_same_across_any_axis(axis: int, other: int) -> None:
    packed = PackedMask.of(a_mask(), axis).across(other)
    assert packed.axis == other
    np.testing.assert_array_equal(packed.unpack(), a_mask())


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_tight_part_lies_where_it_says(axis: int) -> None:
    part, first = PackedMask.of(a_mask(), axis).tight()
    assert first == (1, 0, 2)
    assert part.shape == (4, 7, 7)
    np.testing.assert_array_equal(part, a_mask()[1:5, 0:7, 2:9])
    nothing, corner = PackedMask(SHAPE, axis).tight()
    assert (nothing.shape, corner, nothing.any()) == ((1, 1, 1), (0, 0, 0), False)


def test_a_part_makes_all_else_of_its_slice_empty() -> None:
    packed = PackedMask.of(a_mask(), 0)
    packed.set_part(2, np.array([[True, False, True]]), (5, 6))
    expected = np.zeros(SHAPE[1:], dtype=bool)
    expected[5, 6] = expected[5, 8] = True
    np.testing.assert_array_equal(packed.get_slice(2), expected)
    packed.set_part(2, np.zeros((2, 2), dtype=bool), (0, 0))
    assert packed.slices == [1, 3, 4]
    for corner in ((6, 7), (-1, 0), (0, 8)):
        with pytest.raises(InputError):
            packed.set_part(2, np.ones((2, 2), dtype=bool), corner)


@pytest.mark.parametrize("index", range(SHAPE[0]))
def test_a_packed_result_comes_back_as_it_was(index: int) -> None:
    """Also where its mask is empty."""
    mask = a_mask()[index]
    result = SliceResult(1, 0, index, mask, 0.7, flags=(FLAG_TWO_READINGS,), key=True)
    packed = PackedResult.of(result)
    again = packed.unpack()
    np.testing.assert_array_equal(again.mask, mask)
    assert packed.mask.is_empty == (not mask.any())
    assert packed.mask.bits.nbytes <= 1 + mask[packed.mask.place].size // 8
    assert (again.object_index, again.axis, again.index) == (1, 0, index)
    assert (again.score, again.flags, again.key) == (0.7, (FLAG_TWO_READINGS,), True)


def test_packed_slices_are_equal_where_their_masks_are() -> None:
    part = np.array([[True, False], [False, True]])
    packed = PackedSlice.of(part, corner=(2, 3), shape=(6, 7))
    whole = np.zeros((6, 7), dtype=bool)
    whole[2:4, 3:5] = part
    assert packed.equals(PackedSlice.of(whole))
    assert not packed.equals(PackedSlice.of(part, shape=(6, 7)))
    assert not packed.equals(PackedSlice.of(~part, corner=(2, 3), shape=(6, 7)))


def an_object(scores: dict[int, float], held: range) -> ObjectResult:
    item = ObjectResult("Spot", PackedMask(SHAPE, 0))
    for index, score in scores.items():
        mask = np.full(SHAPE[1:], index in held)
        item.add(SliceResult(0, 0, index, mask, score))
    return item


def test_empty_ends_say_nothing_about_an_object() -> None:
    item = an_object({0: 0.0, 1: 0.9, 2: 0.1, 3: 0.8, 4: 0.0}, range(1, 4))
    assert item.confidence == pytest.approx(0.6)
    assert an_object({2: 0.9}, range(0)).confidence == 0.0


@pytest.mark.parametrize(
    ("confidence", "word"),
    [
        (SURE_CONFIDENCE, "sure"),
        (SURE_CONFIDENCE - 0.01, "look"),
        (DOUBTFUL_CONFIDENCE, "look"),
        (DOUBTFUL_CONFIDENCE - 0.01, "doubtful"),
    ],
)
def test_the_confidence_has_a_word(confidence: float, word: str) -> None:
    assert an_object({2: confidence}, range(2, 3)).assessment == word


def flags_of(scores: list[float], areas: list[int] | None = None, **limits: float) -> dict[int, tuple[str, ...]]:
    """The flags of the slices 3, 4, 5, ... that have any."""
    sizes = areas or [50] * len(scores)
    slices = {n: SliceScore(score, area) for n, (score, area) in enumerate(zip(scores, sizes, strict=True), start=3)}
    return {index: score.flags for index, score in flag_slices(slices, **limits).items() if score.flags}


def test_a_score_is_low_beside_what_is_usual_for_the_object() -> None:
    """One slice that is told very well makes no other one doubtful."""
    assert flags_of([0.8, 0.8, 0.8, 0.8, 1.0]) == {}
    assert flags_of([0.8, 0.8, 0.75, 0.8, 1.0]) == {5: (FLAG_LOW_SCORE,)}
    assert flags_of([1.0, 1.0, 0.95, 1.0]) == {}
    assert flags_of([1.0, 1.0, 0.94, 1.0]) == {5: (FLAG_LOW_SCORE,)}


def test_a_score_below_the_limit_is_low_even_where_it_is_usual() -> None:
    assert flags_of([0.4, 0.4]) == {3: (FLAG_LOW_SCORE,), 4: (FLAG_LOW_SCORE,)}
    assert flags_of([0.5, 0.5]) == {}


def test_an_empty_slice_is_empty_and_nothing_else() -> None:
    assert flags_of([0.9, 0.1, 0.9], [50, 0, 50]) == {4: (FLAG_EMPTY,)}
    assert flag_slices({}) == {}


def test_an_area_jumps_where_it_differs_from_both_neighbours() -> None:
    assert flags_of([0.9] * 3, [50, 101, 50]) == {4: (FLAG_AREA_JUMP,)}
    assert flags_of([0.9] * 3, [50, 100, 50]) == {}
    assert flags_of([0.9] * 5, [50, 50, 24, 50, 50]) == {5: (FLAG_AREA_JUMP,)}
    assert flags_of([0.9] * 5, [50, 50, 25, 50, 50]) == {}
    assert flags_of([0.9] * 3, [50, 101, 90]) == {}


def test_at_the_end_of_a_run_an_object_may_shrink_but_not_grow() -> None:
    assert flags_of([0.9] * 3, [50, 50, 20]) == {}
    assert flags_of([0.9] * 3, [50, 50, 101]) == {5: (FLAG_AREA_JUMP,)}
    assert flags_of([0.9]) == {}


def test_the_users_own_slice_is_not_doubted_and_a_second_reading_stays_said() -> None:
    slices = {
        1: SliceScore(0.9, 50),
        2: SliceScore(0.1, 500, (FLAG_TWO_READINGS, FLAG_LOW_SCORE), key=True),
        3: SliceScore(0.9, 50),
    }
    flagged = flag_slices(slices)
    assert {index: score.flags for index, score in flagged.items()} == {1: (), 2: (FLAG_TWO_READINGS,), 3: ()}
    assert flagged[2].key
