"""The outline of a mask: how rough it is, and which of its parts are speckle."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from MedSAMSegmentLib.inference.strategies.outline import without_speckle
from MedSAMSegmentLib.measurements import roughness


def a_mask(*parts: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Return a mask of rectangles: row, column, height and width of each."""
    mask = np.zeros((30, 40), dtype=bool)
    for row, column, height, width in parts:
        mask[row : row + height, column : column + width] = True
    return mask


@pytest.mark.parametrize("place", [(5, 5), (0, 0), (20, 30)])
def test_a_square_is_smooth_also_at_the_rim_of_the_slice(place: tuple[int, int]) -> None:
    assert roughness(a_mask((*place, 10, 10))) == 0.0


def test_an_empty_mask_is_smooth() -> None:
    assert roughness(a_mask()) == 0.0


def test_a_full_slice_is_smooth() -> None:
    assert roughness(~a_mask()) == 0.0


def test_a_checkerboard_is_all_rough() -> None:
    assert roughness(np.indices((30, 40)).sum(axis=0) % 2 == 0) > 1.0


def test_a_comb_is_rougher_than_a_single_tooth_and_a_hole_counts() -> None:
    square = a_mask((5, 5, 12, 12))
    tooth, comb, hole = square.copy(), square.copy(), square.copy()
    tooth[4, 10] = True
    comb[4, 5:17:2] = True
    hole[10, 10] = False
    assert 0 < roughness(tooth) < roughness(comb) < 1
    assert roughness(tooth) == pytest.approx(1 / 44)  # the pixel below it is not of the rim any more
    assert roughness(hole) == pytest.approx(1 / 48)


def test_two_large_parts_stay_and_small_ones_go() -> None:
    two = a_mask((2, 2, 10, 10), (2, 20, 10, 5))
    assert np.array_equal(without_speckle(two), two)
    speckled = two | a_mask((20, 2, 3, 3), (28, 38, 1, 1))
    before = speckled.copy()
    assert np.array_equal(without_speckle(speckled), two)
    assert np.array_equal(speckled, before), "the mask given is left alone"


def test_a_part_of_a_fifth_of_the_largest_is_no_speckle() -> None:
    kept = a_mask((2, 2, 10, 10), (2, 20, 4, 5))
    assert np.array_equal(without_speckle(kept), kept)
    assert np.array_equal(without_speckle(a_mask((2, 2, 10, 10), (2, 20, 19, 1))), a_mask((2, 2, 10, 10)))


def test_without_speckle_a_single_part_and_an_empty_mask_stay() -> None:
    for mask in (a_mask(), a_mask((3, 3, 1, 1))):
        assert np.array_equal(without_speckle(mask), mask)
