"""What is said of a run before it starts: slices at most, time as measured, memory that is short."""

from __future__ import annotations

import numpy as np
import pytest

from MedSAMSegmentLib.geometry import SlicePlane, VolumeGeometry
from MedSAMSegmentLib.inference.plan import PlanSettings, plan_objects
from MedSAMSegmentLib.prompts import Box, Point
from MedSAMSegmentLib.registry import get
from MedSAMSegmentLib.results import ObjectResult, PackedMask, SliceScore
from MedSAMSegmentLib.ui.objects.queue import QueuedObject, Written
from MedSAMSegmentLib.ui.objects.settings import EffectSettings
from MedSAMSegmentLib.ui.run.estimate import PerSlice, RunEstimate, Throughput, model_bytes, part_bytes, slices_at_most
from MedSAMSegmentLib.ui.run.protocols import RunOutcome, SessionTarget, SlicePreview
from MedSAMSegmentLib.ui.run.worker_service import PreviewTimer
from MedSAMSegmentLib.ui.scene.editor_scene import SceneVolume

SHAPE = (40, 60, 50)
ROI = Box(k=(10, 19), j=(5, 30), i=(5, 30))
GIGABYTE = 10**9


def an_object(*slices: int) -> QueuedObject:
    item = QueuedObject("Lesion_1")
    for k in slices:
        item.prompts.add(SlicePlane(0, k), Box(k=(k, k), j=(5, 30), i=(5, 30)))
    return item


def a_target(model: str = "lite_medsam", device: str = "auto", part: tuple[int, int, int] | None = None):
    return SessionTarget("v1", 7, model, "auto", device, None, (1.0, 1.0, 1.0), lambda: np.zeros(SHAPE), part)


def an_outcome(slices: int, seconds: float, encodes: int) -> RunOutcome:
    result = ObjectResult("a", PackedMask(SHAPE, 0), {n: SliceScore(0.9, 5) for n in range(slices)})
    return RunOutcome(result, seconds, encodes=encodes)


# --- slices --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "keys", "count"),
    [
        ({}, (8,), 40),
        ({"direction": "up"}, (8,), 32),
        ({"direction": "down"}, (8,), 9),
        ({"direction": "up"}, (8, 12), 32),
        ({"range_rule": "slices", "first": 30, "last": 4}, (8,), 27),
        ({"range_rule": "slices", "first": 4, "last": 90}, (8,), 36),
        ({"range_rule": "slices", "first": 20, "last": 25}, (8,), 0),
        ({"range_rule": "roi"}, (12,), 10),
        ({"range_rule": "roi", "direction": "down"}, (12,), 3),
    ],
)
def test_the_most_slices_follow_from_range_direction_and_prompts(settings, keys, count):
    assert slices_at_most(an_object(*keys), EffectSettings(**settings), ROI, SHAPE) == count


def test_the_count_is_what_the_session_plans():
    geometry = VolumeGeometry.from_spacing(SHAPE, (1.0, 1.0, 1.0))
    for direction in ("both", "up", "down"):
        item, settings = an_object(8), EffectSettings(range_rule="slices", first=3, last=22, direction=direction)
        plan_settings = PlanSettings(geometry, 0, settings.slice_range, direction=direction)
        (plan,) = plan_objects([item.prompts.all()], plan_settings)
        assert slices_at_most(item, settings, None, SHAPE) == plan.last - plan.first + 1


def test_an_object_of_the_roi_alone_takes_the_slices_of_the_roi():
    item = QueuedObject("a")
    item.prompts.roi = ROI
    assert slices_at_most(item, EffectSettings(), None, SHAPE) == 10


def test_a_corrected_object_may_begin_anywhere_in_its_range():
    item = an_object(8)
    item.segment_id = "Segment_1"
    item.written = Written(PackedMask(SHAPE, 0), ())
    assert slices_at_most(item, EffectSettings(direction="up"), None, SHAPE) == 40


def test_a_sagittal_object_counts_columns():
    item = QueuedObject("a")
    item.prompts.add(SlicePlane(2, 20), Point(20, 9, 9))
    assert slices_at_most(item, EffectSettings(), None, SHAPE) == 50


# --- time ----------------------------------------------------------------------------------------------------------


def test_nothing_is_known_before_something_was_measured():
    assert Throughput().per_slice("lite_medsam", "auto") is None


def test_a_run_says_more_than_a_preview_and_each_model_and_device_has_its_own():
    pace = Throughput()
    pace.note_preview(a_target(), SlicePreview(SlicePlane(0, 1), np.ones((2, 2), bool), 0.9, 3.0))
    assert pace.per_slice("lite_medsam", "auto") == PerSlice(3.0, whole=False)
    pace.note_run(a_target(), an_outcome(10, 20.0, 9))
    assert pace.per_slice("lite_medsam", "auto") == PerSlice(2.0, whole=True)
    assert pace.per_slice("lite_medsam", "cpu") is None
    assert pace.per_slice("medsam2", "auto") is None


