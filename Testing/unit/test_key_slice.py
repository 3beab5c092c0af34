"""A key slice in its views: the object that is darker than its surroundings, and the two things a box may mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fake_model import BrightPixels, PixelEmbedding
from numpy.typing import NDArray

from MedSAMSegmentLib.errors import UsageError
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.inference.embedding_cache import PLAIN_VIEW, SliceView
from MedSAMSegmentLib.inference.plan import PlanSettings, plan_objects
from MedSAMSegmentLib.inference.session import AxisView, VolumeSession
from MedSAMSegmentLib.inference.strategies.key_slice import KeySlice, span_power
from MedSAMSegmentLib.intensity import to_uint8
from MedSAMSegmentLib.prompts import Box, MaskPrompt, Point, Prompt
from MedSAMSegmentLib.results import FLAG_FIRST_LOOK, FLAG_TWO_READINGS, SliceResult

SHAPE = (20, 40, 50)
KEY = 10
WHOLE = Box(i=(15, 34), j=(10, 29), k=(KEY, KEY))
"""Holds both of `two_bars`."""


class Watched(BrightPixels):
    """Remembers what it is shown. Between the threshold and its complement it tells nothing in either view."""

    def __init__(self, threshold: int = 127) -> None:
        super().__init__(threshold)
        self.shown: list[NDArray[np.uint8]] = []

    def encode(self, pixels: NDArray[np.uint8]) -> PixelEmbedding:
        self.shown.append(pixels)
        return super().encode(pixels)


class OfColours(Watched):
    def encode(self, pixels: NDArray[np.uint8]) -> PixelEmbedding:
        return PixelEmbedding(super().encode(pixels).pixels.mean(axis=-1).astype(np.uint8))


def a_ball() -> NDArray[np.bool_]:
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return (z - KEY) ** 2 + (y - 20) ** 2 + (x - 25) ** 2 <= 7.3**2


def a_session(pixels: NDArray[np.uint8], threshold: int = 127, **options: Any) -> tuple[VolumeSession, Watched]:
    model = Watched(threshold)
    volume, geometry = to_uint8(pixels, "none"), VolumeGeometry.from_spacing(SHAPE)
    return VolumeSession(model, volume, geometry, **options), model  # type: ignore[arg-type]


def a_dark_ball() -> NDArray[np.uint8]:
    return np.where(a_ball(), 30, 220).astype(np.uint8)


def drawn_about(mask: NDArray[np.bool_]) -> Box:
    """Return the box of the mask's key slice, on that slice alone."""
    box = Box.around(mask[KEY : KEY + 1])
    return Box(i=box.i, j=box.j, k=(KEY, KEY))


