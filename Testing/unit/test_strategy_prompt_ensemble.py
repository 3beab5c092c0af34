"""Judging an answer by edge and shape, turning a mask into a prompt, and flagging slices by what is usual for the
object."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from MedSAMSegmentLib.inference.slice_predictor import SlicePrediction
from MedSAMSegmentLib.inference.slice_prompts import SlicePrompts
from MedSAMSegmentLib.inference.strategies.appearance import Appearance, edge_contrast
from MedSAMSegmentLib.inference.strategies.candidates import Candidate
from MedSAMSegmentLib.inference.strategies.outline import without_speckle
from MedSAMSegmentLib.inference.strategies.prompt_ensemble import MASK_PROMPT_LOGIT, PromptEnsemble, spanned_share
from MedSAMSegmentLib.measurements import roughness
from MedSAMSegmentLib.results import FLAG_TWO_READINGS, SliceScore, flag_slices


def a_square(value: int = 200) -> NDArray[np.uint8]:
    pixels = np.full((30, 30), 40, dtype=np.uint8)
    pixels[10:20, 10:20] = value
    return pixels


class Answers:
    """A slice whose answers are given in advance, and what is left of them when they are smoothed."""

    axis, count = 0, 1

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        masks: list[NDArray[np.bool_]],
        *,
        smoothed: NDArray[np.bool_] | None = None,
        stability: float = 1.0,
    ) -> None:
        self._pixels = pixels
        self._masks = iter(masks)
        self._smoothed = smoothed
        self._stability = stability
        self.asked: list[SlicePrompts] = []

    def smoothed_mask(self, prediction: SlicePrediction) -> NDArray[np.bool_]:
        return prediction.mask if self._smoothed is None else self._smoothed.copy()

    def without_speckle(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return without_speckle(mask)

    def pixels(self, index: int) -> NDArray[np.uint8]:
        return self._pixels

    def mask_to_low_res(self, mask: NDArray[np.bool_], plane: tuple[int, int]) -> NDArray[np.bool_]:
        return mask

    def predict(self, index: int, prompts: SlicePrompts) -> SlicePrediction:
        self.asked.append(prompts)
        mask = next(self._masks)
        return SlicePrediction(mask, 0.8, np.where(mask, 5.0, -5.0).astype(np.float32), self._stability)


def the_answer(answers: Answers, bounds: tuple[int, int, int, int] = (2, 2, 27, 27), power: float = 0.0) -> Candidate:
    """Return the only candidate of one prompt."""
    ensemble = PromptEnsemble(answers, 0, bounds, span_power=power)  # type: ignore[arg-type]
    ensemble.add(bounds)
    (candidate,) = ensemble.candidates
    return candidate


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
    assert good.quality > 1.4 * bad.quality
    assert good.predicted_iou == bad.predicted_iou == 0.8


def test_an_answer_with_a_comb_counts_less_and_is_smoothed() -> None:
    pixels = a_square()
    right = pixels == 200
    comb = right.copy()
    comb[9, 10:20:2] = comb[20, 10:20:2] = comb[10:20:2, 9] = comb[10:20:2, 20] = True
    plain, smoothed = the_answer(Answers(pixels, [right])), the_answer(Answers(pixels, [comb], smoothed=right))
    assert np.array_equal(smoothed.mask, right)
    # 20 pixels of 56 in the rim are teeth or lie between two of them.
    assert smoothed.quality < 0.9 * plain.quality
    checkerboard = np.indices(pixels.shape).sum(axis=0) % 2 == 0
    assert the_answer(Answers(pixels, [checkerboard], smoothed=right)).quality < 0.15 * plain.quality


def test_speckle_is_removed_from_an_answer() -> None:
    pixels = a_square()
    right = pixels == 200
    speckled = right.copy()
    speckled[3:5, 3:5] = True
    plain, found = the_answer(Answers(pixels, [right])), the_answer(Answers(pixels, [speckled]))
    assert np.array_equal(found.mask, right)
    assert found.quality < plain.quality  # what is rough counts, though it is removed


def test_an_answer_that_depends_on_the_threshold_counts_less() -> None:
    right = a_square() == 200
    sure, unsure = (the_answer(Answers(a_square(), [right], stability=s)).quality for s in (1.0, 0.5))
    assert unsure == pytest.approx(sure * 0.5**0.25)


def test_an_answer_that_does_not_span_its_box_counts_less() -> None:
    right = a_square() == 200
    bounds = (10, 10, 19, 29)  # twice as high
    assert spanned_share(right, bounds) == 0.5
    assert spanned_share(right, (11, 11, 12, 12)) == 1.0
    free, drawn, solid = (the_answer(Answers(a_square(), [right]), bounds, power).quality for power in (0, 1, 0.5))
    assert drawn == pytest.approx(free / 2)
    assert solid == pytest.approx(free / 2**0.5)


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


def test_two_readings_of_a_key_slice_stay_flagged() -> None:
    flags = (FLAG_TWO_READINGS, "low-score")
    flagged = flag_slices({0: SliceScore(0.8, 100, flags, key=True), 1: SliceScore(0.8, 90), 2: SliceScore(0.8, 0)})
    # All other flags are told anew, by what the slices say together.
    assert [flagged[index].flags for index in range(3)] == [(FLAG_TWO_READINGS,), (), ("empty",)]
    assert flag_slices(flagged) == flagged


def test_an_object_that_is_doubtful_altogether_is_flagged_but_for_its_key_slice() -> None:
    flagged = flag_slices({index: SliceScore(0.45, 100, (), index == 1) for index in range(3)})
    assert [index for index, score in flagged.items() if score.flags] == [0, 2]
    assert flag_slices({}) == {}


def test_a_quality_is_a_product_of_powers() -> None:
    """Of an answer whose edge is as sharp as can be: the IoU, times the contrast to the fifth root, and so on."""
    pixels = a_square()
    right = pixels == 200
    contrast = edge_contrast(pixels, right)
    candidate = the_answer(Answers(pixels, [right], stability=0.5), power=0.5)
    spanned = spanned_share(right, (2, 2, 27, 27))
    assert spanned == 10 / 26
    assert candidate.quality == pytest.approx(0.8 * contrast**0.2 * 0.5**0.25 * spanned**0.5)
    assert (candidate.predicted_iou, candidate.stability) == (0.8, 0.5)


def test_roughness_counts_by_its_square_root_and_no_doubt_makes_an_answer_nothing() -> None:
    pixels = a_square()
    right = pixels == 200
    plain = the_answer(Answers(pixels, [right])).quality
    comb = right.copy()
    comb[9, 10:20:2] = comb[20, 10:20:2] = True
    smooth = 1.0 - roughness(comb)
    assert the_answer(Answers(pixels, [comb], smoothed=right)).quality == pytest.approx(plain * smooth**0.5)
    checkerboard = np.indices(pixels.shape).sum(axis=0) % 2 == 0
    within = np.zeros_like(checkerboard)
    within[2:28, 2:28] = checkerboard[2:28, 2:28]
    assert roughness(within) > 0.99
    all_rough = the_answer(Answers(pixels, [checkerboard], smoothed=right)).quality
    assert all_rough == pytest.approx(plain * 0.01**0.5)


def test_contrasts_below_a_twentieth_are_alike() -> None:
    flat = np.full((30, 30), 40, dtype=np.uint8)
    right = a_square() == 200
    assert edge_contrast(flat, right) == pytest.approx(0.0, abs=1e-5)
    assert the_answer(Answers(flat, [right])).quality == pytest.approx(0.8 * 0.05**0.2)


def test_the_best_quality_is_that_of_the_best_and_nothing_without_answers() -> None:
    pixels = a_square()
    right, too_large = pixels == 200, np.zeros((30, 30), dtype=bool)
    too_large[5:25, 5:25] = True
    ensemble = PromptEnsemble(Answers(pixels, [too_large, right]), 0, (2, 2, 27, 27))  # type: ignore[arg-type]
    assert ensemble.best_quality == 0.0
    for _ in range(2):
        ensemble.add((2, 2, 27, 27))
    assert ensemble.best_quality == max(candidate.quality for candidate in ensemble.candidates)
    assert ensemble.shape == (30, 30)


def test_likeness_to_the_key_slice_counts_squared() -> None:
    pixels = a_square()
    inside, bounds = pixels == 200, (5, 5, 24, 24)
    darker = np.where(inside, 184, pixels).astype(np.uint8)
    looks = Appearance(pixels, inside, bounds)
    free = the_answer(Answers(darker, [inside]), bounds).quality
    ensemble = PromptEnsemble(Answers(darker, [inside]), 0, bounds, looks)  # type: ignore[arg-type]
    ensemble.add(bounds)
    likeness = looks.likeness(darker[2:28, 2:28], inside[2:28, 2:28])
    assert likeness < 0.99
    assert ensemble.candidates[0].quality == pytest.approx(free * likeness**2)


def test_a_prompted_mask_is_as_sure_as_eight_and_the_answer_is_kept_within_the_bounds() -> None:
    pixels = a_square()
    everything = np.ones((30, 30), dtype=bool)
    answers = Answers(pixels, [everything, everything])
    ensemble = PromptEnsemble(answers, 0, (8, 9, 21, 22))  # type: ignore[arg-type]
    ensemble.add((8, 9, 21, 22))
    ensemble.add((8, 9, 21, 22), pixels == 200)
    logits = answers.asked[1].mask_logits
    assert logits is not None
    assert set(np.unique(logits)) == {-8.0, 8.0}
    assert [asked.within for asked in answers.asked] == [(8, 9, 21, 22)] * 2
    rows, columns = np.nonzero(ensemble.candidates[0].mask)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (8, 9, 21, 22)
