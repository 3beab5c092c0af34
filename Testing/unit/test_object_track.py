"""One object that is followed: what its next answer rests on, and what of it is remembered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from toy_sam2 import SHAPE, ToyFrames, toy_model, toy_tracker

from MedSAMSegmentLib.inference import object_track
from MedSAMSegmentLib.inference.memory_bank import BACKWARD, FORWARD
from MedSAMSegmentLib.inference.object_track import ObjectTrack, fill_holes
from MedSAMSegmentLib.inference.tracker_options import TrackerOptions
from MedSAMSegmentLib.models.sam2 import PointPrompt, Sam2

BOX = PointPrompt(torch.tensor([[[10.0, 10.0], [30.0, 30.0]]]), torch.tensor([[2, 3]]))
CLICK = PointPrompt(torch.tensor([[[20.0, 12.0]]]), torch.tensor([[1]]))


@pytest.fixture(scope="module")
def model() -> Sam2:
    return toy_model()


@pytest.fixture(scope="module")
def frames(model: Sam2) -> ToyFrames:
    return ToyFrames(model, 8)


def a_track(model: Sam2, **options: Any) -> ObjectTrack:
    return ObjectTrack(model, TrackerOptions(**options), torch.float32, 8, model.steps)


@pytest.fixture
def decoded(model: Sam2, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """Return the prompts and mask logits that the model is asked with; a test's calls fill it."""
    asked: list[tuple[Any, Any]] = []
    honest = model.decode

    def decode(embedding: Any, image: Any, prompt: Any = None, mask_logits: Any = None, **options: Any) -> Any:
        asked.append((prompt, mask_logits))
        return honest(embedding, image, prompt, mask_logits, **options)

    monkeypatch.setattr(model, "decode", decode)
    return asked


@torch.inference_mode()
def test_an_earlier_answer_goes_in_with_the_next_click_cut_to_32(
    model: Sam2, frames: ToyFrames, decoded: list[tuple[Any, Any]]
) -> None:
    track = a_track(model)
    first = track.answer_points(2, frames(2), BOX, keep_earlier=False)
    sure = replace(first.answer, low_res_logits=first.answer.low_res_logits * 1e3)
    track.pending[2] = replace(first, answer=sure)
    track.answer_points(2, frames(2), CLICK, keep_earlier=True)
    assert decoded[0][1] is None
    assert torch.equal(decoded[1][1], sure.low_res_logits.clamp(-32.0, 32.0))
    assert decoded[1][1].abs().max() == 32.0
    prompt = decoded[1][0]
    assert prompt.labels.tolist() == [[2, 3, 1]]
    assert prompt.points.tolist() == [[[10.0, 10.0], [30.0, 30.0], [20.0, 12.0]]]
    track.answer_points(2, frames(2), CLICK, keep_earlier=False)
    assert decoded[2][0] is CLICK
    track.answer_points(3, frames(3), CLICK, keep_earlier=True)
    assert decoded[3] == (CLICK, None), "clicks on another frame are its own"


@torch.inference_mode()
def test_a_mask_forgets_the_clicks_on_its_frame(model: Sam2, frames: ToyFrames, decoded: list[tuple[Any, Any]]) -> None:
    track = a_track(model)
    track.answer_points(2, frames(2), BOX, keep_earlier=True)
    track.answer_mask(2, frames(2), torch.ones(1, 1, 64, 64))
    track.answer_mask(4, frames(4), torch.ones(1, 1, 64, 64))
    track.answer_points(2, frames(2), CLICK, keep_earlier=True)
    assert decoded[-1][0].labels.tolist() == [[1]]
    assert all(entry.prompted for entry in track.pending.values())


@torch.inference_mode()
def test_what_is_pending_is_the_latest_and_is_held_once_it_is_settled(model: Sam2, frames: ToyFrames) -> None:
    track = a_track(model)
    assert track.latest(2) is None
    pending = track.answer_points(2, frames(2), BOX, keep_earlier=False)
    assert track.latest(2) is pending
    assert track.held(2, FORWARD) is None
    assert not track.has_key_behind(2, FORWARD)
    track.settle(2, frames(2), track.pending.pop(2))
    held = track.held(2, FORWARD)
    assert held is not None
    assert held is track.held(2, BACKWARD) is track.latest(2)
    assert held.memory is not None
    assert [track.has_key_behind(frame, FORWARD) for frame in (1, 2, 3)] == [False, True, True]
    assert [track.has_key_behind(frame, BACKWARD) for frame in (1, 2, 3)] == [True, True, False]


