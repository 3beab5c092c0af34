from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_sam2 import SHAPE, ToyFrames, toy_model, toy_tracker

from MedSAMSegmentLib.errors import Cancelled, InputError, PromptError, UsageError
from MedSAMSegmentLib.inference.memory_tracker import TrackedFrame, without_overlap
from MedSAMSegmentLib.inference.object_track import HOLE_LOGIT, fill_holes
from MedSAMSegmentLib.inference.tracker_options import TrackerOptions
from MedSAMSegmentLib.models.sam2 import Sam2

BOX_A = (7, 7, 24, 22)
BOX_B = (28, 20, 40, 36)


@pytest.fixture(scope="module")
def model() -> Sam2:
    return toy_model()


def logits_of(frames: Iterable[TrackedFrame], object_id: str) -> dict[int, np.ndarray]:
    return {t.index: t.objects[object_id].low_res_logits for t in frames if object_id in t.objects}


def assert_same(first: dict[int, np.ndarray], second: dict[int, np.ndarray], atol: float = 1e-4) -> None:
    assert list(first) == list(second)
    for index, values in first.items():
        np.testing.assert_allclose(values, second[index], atol=atol, err_msg=f"frame {index}")


def a_disc() -> np.ndarray:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return (x - 20) ** 2 + (y - 18) ** 2 < 60


def test_each_frame_is_encoded_once_for_three_objects_and_both_directions(model: Sam2) -> None:
    tracker = toy_tracker(model, depth=9)
    for name, frame, box in (("a", 4, BOX_A), ("b", 4, BOX_B), ("c", 6, BOX_A)):
        tracker.add_points(name, frame, box_xyxy=box)
    for direction in (1, -1):
        assert all(tracker.propagate(direction))
    assert tracker.frames.encoder.encodes == 9


def test_frames_arrive_outwards_from_the_key_frame_and_include_it(model: Sam2) -> None:
    tracker = toy_tracker(model, depth=8)
    tracker.add_points("a", 3, box_xyxy=BOX_A)
    assert [t.index for t in tracker.propagate(1)] == [3, 4, 5, 6, 7]
    assert [t.index for t in tracker.propagate(-1)] == [3, 2, 1, 0]
    assert [t.index for t in tracker.propagate(1, stop=5)] == [3, 4, 5]
    assert [t.index for t in tracker.propagate(1, start=6)] == [6, 7]


def test_a_result_says_where_the_prompt_stood_and_how_sure_it_is(model: Sam2) -> None:
    tracker = toy_tracker(model, depth=3)
    tracker.add_points("a", 1, box_xyxy=BOX_A)
    key, tracked = (t.objects["a"] for t in tracker.propagate(1))
    assert (key.prompted, tracked.prompted) == (True, False)
    assert key.mask.shape == SHAPE
    assert key.mask.dtype == bool
    assert len(tracked.ious) == 3
    assert tracked.confidence == max(tracked.ious)
    assert replace(tracked, object_score=-0.1).confidence == 0.0
    # One memory of 4x4 cells, and one pointer in four tokens.
    assert tracked.attended == (20, 4)


def test_a_backward_pass_does_not_depend_on_a_forward_pass_before_it(model: Sam2) -> None:
    alone, after = toy_tracker(model), toy_tracker(model)
    for tracker in (alone, after):
        tracker.add_points("a", 6, box_xyxy=BOX_A)
    assert all(after.propagate(1))
    assert_same(logits_of(alone.propagate(-1), "a"), logits_of(after.propagate(-1), "a"), atol=0)


def test_in_official_mode_a_backward_pass_sees_the_forward_pass(model: Sam2) -> None:
    tracker = toy_tracker(model, options=TrackerOptions.official_efficienttam())
    tracker.add_points("a", 6, box_xyxy=BOX_A)
    assert all(tracker.propagate(1))
    first_back = list(tracker.propagate(-1, stop=5))[1].objects["a"]
    # The key frame and frames 7 to 11: six memories and six pointers.
    assert first_back.attended == (6 * 16 + 6 * 4, 6 * 4)


