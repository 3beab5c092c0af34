"""Grey values of an object and of what surrounds it: how alike, what is foreign, and where an edge is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from MedSAMSegmentLib.inference.strategies.appearance import Appearance, distribution, edge_contrast, grey_levels

BOX = (10, 12, 29, 31)
"""x0, y0, x1, y1."""


def a_square(side: int = 60) -> NDArray[np.bool_]:
    mask = np.zeros((side, side), bool)
    mask[14:30, 12:28] = True
    return mask


def painted(inside: int, outside: int) -> NDArray[np.uint8]:
    return np.where(a_square(), inside, outside).astype(np.uint8)


def test_grey_levels_are_sixteen_bins_of_the_mean_colour() -> None:
    assert grey_levels(np.array([[0, 15, 16, 255]], np.uint8)).tolist() == [[0, 0, 1, 15]]
    colours = np.array([[[0, 0, 47], [16, 16, 16]]], np.uint8)
    assert grey_levels(colours).tolist() == [[0, 1]]


def test_a_distribution_is_smoothed_by_one_two_one_and_sums_to_one() -> None:
    found = distribution(np.full(1000, 5, np.uint8))
    assert found.shape == (16,)
    assert found.sum() == pytest.approx(1.0)
    assert found[4:7] == pytest.approx([0.25, 0.5, 0.25], abs=1e-4)
    assert (found > 0).all()
    assert distribution(np.zeros(1000, np.uint8))[:2] == pytest.approx([0.75, 0.25], abs=1e-4)


def test_likeness_is_one_for_the_same_grey_values_and_falls_with_their_distance() -> None:
    known = Appearance(painted(200, 40), a_square(), BOX)
    assert known.likeness(painted(200, 90), a_square()) == pytest.approx(1.0)
    near, far = (known.likeness(painted(value, 40), a_square()) for value in (215, 100))
    assert 0.6 < near < 1.0
    assert far < 0.1


def test_what_surrounds_the_object_in_its_box_is_foreign() -> None:
    known = Appearance(painted(200, 40), a_square(), BOX)
    assert known.foreign[40 // 16]
    assert not known.foreign[200 // 16]
    pixels = painted(200, 200)
    pixels[14:30, 12:17] = 40
    left = known.without_foreign(pixels, a_square())
    expected = a_square()
    expected[14:30, 12:17] = False
    np.testing.assert_array_equal(left, expected)


def test_a_rim_thinner_than_the_square_stays() -> None:
    known = Appearance(painted(200, 40), a_square(), BOX)
    pixels = painted(200, 200)
    pixels[14:30, 12:16] = 40
    np.testing.assert_array_equal(known.without_foreign(pixels, a_square()), a_square())
    np.testing.assert_array_equal(known.without_foreign(painted(200, 40), a_square()), a_square())


def test_surroundings_reach_a_rim_beyond_the_box_and_no_further() -> None:
    pixels = np.full((60, 60), 200, np.uint8)
    _, y0, x1, y1 = BOX
    pixels[y0 - 3 : y1 + 4, x1 + 4 :] = 40
    assert not Appearance(pixels, a_square(), BOX).foreign.any()
    pixels[y0 - 3 : y1 + 4, x1 + 3] = 40
    assert Appearance(pixels, a_square(), BOX).foreign[2]


def test_few_surroundings_say_nothing() -> None:
    mask = np.ones((20, 20), bool)
    mask[0, :19] = False
    pixels = np.where(mask, 200, 40).astype(np.uint8)
    assert not Appearance(pixels, mask, (0, 0, 19, 19)).foreign.any(), "nineteen pixels"
    mask[0] = False
    assert Appearance(np.where(mask, 200, 40).astype(np.uint8), mask, (0, 0, 19, 19)).foreign.any()


def test_an_edge_is_where_grey_values_change() -> None:
    assert edge_contrast(painted(200, 40), a_square()) > 0.9
    assert edge_contrast(painted(120, 120), a_square()) == pytest.approx(0.0, abs=1e-4)
    assert edge_contrast(painted(200, 40), np.ones((60, 60), bool)) == 0.0
    beyond = painted(200, 200)
    beyond[:, 31:] = 40
    assert edge_contrast(beyond, a_square()) == pytest.approx(0.0, abs=1e-4), "three pixels beside it are as bright"
    beyond[:, 30:] = 40
    assert edge_contrast(beyond, a_square()) > 0.01


@pytest.mark.parametrize("side", ["left", "upper", "right", "lower"])
def test_surroundings_reach_three_pixels_beyond_each_side_of_the_box(side: str) -> None:
    x0, y0, x1, y1 = 20, 22, 39, 41
    mask = np.zeros((60, 60), bool)
    mask[y0 + 2 : y1 - 1, x0 + 2 : x1 - 1] = True
    for away, known in ((3, True), (4, False)):
        pixels = np.full((60, 60), 200, np.uint8)
        if side in ("left", "right"):
            column = x0 - away if side == "left" else x1 + away
            pixels[:, column] = 40
        else:
            pixels[y0 - away if side == "upper" else y1 + away] = 40
        assert Appearance(pixels, mask, (x0, y0, x1, y1)).foreign[2] == known


def test_surroundings_end_at_the_slice() -> None:
    mask = np.zeros((30, 30), bool)
    mask[1:9, 1:9] = True
    pixels = np.where(mask, 200, 40).astype(np.uint8)
    assert Appearance(pixels, mask, (0, 0, 9, 9)).foreign[2]


def test_a_grey_value_is_foreign_where_it_is_e_times_likelier_around_the_object() -> None:
    """Around the object two of three pixels have it; in it one of four, or one of five."""
    around = np.tile([40, 40, 200], 20).astype(np.uint8)
    for share, foreign in ((4, False), (5, True)):
        pixels = np.full((4, 120), 200, np.uint8)
        pixels[:, 60:] = around
        pixels[:, :60:share] = 40
        mask = np.zeros((4, 120), bool)
        mask[:, :60] = True
        assert Appearance(pixels, mask, (60, 0, 119, 3)).foreign[2] == foreign


def test_likeness_is_the_bhattacharyya_coefficient_of_smoothed_histograms() -> None:
    mask = a_square()
    first, second = painted(200, 40), painted(200, 40)
    second[14:30, 12:20] = 100
    known = Appearance(first, mask, BOX)
    expected = np.sqrt(distribution(grey_levels(first)[mask]) * distribution(grey_levels(second)[mask])).sum()
    assert known.likeness(second, mask) == pytest.approx(expected)
    assert expected == pytest.approx(0.5**0.5, abs=0.01), "half of it is alike"


def test_empty_bins_count_a_thousandth() -> None:
    found = distribution(np.zeros(0, np.uint8))
    assert found == pytest.approx([1 / 16] * 16)
    assert distribution(np.full(1, 8, np.uint8))[0] == pytest.approx(0.001 / 1.016)


def test_a_whole_object_like_its_surroundings_is_left_as_it_is_where_nothing_is_foreign() -> None:
    known = Appearance(painted(120, 120), a_square(), BOX)
    mask = a_square()
    assert known.without_foreign(painted(120, 120), mask) is mask
