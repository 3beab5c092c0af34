"""When a run may stop by itself, and which objects are computed together."""

from __future__ import annotations

import numpy as np
import pytest

from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.inference.plan import KeyPrompt, ObjectPlan, PlanSettings, plan_objects
from MedSAMSegmentLib.inference.strategies.base import RunOptions, objects_sharing_slices
from MedSAMSegmentLib.inference.strategies.slicewise import box_prompts, clicks, key_prompts, mask_box
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.propagation import StopRule

GRID = VolumeGeometry.from_spacing((20, 30, 30))


def a_plan(first: int, last: int) -> ObjectPlan:
    return plan_objects([Box(i=(3, 9), j=(3, 9), k=(first, last))], PlanSettings(GRID, 0))[0]


OPEN, CLOSED = a_plan(5, 5), a_plan(3, 8)


def test_a_run_stops_by_itself_where_nothing_says_where_the_object_ends() -> None:
    assert RunOptions().stop_for(OPEN) == StopRule()
    assert RunOptions().stop_for(CLOSED) is None


@pytest.mark.parametrize("options", [{"reference": True}, {"time_series": True}])
def test_the_official_protocol_and_a_time_series_go_through_to_the_end(options: dict[str, bool]) -> None:
    assert RunOptions(**options).stop_for(OPEN) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("plan", [OPEN, CLOSED])
@pytest.mark.parametrize("options", [{}, {"reference": True}, {"time_series": True}])
def test_the_callers_rule_holds_always(plan: ObjectPlan, options: dict[str, bool]) -> None:
    rule = StopRule(growth=9.0)
    assert RunOptions(stop=rule, **options).stop_for(plan) is rule  # type: ignore[arg-type]


def test_objects_that_share_a_slice_go_together() -> None:
    spans = [(12, 15), (1, 4), (4, 6), (7, 9), (2, 3)]
    groups = objects_sharing_slices([a_plan(first, last) for first, last in spans])
    assert [list(group) for group in groups] == [[1, 2, 4], [3], [0]]


def test_an_object_within_another_does_not_end_the_group() -> None:
    groups = objects_sharing_slices([a_plan(1, 12), a_plan(2, 3), a_plan(10, 14)])
    assert [list(group) for group in groups] == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("area", "before", "score", "met"),
    [
        (0, 9, 0.9, True),
        (5, 2, 0.9, False),
        (6, 2, 0.9, True),
        (6, 0, 0.9, False),
        (2, 2, 0.49, True),
        (2, 2, 0.5, False),
    ],
)
def test_the_rule_is_met_by_nothing_by_growth_and_by_a_low_score(
    area: int, before: int, score: float, met: bool
) -> None:
    assert bool(np.bool_(StopRule().is_met(area, before, score))) is met


def test_the_box_of_a_mask_is_inclusive_and_none_where_it_is_empty() -> None:
    mask = np.zeros((9, 12), dtype=bool)
    assert mask_box(mask) is None
    mask[3, 7] = True
    assert mask_box(mask) == (7, 3, 7, 3)
    mask[8, 0] = mask[0, 11] = True
    assert mask_box(mask) == (0, 0, 11, 8)


def test_a_key_s_prompts_are_its_box_and_its_points() -> None:
    both = key_prompts(KeyPrompt(box=(1, 2, 3, 4), points_xy=[(5.5, 6.0), (7.0, 8.0)], labels=[1, 0]))
    assert both.box_xyxy == (1, 2, 3, 4)
    assert both.points_xy is not None
    assert both.labels is not None
    assert both.points_xy.tolist() == [[5.5, 6.0], [7.0, 8.0]]
    assert both.labels.tolist() == [1, 0]
    assert clicks(KeyPrompt(box=(1, 2, 3, 4))) == {"points_xy": None, "labels": None}
    assert box_prompts((1.0, 2.0, 3.0, 4.0)).box_xyxy == (1.0, 2.0, 3.0, 4.0)


def test_objects_that_end_where_others_begin_share_a_slice() -> None:
    assert [list(group) for group in objects_sharing_slices([a_plan(0, 4), a_plan(4, 6), a_plan(7, 9)])] == [
        [0, 1],
        [2],
    ]
    assert objects_sharing_slices([]) == []


def test_options_are_those_of_a_plain_run() -> None:
    assert RunOptions() == RunOptions("both", None, False, False, 1, False)