def test_an_object_is_tracked_as_if_it_were_alone(model: Sam2) -> None:
    together, alone = toy_tracker(model), toy_tracker(model)
    together.add_points("a", 3, box_xyxy=BOX_A)
    together.add_points("b", 6, box_xyxy=BOX_B)
    alone.add_points("b", 6, box_xyxy=BOX_B)
    for direction in (1, -1):
        assert_same(logits_of(together.propagate(direction), "b"), logits_of(alone.propagate(direction), "b"))


def test_both_directions_cover_every_frame_of_every_object_once_more_than_the_key_frame(model: Sam2) -> None:
    tracker = toy_tracker(model, depth=10)
    tracker.add_points("a", 3, box_xyxy=BOX_A)
    tracker.add_points("b", 6, box_xyxy=BOX_B)
    seen: dict[str, list[int]] = {"a": [], "b": []}
    for direction in (1, -1):
        for tracked in tracker.propagate(direction):
            for name in tracked.objects:
                seen[name].append(tracked.index)
    assert sorted(seen["a"]) == [0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9]
    assert sorted(seen["b"]) == [0, 1, 2, 3, 4, 5, 6, 6, 7, 8, 9]


def test_an_object_is_found_where_only_another_object_was_prompted(model: Sam2) -> None:
    """The official merged predictor makes it empty there."""
    ours, official = toy_tracker(model), toy_tracker(model, options=TrackerOptions.official_medsam2())
    for tracker in (ours, official):
        tracker.add_points("a", 3, box_xyxy=BOX_A)
        tracker.add_points("b", 5, box_xyxy=BOX_B)
    found = {t.index: t.objects for t in ours.propagate(1)}
    assert found[5]["a"].mask.any()
    assert "b" not in found[3]
    empty = {t.index: t.objects for t in official.propagate(1)}
    assert not empty[5]["a"].mask.any()
    assert empty[5]["a"].object_score == 10.0
    assert not empty[3]["b"].mask.any()


def test_an_object_can_join_after_tracking(model: Sam2) -> None:
    tracker, fresh = toy_tracker(model), toy_tracker(model)
    tracker.add_points("a", 2, box_xyxy=BOX_A)
    assert all(tracker.propagate(1))
    for each in (tracker, fresh):
        each.add_points("b", 4, box_xyxy=BOX_B)
    assert_same(logits_of(tracker.propagate(1), "b"), logits_of(fresh.propagate(1), "b"))
    assert tracker.object_ids == ["a", "b"]


def test_a_mask_edited_on_a_tracked_frame_becomes_a_key_frame_and_stays_as_it_is(model: Sam2) -> None:
    tracker = toy_tracker(model)
    tracker.add_points("a", 2, box_xyxy=BOX_A)
    before = logits_of(tracker.propagate(1), "a")
    edited = tracker.add_mask("a", 7, a_disc())
    assert tracker.key_frames("a") == [2, 7]
    after = logits_of(tracker.propagate(1), "a")
    np.testing.assert_array_equal(after[7], edited.low_res_logits)
    np.testing.assert_array_equal(after[2], before[2])
    assert np.abs(after[8] - before[8]).max() > 1e-3
    assert np.abs(after[5] - before[5]).max() > 1e-3


def test_a_mask_prompt_comes_back_but_for_its_edge(model: Sam2) -> None:
    tracker = toy_tracker(model)
    answer = tracker.add_mask("a", 4, a_disc())
    different = np.logical_xor(answer.mask, a_disc()).sum()
    assert different <= 0.35 * a_disc().sum()
    assert answer.object_score == 10.0
    assert answer.iou == 1.0


def test_propagating_between_key_frames_computes_only_those(model: Sam2) -> None:
    tracker = toy_tracker(model, depth=12)
    tracker.add_points("a", 2, box_xyxy=BOX_A)
    tracker.add_mask("a", 9, a_disc())
    frames = list(tracker.propagate(1, start=2, stop=9))
    assert [t.index for t in frames if not t.objects["a"].prompted] == [3, 4, 5, 6, 7, 8]
    back = list(tracker.propagate(-1, start=9, stop=2))
    assert [t.index for t in back if not t.objects["a"].prompted] == [8, 7, 6, 5, 4, 3]


