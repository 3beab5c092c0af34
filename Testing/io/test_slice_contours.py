"""Contours of a slice: filled again by pixel centres they give the mask, whatever its shape."""

from __future__ import annotations

import numpy as np
import pytest
from contour_filling import filled

from MedSAMSegmentLib.io.slice_contours import closed_contours


def a_mask(*rows: str) -> np.ndarray:
    return np.array([[letter == "#" for letter in row] for row in rows])


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.95])
def test_contours_filled_again_are_the_mask(share: float) -> None:
    rng = np.random.default_rng(round(100 * share))
    for _ in range(40):
        mask = rng.random(rng.integers(1, 9, 2)) < share
        np.testing.assert_array_equal(filled(closed_contours(mask), mask.shape), mask)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_many_holes_in_one_part(share: float) -> None:
    mask = np.random.default_rng(4).random((60, 70)) < share
    contours = closed_contours(mask)
    np.testing.assert_array_equal(filled(contours, mask.shape), mask)
    assert all(len(points) >= 4 for points in contours)


def test_a_contour_runs_half_way_between_pixels() -> None:
    (points,) = closed_contours(a_mask("....", ".##.", "...."))
    assert {tuple(point) for point in points} == {(0.5, 1), (1, 0.5), (2, 0.5), (2.5, 1), (2, 1.5), (1, 1.5)}


def test_a_hole_is_joined_by_one_keyhole() -> None:
    mask = a_mask("#######", "#.###.#", "#######", "##...##", "##.#.##", "##...##", "#######")
    ring, island = closed_contours(mask)
    assert len(island) == 4
    np.testing.assert_array_equal(filled([ring, island], mask.shape), mask)
    # Both ends of each of three keyholes are passed twice, and no other point is.
    places, counts = np.unique(ring, axis=0, return_counts=True)
    assert sorted(counts)[-6:] == [2] * 6
    assert counts.sum() == len(places) + 6


def test_pixels_that_meet_at_a_corner_are_two_parts_and_gaps_that_do_are_one() -> None:
    assert len(closed_contours(a_mask("#.", ".#"))) == 2
    ring = a_mask("#####", "#.###", "##.##", "#####")
    (points,) = closed_contours(ring)
    np.testing.assert_array_equal(filled([points], ring.shape), ring)


def test_nothing_has_no_contour() -> None:
    assert closed_contours(np.zeros((4, 5), bool)) == []
