"""The default strategy for a 3D box: candidates, their vote, what is foreign, and the frame it runs in."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from fake_model import BrightPixels
from numpy.typing import NDArray

from MedSAMSegmentLib.errors import Cancelled
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.inference.plan import KeyPrompt, PlanSettings, plan_objects
from MedSAMSegmentLib.inference.session import VolumeSession
from MedSAMSegmentLib.inference.strategies import consensus, default_strategy
from MedSAMSegmentLib.inference.strategies.appearance import Appearance
from MedSAMSegmentLib.inference.strategies.base import RunOptions
from MedSAMSegmentLib.inference.strategies.candidates import (
    HANDOVER_MARGIN,
    SAME_BOX,
    Candidate,
    ellipse_mask,
    ellipsoid_box,
    fuse,
    inside_box,
    mask_dice,
    pixels_of,
    sides_differ,
    widen_box,
)
from MedSAMSegmentLib.inference.strategies.consensus import ConsensusStrategy
from MedSAMSegmentLib.intensity import to_uint8
from MedSAMSegmentLib.prompts import Box, Point
from MedSAMSegmentLib.propagation import StopRule

SHAPE = (20, 40, 50)
BOX = Box(i=(15, 34), j=(10, 29), k=(3, 17))


def a_ball(value: int = 255) -> NDArray[np.uint8]:
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    ball = (z - 10) ** 2 + (y - 20) ** 2 + (x - 25) ** 2 <= 49
    return np.where(ball, value, 0).astype(np.uint8)


def a_session(pixels: NDArray[np.uint8]) -> VolumeSession:
    return VolumeSession(BrightPixels(), to_uint8(pixels, "none"), VolumeGeometry.from_spacing(pixels.shape))  # type: ignore[arg-type]


def test_it_is_the_default_of_models_without_a_memory() -> None:
    assert default_strategy(SimpleNamespace(kind="slice")) == "consensus"  # type: ignore[arg-type]
    assert default_strategy(SimpleNamespace(kind="slice"), reference=True) == "handover"  # type: ignore[arg-type]
    assert default_strategy(SimpleNamespace(kind="memory")) == "memory"  # type: ignore[arg-type]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_ball_in_its_box_is_found_along_every_axis(axis: int) -> None:
    ball = a_ball()
    result = a_session(ball).propagate([Box.around(ball > 0)], axis=axis, strategy="consensus").objects[0]
    found = np.moveaxis(result.mask, axis, 0)
    # At least half of the vote must hold a pixel, and the ellipsoid's box lies tightly around a ball.
    agreed = 2.0 * (result.mask & (ball > 0)).sum() / (result.mask.sum() + (ball > 0).sum())
    assert agreed > 0.97
    assert all(found[index].any() for index in result.slices)


@pytest.mark.parametrize("flipped", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_flipped_volume_gives_the_flipped_mask(flipped: tuple[int, ...]) -> None:
    ball = a_ball()
    ball[10, 30:36, 25:30] = 255
    box = Box(i=(17, 33), j=(12, 36), k=(3, 17))
    straight = a_session(ball).propagate([box], strategy="consensus").objects[0].mask
    extents = {0: box.k, 1: box.j, 2: box.i}
    for axis in flipped:
        low, high = extents[axis]
        extents[axis] = (SHAPE[axis] - 1 - high, SHAPE[axis] - 1 - low)
    turned = Box(i=extents[2], j=extents[1], k=extents[0])
    mask = a_session(np.flip(ball, flipped).copy()).propagate([turned], strategy="consensus").objects[0].mask
    assert np.array_equal(np.flip(mask, flipped), straight)


def test_the_key_slice_of_a_3d_box_is_its_middle_whatever_fills_it_better() -> None:
    pixels = a_ball()
    pixels[15, 10:30, 15:35] = 255
    slices = a_session(pixels).propagate([BOX], strategy="consensus").objects[0].slices
    assert [index for index, score in slices.items() if score.key] == [10]


def test_no_mask_leaves_the_box() -> None:
    bright = np.full(SHAPE, 200, dtype=np.uint8)
    mask = a_session(bright).propagate([BOX], strategy="consensus").objects[0].mask
    assert mask.any()
    mask[3:18, 10:30, 15:35] = False
    assert not mask.any()


def test_a_slice_costs_three_prompts_and_one_encode_the_key_slice_four_and_two() -> None:
    model = BrightPixels()
    volume = to_uint8(np.full(SHAPE, 200, dtype=np.uint8), "none")
    session = VolumeSession(model, volume, VolumeGeometry.from_spacing(SHAPE))  # type: ignore[arg-type]
    result = session.propagate([BOX], strategy="consensus")
    # The key slice is seen inverted as well, and asked with the box and the ellipse in it both times.
    assert result.encodes == 15 + 1
    # On the two slices beside the key slice the ellipsoid is as wide as the box.
    assert result.predictions == 4 + 3 * 14 - 2


def test_the_key_slice_is_asked_with_the_ellipse_and_the_next_one_with_the_mask_before() -> None:
    ball, model = a_ball(), BrightPixels()
    session = VolumeSession(model, to_uint8(ball, "none"), VolumeGeometry.from_spacing(SHAPE))  # type: ignore[arg-type]
    session.propagate([Box.around(ball > 0)], slice_range=(10, 11), strategy="consensus")
    with_mask = [asked for asked in model.asked if asked.mask_logits is not None]
    assert len(with_mask) == 3
    plain, inverted, handed_over = (asked.mask_logits > 0 for asked in with_mask)  # type: ignore[operator]
    assert plain.sum() == pytest.approx(np.pi / 4 * 15 * 15, rel=0.05)
    assert np.array_equal(plain, inverted)
    assert np.array_equal(handed_over, session.propagate([Box.around(ball > 0)], slice_range=(10, 10)).mask[10])


def test_clicks_on_another_slice_are_heard() -> None:
    ball, model = a_ball(), BrightPixels()
    session = VolumeSession(model, to_uint8(ball, "none"), VolumeGeometry.from_spacing(SHAPE))  # type: ignore[arg-type]
    result = session.propagate([[Box.around(ball > 0), Point(25, 20, 12, positive=False)]], strategy="consensus")
    assert not any(asked.labels is not None for asked in model.asked), "a network of boxes is not asked with clicks"
    assert not result.mask[12, 20, 25]
    assert result.objects[0].slices[12].key


def test_a_region_unlike_the_object_is_left_out_of_its_box() -> None:
    """Bright surroundings that the key slice shows outside the object enter the box further up."""
    pixels = a_ball(255)
    pixels[:, 10:30, 33:39] = 140
    pixels[15, 10:30, 15:35] = np.where(pixels[15, 10:30, 15:35] == 0, 140, 255)
    foreign, box = pixels[15] == 140, Box.around(a_ball() > 0)
    ours, static = (
        a_session(pixels).propagate([box], strategy=name).objects[0].mask[15] for name in ("consensus", "static")
    )
    assert np.array_equal(ours & ~foreign, static & ~foreign)
    assert (ours & foreign).sum() < 0.6 * (static & foreign).sum()


def test_without_a_3d_box_it_hands_over() -> None:
    ball, prompt = a_ball(), Point(25, 20, 10)
    handed = a_session(ball).propagate([prompt], strategy="handover")
    assert np.array_equal(
        a_session(ball).propagate([prompt], strategy="consensus").objects[0].mask, handed.objects[0].mask
    )


def test_cancel_answers_within_one_slice() -> None:
    seen: list[int] = []
    with pytest.raises(Cancelled):
        a_session(a_ball()).propagate(
            [BOX], strategy="consensus", on_slice=lambda s: seen.append(s.index), cancel=lambda: len(seen) >= 2
        )
    assert len(seen) == 2


def test_the_ellipsoid_is_widest_in_the_middle_and_never_vanishes() -> None:
    assert ellipsoid_box((10, 20, 30, 60), (0, 8), 4) == (10, 20, 30, 60)
    assert ellipsoid_box((10, 20, 30, 60), (0, 8), 40) == pytest.approx((17, 34, 23, 46))
    widths = [b[2] - b[0] for b in (ellipsoid_box((10, 20, 30, 60), (0, 8), k) for k in range(4, 9))]
    assert widths == sorted(widths, reverse=True)


def test_boxes_are_cut_to_the_bounds() -> None:
    assert widen_box((5, 5, 10, 10), 3, (4, 0, 12, 11)) == (4, 2, 12, 11)
    assert widen_box((50, 50, 60, 60), 3, (0, 0, 20, 20)) is None
    assert inside_box(np.ones((6, 6), dtype=bool), (1, 2, 3, 3)).sum() == 6


def test_sides_of_boxes_and_the_ellipse_in_a_box() -> None:
    assert sides_differ((0, 0, 9, 9), (0, 1, 9, 9), by=1)
    assert not sides_differ((0, 0, 9, 9), (0.5, 0, 9, 9), by=1)
    ellipse = ellipse_mask((2, 1, 6, 3), (6, 10))
    assert Box.around(ellipse[None]) == Box(i=(2, 6), j=(1, 3), k=(0, 0))
    assert not ellipse[1, 2]
    assert ellipse[2, 2:7].all()


def test_the_better_candidate_outvotes_two_worse_ones() -> None:
    good, bad = np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool)
    good[:2], bad[2:] = True, True
    vote, confidence = fuse([Candidate(good, 0.9, 1.0), Candidate(bad, 0.4, 1.0), Candidate(bad, 0.4, 1.0)], (4, 4))
    assert np.array_equal(vote, good)
    # It shares nothing with two of the three, and that counts though they lost the vote.
    assert confidence == pytest.approx((0.9 * 1 / 3) ** (1 / 3), rel=1e-3)


def test_disagreement_and_instability_lower_the_confidence() -> None:
    one, other = np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool)
    one[:2], other[:3] = True, True
    agreed = fuse([Candidate(one, 0.9, 0.9), Candidate(one, 0.9, 0.9)], (4, 4))[1]
    assert fuse([Candidate(one, 0.9, 0.9), Candidate(other, 0.9, 0.9)], (4, 4))[1] < agreed
    assert fuse([Candidate(one, 0.9, 0.5), Candidate(one, 0.9, 0.5)], (4, 4))[1] < agreed
    assert fuse([], (4, 4))[1] == 0.0


def test_an_outvoted_candidate_still_lowers_the_confidence() -> None:
    one, other = np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool)
    one[:2], other[3:] = True, True
    vote, confidence = fuse([Candidate(one, 0.8, 1.0), Candidate(other, 0.1, 1.0)], (4, 4))
    assert np.array_equal(vote, one)
    # Agreement is the mean of 1 and 0.
    assert confidence == pytest.approx((0.8 * 0.5 * 1.0) ** (1 / 3), rel=1e-3)


def test_likeness_tells_grey_values_apart() -> None:
    pixels = np.zeros((20, 20), dtype=np.uint8)
    pixels[:, 10:] = 200
    left = np.zeros((20, 20), dtype=bool)
    left[:, :10] = True
    looks = Appearance(pixels, left, (0, 0, 19, 19))
    assert looks.likeness(pixels, left) == pytest.approx(1.0)
    assert looks.likeness(pixels, ~left) < 0.05
    assert np.array_equal(looks.without_foreign(pixels, np.ones_like(left)), left)


def test_a_thin_rim_is_not_taken_for_foreign() -> None:
    pixels = np.zeros((20, 20), dtype=np.uint8)
    pixels[:, 10:] = 200
    left = np.zeros((20, 20), dtype=bool)
    left[:, :10] = True
    rimmed = left.copy()
    rimmed[:, 10:13] = True
    assert np.array_equal(Appearance(pixels, left, (0, 0, 19, 19)).without_foreign(pixels, rimmed), rimmed)


@pytest.mark.parametrize(
    ("index", "share"),
    [(4, 1.0), (0, (1 - (4 / 4.5) ** 2) ** 0.5), (7, (1 - (3 / 4.5) ** 2) ** 0.5), (-1, 0.3), (9, 0.3)],
)
def test_the_ellipsoid_fills_the_slices_of_the_box_to_their_outer_faces(index: int, share: float) -> None:
    """Nine slices are 4.5 to each side of the middle. It is as high as the box is, about the box's middle."""
    x0, y0, x1, y1 = ellipsoid_box((10, 20, 30, 80), (0, 8), index)
    assert (x1 - x0, y1 - y0) == pytest.approx((20 * share, 60 * share))
    assert (x0 + x1, y0 + y1) == pytest.approx((40, 100))


