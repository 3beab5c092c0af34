"""The default strategy for a 3D box: candidates, their vote, what is foreign, and the frame it runs in."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from fake_model import BrightPixels
from numpy.typing import NDArray

from MedSAMSegmentLib.errors import Cancelled
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.inference.session import VolumeSession
from MedSAMSegmentLib.inference.strategies import default_strategy
from MedSAMSegmentLib.inference.strategies.appearance import Appearance
from MedSAMSegmentLib.inference.strategies.candidates import (
    Candidate,
    ellipse_mask,
    ellipsoid_box,
    fuse,
    inside_box,
    sides_differ,
    widen_box,
)
from MedSAMSegmentLib.intensity import to_uint8
from MedSAMSegmentLib.prompts import Box, Point

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
