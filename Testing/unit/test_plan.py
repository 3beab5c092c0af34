"""What a plan says of the grid that it lies on, and which slices each key slice serves."""

from __future__ import annotations

import numpy as np
import pytest

from MedSAMSegmentLib.errors import PromptError, UsageError
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.inference.plan import KeyPrompt, ObjectPlan, PlanSettings, check_range, middle_slice, plan_objects
from MedSAMSegmentLib.prompts import Box, Line, MaskPrompt, Point, Prompt

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


def a_mask(k: int, axis: int = 0) -> MaskPrompt:
    mask = np.zeros((40, 50), dtype=bool)
    mask[8:12, 9:15] = True
    return MaskPrompt(axis, k, mask)


def plan_from(*prompts: Prompt, **settings: object) -> ObjectPlan:
    return plan_objects([list(prompts)], PlanSettings(GRID, 0, **settings))[0]  # type: ignore[arg-type]


WHOLE = Box(i=(5, 20), j=(6, 18), k=(2, 9))


@pytest.mark.parametrize(("first", "last", "middle"), [(2, 9, 5), (2, 8, 5), (3, 4, 3), (0, 1, 0), (7, 7, 7)])
def test_the_middle_of_an_even_number_of_slices_is_the_lower_one(first: int, last: int, middle: int) -> None:
    assert middle_slice(first, last) == middle


@pytest.mark.parametrize("fine", [(0, 0), (11, 11), (-3, 0), (11, 99), (0, 11)])
def test_a_range_has_to_touch_the_volume(fine: tuple[int, int]) -> None:
    check_range(fine, 12)


@pytest.mark.parametrize(
    ("wrong", "told"), [((-3, -1), "outside"), ((12, 13), "outside"), ((5, 4), "runs from 5 to 4")]
)
def test_a_range_beside_the_volume_or_backwards_is_refused(wrong: tuple[int, int], told: str) -> None:
    with pytest.raises(PromptError, match=told):
        check_range(wrong, 12)


def test_keys_between_others_serve_half_on_both_sides() -> None:
    plan = plan_of(1, 5, 8)
    assert [list(plan.reach(5, "both", upwards=upwards)) for upwards in (True, False)] == [[6], [4]]
    assert [list(plan.reach(8, "both", upwards=upwards)) for upwards in (True, False)] == [[9, 10, 11], [7]]
    assert list(plan.reach(1, "both", upwards=True)) == [2, 3]


def test_a_positive_click_alone_is_a_key_and_a_negative_one_corrects() -> None:
    plan = plan_from(Point(7, 8, 4), Point(9, 8, 4, positive=False), Point(7, 8, 6, positive=False), Point(7, 8, 7))
    assert sorted(plan.keys) == [4, 7]
    assert sorted(plan.corrections) == [6]
    assert plan.keys[4].points_xy == [(7, 8), (9, 8)]
    assert plan.keys[4].labels == [1, 0]
    assert plan.without_clicks() is None
    assert plan.outlined is None
    assert not plan.keys[4].outlines


def test_beside_an_outline_all_slices_with_clicks_alone_correct() -> None:
    plan = plan_from(a_box(4), Point(7, 8, 4), Point(7, 8, 6), a_mask(9))
    assert sorted(plan.keys) == [4, 9]
    assert sorted(plan.corrections) == [6]
    bare = plan.without_clicks()
    assert bare is not None
    assert (bare.clicks, dict(bare.corrections), bare.keys[4].points_xy, bare.keys[4].labels) == ((), {}, [], [])
    assert bare.keys[4].box == (5, 6, 20, 18)
    assert bare.keys[9].mask is not None
    assert len(plan.clicks) == 2


def test_a_click_beyond_a_3d_box_widens_the_run_but_not_the_object_without_it() -> None:
    plan = plan_from(WHOLE, Point(7, 8, 11))
    assert (plan.first, plan.last, plan.open_ended, plan.outlined) == (2, 11, False, (2, 9))
    bare = plan.without_clicks()
    assert bare is not None
    assert (bare.first, bare.last) == (2, 9)
    lower = plan_from(WHOLE, Point(7, 8, 0))
    assert (lower.first, lower.last) == (0, 9)


def test_clicks_and_corrections_outside_the_run_are_left_out() -> None:
    plan = plan_from(WHOLE, Point(7, 8, 3), Point(7, 8, 8), Point(7, 8, 7), slice_range=(4, 7))
    assert [click.index for click in plan.clicks] == [7]
    assert sorted(plan.corrections) == [7]
    up = plan_from(a_box(5), Point(7, 8, 3), Point(7, 8, 5), Point(7, 8, 6), direction="up")
    assert (sorted(up.corrections), [click.index for click in up.clicks]) == ([6], [5, 6])
    down = plan_from(a_box(5), Point(7, 8, 3), Point(7, 8, 6), direction="down")
    assert (sorted(down.corrections), [click.index for click in down.clicks]) == ([3], [3])


