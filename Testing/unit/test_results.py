"""Packed masks give back what was put into them, and an object says how sure it is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from MedSAMSegmentLib.errors import InputError
from MedSAMSegmentLib.results import (
    DOUBTFUL_CONFIDENCE,
    FLAG_TWO_READINGS,
    SURE_CONFIDENCE,
    ObjectResult,
    PackedMask,
    PackedResult,
    PackedSlice,
    SliceResult,
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