@pytest.mark.parametrize("frame", [2, 7])
def test_the_official_trackers_lose_what_ours_keeps(model: Sam2, frame: int) -> None:
    """A click on the key frame (2) is lost by both, one on a tracked frame (7) by EfficientTAM's."""
    ours = TrackerOptions()
    after = {}
    for name, options in (
        ("ours", ours),
        ("medsam2", TrackerOptions.official_medsam2()),
        ("efficienttam", TrackerOptions.official_efficienttam()),
    ):
        tracker = toy_tracker(model, options=options)
        tracker.add_points("a", 2, box_xyxy=BOX_A)
        first = logits_of(tracker.propagate(1), "a")
        answer = tracker.add_points("a", frame, [[30.0, 10.0]], [0], keep_earlier=False)
        second = logits_of(tracker.propagate(1), "a")
        kept = np.array_equal(second[frame], answer.low_res_logits)
        after[name] = "kept" if kept else "lost" if np.array_equal(first[frame], second[frame]) else "neither"
    assert after == {"ours": "kept", "medsam2": "lost" if frame == 2 else "kept", "efficienttam": "lost"}


def test_clicks_on_a_frame_add_up(model: Sam2) -> None:
    tracker, fresh = toy_tracker(model), toy_tracker(model)
    for each in (tracker, fresh):
        each.add_points("a", 1, [[14.0, 14.0]], [1])
    both = tracker.add_points("a", 1, [[40.0, 5.0]], [0])
    only = fresh.add_points("a", 1, [[40.0, 5.0]], [0], keep_earlier=False)
    assert (len(both.ious), len(only.ious)) == (1, 3)


def test_memory_does_not_grow_with_the_number_of_frames(model: Sam2) -> None:
    bounded = toy_tracker(model, depth=60, options=TrackerOptions(retained_frames=16))
    unbounded = toy_tracker(model, depth=60, options=TrackerOptions(retained_frames=None))
    runs = []
    for tracker in (bounded, unbounded):
        tracker.add_points("a", 0, box_xyxy=BOX_A)
        runs.append(logits_of(tracker.propagate(1), "a"))
    assert_same(*runs, atol=0)
    kept = [t for t in range(60) if bounded.remembered("a", t).memory is not None]
    assert kept == [0, *range(44, 60)]
    faded = bounded.remembered("a", 20).answer.low_res_logits
    assert faded.dtype == torch.float16
    np.testing.assert_allclose(faded[0, 0].float().numpy(), runs[0][20], atol=0.02)


def test_a_click_on_a_frame_whose_memory_has_faded_is_answered(model: Sam2) -> None:
    tracker = toy_tracker(model, depth=40, options=TrackerOptions(retained_frames=16))
    tracker.add_points("a", 0, box_xyxy=BOX_A)
    assert all(tracker.propagate(1))
    answer = tracker.add_points("a", 12, [[30.0, 10.0]], [0])
    assert answer.low_res_logits.dtype == np.float32
    # The key frame's memory and all fifteen pointers behind are there; the memories of frames 6 to 11 are not.
    assert answer.attended == (16 + 12 * 4, 12 * 4)


def test_stored_memory_is_rounded_to_bfloat16(model: Sam2) -> None:
    tracker = toy_tracker(model, depth=3)
    tracker.add_points("a", 0, box_xyxy=BOX_A)
    assert all(tracker.propagate(1))
    assert {tracker.remembered("a", t).memory.dtype for t in range(3)} == {torch.bfloat16}