def test_of_an_even_number_of_slices_the_two_in_the_middle_are_alike() -> None:
    assert ellipsoid_box((10, 20, 30, 80), (2, 5), 3) == pytest.approx(ellipsoid_box((10, 20, 30, 80), (2, 5), 4))
    assert ellipsoid_box((10, 20, 30, 80), (2, 5), 3)[0] == pytest.approx(20 - 10 * (1 - (0.5 / 2) ** 2) ** 0.5)


def test_an_ellipse_holds_the_pixels_whose_middle_lies_in_it() -> None:
    """Of a box of 7 x 5 pixels, whose halves are 3.5 and 2.5."""
    ellipse = ellipse_mask((3, 2, 9, 6), (10, 14))
    rows = ["".join("#" if pixel else "." for pixel in row) for row in ellipse]
    assert rows == [
        "..............",
        "..............",
        "....#####.....",
        "...#######....",
        "...#######....",
        "...#######....",
        "....#####.....",
        "..............",
        "..............",
        "..............",
    ]


@pytest.mark.parametrize("side", range(4))
def test_boxes_differ_by_any_side_from_the_given_distance_on(side: int) -> None:
    box = (10.0, 20.0, 30.0, 40.0)
    for change in (-2.0, 2.0):
        other = tuple(value + (change if place == side else 0.0) for place, value in enumerate(box))
        assert sides_differ(box, other, by=2.0)  # type: ignore[arg-type]
        assert not sides_differ(box, other, by=2.1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("box", "margin", "expected"),
    [
        ((10, 10, 20, 20), 2, (8, 8, 22, 22)),
        ((10, 10, 20, 20), 20, (0, 1, 29, 30)),
        ((31, 10, 40, 20), 2, (29, 8, 29, 22)),
        ((32, 10, 40, 20), 2, None),
        ((10, 32, 20, 40), 2, (8, 30, 22, 30)),
        ((10, 33, 20, 40), 2, None),
    ],
)
def test_a_widened_box_ends_at_the_bounds_and_may_be_a_line_there(
    box: tuple[int, int, int, int], margin: int, expected: tuple[int, int, int, int] | None
) -> None:
    assert widen_box(box, margin, (0, 1, 29, 30)) == expected


