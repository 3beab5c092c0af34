"""Prompts check themselves, and check themselves against a volume."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from MedSAMSegmentLib.errors import PromptError
from MedSAMSegmentLib.prompts import Box, Line, MaskPrompt, Point

SHAPE = (10, 20, 30)  # z, y, x


def test_a_box_names_its_bounds_in_both_orders() -> None:
    box = Box(i=(3, 8), j=(4, 4), k=(1, 2))
    assert box.bounds_zyx == ((1, 2), (4, 4), (3, 8))
    assert box.shape_zyx == (2, 1, 6)
    assert box.along(2) == (3, 8)
    assert box.in_plane(0) == (3, 4, 8, 4)
    assert box.in_plane(1) == (3, 1, 8, 2)
    assert box.in_plane(2) == (4, 1, 4, 2)


def test_a_box_comes_from_corners_or_from_a_mask() -> None:
    assert Box.from_corners((3, 4, 1), (8.0, 4.0, 2.0)) == Box(i=(3, 8), j=(4, 4), k=(1, 2))
    mask = np.zeros(SHAPE, bool)
    mask[1, 4, 3] = mask[2, 4, 8] = True
    assert Box.around(mask) == Box(i=(3, 8), j=(4, 4), k=(1, 2))


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"i": (8, 3)}, "reversed on i"),
        ({"j": (math.nan, 3)}, "nan"),
        ({"k": (0, math.inf)}, "inf"),
        ({"i": (0.5, 3)}, "not whole"),
        ({"j": (1, 2, 3)}, "two bounds"),
        ({"k": 4}, "two bounds"),
        ({"k": ("a", 4)}, "not a number"),
        ({"i": (None, 4)}, "not a number"),
    ],
)
def test_a_box_that_makes_no_sense_is_refused(bounds: dict, words: str) -> None:
    with pytest.raises(PromptError, match=words):
        Box(**{"i": (0, 5), "j": (0, 5), "k": (0, 5), **bounds})


def test_corners_of_the_wrong_length_are_a_prompt_error() -> None:
    with pytest.raises(PromptError):
        Box.from_corners((0, 0), (5, 5, 5))


def test_a_box_is_cut_to_the_volume() -> None:
    assert Box(i=(-5, 40), j=(2, 50), k=(-1, 3)).fitted(SHAPE) == Box(i=(0, 29), j=(2, 19), k=(0, 3))


@pytest.mark.parametrize("bounds", [{"i": (30, 40)}, {"j": (-9, -1)}, {"k": (10, 12)}])
def test_a_box_outside_the_volume_is_refused_by_the_axis_it_misses(bounds: dict) -> None:
    with pytest.raises(PromptError, match=f"{next(iter(bounds))} is"):
        Box(**{"i": (0, 5), "j": (0, 5), "k": (0, 5), **bounds}).fitted(SHAPE)


@pytest.mark.parametrize("box", [Box(i=(4, 4), j=(4, 4), k=(4, 4)), Box(i=(4, 9), j=(4, 4), k=(4, 4))])
def test_a_box_without_an_area_is_refused(box: Box) -> None:
    with pytest.raises(PromptError, match="line or a single voxel"):
        box.fitted(SHAPE)


def test_a_box_that_only_touches_the_volume_has_no_area_there() -> None:
    with pytest.raises(PromptError, match="line or a single voxel"):
        Box(i=(29, 60), j=(3, 9), k=(4, 4)).fitted(SHAPE)


@pytest.mark.parametrize(("axis", "thin"), [(0, "i"), (0, "j"), (1, "k"), (2, "j")])
def test_a_box_needs_an_area_on_its_slices(axis: int, thin: str) -> None:
    bounds = {"i": (2, 8), "j": (2, 8), "k": (2, 8)}
    with pytest.raises(PromptError, match=f"no area on its slices: {thin} is 4 only"):
        Box(**{**bounds, thin: (4, 4)}).require_area(axis, SHAPE)
    Box(**{**bounds, "kji"[axis]: (4, 4)}).require_area(axis, SHAPE)
    flat = tuple(1 if name == thin else size for name, size in zip("kji", SHAPE, strict=True))
    Box(**{**bounds, thin: (0, 0)}).require_area(axis, flat)


def test_a_slice_box_is_a_box() -> None:
    assert Box(i=(2, 8), j=(2, 8), k=(4, 4)).fitted(SHAPE).shape_zyx == (1, 7, 7)


def test_enclosing_takes_the_voxels_whose_centres_lie_inside() -> None:
    edges = np.array([[2.5, 3.5, 0.5], [7.5, 9.5, 4.5]])
    assert Box.enclosing(edges) == Box(i=(3, 7), j=(4, 9), k=(1, 4))
    assert Box.enclosing(edges[::-1]) == Box(i=(3, 7), j=(4, 9), k=(1, 4))


def test_enclosing_counts_a_corner_on_a_voxel_centre_despite_rounding() -> None:
    corners = np.array([[3 + 1e-10, 4 - 1e-10, 1], [7 - 1e-10, 9, 4 + 1e-10]])
    assert Box.enclosing(corners) == Box(i=(3, 7), j=(4, 9), k=(1, 4))


def test_enclosing_takes_the_nearest_voxel_of_an_extent_thinner_than_one() -> None:
    assert Box.enclosing(np.array([[0, 0, 4.6], [9, 9, 4.9]])).k == (5, 5)


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.zeros((2, 2)), np.array([[0, math.nan, 0]])])
def test_enclosing_refuses_points_that_are_not_finite_triples(points: np.ndarray) -> None:
    with pytest.raises(PromptError):
        Box.enclosing(points)


@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 3), min_size=1, max_size=8))
def test_enclosing_stays_within_a_voxel_of_the_points(points: list[tuple[float, float, float]]) -> None:
    array = np.array(points)
    box = Box.enclosing(array)
    for axis, (first, last) in enumerate((box.i, box.j, box.k)):
        assert array[:, axis].min() - 0.5 - 1e-5 <= first <= last <= array[:, axis].max() + 0.5 + 1e-5


def test_a_point_knows_its_slice_and_place() -> None:
    point = Point(i=3.2, j=4.5, k=6.5, positive=False)
    assert point.slice_index(0) == 7
    assert point.in_plane(0) == (3.2, 4.5)
    assert point.in_plane(2) == (4.5, 6.5)


def test_a_point_may_lie_anywhere_in_the_outer_voxels() -> None:
    assert Point(i=-0.5, j=19.49, k=0).fitted(SHAPE)
    with pytest.raises(PromptError, match=r"j is 19\.6"):
        Point(i=0, j=19.6, k=0).fitted(SHAPE)


def test_a_point_on_the_far_edge_still_has_a_slice_of_the_volume() -> None:
    for corner in ((-0.5, -0.5, -0.5), (29.49, 19.49, 9.49)):
        point = Point(*corner).fitted(SHAPE)
        for axis, size in enumerate(SHAPE):
            assert 0 <= point.slice_index(axis) < size
    with pytest.raises(PromptError):
        Point(i=0, j=0, k=9.5).fitted(SHAPE)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "x"])
def test_a_point_that_is_not_finite_is_refused(value: object) -> None:
    with pytest.raises(PromptError):
        Point(i=value, j=0, k=0)  # type: ignore[arg-type]


def test_a_line_lies_on_one_slice() -> None:
    line = Line((1, 2, 3.1), (5, 6, 2.9))
    assert line.slice_index(0) == 3
    with pytest.raises(PromptError, match="slices 1 and 5"):
        line.slice_index(2)


@pytest.mark.parametrize(
    ("start", "end"),
    [((1, 2, 3), (1, 2, 3)), ((1, 2), (3, 4)), ((math.nan, 0, 0), (1, 1, 1)), ((0, 0, 0), (1, 1, math.inf))],
)
def test_a_line_without_length_or_with_broken_ends_is_refused(start: tuple, end: tuple) -> None:
    with pytest.raises(PromptError):
        Line(start, end)


def test_a_line_outside_the_volume_is_refused() -> None:
    with pytest.raises(PromptError, match="outside the volume"):
        Line((1, 2, 3), (100, 2, 3)).fitted(SHAPE)


def test_a_mask_prompt_is_its_own_frozen_copy() -> None:
    painted = np.zeros((20, 30), np.uint8)
    painted[3, 4] = 7
    prompt = MaskPrompt(0, 5, painted)
    painted[:] = 0
    assert prompt.mask.dtype == np.bool_
    assert prompt.mask.sum() == 1
    with pytest.raises(ValueError, match="read-only"):
        prompt.mask[0, 0] = True
    assert prompt.fitted(SHAPE) is prompt


@pytest.mark.parametrize(
    ("axis", "index", "mask"),
    [
        (0, 5, np.zeros((20, 30))),
        (3, 5, np.ones((20, 30))),
        (0, 5, np.ones((1, 20, 30))),
    ],
    ids=["empty", "unknown axis", "three axes"],
)
def test_a_mask_prompt_that_makes_no_sense_is_refused(axis: int, index: int, mask: np.ndarray) -> None:
    with pytest.raises(PromptError):
        MaskPrompt(axis, index, mask)


@pytest.mark.parametrize(("axis", "index"), [(1, 5), (0, 10), (0, -1)])
def test_a_mask_prompt_of_another_grid_is_refused(axis: int, index: int) -> None:
    with pytest.raises(PromptError):
        MaskPrompt(axis, index, np.ones((20, 30))).fitted(SHAPE)