def two_bars(first: int = 4, last: int = 15) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return a grey volume with a bright bar and a dark bar beside it on the slices `first` to `last`, and both
    masks."""
    bright, dark = np.zeros(SHAPE, dtype=bool), np.zeros(SHAPE, dtype=bool)
    bright[first : last + 1, 10:30, 15:23] = True
    dark[first : last + 1, 10:30, 27:35] = True
    pixels = np.full(SHAPE, 128, dtype=np.uint8)
    pixels[bright], pixels[dark] = 240, 15
    return pixels, bright, dark


@pytest.mark.parametrize("solid", [True, False], ids=["3D box", "box"])
def test_a_dark_object_in_a_bright_box_is_found_inverted_and_so_is_the_whole_run(solid: bool) -> None:
    ball = a_ball()
    session, model = a_session(a_dark_ball())
    result = session.propagate([Box.around(ball) if solid else drawn_about(ball)], strategy="consensus").objects[0]
    assert result.slices[KEY].key
    assert np.array_equal(result.mask[KEY], ball[KEY])
    assert 2.0 * (result.mask & ball).sum() / (result.mask.sum() + ball.sum()) > 0.97
    # Of the key slice both views are shown, of all others the inverted one.
    np.testing.assert_array_equal(model.shown[0], a_dark_ball()[KEY])
    assert all(shown[0, 0] == 255 - 220 for shown in model.shown[1:])


def test_a_bright_object_is_seen_as_it_is() -> None:
    ball = a_ball()
    session, model = a_session(255 - a_dark_ball())
    assert np.array_equal(session.propagate([drawn_about(ball)]).objects[0].mask, ball)
    assert [index for index, shown in enumerate(model.shown) if shown[0, 0] == 220] == [1]


def test_slices_are_encoded_ahead_inverted_where_the_object_was_seen_so() -> None:
    session, model = a_session(a_dark_ball())
    session.segment_slice(0, KEY, drawn_about(a_ball()))
    session.encode_slice(0, KEY + 1)
    np.testing.assert_array_equal(model.shown[-1], 255 - a_dark_ball()[KEY + 1])
    encoded = session.counters.encodes
    session.propagate([drawn_about(a_ball())], slice_range=(KEY, KEY + 1))
    assert session.counters.encodes == encoded


def test_a_click_on_a_dark_object_is_answered_in_the_inverted_view() -> None:
    ball = a_ball()
    session, _ = a_session(a_dark_ball())
    mask = session.segment_slice(0, KEY, [drawn_about(ball), Point(25, 20, KEY)]).mask
    assert np.array_equal(mask, ball[KEY])


def test_a_painted_dark_object_goes_on_in_the_view_that_agrees_with_it() -> None:
    ball = a_ball()
    for pixels in (a_dark_ball(), 255 - a_dark_ball()):
        session, _ = a_session(pixels)
        assert np.array_equal(session.propagate([MaskPrompt(0, KEY, ball[KEY])]).objects[0].mask, ball)


def test_what_is_painted_outweighs_the_reading_of_its_box() -> None:
    """The box around the painted surroundings is that of the ball, which would win."""
    ball = a_ball()[KEY]
    box = Box.around(a_ball()[KEY : KEY + 1]).in_plane(0)
    x0, y0, x1, y1 = box
    around = np.zeros_like(ball)
    around[y0 : y1 + 1, x0 : x1 + 1] = True
    session, _ = a_session(a_dark_ball())
    slices = AxisView(session, 0, lambda: False)
    assert KeySlice(slices, KEY, box, 1.0).readings()[0].view == SliceView(inverted=True)
    assert KeySlice(slices, KEY, box, 1.0, around & ~ball).readings()[0].view == PLAIN_VIEW


def test_the_official_behaviour_knows_no_inverted_view() -> None:
    session, model = a_session(a_dark_ball(), reference=True)
    session.propagate([Box.around(a_ball())], strategy="consensus")
    assert all(shown[0, 0] == 220 for shown in model.shown)


def test_colours_are_not_inverted() -> None:
    colours = np.repeat(a_dark_ball()[..., None], 3, axis=-1)
    model = OfColours()
    session = VolumeSession(model, to_uint8(colours, "none"), VolumeGeometry.from_spacing(SHAPE))  # type: ignore[arg-type]
    result = session.segment_slice(0, KEY, drawn_about(a_ball()))
    assert result.mask.any()
    assert session.counters.encodes == 1
    np.testing.assert_array_equal(model.shown, colours[[KEY]])


def test_a_box_with_a_bright_and_a_dark_thing_has_two_readings_at_no_further_encode() -> None:
    pixels, bright, dark = two_bars()
    session, _ = a_session(pixels, threshold=180)
    first = session.segment_slice(0, KEY, WHOLE)
    assert session.counters.encodes == 2
    second = session.segment_slice(0, KEY, WHOLE, reading=2)
    assert session.counters.encodes == 2
    assert np.array_equal(first.mask, bright[KEY]), "where both are as good the image as it is has the answer"
    assert np.array_equal(second.mask, dark[KEY])
    assert first.flags == second.flags == (FLAG_TWO_READINGS,)


@pytest.mark.parametrize("solid", [True, False], ids=["3D box", "box"])
def test_a_run_follows_the_reading_that_is_asked_for(solid: bool) -> None:
    pixels, bright, dark = two_bars()
    prompt = Box(i=WHOLE.i, j=WHOLE.j, k=(4, 15)) if solid else WHOLE
    session, model = a_session(pixels, threshold=180)
    for reading, expected in ((1, bright), (2, dark), (1, bright)):
        shown = len(model.shown)
        found = session.propagate([prompt], reading=reading).objects[0]
        assert np.array_equal(found.mask, expected)
        (key,) = [index for index, score in found.slices.items() if score.key]
        assert found.slices[key].flags == (FLAG_TWO_READINGS,)
        assert key in found.flagged
        # Only the other slices are encoded anew. Behind either end of an object without a 3D box three are tried.
        assert reading == 1 or len(model.shown) - shown == len(found.slices) - 1 + (0 if solid else 6)
        one_by_one = {r.index: r for r in session.iter_propagate([prompt], reading=reading)}
        assert all(np.array_equal(item.mask, expected[index]) for index, item in one_by_one.items())
        assert one_by_one[key].flags == (FLAG_TWO_READINGS,)
    assert len(model.shown) == shown, "both readings are encoded by now"


def test_both_readings_of_a_3d_box_begin_on_the_same_slice_and_are_the_previews_of_it() -> None:
    pixels, _, _ = two_bars()
    box = Box(i=WHOLE.i, j=WHOLE.j, k=(4, 15))
    session, _ = a_session(pixels, threshold=180)
    for reading in (1, 2):
        found = session.propagate([box], reading=reading).objects[0]
        assert [index for index, score in found.slices.items() if score.key] == [9]
        preview = session.segment_slice(0, 9, box, reading=reading)
        np.testing.assert_array_equal(preview.mask, found.mask[9])
        assert preview.score == found.slices[9].score


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("solid", [True, False], ids=["3D box", "box"])
def test_small_parts_go_unless_they_are_to_be_kept(keep: bool, solid: bool) -> None:
    pixels, bright, _ = two_bars()
    pixels[pixels < 128] = 128
    pixels[4:16, 12:14, 30:33] = 240
    parts = pixels == 240
    session, _ = a_session(pixels, threshold=180, keep_speckle=keep)
    found = session.propagate([Box.around(parts) if solid else drawn_about(parts)]).objects[0]
    assert np.array_equal(found.mask, parts if keep else bright)


def a_bar_that_fades(*faded: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_], Box]:
    """Return a bar on the slices 4 to 15 of which nothing is seen on `faded`, its mask, and its 3D box."""
    pixels, bright, _ = two_bars()
    pixels[pixels < 128] = 128
    pixels[list(faded)] = 128
    return pixels, bright, Box.around(bright)


@pytest.mark.parametrize(
    ("faded", "key"), [((), 9), ((9,), 7), ((7, 9), 12), ((7, 9, 12), 9)], ids=["clear", "middle", "two", "all three"]
)
def test_a_3d_box_begins_on_another_slice_where_its_middle_is_doubtful(faded: tuple[int, ...], key: int) -> None:
    pixels, bright, box = a_bar_that_fades(*faded)
    session, _ = a_session(pixels, threshold=180)
    found = session.propagate([box]).objects[0]
    assert [index for index, score in found.slices.items() if score.key] == [key]
    seen = [index for index in range(4, 16) if index not in faded]
    assert np.array_equal(found.mask[seen], bright[seen])


def test_a_run_in_one_direction_begins_where_it_was_told() -> None:
    pixels, _, box = a_bar_that_fades(9)
    session, _ = a_session(pixels, threshold=180)
    found = session.propagate([box], direction="up").objects[0]
    assert [index for index, score in found.slices.items() if score.key] == [9]


def test_a_box_with_one_thing_has_one_reading() -> None:
    pixels, bright, _ = two_bars()
    session, _ = a_session(pixels, threshold=180)
    for reading in (1, 2):
        answer = session.segment_slice(0, KEY, drawn_about(bright), reading=reading)
        assert np.array_equal(answer.mask, bright[KEY])
        assert answer.flags == ()


@pytest.mark.parametrize("reading", [0, 3, -1, "2"])
def test_there_is_no_third_reading(reading: Any) -> None:
    session, model = a_session(a_dark_ball())
    prompt = drawn_about(a_ball())
    for call in (
        lambda: session.segment_slice(0, KEY, prompt, reading=reading),
        lambda: session.propagate([prompt], reading=reading),
        lambda: session.iter_propagate([prompt], reading=reading),
    ):
        with pytest.raises(UsageError, match="reading"):
            call()
    assert not model.shown


def test_an_empty_key_slice_has_one_empty_reading() -> None:
    session, _ = a_session(np.full(SHAPE, 128, dtype=np.uint8), threshold=180)
    answer = session.segment_slice(0, KEY, WHOLE)
    assert not answer.mask.any()
    assert (answer.score, answer.flags) == (0.0, ())


@pytest.mark.parametrize("solid", [True, False], ids=["3D box", "box"])
def test_the_first_view_is_told_before_the_others_are_asked(solid: bool) -> None:
    ball = a_ball()[KEY]
    session, _ = a_session(a_dark_ball())
    looks: list[tuple[SliceResult, int]] = []
    drawn = Box.around(a_ball()) if solid else drawn_about(a_ball())
    answer = session.segment_slice(
        0, KEY, drawn, on_first_look=lambda look: looks.append((look, session.counters.encodes))
    )
    assert np.array_equal(answer.mask, ball)
    assert FLAG_FIRST_LOOK not in answer.flags
    ((look, encodes),) = looks
    assert (look.flags, look.key, look.index, encodes) == ((FLAG_FIRST_LOOK,), True, KEY, 1)
    assert not (look.mask & ball).any(), "as it is the slice shows what is around the ball"
    predictions = session.counters.predictions
    session.segment_slice(0, KEY, drawn)
    assert session.counters.predictions - predictions == predictions, "a first look asks nothing twice"
    assert FLAG_FIRST_LOOK not in session.propagate([drawn]).objects[0].slices[KEY].flags


def test_there_is_no_first_look_where_it_would_be_another_question() -> None:
    looks: list[SliceResult] = []
    drawn = drawn_about(a_ball())
    session, _ = a_session(a_dark_ball())
    session.segment_slice(0, KEY, drawn, reading=2, on_first_look=looks.append)
    session.segment_slice(0, KEY, [drawn, Point(25, 20, KEY)], on_first_look=looks.append)
    session.segment_slice(0, KEY, MaskPrompt(0, KEY, a_ball()[KEY]), on_first_look=looks.append)
    official, _ = a_session(a_dark_ball(), reference=True)
    official.segment_slice(0, KEY, drawn, on_first_look=looks.append)
    colours = np.repeat(a_dark_ball()[..., None], 3, axis=-1)
    one_view = VolumeSession(OfColours(), to_uint8(colours, "none"), VolumeGeometry.from_spacing(SHAPE))  # type: ignore[arg-type]
    one_view.segment_slice(0, KEY, drawn, on_first_look=looks.append)
    assert looks == []


def test_a_click_after_a_first_look_costs_no_second_run() -> None:
    session, _ = a_session(a_dark_ball())
    drawn = drawn_about(a_ball())
    session.segment_slice(0, KEY, drawn, on_first_look=lambda look: None)
    predictions = session.counters.predictions
    session.segment_slice(0, KEY, [drawn, Point(25, 20, KEY)], on_first_look=lambda look: None)
    assert session.counters.predictions == predictions


def test_the_inverted_view_is_taken_where_it_is_clearly_better_alone() -> None:
    pixels, _, _ = two_bars()
    session, _ = a_session(pixels, threshold=180)
    readings = KeySlice(AxisView(session, 0, lambda: False), KEY, WHOLE.in_plane(0), 1.0).readings()
    assert [reading.view for reading in readings] == [PLAIN_VIEW, SliceView(inverted=True)]
    assert readings[1].quality == pytest.approx(0.92 * readings[0].quality, rel=0.02)


def test_what_spans_a_slice_counts_less_in_a_3d_box() -> None:
    settings = PlanSettings(VolumeGeometry.from_spacing(SHAPE), 0)
    powers = []
    prompts: tuple[Prompt, ...] = (WHOLE, Box(i=WHOLE.i, j=WHOLE.j, k=(4, 15)))
    for prompt in prompts:
        (plan,) = plan_objects([prompt], settings)
        powers.append(span_power(plan))
    assert powers == [1.0, 0.5]