def test_cancel_stops_before_the_next_frame(model: Sam2) -> None:
    tracker = toy_tracker(model)
    tracker.add_points("a", 0, box_xyxy=BOX_A)
    asked: list[int] = []
    results = tracker.propagate(1, cancel=lambda: asked.append(0) or len(asked) == 4)
    assert [next(results).index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(Cancelled):
        next(results)
    assert tracker.frames.encoder.encodes == 3


def test_a_stop_rule_ends_one_object_until_its_next_key_frame(model: Sam2) -> None:
    tracker = toy_tracker(model, depth=10)
    tracker.add_points("a", 1, box_xyxy=BOX_A)
    tracker.add_mask("a", 7, a_disc())
    tracker.add_points("b", 1, box_xyxy=BOX_B)
    count = {"a": 0, "b": 0}

    def over(object_id: str, result: object) -> bool:
        count[object_id] += 1
        return object_id == "a" and count["a"] == 3

    seen: dict[str, list[int]] = {"a": [], "b": []}
    for tracked in tracker.propagate(1, should_stop=over):
        for name in tracked.objects:
            seen[name].append(tracked.index)
    assert seen == {"a": [1, 2, 3, 7, 8, 9], "b": list(range(1, 10))}


def test_a_pass_ends_when_all_objects_have_ended(model: Sam2) -> None:
    tracker = toy_tracker(model, depth=10)
    tracker.add_points("a", 1, box_xyxy=BOX_A)
    assert [t.index for t in tracker.propagate(1, should_stop=lambda *_: True)] == [1]
    assert tracker.frames.encoder.encodes == 2


def test_the_consumer_of_results_is_not_in_inference_mode(model: Sam2) -> None:
    tracker = toy_tracker(model, depth=3)
    tracker.add_points("a", 0, box_xyxy=BOX_A)
    assert [torch.is_inference_mode_enabled() for _ in tracker.propagate(1)] == [False] * 3


def test_with_video_settings_objects_do_not_overlap(model: Sam2) -> None:
    masks = []
    for options in (TrackerOptions(), TrackerOptions().for_video()):
        tracker = toy_tracker(model, depth=4, options=options)
        tracker.add_points("a", 0, box_xyxy=BOX_A)
        tracker.add_points("b", 0, box_xyxy=(10, 10, 30, 30))
        masks.append(sum((t.objects["a"].mask & t.objects["b"].mask).sum() for t in tracker.propagate(1)))
    assert masks[0] > 0
    assert masks[1] == 0


def test_a_single_frame_can_be_corrected(model: Sam2) -> None:
    tracker = toy_tracker(model, depth=1)
    tracker.add_points("a", 0, box_xyxy=BOX_A)
    assert [t.index for t in tracker.propagate(1)] == [0]
    answer = tracker.add_points("a", 0, [[30.0, 10.0]], [0])
    assert np.isfinite(answer.low_res_logits).all()


def test_wrong_calls_are_refused_with_a_sentence(model: Sam2) -> None:
    tracker = toy_tracker(model, depth=5)
    with pytest.raises(PromptError, match="nothing to track"):
        next(tracker.propagate(1))
    for frame in (5, -1):
        with pytest.raises(PromptError, match="outside 0 to 4"):
            tracker.add_points("a", frame, box_xyxy=BOX_A)
    assert tracker.object_ids == []
    with pytest.raises(PromptError, match="neither"):
        tracker.add_points("a", 0)
    with pytest.raises(PromptError, match="1 points and 2 labels"):
        tracker.add_points("a", 0, [[1.0, 2.0]], [1, 0])
    with pytest.raises(PromptError, match="rows and columns"):
        tracker.add_mask("a", 0, np.ones((3, 3), bool))
    tracker.add_points("a", 0, box_xyxy=BOX_A)
    with pytest.raises(UsageError, match="direction"):
        next(tracker.propagate(2))
    for start in (9, 5, -1):
        with pytest.raises(UsageError, match=f"frame {start} is outside 0 to 4"):
            next(tracker.propagate(1, start=start))
    with pytest.raises(UsageError, match="no object 'z'"):
        tracker.key_frames("z")
    with pytest.raises(InputError):
        ToyFrames(model, 1).encoder.encode_frame(np.zeros((4, 4), np.float32))


def test_small_holes_are_filled_and_large_ones_stay() -> None:
    logits = torch.full((1, 1, 12, 12), 5.0)
    logits[0, 0, 2, 2:6] = -3.0
    logits[0, 0, 3, 6:10] = -3.0  # touches the corner of the first: eight pixels together
    logits[0, 0, 7:10, 7:10] = -3.0
    filled = fill_holes(logits, 8)
    assert torch.equal(filled[0, 0, 2, 2:6], torch.full((4,), HOLE_LOGIT))
    assert torch.equal(filled[0, 0, 3, 6:10], torch.full((4,), HOLE_LOGIT))
    assert (filled[0, 0, 7:10, 7:10] == -3.0).all()
    assert (filled == 5.0).sum() == (logits == 5.0).sum()


def test_without_overlap_only_the_highest_object_keeps_a_pixel() -> None:
    logits = torch.tensor([[3.0, 1.0, -20.0], [2.0, 4.0, -30.0]])[:, None, None]
    expected = torch.tensor([[3.0, -10.0, -20.0], [-10.0, 4.0, -30.0]])[:, None, None]
    assert torch.equal(without_overlap(logits), expected)


@pytest.mark.parametrize(
    ("direction", "stop", "route"),
    [
        (1, None, [1, 2, 3, 4]),
        (1, 3, [1, 2, 3]),
        (1, 9, [1, 2, 3, 4]),
        (1, 1, [1]),
        (1, 0, []),
        (-1, None, [3, 2, 1, 0]),
        (-1, 2, [3, 2]),
        (-1, -7, [3, 2, 1, 0]),
        (-1, 4, []),
    ],
)
def test_a_pass_goes_from_the_outermost_key_frame_to_where_it_stops(
    model: Sam2, direction: int, stop: int | None, route: list[int]
) -> None:
    tracker = toy_tracker(model, depth=5)
    assert list(tracker._route({"a": 1, "b": 3}, direction, stop)) == route


def test_a_pass_may_start_anywhere_and_has_no_object_before_its_first_frame(model: Sam2) -> None:
    tracker = toy_tracker(model, depth=5)
    tracker.add_points("a", 1, box_xyxy=BOX_A)
    assert [t.index for t in tracker.propagate(1, start=0)] == [1, 2, 3, 4]
    assert [t.index for t in tracker.propagate(1, start=4)] == [4]
    assert [t.index for t in tracker.propagate(-1, start=3)] == [1, 0]


def test_extents_bound_the_frames_of_each_object_and_name_those_to_track(model: Sam2) -> None:
    tracker = toy_tracker(model, depth=6)
    for name in ("a", "b", "c"):
        tracker.add_points(name, 1, box_xyxy=BOX_A)
    seen = {"a": [], "b": [], "c": []}  # type: dict[str, list[int]]
    for tracked in tracker.propagate(1, extents={"a": (1, 3), "b": (2, 4)}):
        for name in tracked.objects:
            seen[str(name)].append(tracked.index)
    assert seen == {"a": [1, 2, 3], "b": [2, 3, 4], "c": []}


def test_what_is_remembered_is_forgotten_at_a_reset(model: Sam2) -> None:
    tracker = toy_tracker(model, depth=3)
    tracker.add_points("a", 1, box_xyxy=BOX_A)
    assert tracker.remembered("a", 1) is not None
    assert tracker.remembered("a", 2) is None
    tracker.reset()
    assert tracker.object_ids == []


@pytest.mark.parametrize(
    ("frame", "direction", "stop", "ahead"),
    [(1, 1, None, True), (4, 1, None, False), (1, 1, 3, False), (1, 1, 4, True), (5, -1, 4, True), (5, -1, 5, False)],
)
def test_a_key_frame_ahead_keeps_a_pass_going_unless_it_stops_before(
    model: Sam2, frame: int, direction: int, stop: int | None, ahead: bool
) -> None:
    tracker = toy_tracker(model, depth=8)
    tracker.add_points("a", 4, box_xyxy=BOX_A)
    tracker._settle_pending()
    assert tracker._key_ahead(frame, direction, stop) is ahead


def test_an_absent_object_has_no_confidence(model: Sam2) -> None:
    tracker = toy_tracker(model, depth=1)
    answer = tracker.add_points("a", 0, box_xyxy=BOX_A)
    assert replace(answer, object_score=0.5).confidence == answer.iou
    assert replace(answer, object_score=0.0).confidence == 0.0


def test_a_mask_is_the_logits_at_the_size_of_the_frame(model: Sam2) -> None:
    tracker = toy_tracker(model, depth=1)
    answer = tracker.add_points("a", 0, box_xyxy=BOX_A)
    logits = torch.from_numpy(answer.low_res_logits)[None, None]
    full = torch.nn.functional.interpolate(logits, size=SHAPE, mode="bilinear", align_corners=False)
    assert np.array_equal(answer.mask, (full[0, 0] > 0).numpy())


def test_objects_are_kept_apart_on_the_device_that_they_are_on() -> None:
    """Torch's device without numbers stands in for a GPU."""
    assert without_overlap(torch.zeros(2, 1, 3, 4, device="meta")).device.type == "meta"
