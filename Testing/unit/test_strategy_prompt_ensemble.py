"""Judging an answer by its edge, turning a mask into a prompt, and flagging slices by what is usual for the object."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from MedSAMSegmentLib.inference.slice_predictor import SlicePrediction
from MedSAMSegmentLib.inference.slice_prompts import SlicePrompts
from MedSAMSegmentLib.inference.strategies.appearance import Appearance, edge_contrast
from MedSAMSegmentLib.inference.strategies.prompt_ensemble import MASK_PROMPT_LOGIT, PromptEnsemble
from MedSAMSegmentLib.results import SliceScore, flag_slices


def a_square(value: int = 200) -> NDArray[np.uint8]:
    pixels = np.full((30, 30), 40, dtype=np.uint8)
    pixels[10:20, 10:20] = value
    return pixels


class Answers:
    """A slice whose answers are given in advance."""

    axis, count = 0, 1

    def __init__(self, pixels: NDArray[np.uint8], masks: list[NDArray[np.bool_]]) -> None:
        self._pixels = pixels
        self._masks = iter(masks)
        self.asked: list[SlicePrompts] = []

    def pixels(self, index: int) -> NDArray[np.uint8]:
        return self._pixels

    def mask_to_low_res(self, mask: NDArray[np.bool_], plane: tuple[int, int]) -> NDArray[np.bool_]:
        return mask

    def predict(self, index: int, prompts: SlicePrompts) -> SlicePrediction:
        self.asked.append(prompts)
        mask = next(self._masks)
        return SlicePrediction(mask, 0.8, np.where(mask, 5.0, -5.0).astype(np.float32), 1.0)


def test_an_edge_where_grey_values_change_counts_more() -> None:
    pixels = a_square()
    right, too_large = pixels == 200, np.zeros((30, 30), dtype=bool)
    too_large[5:25, 5:25] = True
    assert edge_contrast(pixels, right) > 0.95
    assert edge_contrast(pixels, too_large) < 0.2
    assert edge_contrast(pixels, np.ones((30, 30), dtype=bool)) == 0.0


def test_the_trial_prefers_the_answer_at_the_edge_though_both_score_alike() -> None:
    pixels = a_square()
    right, too_large = pixels == 200, np.zeros((30, 30), dtype=bool)
    too_large[5:25, 5:25] = True
    ensemble = PromptEnsemble(Answers(pixels, [right, too_large, np.zeros_like(right)]), 0, (2, 2, 27, 27))  # type: ignore[arg-type]
    for _ in range(3):
        ensemble.add((2, 2, 27, 27))
    good, bad = ensemble.candidates
    assert good.quality > 2 * bad.quality
    assert good.predicted_iou == bad.predicted_iou == 0.8


def test_a_darker_object_is_as_good_as_a_brighter_one() -> None:
    pixels = a_square()
    inside = pixels == 200
    dark, bright = edge_contrast(255 - pixels, inside), edge_contrast(pixels, inside)
    assert dark == pytest.approx(bright, abs=0.01)


def test_an_answer_unlike_the_key_slice_counts_less() -> None:
    pixels = a_square()
    inside, bounds = pixels == 200, (5, 5, 24, 24)
    alike, unlike = (
        PromptEnsemble(Answers(pixels, [inside]), 0, bounds, Appearance(key, inside, bounds))  # type: ignore[arg-type]
        for key in (pixels, 255 - pixels)
    )
    alike.add(bounds)
    unlike.add(bounds)
    # What is likelier around the key slice's object is removed altogether.
    assert alike.candidates
    assert not unlike.candidates


def test_a_mask_goes_with_the_box_as_sure_logits() -> None:
    pixels = a_square()
    right = pixels == 200
    answers = Answers(pixels, [right, right])
    ensemble = PromptEnsemble(answers, 0, (2, 2, 27, 27))  # type: ignore[arg-type]
    ensemble.add((2, 2, 27, 27))
    ensemble.add((2, 2, 27, 27), right)
    assert answers.asked[0].mask_logits is None
    np.testing.assert_array_equal(answers.asked[1].mask_logits, np.where(right, MASK_PROMPT_LOGIT, -MASK_PROMPT_LOGIT))


def test_slices_below_what_is_usual_for_the_object_are_flagged() -> None:
    scores = dict(enumerate([0.80, 0.70, 0.79, 0.81, 0.80]))
    flagged = flag_slices({index: SliceScore(score, 100, (), index == 2) for index, score in scores.items()})
    assert [index for index, score in flagged.items() if score.flags] == [1]
    assert flagged[1].flags == ("low-score",)


def test_an_object_that_is_doubtful_altogether_is_flagged_but_for_its_key_slice() -> None:
    flagged = flag_slices({index: SliceScore(0.45, 100, (), index == 1) for index in range(3)})
    assert [index for index, score in flagged.items() if score.flags] == [0, 2]
    assert flag_slices({}) == {}