def test_a_painted_slice_does_not_replace_the_key_of_a_3d_box_and_a_drawn_one_does() -> None:
    assert sorted(plan_from(WHOLE, a_mask(3)).keys) == [3, 5]
    assert sorted(plan_from(WHOLE, a_box(3)).keys) == [3]
    assert plan_from(WHOLE).keys[5].box == (5, 6, 20, 18)
    assert plan_from(WHOLE).box == WHOLE


def test_a_3d_box_outside_the_range_needs_another_key_in_it() -> None:
    with pytest.raises(PromptError, match="spans the slices 2 to 9"):
        plan_from(WHOLE, slice_range=(10, 11))
    assert sorted(plan_from(WHOLE, a_mask(10), slice_range=(10, 11)).keys) == [10]
    assert sorted(plan_from(WHOLE, slice_range=(9, 11)).keys) == [9]
    with pytest.raises(PromptError, match="lies outside the slices 6 to 8"):
        plan_from(a_box(3), slice_range=(6, 8))


def test_a_line_bounds_its_object_only_where_that_is_wanted() -> None:
    """20 pixels of half a millimetre are two slices of 5 mm, or one on either side."""
    line = Line((5.0, 10.0, 4.0), (25.0, 10.0, 4.0))
    assert plan_from(line).open_ended
    bounded = plan_from(line, bounded_lines=True)
    extent = PlanSettings(GRID, 0).line_extent(4, bounded.keys[4].line)  # type: ignore[arg-type]
    assert (bounded.first, bounded.last, bounded.open_ended) == (*extent, False)
    assert extent[0] < 4 < extent[1]
    widened = plan_from(line, a_mask(11), a_mask(0), bounded_lines=True)
    assert (widened.first, widened.last) == (0, 11)
    assert plan_from(a_box(4), bounded_lines=True).open_ended


def test_a_line_that_gives_no_area_is_refused() -> None:
    with pytest.raises(PromptError, match="shorter than two voxels"):
        plan_from(Line((5.0, 10.0, 4.0), (6.0, 10.0, 4.0)))


def test_a_mask_across_another_axis_and_a_second_3d_box_are_refused() -> None:
    with pytest.raises(PromptError, match="lies across axis 0, the run goes along 1"):
        plan_objects([a_mask(3)], PlanSettings(GRID, 1))
    with pytest.raises(PromptError, match="two 3D boxes"):
        plan_from(WHOLE, Box(i=(5, 20), j=(6, 18), k=(1, 3)))


def test_objects_are_named_by_number_or_as_asked() -> None:
    settings = PlanSettings(GRID, 0)
    assert [plan.name for plan in plan_objects([a_box(1), [a_box(2)]], settings)] == ["Segment_1", "Segment_2"]
    assert [plan.name for plan in plan_objects([a_box(1)], settings, ["liver"])] == ["liver"]
    for names in ([], ["a", "b"]):
        with pytest.raises(UsageError, match="names for 1 objects"):
            plan_objects([a_box(1)], settings, names)
    with pytest.raises(PromptError, match="'Segment_1' has no prompt"):
        plan_objects([[]], settings)
    with pytest.raises(PromptError, match="only negative points"):
        plan_from(Point(7, 8, 4, positive=False))


def test_plans_that_ask_for_the_same_have_one_signature_whatever_their_names() -> None:
    settings = PlanSettings(GRID, 0)
    prompts = [a_box(3), Point(7, 8, 3), a_mask(6), Point(7, 8, 5)]
    first, second = (plan_objects([prompts], settings, [name])[0].signature() for name in ("a", "b"))
    assert first == second
    hash(first)
    others = [
        plan_objects([other], settings)[0].signature()
        for other in (
            [a_box(4), *prompts[1:]],
            [a_box(3), Point(7, 9, 3), *prompts[2:]],
            [a_box(3), Point(7, 8, 3, positive=False), *prompts[2:]],
            prompts[:2],
            [*prompts[:2], MaskPrompt(0, 6, ~prompts[2].mask), prompts[3]],  # type: ignore[attr-defined]
            prompts[:3],
            [WHOLE, *prompts[1:]],
        )
    ]
    ranged = plan_objects([prompts], PlanSettings(GRID, 0, (1, 9)))[0].signature()
    assert len({first, ranged, *others}) == 2 + len(others)


def test_a_key_is_positive_by_its_outline_or_a_positive_click() -> None:
    assert KeyPrompt(box=(0, 0, 3, 3), points_xy=[(1, 1)], labels=[0]).is_positive
    assert KeyPrompt(points_xy=[(1, 1), (2, 2)], labels=[0, 1]).is_positive
    assert not KeyPrompt(points_xy=[(1, 1)], labels=[0]).is_positive
    assert KeyPrompt().aspect == 1.0
