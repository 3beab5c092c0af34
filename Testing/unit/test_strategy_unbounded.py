"""A box on one slice of an object whose end is not known: how far it goes, where it ends, and what it costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fake_model import BrightPixels, PixelEmbedding
from numpy.typing import NDArray

from MedSAMSegmentLib.errors import Cancelled
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.inference.session import VolumeSession
from MedSAMSegmentLib.inference.slice_predictor import SlicePrediction, SlicePrompts
from MedSAMSegmentLib.inference.strategies.appearance import edge_contrast
from MedSAMSegmentLib.inference.strategies.termination import (
    CONTINUE,
    FADE_OUT,
    RESUME,
    SliceEvidence,
    TerminationRule,
    TerminationThresholds,
)
from MedSAMSegmentLib.inference.strategies.unbounded import _contrast, _has_area, search_bounds
from MedSAMSegmentLib.intensity import to_uint8
from MedSAMSegmentLib.prompts import Box, MaskPrompt, Point
from MedSAMSegmentLib.propagation import StopRule
from MedSAMSegmentLib.results import ObjectResult

SHAPE = (20, 40, 50)
KEY = 8
DISC = Box(i=(18, 32), j=(13, 27), k=(KEY, KEY))


def a_ball() -> NDArray[np.uint8]:
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return np.where((z - 10) ** 2 + (y - 20) ** 2 + (x - 25) ** 2 <= 7.3**2, 255, 0).astype(np.uint8)


def a_cylinder(first: int = 3, last: int = 16) -> NDArray[np.uint8]:
    """A bright disc in the box `DISC` on the slices `first` to `last`; everything else is black."""
    y, x = np.ogrid[: SHAPE[1], : SHAPE[2]]
    volume = np.zeros(SHAPE, dtype=np.uint8)
    volume[first : last + 1, (y - 20) ** 2 + (x - 25) ** 2 <= 49] = 255
    return volume


def a_session(pixels: NDArray[np.uint8], model: BrightPixels | None = None) -> VolumeSession:
    volume = to_uint8(pixels, "none")
    return VolumeSession(model or BrightPixels(), volume, VolumeGeometry.from_spacing(pixels.shape))  # type: ignore[arg-type]


def found_in(pixels: NDArray[np.uint8], strategy: str = "consensus") -> ObjectResult:
    return a_session(pixels).propagate([DISC], strategy=strategy).objects[0]


def evidence(
    quality: float, *, likeness: float = 1.0, dice: float = 0.9, contrast: float = 1.0, area: int = 90
) -> SliceEvidence:
    mask = np.arange(100).reshape(10, 10) < area
    return SliceEvidence(mask, 0.9, quality, predicted_iou=0.9, likeness=likeness, dice=dice, contrast=contrast)


class DoubtfulWhereSmall(BrightPixels):
    """Predicts a lower IoU for masks of less than `least` pixels."""

    def __init__(self, least: int) -> None:
        super().__init__()
        self.least = least

    def predict(self, embedding: PixelEmbedding, prompts: SlicePrompts) -> SlicePrediction:
        answer = super().predict(embedding, prompts)
        return replace(answer, score=0.7) if answer.mask.sum() < self.least else answer


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_ball_is_found_from_the_box_of_its_middle_slice_along_every_axis(axis: int) -> None:
    ball = a_ball() > 0
    middle = (10, 20, 25)[axis]
    outline = Box.around(np.moveaxis(np.moveaxis(ball, axis, 0)[middle][None], 0, axis))
    sides = [outline.k, outline.j, outline.i]
    sides[axis] = (middle, middle)
    box = Box(i=sides[2], j=sides[1], k=sides[0])
    assert np.array_equal(a_session(a_ball()).propagate([box], axis=axis).objects[0].mask, ball)


@pytest.mark.parametrize("blank", [[12], [12, 13]])
def test_one_or_two_slices_without_the_object_do_not_end_it(blank: list[int]) -> None:
    pixels = a_cylinder()
    pixels[blank] = 0
    result = found_in(pixels)
    assert np.array_equal(result.mask, pixels > 0)
    assert sorted(result.slices) == list(range(3, 17))
    assert set(blank) <= set(result.flagged)


def test_three_slices_without_the_object_end_it() -> None:
    pixels = a_cylinder()
    pixels[12:15] = 0
    assert sorted(found_in(pixels).slices) == list(range(3, 12))


def test_it_does_not_go_on_into_what_looks_different() -> None:
    """As from a lung into the abdomen: same outline, other grey values."""
    pixels = a_cylinder()
    pixels[13:, 13:28, 18:33] = np.where(a_cylinder(0, 19)[13:, 13:28, 18:33] > 0, 150, 0)
    assert max(found_in(pixels, "handover").slices) == SHAPE[0] - 1
    assert sorted(found_in(pixels).slices) == list(range(3, 13))


def test_it_does_not_flood_a_slice_where_everything_is_bright() -> None:
    pixels = a_cylinder()
    pixels[13:] = 255
    result = found_in(pixels)
    assert sorted(result.slices) == list(range(3, 13))
    assert np.array_equal(result.mask[:13], pixels[:13] > 0)


def test_it_does_not_jump_to_a_neighbour_that_looks_alike() -> None:
    pixels = a_cylinder(3, 12)
    pixels[13:17, 22:28, 29:35] = 255  # beside the disc's end, within reach of its box
    assert max(found_in(pixels).slices) == 12


def with_a_thin_end() -> NDArray[np.uint8]:
    """As a vessel at the end of a lesion: alike in grey values, in its place, and on every slice to the last."""
    pixels = a_cylinder(3, 10)
    for k, half in enumerate([5, 4, 3, 2, 2, 2, 2, 2, 2], start=11):
        pixels[k, 20 - half : 21 + half, 25 - half : 26 + half] = 255
    return pixels


def test_a_thin_thing_behind_the_object_is_not_followed_where_it_is_told_less_well() -> None:
    pixels = with_a_thin_end()
    assert max(found_in(pixels, "handover").slices) == SHAPE[0] - 1
    unsure = DoubtfulWhereSmall(36)
    assert max(a_session(pixels, unsure).propagate([DISC]).objects[0].slices) == 14
    ranged = a_session(pixels, unsure).propagate([DISC], slice_range=(3, 19)).objects[0]
    assert np.array_equal(ranged.mask, pixels > 0)


def test_a_thin_end_that_is_told_as_well_as_the_object_belongs_to_it() -> None:
    """As the tip of a lung."""
    pixels = with_a_thin_end()
    assert np.array_equal(found_in(pixels).mask, pixels > 0)


def test_a_small_cap_still_belongs_to_the_object_and_ends_it() -> None:
    cap = a_cylinder(3, 12)
    cap[13, 17:24, 22:29] = 255  # dice 0.5 with the disc, and so faint that its edge hardly shows
    faint = cap.copy()
    faint[13] = np.where(cap[13] > 0, 255, 250)
    assert max(found_in(cap).slices) == 13
    assert not found_in(faint).mask[14:].any()


def test_a_slice_costs_three_prompts_at_most_and_one_encode() -> None:
    model = BrightPixels()
    session = a_session(a_cylinder(), model)
    result = session.propagate([DISC])
    # Two slices are tried behind the first that is not sure, on either side: 0..2 and 17..19.
    # The key slice is encoded inverted as well, and both are asked with the box and with the ellipse in it.
    assert result.encodes == SHAPE[0] + 1
    assert result.predictions <= 4 + 3 * (SHAPE[0] - 1)
    with_mask = [asked for asked in model.asked if asked.mask_logits is not None]
    assert len(with_mask) == 2 + SHAPE[0] - 1


def test_a_slice_that_was_tried_ahead_is_not_asked_again() -> None:
    pixels, model = a_cylinder(), BrightPixels()
    pixels[12] = 0
    a_session(pixels, model).propagate([DISC])
    with_mask = [asked for asked in model.asked if asked.mask_logits is not None]
    assert len(with_mask) == 2 + SHAPE[0] - 1, "two on the key slice, and one on each other slice"


def test_the_preview_of_a_box_on_one_slice_is_what_the_run_gives_there() -> None:
    session = a_session(a_ball())
    box = Box(i=(18, 32), j=(13, 27), k=(10, 10))
    preview = session.segment_slice(0, 10, box)
    result = session.propagate([box]).objects[0]
    np.testing.assert_array_equal(preview.mask, result.mask[10])
    assert preview.score == result.slices[10].score


def a_cone() -> NDArray[np.uint8]:
    """Discs of the radii 4, 5, 6, ... from the key slice on: each is at most 1.6 times as large as the one before."""
    y, x = np.ogrid[: SHAPE[1], : SHAPE[2]]
    volume = np.zeros(SHAPE, dtype=np.uint8)
    for k in range(KEY, KEY + 6):
        volume[k, (y - 20) ** 2 + (x - 25) ** 2 <= (4 + k - KEY) ** 2] = 255
    return volume


CONE_BOX = Box(i=(21, 29), j=(16, 24), k=(KEY, KEY))


def test_an_object_may_grow_from_slice_to_slice_as_far_as_it_likes() -> None:
    """It is compared with the slice before, not with the one that was drawn on."""
    found = a_session(a_cone()).propagate([CONE_BOX]).objects[0]
    assert max(found.slices) == KEY + 5
    assert found.slices[KEY + 5].area > StopRule().growth * found.slices[KEY].area


@pytest.mark.parametrize("strategy", ["static", "handover"])
def test_slice_by_slice_too_an_area_is_compared_with_the_slice_before(strategy: str) -> None:
    box = replace(CONE_BOX, i=(15, 35), j=(10, 30))
    result = a_session(a_cone()).propagate([box], strategy=strategy, direction="up", stop=StopRule()).objects[0]
    assert sorted(result.slices) == list(range(KEY, KEY + 6))


def test_what_was_seen_when_looking_ahead_is_seen_anew_from_a_nearer_slice() -> None:
    """Slice 13 is too faint to end the look ahead from slice 11, but the object goes on to it, and from it to 14."""
    y, x = np.ogrid[: SHAPE[1], : SHAPE[2]]
    pixels = a_cylinder()
    pixels[13] = np.where((y - 20) ** 2 + (x - 25) ** 2 <= 25, 255, 228)
    straight = a_session(pixels, BrightPixels(threshold=230)).propagate([DISC]).objects[0]
    pixels[12] = 0
    ahead = a_session(pixels, BrightPixels(threshold=230)).propagate([DISC]).objects[0]
    assert 0 < ahead.mask[13].sum() < ahead.mask[11].sum()
    np.testing.assert_array_equal(ahead.mask[13:], straight.mask[13:])
    assert not np.array_equal(ahead.mask[14], pixels[14] > 0), "it is sought near slice 13"


def test_a_painted_slice_stays_and_the_object_goes_on_from_it() -> None:
    pixels = a_cylinder()
    painted = pixels[KEY] > 0
    painted[20, 25] = False
    result = a_session(pixels).propagate([MaskPrompt(0, KEY, painted)]).objects[0]
    assert np.array_equal(result.mask[KEY], painted)
    assert np.array_equal(result.mask[KEY + 1 :], pixels[KEY + 1 :] > 0)
    assert np.array_equal(result.mask[:KEY], pixels[:KEY] > 0)


def test_a_range_is_filled_whatever_the_slices_show() -> None:
    pixels = a_cylinder(3, 12)
    result = a_session(pixels).propagate([DISC], slice_range=(2, 19)).objects[0]
    assert sorted(result.slices) == list(range(2, 20))
    assert np.array_equal(result.mask, pixels > 0)


def test_it_goes_on_behind_a_slice_that_clicks_emptied() -> None:
    pixels = a_cylinder()
    pixels[12] = 0
    prompts = [DISC, Point(25, 20, 12, positive=False)]
    result = a_session(pixels).propagate([prompts], slice_range=(3, 16)).objects[0]
    assert not result.mask[12].any()
    assert np.array_equal(result.mask, pixels > 0)


def test_the_callers_stop_rule_counts_as_well() -> None:
    result = a_session(a_cylinder()).propagate([DISC], stop=StopRule(low_score=0.95)).objects[0]  # all answers: 0.9
    assert sorted(result.slices) == [KEY]


def test_cancel_answers_while_it_looks_ahead() -> None:
    model = BrightPixels()
    session = a_session(a_cylinder(0, KEY), model)  # above the key slice there is nothing
    with pytest.raises(Cancelled):
        session.propagate([DISC], cancel=lambda: len(model.asked) >= 8)
    assert len(model.asked) == 8  # four on the key slice, the rest on the two slices above it


def test_what_is_usual_is_the_median_of_the_slices_that_were_sure() -> None:
    judge = TerminationRule(StopRule(), [0.5], 90)
    assert judge.continues(evidence(0.16), 90)
    assert not judge.continues(evidence(0.14), 90)
    for _ in range(2):
        judge.record(evidence(1.0))
    assert not judge.continues(evidence(0.29), 90)
    assert not judge.continues(evidence(1.0, likeness=0.6), 90)
    assert not judge.continues(evidence(1.0, dice=0.1), 90)
    assert judge.continues(evidence(1.0, contrast=0.1), 90)
    assert not judge.continues(evidence(1.0, contrast=0.05), 90)
    assert not judge.continues(evidence(1.0), 30)  # it would have grown threefold


def test_more_is_asked_to_come_back_than_to_go_on() -> None:
    judge = TerminationRule(StopRule(), [1.0], 90)
    for less in (evidence(0.4), evidence(0.6, dice=0.4), evidence(0.6, likeness=0.85), evidence(0.6, contrast=0.2)):
        assert judge.continues(less, 90)
        assert not judge.resumes(less, 90)
    assert judge.resumes(evidence(0.6), 90)


def test_a_fading_slice_is_alike_in_place_and_smaller() -> None:
    judge = TerminationRule(StopRule(), [1.0], 90)
    assert judge.fades_out(evidence(0.05, area=40), 90)
    assert not judge.fades_out(evidence(0.05, area=90), 90)
    assert not judge.fades_out(evidence(0.05, area=40, likeness=0.7), 90)
    assert not judge.fades_out(evidence(0.05, area=40, dice=0.2), 90)
    assert not judge.fades_out(evidence(0.05, area=0), 90)


def test_two_slices_in_a_row_of_less_than_a_quarter_of_the_largest_are_a_collapse() -> None:
    judge = TerminationRule(StopRule(), [1.0], 20)
    judge.record(evidence(1.0, area=90))
    assert not judge.has_collapsed(evidence(0.8, area=20))
    judge.record(evidence(1.0, area=20))
    assert judge.has_collapsed(evidence(0.8, area=22))
    assert not judge.has_collapsed(evidence(0.8, area=30))
    assert not judge.has_collapsed(evidence(0.9, area=22))  # seen as well as the object
    assert not judge.resumes(evidence(1.0, area=20), 20)


def test_nothing_is_usual_behind_a_painted_slice() -> None:
    judge = TerminationRule(StopRule(), [], 90)
    assert judge.continues(evidence(0.01), 90)
    judge.record(evidence(1.0))
    assert not judge.continues(evidence(0.01), 90)


def test_a_mask_may_reach_a_quarter_beyond_its_neighbour_within_the_slice() -> None:
    assert search_bounds((100, 100, 140, 120), (0, 0, 255, 255)) == (90, 95, 150, 125)
    assert search_bounds((100, 100, 104, 104), (0, 0, 255, 255)) == (96, 96, 108, 108)
    assert search_bounds((0, 100, 200, 250), (0, 0, 219, 255)) == (0, 62, 219, 255)


@pytest.mark.parametrize(
    ("side", "expected"),
    [(256, (96, 96, 108, 108)), (512, (92, 92, 112, 112)), (200, (96, 96, 108, 108)), (128, (98, 98, 106, 106))],
)
def test_a_small_mask_may_reach_four_of_256_pixels_beyond(side: int, expected: tuple[int, int, int, int]) -> None:
    assert search_bounds((100, 100, 104, 104), (0, 0, side - 1, 60)) == (
        expected[0],
        expected[1],
        min(expected[2], side - 1),
        60,
    )
    assert search_bounds((100, 100, 104, 104), (0, 0, 120, side - 1))[:2] == expected[:2]


@pytest.mark.parametrize(
    ("thresholds", "share", "likeness", "dice", "contrast"),
    [(CONTINUE, 0.3, 0.65, 0.2, 0.09), (RESUME, 0.5, 0.9, 0.5, 0.25), (FADE_OUT, 0.0, 0.8, 0.3, 0.0)],
)
def test_a_threshold_is_reached_by_its_own_value_and_by_nothing_less(
    thresholds: TerminationThresholds, share: float, likeness: float, dice: float, contrast: float
) -> None:
    """Shares are of the usual quality, 0.5 here."""
    least = SliceEvidence(np.ones((1, 1), dtype=bool), 0.9, 0.5 * share, 0.9, likeness, dice, contrast)
    assert least.reaches(thresholds, 0.5)
    for name in ("quality", "likeness", "dice", "contrast"):
        value = getattr(least, name)
        assert not replace(least, **{name: value - 0.001}).reaches(thresholds, 0.5), name


@pytest.mark.parametrize(("area", "small"), [(22, True), (23, False), (24, False)])
def test_an_area_is_small_below_a_quarter_of_the_largest(area: int, small: bool) -> None:
    judge = TerminationRule(StopRule(), [1.0], 92)
    judge.record(evidence(1.0, area=20))
    assert judge.has_collapsed(evidence(0.87, area=area)) is small
    assert judge.resumes(evidence(1.0, area=area), 90) is not small


@pytest.mark.parametrize(("quality", "collapsed"), [(0.43, True), (0.44, False)])
def test_what_is_told_as_well_as_usual_has_not_collapsed(quality: float, collapsed: bool) -> None:
    """0.88 of the median, which is 0.5."""
    judge = TerminationRule(StopRule(), [0.25, 0.5, 1.0], 90)
    judge.record(evidence(0.5, area=5))
    assert judge.has_collapsed(evidence(quality, area=5)) is collapsed
    judge = TerminationRule(StopRule(), [0.5], 90)
    assert not judge.has_collapsed(evidence(0.1, area=5)), "the slice before was as large as ever"


def test_the_caller_s_limits_hold_besides() -> None:
    judge = TerminationRule(StopRule(growth=2.0, low_score=0.95), [1.0], 90)
    assert not judge.continues(evidence(1.0), 90)
    judge = TerminationRule(StopRule(growth=2.0), [1.0], 90)
    assert judge.continues(evidence(1.0, area=80), 40)
    assert not judge.continues(evidence(1.0, area=81), 40)
    assert evidence(1.0, area=37).area == 37


def test_the_contrast_of_a_mask_is_that_of_its_neighbourhood_and_none_where_it_is_empty() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (40, 50), dtype=np.uint8)
    mask = np.zeros((40, 50), dtype=bool)
    for rows, columns in ((slice(10, 20), slice(15, 30)), (slice(0, 9), slice(0, 12)), (slice(35, 40), slice(45, 50))):
        mask[:] = False
        mask[rows, columns] = True
        assert _contrast(pixels, mask) == pytest.approx(edge_contrast(pixels, mask))
    assert _contrast(pixels, np.zeros_like(mask)) == 0.0


def test_a_box_has_an_area_where_both_sides_are_longer_than_a_pixel() -> None:
    assert _has_area((3, 4, 4, 5))
    assert not _has_area((3, 4, 3, 9))
    assert not _has_area((3, 4, 9, 4))


@pytest.mark.parametrize("corner", [(0, 0), (25, 35)])
def test_an_object_in_the_corner_of_its_slices_is_found_to_the_edge(corner: tuple[int, int]) -> None:
    row, column = corner
    pixels = np.zeros(SHAPE, dtype=np.uint8)
    pixels[3:16, row : row + 15, column : column + 15] = 255
    box = Box(i=(column, column + 14), j=(row, row + 14), k=(KEY, KEY))
    found = a_session(pixels).propagate([box]).objects[0]
    assert np.array_equal(found.mask, pixels > 0)


def test_a_slice_is_asked_with_the_box_as_it_was_drawn() -> None:
    """And first with that of the mask before, three of 256 pixels wider."""
    model = BrightPixels()
    pixels = a_ball()
    a_session(pixels, model).propagate([DISC], slice_range=(KEY - 2, KEY))
    before = Box.around(pixels[KEY - 1 : KEY] > 0).in_plane(0)
    margin = 50 * 3 / 256
    widened = (before[0] - margin, before[1] - margin, before[2] + margin, before[3] + margin)
    assert [asked.box_xyxy for asked in model.asked[-3:]] == [widened, widened, DISC.in_plane(0)]
    assert [asked.mask_logits is None for asked in model.asked[-3:]] == [True, False, True]