@torch.inference_mode()
@pytest.mark.parametrize(
    ("corrections", "key", "held"), [("conditioning", True, True), ("kept", False, True), ("overwritten", False, False)]
)
def test_a_correction_of_a_tracked_frame_is_a_key_or_kept_or_tracked_again(
    model: Sam2, frames: ToyFrames, corrections: str, key: bool, held: bool
) -> None:
    track = a_track(model, corrections=corrections)
    track.settle(1, frames(1), track.answer_points(1, frames(1), BOX, keep_earlier=False))
    track.pending.clear()
    tracked = track.track(2, frames(2), FORWARD)
    track.bank.visited[2] = FORWARD
    assert track.held(2, FORWARD) is None
    assert not tracked.prompted
    track.settle(2, frames(2), track.answer_points(2, frames(2), CLICK, keep_earlier=False))
    assert (2 in track.bank.conditioning) is key
    assert (track.held(2, FORWARD) is not None) is held
    before = track.bank.conditioning[1]
    track.bank.visited[1] = FORWARD
    track.settle(1, frames(1), track.answer_points(1, frames(1), CLICK, keep_earlier=False))
    assert (track.bank.conditioning[1] is not before) is key, "a key frame's own correction is lost otherwise"
    assert 1 not in track.bank.tracked[FORWARD]


@torch.inference_mode()
def test_a_tracked_frame_attends_to_what_lies_behind(model: Sam2, frames: ToyFrames) -> None:
    """A memory has 4 x 4 cells, and a pointer four tokens."""
    track = a_track(model)
    first = track.answer_points(1, frames(1), BOX, keep_earlier=False)
    assert first.attended == (0, 0)
    track.settle(1, frames(1), track.pending.pop(1))
    assert track.track(2, frames(2), FORWARD).attended == (16 + 4, 4)
    third = track.track(3, frames(3), FORWARD)
    assert third.attended == (2 * 16 + 2 * 4, 2 * 4)
    assert third.memory is not None
    assert track.bank.get(3) is third
    assert object_track._token_counts(model, 7, 16) == (7 * 16 + 64, 64)


@torch.inference_mode()
def test_prompted_frames_enter_the_memory_as_they_are_told_to(
    model: Sam2, frames: ToyFrames, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []
    honest = model.encode_memory

    def encode_memory(*arguments: Any, binarize: bool, **options: Any) -> Any:
        told.append(binarize)
        return honest(*arguments, binarize=binarize, **options)

    monkeypatch.setattr(model, "encode_memory", encode_memory)
    for binarize in (True, False):
        track = a_track(model, binarize_prompted=binarize)
        track.settle(1, frames(1), track.answer_points(1, frames(1), BOX, keep_earlier=False))
        track.track(2, frames(2), FORWARD)
    assert told == [True, False, False, False]


@torch.inference_mode()
def test_holes_are_filled_in_every_answer_where_that_is_wanted(model: Sam2, frames: ToyFrames) -> None:
    mask = torch.ones(1, 1, 64, 64)
    mask[..., 28:36, 28:36] = 0
    for area, filled in ((0, False), (64, True)):
        entry = a_track(model, fill_hole_area=area).answer_mask(1, frames(1), mask)
        assert bool((entry.answer.low_res_logits > 0).all()) is filled


@pytest.mark.parametrize(("area", "filled"), [(3, False), (4, True), (5, True)])
def test_a_hole_of_so_many_pixels_gets_a_tenth(area: int, filled: bool) -> None:
    logits = torch.full((1, 1, 8, 8), 5.0)
    logits[0, 0, 2:4, 2:4] = 0.0
    found = fill_holes(logits, area)
    assert torch.equal(found[0, 0, 2:4, 2:4], torch.full((2, 2), 0.1 if filled else 0.0))
    assert int((found == 5.0).sum()) == 60


@torch.inference_mode()
def test_an_object_without_a_prompt_is_nothing_said_to_be_there(model: Sam2) -> None:
    answer = a_track(model).placeholder().answer
    assert torch.equal(answer.low_res_logits, torch.full((1, 1, 16, 16), -1024.0))
    assert (answer.iou, answer.ious, float(answer.object_score)) == (0.0, (0.0,), 10.0)
    assert answer.object_score.shape == (1, 1)
    assert torch.equal(answer.object_pointer, model.no_obj_ptr)
    assert not a_track(model).placeholder().prompted


def test_objects_share_nothing_but_the_frames(model: Sam2) -> None:
    tracker = toy_tracker(model, depth=3)
    tracker.add_points("a", 1, box_xyxy=(7, 7, 24, 22))
    tracker.add_mask("b", 2, np.ones(SHAPE, dtype=bool))
    assert (tracker.key_frames("a"), tracker.key_frames("b")) == ([1], [2])