def test_pixels_of_a_box_are_inclusive_and_its_margin_ends_at_the_first_pixel() -> None:
    assert pixels_of((3, 5, 8, 9)) == (slice(5, 10), slice(3, 9))
    assert pixels_of((3, 5, 8, 9), 2) == (slice(3, 12), slice(1, 11))
    assert pixels_of((3, 1, 8, 9), 4) == (slice(0, 14), slice(0, 13))
    full = np.ones((20, 20), dtype=bool)
    inside = inside_box(full, (3, 5, 8, 9))
    assert inside[5:10, 3:9].all()
    assert inside.sum() == 5 * 6


def test_dice_is_twice_the_common_part_by_both() -> None:
    first, second = np.zeros((2, 10), dtype=bool), np.zeros((2, 10), dtype=bool)
    first[0, :4], second[0, 2:8] = True, True
    assert mask_dice(first, second) == 2 * 2 / 10
    assert mask_dice(first, first) == 1.0


def test_margins_are_those_of_a_network_that_sees_256_pixels() -> None:
    assert (256 * HANDOVER_MARGIN, 256 * SAME_BOX) == (3.0, 1.0)


def test_votes_count_by_the_fourth_power_of_their_quality() -> None:
    """Against two of 0.5 one of 0.6 has more than half of the weight: 0.6 ** 4 is 0.13, and 2 * 0.5 ** 4 is 0.125."""
    one, other = np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool)
    one[0], other[3] = True, True
    for quality, winner in ((0.6, one), (0.59, other)):
        vote, _ = fuse([Candidate(one, quality, 1.0), Candidate(other, 0.5, 1.0), Candidate(other, 0.5, 1.0)], (4, 4))
        assert np.array_equal(vote, winner)


