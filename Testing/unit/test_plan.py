"""What a plan says of the grid that it lies on, and which slices each key slice serves."""

from __future__ import annotations

import pytest

from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.inference.plan import ObjectPlan, PlanSettings, plan_objects
from MedSAMSegmentLib.prompts import Box, Line, Point

GRID = VolumeGeometry.from_spacing((12, 40, 50), (5.0, 2.0, 0.5))


def a_box(k: int) -> Box:
    return Box(i=(5, 20), j=(6, 18), k=(k, k))


def plan_of(*slices: int, **settings: object) -> ObjectPlan:
    chosen = PlanSettings(GRID, 0, **settings)  # type: ignore[arg-type]
    return plan_objects([[a_box(k) for k in slices]], chosen)[0]


@pytest.mark.parametrize(("axis", "aspect"), [(0, 2.0 / 0.5), (1, 5.0 / 0.5), (2, 5.0 / 2.0)])
def test_a_pixels_aspect_is_its_height_by_its_width(axis: int, aspect: float) -> None:
    assert PlanSettings(GRID, axis).aspect == pytest.approx(aspect)
    assert PlanSettings(GRID, axis, reference=True).aspect == 1.0


def test_a_line_knows_the_aspect_of_the_pixels_that_it_is_drawn_on() -> None:
    line = Line((5.0, 10.0, 4.0), (25.0, 14.0, 4.0))
    assert plan_objects([line], PlanSettings(GRID, 0))[0].keys[4].aspect == pytest.approx(4.0)


def test_between_two_keys_each_serves_its_half() -> None:
    plan = plan_of(2, 7)
    assert list(plan.reach(2, "both", upwards=True)) == [3, 4]
    assert list(plan.reach(7, "both", upwards=False)) == [6, 5]
    assert list(plan.reach(2, "both", upwards=False)) == [1, 0]
    assert list(plan.reach(7, "both", upwards=True)) == [8, 9, 10, 11]


def test_in_one_direction_the_key_behind_serves_all_up_to_the_next() -> None:
    assert list(plan_of(2, 7, direction="up").reach(2, "up", upwards=True)) == [3, 4, 5, 6]
    assert list(plan_of(2, 7, direction="down").reach(7, "down", upwards=False)) == [6, 5, 4, 3]
    assert list(plan_of(2, 7, direction="up").reach(7, "up", upwards=False)) == []
    assert list(plan_of(2, 7, direction="down").reach(2, "down", upwards=True)) == []


def test_a_run_in_one_direction_begins_at_its_first_key() -> None:
    up, down = plan_of(3, 7, direction="up"), plan_of(3, 7, direction="down")
    assert (up.first, up.last, up.outlined) == (3, 11, (3, 11))
    assert (down.first, down.last, down.outlined) == (0, 7, (0, 7))


def test_a_range_is_cut_to_the_volume_and_ends_the_object() -> None:
    plan = plan_of(4, slice_range=(-5, 90))
    assert (plan.first, plan.last, plan.open_ended) == (0, 11, False)
    assert plan_of(4).open_ended


def test_a_3d_box_starts_at_the_middle_of_the_slices_that_the_range_leaves() -> None:
    whole = Box(i=(5, 20), j=(6, 18), k=(2, 9))
    assert sorted(plan_objects([whole], PlanSettings(GRID, 0))[0].keys) == [5]
    ranged = plan_objects([whole], PlanSettings(GRID, 0, slice_range=(6, 11)))[0]
    assert sorted(ranged.keys) == [7]
    assert (ranged.first, ranged.last) == (6, 11)


def test_a_painted_or_boxed_slice_beyond_a_3d_box_widens_it() -> None:
    plan = plan_objects([[Box(i=(5, 20), j=(6, 18), k=(4, 6)), a_box(9)]], PlanSettings(GRID, 0))[0]
    assert (plan.first, plan.last, sorted(plan.keys)) == (4, 9, [9])


def test_a_click_belongs_to_the_pixel_that_it_lies_in() -> None:
    clicks = [Point(7.5, 8.49, 4.0), Point(7.49, 8.5, 4.0, positive=False)]
    plan = plan_objects([[a_box(4), *clicks]], PlanSettings(GRID, 0))[0]
    assert [(click.x, click.y, click.positive) for click in plan.clicks] == [(8, 8, True), (7, 9, False)]
