"""A small object is looked at from nearer by where that helps, and prompts and masks stay those of the whole slice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fake_model import BrightPixels, PixelEmbedding
from numpy.typing import NDArray

from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.inference.session import VolumeSession
from MedSAMSegmentLib.inference.slice_predictor import SlicePrediction, SlicePrompts
from MedSAMSegmentLib.inference.strategies import zoom
from MedSAMSegmentLib.inference.strategies.zoom import (
    CONTEXT_FACTOR,
    MAXIMUM_SHARE,
    MINIMUM_SIDE,
    contains,
    following_crop,
    zoom_crop,
)
from MedSAMSegmentLib.intensity import to_uint8
from MedSAMSegmentLib.prompts import Box, MaskPrompt, Point
from MedSAMSegmentLib.results import Segmentation3D

SHAPE = (25, 200, 240)
CENTRE = (12, 60, 150)
KEY = CENTRE[0]
NEAR = 65
"""The side of the part about a small box."""


class ShortSighted(BrightPixels):
    """Tells the bright pixels only where it is shown no more than `sight` of a slice; else its answer is the box.

    Bright pixels up to `beyond` the box are told as well.
    """

    def __init__(self, sight: int, beyond: int = 0) -> None:
        super().__init__()
        self.sight = sight
        self.beyond = beyond
        self.shown: list[tuple[int, int]] = []

    def encode(self, pixels: NDArray[np.uint8]) -> PixelEmbedding:
        self.shown.append((pixels.shape[0], pixels.shape[1]))
        return super().encode(pixels)

    def predict(self, embedding: PixelEmbedding, prompts: SlicePrompts) -> SlicePrediction:
        x0, y0, x1, y1 = self._box(prompts)
        if max(embedding.pixels.shape) <= self.sight:
            low, high = (max(0, x0 - self.beyond), max(0, y0 - self.beyond)), (x1 + self.beyond, y1 + self.beyond)
            return super().predict(embedding, replace(prompts, box_xyxy=(*low, *high)))
        prediction = super().predict(embedding, prompts)
        mask = np.zeros_like(prediction.mask)
        mask[y0 : y1 + 1, x0 : x1 + 1] = True
        return replace(prediction, mask=mask, score=0.5, low_res_logits=np.where(mask, 5.0, -5.0).astype(np.float32))


def a_ball(radius: int = 5, drift: int = 0) -> NDArray[np.bool_]:
    """A ball, or with `drift` a slanting rod that moves by so many columns a slice."""
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    away = 0 if drift else (z - CENTRE[0]) ** 2
    ball = away + (y - CENTRE[1]) ** 2 + (x - CENTRE[2] - drift * (z - CENTRE[0])) ** 2 <= radius**2
    return np.broadcast_to(ball, SHAPE)


def a_session(ball: NDArray[np.bool_], model: BrightPixels) -> VolumeSession:
    pixels = np.where(ball, 220, 30).astype(np.uint8)
    return VolumeSession(model, to_uint8(pixels, "none"), VolumeGeometry.from_spacing(SHAPE))  # type: ignore[arg-type]


def overlap(result: Segmentation3D, ball: NDArray[np.bool_]) -> float:
    mask = result.objects[0].mask
    return 2.0 * float((mask & ball).sum()) / float(mask.sum() + ball.sum())


def test_a_small_object_is_found_from_nearer_by() -> None:
    ball, model = a_ball(), ShortSighted(120)
    session = a_session(ball, model)
    result = session.propagate([Box.around(ball)], strategy="consensus")
    assert overlap(result, ball) > 0.95
    # The key slice is shown both ways, and inverted as it was told better, which is how all others are seen.
    assert model.shown[0] == SHAPE[1:]
    assert set(model.shown[1:]) == {(NEAR, NEAR)}
    assert result.encodes == len(model.shown) == len(result.objects[0].slices) + 2


@pytest.mark.parametrize("margin", [0, 2])
def test_a_small_dark_object_is_found_from_nearer_by_and_inverted(margin: int) -> None:
    ball, model = a_ball(), ShortSighted(120)
    volume, geometry = to_uint8(np.where(ball, 30, 220).astype(np.uint8), "none"), VolumeGeometry.from_spacing(SHAPE)
    session = VolumeSession(model, volume, geometry)  # type: ignore[arg-type]
    tight = Box.around(ball)
    sides = [(low - margin, high + margin) for low, high in (tight.i, tight.j)]
    result = session.propagate([Box(i=sides[0], j=sides[1], k=tight.k)], strategy="consensus")
    assert overlap(result, ball) > 0.95
    # The key slice is shown whole, from nearer by, and so inverted, which is how all others are seen.
    assert model.shown[0] == SHAPE[1:]
    assert set(model.shown[1:]) == {(NEAR, NEAR)}
    assert result.encodes == len(result.objects[0].slices) + 2


def test_where_nearer_is_no_better_the_whole_slice_is_shown() -> None:
    ball, model = a_ball(), ShortSighted(1000)
    result = a_session(ball, model).propagate([Box.around(ball)], strategy="consensus")
    assert model.shown[1:3] == [(NEAR, NEAR)] * 2, "as it is and inverted"
    assert {*model.shown[:1], *model.shown[3:]} == {SHAPE[1:]}
    assert overlap(result, ball) > 0.95


def test_a_large_object_is_seen_in_the_whole_slice_alone() -> None:
    ball, model = a_ball(40), ShortSighted(1000)
    result = a_session(ball, model).propagate([Box.around(ball)], strategy="consensus")
    assert set(model.shown) == {SHAPE[1:]}
    assert result.encodes == len(result.objects[0].slices) + 1


def test_the_preview_is_what_the_run_gives_on_the_key_slice() -> None:
    ball = a_ball()
    session = a_session(ball, ShortSighted(120))
    box = Box.around(ball[KEY : KEY + 1]).in_plane(0)
    drawn = Box(i=(box[0], box[2]), j=(box[1], box[3]), k=(KEY, KEY))
    preview = session.segment_slice(0, KEY, [drawn])
    assert np.array_equal(preview.mask, session.propagate([drawn], strategy="consensus").objects[0].mask[KEY])


@pytest.mark.parametrize("x", [CENTRE[2], 20])
def test_a_click_after_a_preview_asks_the_network_nothing(x: int) -> None:
    ball, model = a_ball(), ShortSighted(120)
    session = a_session(ball, model)
    box = Box.around(ball[KEY : KEY + 1])
    drawn = Box(i=box.i, j=box.j, k=(KEY, KEY))
    session.segment_slice(0, KEY, [drawn])
    before, encoded = session.counters.predictions, session.counters.encodes
    mask = session.segment_slice(0, KEY, [drawn, Point(x, CENTRE[1], KEY)]).mask
    assert (session.counters.predictions, session.counters.encodes) == (before, encoded)
    assert mask[CENTRE[1], x]
    assert np.array_equal(mask, ball[KEY]) == bool(ball[KEY, CENTRE[1], x])


def test_a_click_out_of_sight_leaves_the_other_slices_as_they_were_seen() -> None:
    ball, model = a_ball(), ShortSighted(120)
    far = Point(20, CENTRE[1], KEY, positive=False)
    result = a_session(ball, model).propagate([[Box.around(ball), far]], strategy="consensus")
    others = np.arange(SHAPE[0]) != KEY
    assert np.array_equal(result.objects[0].mask[others], ball[others])


def test_a_slice_box_beside_the_3d_box_is_answered_in_the_whole_slice() -> None:
    ball, model = a_ball(), ShortSighted(1000)
    beside = Box(i=(20, 60), j=(100, 130), k=(KEY, KEY))
    a_session(ball, model).segment_slice(0, KEY, [Box.around(ball), beside])
    assert model.asked[-1].box_xyxy == (20, 100, 60, 130)


def test_a_painted_slice_needs_no_network_and_the_others_are_seen_near() -> None:
    ball, model = a_ball(), ShortSighted(120, beyond=1)
    session = a_session(ball, model)
    painted = MaskPrompt(0, KEY, ball[KEY])
    assert np.array_equal(session.segment_slice(0, KEY, [painted]).mask, ball[KEY])
    assert not model.shown
    another = MaskPrompt(0, KEY + 3, ball[KEY + 3])
    assert overlap(session.propagate([[painted, another]], strategy="consensus"), ball) > 0.9
    assert model.shown.count(SHAPE[1:]) == 1, "one view is tried against the other once"


def test_the_official_behaviour_knows_no_parts() -> None:
    ball, model = a_ball(), ShortSighted(120)
    session = a_session(ball, model)
    session.reference = True
    session.propagate([Box.around(ball)], strategy="consensus")
    assert set(model.shown) == {SHAPE[1:]}


def test_slices_are_encoded_ahead_as_the_object_was_seen() -> None:
    ball, model = a_ball(), ShortSighted(120)
    session = a_session(ball, model)
    session.encode_slice(0, 0)
    assert model.shown == [SHAPE[1:]]
    box = Box.around(ball)
    for drawn, shown in ((box, (NEAR, NEAR)), (Box(i=(20, 140), j=(20, 140), k=box.k), SHAPE[1:])):
        session.segment_slice(0, KEY, [drawn])
        session.encode_slice(0, KEY + 1)
        assert model.shown[-1] == shown


def test_clicks_from_the_first_prompt_on_are_seen_near_as_well() -> None:
    ball = a_ball()
    box = Box.around(ball[KEY : KEY + 1])
    session = a_session(ball, ShortSighted(120))
    prompts = [Box(i=box.i, j=box.j, k=(KEY, KEY)), Point(CENTRE[2], CENTRE[1], KEY)]
    assert np.array_equal(session.segment_slice(0, KEY, prompts).mask, ball[KEY])
    asked = session.counters.predictions
    session.close()
    session.segment_slice(0, KEY, prompts)
    assert session.counters.predictions == 2 * asked, "a closed session forgets what it answered"


@pytest.mark.parametrize("drift", [0, 3])
def test_the_part_goes_along_with_an_object_without_a_3d_box(drift: int) -> None:
    rod, model = a_ball(drift=drift), ShortSighted(120, beyond=3)
    box = Box.around(rod[KEY : KEY + 1])
    result = a_session(rod, model).propagate([Box(i=box.i, j=box.j, k=(KEY, KEY))], strategy="consensus")
    assert overlap(result, rod) > 0.9
    assert set(model.shown[1:]) == {(NEAR, NEAR)}


def test_corrections_on_other_slices_are_heard_near_as_well() -> None:
    ball, model = a_ball(), ShortSighted(120)
    point = Point(CENTRE[2] + 1, CENTRE[1], KEY + 2)
    result = a_session(ball, model).propagate([[Box.around(ball), point]], strategy="consensus")
    assert result.objects[0].slices[KEY + 2].key
    assert np.array_equal(result.objects[0].mask[KEY + 2], ball[KEY + 2])


def test_the_part_is_a_square_about_the_box_within_the_slice() -> None:
    for box in ((150, 60, 165, 70), (0, 0, 10, 20), (220, 190, 239, 199)):
        part = zoom_crop(box, (400, 400))
        assert part is not None
        side = part[2] - part[0] + 1
        assert (
            part[3] - part[1] + 1
            == side
            >= max(MINIMUM_SIDE, CONTEXT_FACTOR * (max(box[2] - box[0], box[3] - box[1]) + 1))
        )
        assert contains(part, box)
        assert min(part) >= 0
        assert max(part) < 400


def test_boxes_that_differ_little_share_a_part() -> None:
    parts = {zoom_crop((150 + shift, 60, 166 + shift, 80 + shift // 12), (400, 400)) for shift in range(24)}
    assert len(parts) <= 4


def moved(box: Box, columns: int, rows: int) -> Box:
    return Box(i=(box.i[0] + columns, box.i[1] + columns), j=(box.j[0] + rows, box.j[1] + rows), k=box.k)


def test_a_box_that_is_moved_a_little_encodes_nothing_anew() -> None:
    ball = a_ball()
    session = a_session(ball, ShortSighted(120, beyond=3))
    # The part about it moves in steps, and the next one begins two pixels away.
    ahead = (moved(Box.around(ball), columns, 0) for columns in range(20))
    box = next(box for box in ahead if zoom_of(box) != zoom_of(moved(box, 2, 0)))
    session.propagate([box])
    encodes, predictions = session.counters.encodes, session.counters.predictions
    others = [moved(box, columns, rows) for columns, rows in ((2, 0), (0, 2), (-2, 0), (0, -2), (2, 2))]
    for other in others:
        session.segment_slice(0, KEY, [other])
    assert session.counters.encodes == encodes
    assert session.counters.predictions > predictions
    session.propagate(others)
    assert list(session.key_crops[0]) == [zoom_of(box)]


def test_a_run_sees_its_objects_as_if_each_were_alone() -> None:
    ball = a_ball()
    boxes = [moved(Box.around(ball), columns, 0) for columns in range(0, 14, 2)]
    together = a_session(ball, ShortSighted(120, beyond=9)).propagate(boxes)
    for box, found in zip(boxes, together.objects, strict=True):
        alone = a_session(ball, ShortSighted(120, beyond=9)).propagate([box])
        assert np.array_equal(found.mask, alone.objects[0].mask)
    assert len({zoom_of(box) for box in boxes}) > 1


def zoom_of(box: Box) -> tuple[int, int, int, int] | None:
    return zoom_crop(box.in_plane(0), SHAPE[1:])


def test_no_part_where_the_whole_slice_is_hardly_wider() -> None:
    assert zoom_crop((10, 10, 60, 60), (400, 400)) is None
    assert zoom_crop((10, 10, 14, 14), (MINIMUM_SIDE, int(MINIMUM_SIDE / MAXIMUM_SHARE) - 2)) is None


def test_a_part_follows_its_object_and_grows_with_it() -> None:
    part = zoom_crop((150, 60, 165, 70), (400, 400))
    assert part is not None
    moved = following_crop(part, (190, 61, 205, 71), (400, 400))
    assert moved is not None
    assert moved[2] - moved[0] == part[2] - part[0]
    assert contains(moved, (190, 61, 205, 71))
    grown = following_crop(part, (150, 60, 210, 90), (400, 400))
    assert grown is not None
    assert grown[2] - grown[0] + 1 >= 2 * 61
    assert following_crop(part, (50, 60, 160, 90), (400, 400)) is None


def test_a_part_of_a_narrow_slice_is_as_wide_as_that() -> None:
    part = zoom_crop((4, 200, 53, 240), (512, 60))
    assert part is not None
    assert (part[0], part[2]) == (0, 59)
    following = following_crop(part, (4, 210, 53, 250), (512, 60))
    assert following is not None
    assert following[3] - following[1] == part[3] - part[1]


@pytest.mark.parametrize(
    ("side", "crop_side"),
    # Possible sides are powers of 13/12, rounded up: 60, 65, 70, 76, ..., 122, 132, 143, ...
    [(1, 65), (16, 65), (17, 70), (30, 122), (33, 132), (34, 143)],
)
def test_the_part_is_four_times_as_wide_as_the_box_and_64_pixels_at_least(side: int, crop_side: int) -> None:
    for box in ((200, 200, 199 + side, 200), (200, 200, 200, 199 + side)):
        part = zoom_crop(box, (512, 512))
        assert part is not None
        assert (part[2] - part[0] + 1, part[3] - part[1] + 1) == (crop_side, crop_side)


@pytest.mark.parametrize(("side", "near"), [(64, True), (65, False)])
def test_a_part_is_half_of_the_longer_side_of_a_slice_at_most(side: int, near: bool) -> None:
    box = (100, 100, 99 + side, 110)
    for shape in ((512, 512), (512, 400), (400, 512)):
        assert (zoom_crop(box, shape) is not None) is near
    assert (zoom_crop((10, 10, 14, 14), (128, 100)) is not None) is True
    assert (zoom_crop((10, 10, 14, 14), (127, 100)) is not None) is False


@pytest.mark.parametrize(
    ("low", "high", "side", "count", "expected"),
    [
        (100, 109, 66, 400, (72, 137)),  # about 105, in steps of eight
        (0, 9, 66, 400, (0, 65)),
        (390, 399, 66, 400, (334, 399)),
        (20, 29, 66, 60, (0, 59)),
        (100, 109, 6, 400, (102, 107)),
        (100, 100, 7, 400, (97, 103)),
        (100, 101, 8, 400, (97, 104)),
        (104, 105, 80, 400, (60, 139)),  # steps of ten: begins at 65, and an even number of them is nearest
    ],
)
def test_a_part_moves_in_eighths_of_its_side_and_stays_in_the_slice(
    low: int, high: int, side: int, count: int, expected: tuple[int, int]
) -> None:
    assert zoom._span(low, high, side, count) == expected


@pytest.mark.parametrize(
    ("box", "side"),
    [((200, 200, 210, 210), 65), ((200, 200, 234, 210), 70), ((200, 200, 235, 210), 76), ((200, 200, 210, 235), 76)],
)
def test_a_part_that_follows_is_twice_as_wide_as_what_the_object_may_fill(
    box: tuple[int, int, int, int], side: int
) -> None:
    part = following_crop((180, 180, 244, 244), box, (512, 512))
    assert part is not None
    assert (part[2] - part[0] + 1, part[3] - part[1] + 1) == (side, side)


def test_a_box_on_the_edge_of_a_part_lies_within_it() -> None:
    crop = (10, 20, 30, 40)
    assert contains(crop, crop)
    for box in ((9, 20, 30, 40), (10, 19, 30, 40), (10, 20, 31, 40), (10, 20, 30, 41)):
        assert not contains(crop, box)