def test_half_of_the_vote_is_enough() -> None:
    one, other = np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool)
    one[0, :2], other[3, 1:] = True, True
    vote, confidence = fuse([Candidate(one, 0.5, 1.0), Candidate(other, 0.5, 1.0)], (4, 4))
    assert np.array_equal(vote, one | other)
    assert confidence == pytest.approx((0.5 * (2 * 2 / 7 + 2 * 3 / 8) / 2) ** (1 / 3))


def test_confidence_is_the_cube_root_of_quality_agreement_and_stability_and_at_most_one() -> None:
    mask = np.zeros((4, 4), dtype=bool)
    mask[1:3, 1:3] = True
    confidence = fuse([Candidate(mask, 0.5, 0.4), Candidate(mask, 0.25, 0.8)], (4, 4))[1]
    weight = 0.5**4 / (0.5**4 + 0.25**4)
    assert confidence == pytest.approx((0.5 * (0.4 * weight + 0.8 * (1 - weight))) ** (1 / 3))
    assert fuse([Candidate(mask, 2.0, 1.0)], (4, 4))[1] == 1.0


def test_nothing_is_voted_for_without_masks_qualities_or_agreement() -> None:
    empty, mask = np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool)
    mask[0, 0] = True
    thirds = [np.zeros((4, 4), dtype=bool) for _ in range(3)]
    for place, third in enumerate(thirds):
        third[place, place] = True
    for candidates in (
        [Candidate(empty, 0.9, 1.0)],
        [Candidate(mask, 0.0, 1.0)],
        [Candidate(third, 0.9, 1.0) for third in thirds],
    ):
        vote, confidence = fuse(candidates, (4, 4))
        assert (vote.any(), confidence, vote.shape) == (False, 0.0, (4, 4))


