"""A box that may mean two things: which of them a slice and a whole run answer with."""

from __future__ import annotations

import numpy as np
import pytest
from fake_model import BrightPixels
from numpy.typing import NDArray

from MedSAMSegmentLib.errors import UsageError
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.inference.session import VolumeSession
from MedSAMSegmentLib.inference.slice_predictor import SlicePrediction
from MedSAMSegmentLib.intensity import to_uint8
from MedSAMSegmentLib.prompts import Box, Point
from MedSAMSegmentLib.results import FLAG_TWO_READINGS

SHAPE = (9, 40, 40)
SOLID = Box(i=(10, 29), j=(10, 29), k=(0, 8))
DRAWN = Box(i=(10, 29), j=(10, 29), k=(4, 4))


class SmoothBrightPixels(BrightPixels):
    """Logits smoothed are the logits."""

    def smooth(self, prediction: SlicePrediction, transform: BrightPixels) -> NDArray[np.bool_]:
        return prediction.low_res_logits > 0


def two_stripes(slices: range = range(9)) -> NDArray[np.uint8]:
    """On these slices the left of the box is bright and its right dark; elsewhere all of it is a little brighter than
    its surroundings, which is told better than the dark right alone."""
    pixels = np.full(SHAPE, 128, np.uint8)
    pixels[:, 10:30, 10:30] = 150
    pixels[:, 25:30, 10:30] = 135
    for k in slices:
        pixels[k, 10:30, 10:20] = 200
        pixels[k, 10:30, 20:30] = 40
    return pixels


def a_session(pixels: NDArray[np.uint8]) -> VolumeSession:
    return VolumeSession(SmoothBrightPixels(), to_uint8(pixels, "none"), VolumeGeometry.from_spacing(SHAPE))  # type: ignore[arg-type]


def sides(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """The shares of the left and the right stripe that a mask (rows, columns) holds."""
    return float(mask[10:30, 10:20].mean()), float(mask[10:30, 20:30].mean())


def test_a_slice_with_two_readings_says_so_and_gives_either() -> None:
    session = a_session(two_stripes())
    first = session.segment_slice(0, 4, DRAWN)
    encodes = session.counters.encodes
    second = session.segment_slice(0, 4, DRAWN, reading=2)
    assert sides(first.mask) == (1.0, 0.0)
    assert sides(second.mask) == (0.0, 1.0)
    assert FLAG_TWO_READINGS in first.flags
    assert FLAG_TWO_READINGS in second.flags
    assert session.counters.encodes == encodes, "the other reading is there at once"


def test_the_run_follows_the_reading_of_its_key_slice() -> None:
    for reading, expected in ((1, (1.0, 0.0)), (2, (0.0, 1.0))):
        found = a_session(two_stripes()).propagate([SOLID], reading=reading).objects[0]
        assert [sides(found.mask[k]) for k in (2, 4, 6)] == [expected] * 3
        assert [k for k, score in found.slices.items() if FLAG_TWO_READINGS in score.flags] != []


def test_the_second_reading_has_the_key_slice_of_the_first() -> None:
    """A slice with one reading alone may show that better than any slice shows a second one."""
    session = a_session(two_stripes(range(4, 9)))
    keys = []
    for reading in (1, 2):
        found = session.propagate([SOLID], reading=reading).objects[0]
        keys.append([k for k, score in found.slices.items() if score.key])
    assert keys[0] == keys[1] == [4]


@pytest.mark.parametrize(("click", "added"), [(Point(25, 20, 4), True), (Point(12, 20, 4), False)])
def test_a_click_on_the_key_slice_leaves_the_other_reading_on_offer(click: Point, added: bool) -> None:
    """Whether the click changes the mask or agrees with it."""
    session = a_session(two_stripes())
    before = session.segment_slice(0, 4, DRAWN)
    shown = session.segment_slice(0, 4, [DRAWN, click])
    assert shown.mask[20, int(click.i)]
    assert np.array_equal(shown.mask, before.mask) != added
    assert FLAG_TWO_READINGS in shown.flags
    found = session.propagate([[SOLID, click]]).objects[0]
    assert found.mask[4, 20, int(click.i)]
    assert FLAG_TWO_READINGS in found.slices[4].flags


@pytest.mark.parametrize("reading", [0, 3])
def test_there_are_two_at_most(reading: int) -> None:
    session = a_session(two_stripes())
    with pytest.raises(UsageError, match=f"no reading {reading}"):
        session.segment_slice(0, 4, DRAWN, reading=reading)
    with pytest.raises(UsageError, match=f"no reading {reading}"):
        session.propagate([DRAWN], reading=reading)