def test_what_was_encoded_before_measures_nothing():
    pace = Throughput()
    pace.note_preview(a_target(), SlicePreview(SlicePlane(0, 1), np.ones((2, 2), bool), 0.9, None))
    pace.note_run(a_target(), an_outcome(10, 1.0, 2))
    pace.note_run(a_target(), an_outcome(0, 1.0, 0))
    assert pace.per_slice("lite_medsam", "auto") is None


def test_the_first_preview_is_timed_from_the_image_on():
    now = [0.0]
    timer = PreviewTimer(lambda: now[0])
    timer.asked()
    now[0] = 20.0
    timer.opened()
    now[0] = 23.0
    assert timer.answered() == 3.0, "loading the model is no slice"
    timer.asked()
    assert timer.answered() is None, "the slice may be encoded by now"
    timer.opened()
    timer.asked()
    now[0] = 27.0
    assert timer.answered() == 4.0
    timer.opened()
    timer.passed()
    assert timer.answered() is None


def test_durations_are_as_exact_as_they_deserve(application):
    from MedSAMSegmentLib.ui.widgets.messages import duration_text

    assert [duration_text(s) for s in (0.2, 45.4, 300, 7300)] == ["1 s", "45 s", "5 min", "2 h"]


# --- memory --------------------------------------------------------------------------------------------------------


def test_only_the_part_that_is_sent_counts():
    whole = part_bytes(2000, 1000, None, (10, 10, 10))
    assert whole == 2 * 2000 + 1000
    assert part_bytes(2000, 1000, (0, 2, 4), (10, 10, 10)) == 0.3 * whole
    assert part_bytes(2000, 1000, (1, -5, 90), (10, 10, 10)) == whole


def test_a_model_that_is_loaded_needs_no_room_for_its_weights():
    entry = get("medsam2")
    weights = 2 * entry.expected_bytes
    assert model_bytes(entry, "auto", loaded=False) == 1500 * 10**6
    assert model_bytes(entry, "cpu float32, torch", loaded=True) == 1500 * 10**6 - weights
    assert model_bytes(entry, "cuda", loaded=False) == weights
    assert model_bytes(entry, "cuda bfloat16, torch", loaded=True) == 0


class Scene:
    def roi_box(self, geometry):
        return None


def a_volume() -> SceneVolume:
    geometry = VolumeGeometry.from_spacing(SHAPE, (1.0, 1.0, 1.0))
    return SceneVolume("v1", 7, geometry, None, None, lambda: np.zeros(SHAPE, np.int16))


@pytest.fixture
def make_estimator(application):
    from MedSAMSegmentLib.ui.run.estimate import RunEstimator

    return RunEstimator


def test_the_estimator_adds_objects_and_takes_the_volume_once(make_estimator):
    estimator = make_estimator(Scene(), memory=lambda: GIGABYTE)
    estimate = estimator.of([an_object(8), an_object(20)], a_volume(), EffectSettings(), None)
    assert estimate.slices == 80
    assert estimate.seconds is None
    assert estimate.needed_bytes == 800 * 10**6 + 5 * 40 * 60 * 50
    assert not estimate.memory_is_short
    opened = estimator.of([an_object(8)], a_volume(), EffectSettings(), a_target())
    assert opened.needed_bytes == 800 * 10**6 - 2 * get("lite_medsam").expected_bytes


def test_a_preview_is_a_lower_bound_for_a_model_with_a_memory(make_estimator):
    from MedSAMSegmentLib.ui.widgets.messages import estimate_html

    estimator = make_estimator(Scene(), memory=lambda: GIGABYTE)
    preview = SlicePreview(SlicePlane(0, 8), np.ones((2, 2), bool), 0.9, 2.0)
    for model, words in (("medsam2", "At most 40 slice(s), 80 s or more."), ("lite_medsam", "40 slice(s), 80 s.")):
        estimator.throughput.note_preview(a_target(model), preview)
        assert words in estimate_html(estimator.of([an_object(8)], a_volume(), EffectSettings(model=model), None))


def test_what_the_run_itself_will_refuse_has_no_estimate(make_estimator):
    estimator = make_estimator(Scene(), memory=lambda: None)
    beside = EffectSettings(range_rule="slices", first=20, last=25)
    assert estimator.of([an_object(8)], a_volume(), beside, None) is None
    assert estimator.of([an_object(8)], a_volume(), EffectSettings(model="no_such_model"), None) is None


def test_short_memory_is_one_sentence_with_what_to_do(application):
    from MedSAMSegmentLib.ui.widgets.messages import estimate_html

    short = RunEstimate(3, "LiteMedSAM", 2 * GIGABYTE, GIGABYTE)
    assert estimate_html(short) == (
        "At most 3 slice(s). <b>1.0 GB of memory are free, LiteMedSAM with these slices needs 2.0 GB: "
        "choose fewer, or another model.</b>"
    )
    assert estimate_html(RunEstimate(3, "LiteMedSAM", 2 * GIGABYTE, None)) == "At most 3 slice(s)."