def test_prompts_are_held_by_a_crop_to_its_last_pixel() -> None:
    crop = (10, 20, 30, 40)
    for x, y, held in (
        (10, 20, True),
        (30, 40, True),
        (9, 30, False),
        (31, 30, False),
        (20, 19, False),
        (20, 41, False),
    ):
        assert consensus._holds_prompts(crop, KeyPrompt(points_xy=[(20, 30), (x, y)], labels=[1, 1])) is held
    assert consensus._holds_prompts(crop, KeyPrompt(box=(10, 20, 30, 40)))
    assert not consensus._holds_prompts(crop, KeyPrompt(box=(10, 20, 31, 40), points_xy=[(20, 30)], labels=[1]))


def test_only_the_drawn_box_alone_is_asked_in_several_views() -> None:
    box = (1, 2, 3, 4)
    assert consensus._is_only_box(KeyPrompt(box=box), box)
    for key in (
        KeyPrompt(box=(1, 2, 3, 5)),
        KeyPrompt(box=box, points_xy=[(2, 3)], labels=[1]),
        KeyPrompt(box=box, mask=np.ones((9, 9), dtype=bool)),
    ):
        assert not consensus._is_only_box(key, box)


def test_the_outline_of_a_key_slice_is_its_box_or_that_of_its_mask() -> None:
    mask = np.zeros((9, 12), dtype=bool)
    mask[2:5, 3:8] = True
    assert consensus._outline(KeyPrompt(mask=mask)) == (3, 2, 7, 4)
    assert consensus._outline(KeyPrompt(box=(0, 0, 5, 5), mask=mask)) == (0, 0, 5, 5)
    assert consensus._outline(KeyPrompt(points_xy=[(2, 2)], labels=[1])) is None


