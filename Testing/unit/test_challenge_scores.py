"""The rules by which the challenges score and click, each against what it says."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MedSAMSegmentLib.challenge.interactive import run_interactive
from MedSAMSegmentLib.errors import InputError, UsageError
from MedSAMSegmentLib.evaluation.challenge_clicks import ClickRules, next_click
from MedSAMSegmentLib.evaluation.challenge_scores import (
    RULES_2024,
    RULES_2025,
    SOUND_RULES,
    area_under_clicks,
    class_labels,
    score,
)
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.io.interactive_npz import InteractiveCase, MiddleBox
from MedSAMSegmentLib.io.volume import make_volume
from MedSAMSegmentLib.prompts import Box, Point

SHAPE = (8, 20, 20)
ISOTROPIC = (1.0, 1.0, 1.0)


def labels_of(**blocks: tuple[slice, slice, slice]) -> np.ndarray:
    """Labels by the number behind the underscore: labels_of(_1=np.s_[0:2, 0:3, 0:4])."""
    labels = np.zeros(SHAPE, np.uint8)
    for name, block in blocks.items():
        labels[block] = int(name[1:])
    return labels


TWO = labels_of(_1=np.s_[1:5, 2:9, 2:9], _3=np.s_[1:5, 12:18, 12:18])


def test_the_classes_that_are_averaged_are_an_option() -> None:
    assert class_labels(TWO, "up-to-highest") == [1, 2, 3]
    assert class_labels(TWO, "all-but-lowest") == class_labels(TWO, "all-but-zero") == [1, 3]
    full = np.where(TWO == 0, 2, TWO)
    assert class_labels(full, "all-but-lowest") == [2, 3], "without background the lowest class is taken for it"
    assert class_labels(full, "all-but-zero") == [1, 2, 3]
    assert class_labels(np.zeros(SHAPE, np.uint8), "up-to-highest") == []


def test_a_class_that_neither_has_spoils_the_mean_or_not() -> None:
    assert math.isnan(score(TWO, TWO, ISOTROPIC, RULES_2024).dsc)
    assert score(TWO, TWO, ISOTROPIC, RULES_2024).nsd == 0.0
    assert score(TWO, TWO * (TWO == 1), ISOTROPIC, replace(RULES_2024, both_empty="one")).dsc == pytest.approx(2 / 3)
    assert score(TWO, TWO * (TWO == 1), ISOTROPIC, replace(RULES_2024, both_empty="left-out")).dsc == 0.5
    assert score(TWO, TWO, ISOTROPIC, RULES_2025).dsc == score(TWO, TWO, ISOTROPIC, RULES_2025).nsd == 1.0
    assert math.isnan(score(TWO * 0, TWO, ISOTROPIC, SOUND_RULES).dsc), "nothing to average"


def test_the_order_of_the_spacing_is_an_option() -> None:
    one = labels_of(_1=np.s_[1:5, 2:9, 2:9])
    thick = np.roll(one, 1, axis=0)
    stored = score(one, thick, (1.0, 1.0, 5.0), RULES_2025).nsd
    proper = score(one, thick, (1.0, 1.0, 5.0), replace(RULES_2025, spacing="axes")).nsd
    assert stored == 1.0
    assert proper is not None
    assert proper < 0.9


def test_a_surface_is_scored_only_where_the_overlap_is_worth_it() -> None:
    one, apart = labels_of(_1=np.s_[1:5, 2:9, 2:9]), labels_of(_1=np.s_[1:5, 8:15, 2:9])
    assert 0 < score(one, apart, ISOTROPIC, RULES_2025).dsc < 0.2
    assert score(one, apart, ISOTROPIC, RULES_2025).nsd == 0.0
    always = score(one, apart, ISOTROPIC, replace(RULES_2025, surface_above=None)).nsd
    assert always is not None
    assert always > 0.2
    assert score(one, apart, ISOTROPIC, RULES_2025, with_surface=False).nsd is None


def test_a_picture_is_a_slice_with_voxels_of_a_millimetre() -> None:
    picture, other = TWO[2] == 1, np.roll(TWO[2] == 1, 1, axis=0)
    assert score(picture * 1, other * 1, (9.0, 9.0, 9.0), RULES_2024).nsd == 1.0
    far = score(picture * 1, np.roll(picture, 4, axis=0) * 1, (0.1, 0.1, 0.1), RULES_2024).nsd
    assert far is not None
    assert far < 1.0


def test_labels_of_two_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="shape"):
        score(TWO, TWO[1:], ISOTROPIC, RULES_2024)


def test_the_area_leaves_the_box_out_and_is_four_at_most() -> None:
    assert area_under_clicks([0.0, 1.0, 1.0, 1.0, 1.0, 1.0]) == 4.0
    assert area_under_clicks([1.0, 0.0, 0.5, 0.5, 0.5, 1.0]) == pytest.approx(0.25 + 0.5 + 0.5 + 0.75)


def test_a_click_lies_in_the_middle_of_the_largest_error_and_says_which_it_is() -> None:
    wanted = labels_of(_1=np.s_[1:6, 2:9, 2:9]) > 0
    missed = wanted.copy()
    missed[1:6, 2:7, 2:7] = False
    missed[7, 19, 19] = True
    assert next_click(missed, wanted) == Point(i=4, j=4, k=3, positive=True)
    assert next_click(wanted, missed) == Point(i=4, j=4, k=3, positive=False)
    assert next_click(wanted, wanted) is None


def test_depth_is_counted_from_the_edge_of_the_image_too() -> None:
    wanted = np.zeros((5, 9, 9), bool)
    wanted[:, :5, :5] = True
    click = next_click(np.zeros_like(wanted), wanted)
    assert click == Point(i=2, j=2, k=2, positive=True)


def test_among_voxels_as_deep_one_is_drawn_and_the_draw_is_an_option() -> None:
    wanted = np.zeros((3, 3, 30), bool)
    wanted[1, 1] = True
    nothing = np.zeros_like(wanted)
    drawn = next_click(nothing, wanted)
    assert drawn is not None
    assert drawn.i == np.random.RandomState(42).choice(30)
    assert next_click(nothing, wanted, ClickRules(seed=None)) == Point(i=0, j=1, k=1, positive=True)
    assert next_click(nothing, wanted, ClickRules(seed=7)) != drawn


def test_a_large_error_is_looked_at_in_half_the_resolution() -> None:
    wanted = np.zeros((12, 12, 12), bool)
    wanted[2:7, 2:7, 2:7] = True
    nothing = np.zeros_like(wanted)
    exact = next_click(nothing, wanted)
    halved = next_click(nothing, wanted, ClickRules(large_voxels=10))
    assert exact == Point(i=4, j=4, k=4, positive=True)
    assert halved is not None
    assert halved != exact


def test_masks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError):
        next_click(TWO, TWO[1:])
    with pytest.raises(UsageError):
        next_click(TWO[0], TWO[0])


def a_case(boxes: bool = True) -> InteractiveCase:
    geometry = VolumeGeometry.from_spacing(SHAPE, (4.0, 1.0, 1.0))
    volume = make_volume(np.zeros(SHAPE, np.uint8), geometry, Path("case.npz"), "npz")
    drawn = MiddleBox(Box(i=(2, 8), j=(2, 8), k=(1, 4)), 2)
    return InteractiveCase(volume, (drawn, drawn) if boxes else (), reference=TWO)


def test_a_run_hands_out_clicks_and_the_answer_before_but_never_the_reference() -> None:
    asked: list[InteractiveCase] = []

    def answer(case: InteractiveCase) -> np.ndarray:
        asked.append(case)
        return TWO if len(asked) == 4 else TWO * (TWO == 1)

    run = run_interactive(a_case(), answer)
    assert all(case.reference is None for case in asked)
    assert asked[0].previous is None
    assert all(np.array_equal(case.previous, run.answers[n]) for n, case in enumerate(asked[1:]))  # type: ignore[arg-type]
    assert [len(case.clicks[1]) for case in asked[1:]] == [1, 2, 3, 3, 4], "none where nothing was wrong"
    assert [len(case.clicks[0]) for case in asked[1:]] == [0] * 5
    assert run.dsc == [0.5, 0.5, 0.5, 1.0, 0.5, 0.5]
    assert list(run.row("a.npz"))[:3] == ["CaseName", "TotalRunningTime", "RunningTime_1"]
    assert run.row("a.npz")["runtime_upperbound"] == 180


def test_without_boxes_the_first_step_is_zero_and_is_not_asked() -> None:
    count = 0

    def answer(case: InteractiveCase) -> np.ndarray:
        nonlocal count
        count += 1
        return TWO

    run = run_interactive(a_case(boxes=False), answer)
    assert count == len(run.answers) == 5
    assert run.dsc == [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert run.clicks[0] != []
    assert run.row("a.npz")["DSC_AUC"] == 4.0


def test_a_case_without_reference_and_an_answer_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match="no reference"):
        run_interactive(replace(a_case(), reference=None), lambda case: TWO)
    with pytest.raises(InputError, match="shape"):
        run_interactive(a_case(), lambda case: TWO[1:])
