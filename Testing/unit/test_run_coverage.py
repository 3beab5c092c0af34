"""Which slices a run computes, and how it tells how far it is: every strategy, direction and kind of prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from fake_model import BrightPixels
from numpy.typing import NDArray
from toy_sam2 import toy_model, toy_volume

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.inference.device import DeviceChoice
from MedSAMSegmentLib.inference.session import VolumeSession
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor
from MedSAMSegmentLib.intensity import to_uint8
from MedSAMSegmentLib.prompts import Box, MaskPrompt, Point
from MedSAMSegmentLib.propagation import StopRule
from MedSAMSegmentLib.results import Progress, Segmentation3D

DEPTH = 10
SLICEWISE = ("static", "handover", "consensus")
STRATEGIES = (*SLICEWISE, "memory")
BOX = (7, 7, 24, 22)


@pytest.fixture(scope="module")
def small_memory() -> SlicePredictor:
    torch.set_num_threads(1)
    entry = replace(registry.get("medsam2"), input_size=64)
    return SlicePredictor(toy_model(), entry, DeviceChoice(torch.device("cpu"), torch.float32, "for a test"))


@pytest.fixture
def predictor(request: pytest.FixtureRequest) -> Any:
    strategy = request.getfixturevalue("strategy")
    return request.getfixturevalue("small_memory") if strategy == "memory" else BrightPixels()


def a_volume() -> NDArray[np.uint8]:
    """Bright where `BOX` is, on every slice: an object without an end."""
    volume = toy_volume(DEPTH)
    volume[:, BOX[1] : BOX[3], BOX[0] : BOX[2]] = 220
    return volume


def a_session(predictor: Any, **options: Any) -> VolumeSession:
    volume = a_volume()
    geometry = VolumeGeometry.from_spacing(volume.shape[:3], (1.0, 1.0, 1.0))
    return VolumeSession(predictor, to_uint8(volume, "none"), geometry, **options)


def a_box(first: int, last: int | None = None) -> Box:
    return Box(i=(BOX[0], BOX[2]), j=(BOX[1], BOX[3]), k=(first, first if last is None else last))


def painted(k: int) -> MaskPrompt:
    mask = np.zeros(a_volume().shape[1:], dtype=bool)
    mask[BOX[1] : BOX[3], BOX[0] : BOX[2]] = True
    return MaskPrompt(axis=0, index=k, mask=mask)


def run(session: VolumeSession, prompts: Any, **options: Any) -> tuple[Segmentation3D, list[Progress]]:
    told: list[Progress] = []
    return session.propagate([prompts], on_progress=told.append, **options), told


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("direction", "expected"), [("both", (0, 9)), ("up", (2, 9)), ("down", (0, 7))])
@pytest.mark.parametrize("prompts", [[a_box(2), a_box(7)], [painted(2), painted(7)], [a_box(2), painted(7)]])
def test_nothing_between_or_behind_two_key_slices_is_left_out(
    predictor: Any, strategy: str, direction: str, expected: tuple[int, int], prompts: Any
) -> None:
    result, told = run(
        a_session(predictor), prompts, slice_range=(0, DEPTH - 1), strategy=strategy, direction=direction
    )
    slices = list(range(expected[0], expected[1] + 1))
    assert sorted(result.objects[0].slices) == slices
    assert [(p.done, p.total) for p in told] == [(n, len(slices)) for n in range(1, len(slices) + 1)]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("direction", "expected"), [("up", (5, 9)), ("down", (0, 5))])
def test_a_click_on_the_side_that_is_left_out_is_left_out(
    predictor: Any, strategy: str, direction: str, expected: tuple[int, int]
) -> None:
    clicks = [Point(15, 12, 1), Point(15, 12, 8)]
    result, told = run(
        a_session(predictor), [a_box(5), *clicks], slice_range=(0, DEPTH - 1), strategy=strategy, direction=direction
    )
    assert sorted(result.objects[0].slices) == list(range(expected[0], expected[1] + 1))
    assert told[-1].done == told[-1].total == len(result.objects[0].slices)


@pytest.mark.parametrize("strategy", SLICEWISE)
@pytest.mark.parametrize("prompts", [[a_box(1, 8)], [a_box(4)]], ids=["3D box", "box"])
def test_every_click_counts(strategy: str, prompts: list[Any]) -> None:
    clicks = [Point(15, 12, 2, positive=False), Point(16, 12, 7, positive=False), Point(2, 2, 4)]
    result, _ = run(a_session(BrightPixels()), [*prompts, *clicks], slice_range=(0, DEPTH - 1), strategy=strategy)
    mask, slices = result.mask, result.objects[0].slices
    assert [bool(mask[int(p.k), int(p.j), int(p.i)]) for p in clicks] == [False, False, True]
    assert all(slices[index].key for index in (2, 4, 7))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_that_ends_early_says_that_it_is_done(predictor: Any, strategy: str) -> None:
    stop = StopRule(low_score=2.0)  # no slice is that sure
    result, told = run(a_session(predictor), [a_box(5)], slice_range=(0, DEPTH - 1), strategy=strategy, stop=stop)
    assert sorted(result.objects[0].slices) == [5]
    assert (told[0].done, told[0].total) == (1, DEPTH)
    assert told[-1] == Progress(1, 1)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_objects_far_apart_need_no_cache_larger_than_one_of_them(predictor: Any, strategy: str) -> None:
    session = a_session(predictor)
    session.encode_slice(0, 0)
    small = a_session(predictor, cache_bytes=4 * session.cache.nbytes)
    result = small.propagate([a_box(0, 3), a_box(6, 9)], strategy=strategy)
    assert [sorted(item.slices) for item in result.objects] == [[0, 1, 2, 3], [6, 7, 8, 9]]
    # Each key slice is seen inverted as well.
    assert result.encodes == 8 + (2 if strategy == "consensus" else 0)


def test_the_preview_of_a_key_slice_is_what_the_run_gives_there() -> None:
    session = a_session(BrightPixels())
    result = session.propagate([a_box(1, 8)])
    preview = session.segment_slice(0, 4, a_box(1, 8))
    np.testing.assert_array_equal(preview.mask, result.objects[0].mask[4])
    assert preview.score == result.objects[0].slices[4].score