def begun(
    monkeypatch: pytest.MonkeyPatch, qualities: dict[int, tuple[float, ...]], slice_range: tuple[int, int] | None = None
) -> int:
    """Return the key slice on which a 3D box on the slices 2 to 10 is begun, by the qualities of its readings."""
    asked: list[int] = []

    def readings(_: object, slices: object, state: object, plan: object, index: int, box: object) -> list:
        asked.append(index)
        return [SimpleNamespace(quality=quality) for quality in qualities[index]]

    monkeypatch.setattr(ConsensusStrategy, "_readings", readings)
    settings = PlanSettings(VolumeGeometry.from_spacing(SHAPE), 0, slice_range)
    (plan,) = plan_objects([Box(i=(15, 34), j=(10, 29), k=(2, 10))], settings)
    strategy = ConsensusStrategy()
    strategy._objects = {0: SimpleNamespace()}  # type: ignore[dict-item]
    moved = strategy._begun_clearly(SimpleNamespace(axis=0), 0, plan, RunOptions())  # type: ignore[arg-type]
    (key,) = moved.keys
    assert asked[0] == next(iter(plan.keys))
    return key


@pytest.mark.parametrize(
    ("qualities", "key"),
    [
        ({6: (0.35,)}, 6),
        ({6: (0.34, 0.9), 4: (0.45,), 8: (0.40,)}, 4),
        ({6: (0.34,), 4: (0.44,), 8: (0.44,)}, 6),
        ({6: (0.34,), 4: (0.40,), 8: (0.45,)}, 8),
        ({6: (0.2,), 4: (0.3,), 8: (0.31,)}, 8),
        ({6: (0.2,), 4: (0.31,), 8: (0.3,)}, 4),
        ({6: (0.2, 0.0), 4: (0.3, 0.1), 8: (0.1, 0.9)}, 4),
        ({6: (0.0,), 4: (0.0,), 8: (0.0,)}, 6),
    ],
)
def test_a_box_is_begun_where_its_first_reading_is_clearer_by_a_third(
    monkeypatch: pytest.MonkeyPatch, qualities: dict[int, tuple[float, ...]], key: int
) -> None:
    """Its middle is left below 0.35 for a slice that is 1.3 times better, a quarter or three quarters on the way."""
    assert begun(monkeypatch, qualities) == key


def test_a_box_is_begun_within_the_range_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert begun(monkeypatch, {7: (0.1,), 4: (0.9,), 8: (0.5,)}, (5, 10)) == 8
    assert begun(monkeypatch, {4: (0.1,), 8: (0.5,)}, (2, 7)) == 4


def test_the_callers_stop_rule_ends_a_3d_box_as_well() -> None:
    """In either direction by itself; without a rule it is filled to its end."""
    pixels = a_ball()
    pixels[13] = 0
    box = Box.around(a_ball() > 0)
    slices = a_session(pixels).propagate([box], strategy="consensus", stop=StopRule()).objects[0].slices
    assert sorted(slices) == list(range(3, 13))
    assert sorted(a_session(pixels).propagate([box], strategy="consensus").objects[0].slices) == list(range(3, 18))
