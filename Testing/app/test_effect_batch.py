"""Many objects one after the other: what a failure means for the others, in which order they run, and within which
limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from MedSAMSegmentLib.errors import Cancelled, InputError, MedSAMError, PromptError, WorkerError
from MedSAMSegmentLib.geometry import SlicePlane, VolumeGeometry
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.results import PackedMask
from MedSAMSegmentLib.ui.objects.queue import ObjectState, QueuedObject, Written
from MedSAMSegmentLib.ui.objects.settings import EffectSettings
from MedSAMSegmentLib.ui.run.batch import Batch, BatchSummary
from MedSAMSegmentLib.ui.run.planning import PlannedRun, by_window, plan_run
from MedSAMSegmentLib.ui.run.protocols import PropagateJob, SessionTarget
from MedSAMSegmentLib.ui.scene.editor_scene import SceneVolume

SHAPE = (9, 6, 6)
BOX = Box(k=(4, 4), j=(2, 3), i=(2, 3))


def a_volume() -> SceneVolume:
    geometry = VolumeGeometry.from_spacing(SHAPE)
    return SceneVolume("v1", 7, geometry, "CT", None, lambda: np.zeros(SHAPE, np.int16))


def an_object(name: str, window: str = "") -> QueuedObject:
    item = QueuedObject(name, window=window)
    item.prompts.start(SlicePlane(0, 4), BOX)
    if window:
        item.written = Written(PackedMask(SHAPE, 0), ())
    return item


class Segments:
    """A scene that holds one segment; nothing is written to it."""

    def __init__(self, mask: PackedMask | None = None) -> None:
        self._mask = mask

    def segment_mask(self, segment_id: str, geometry: VolumeGeometry, axis: int) -> PackedMask:
        assert self._mask is not None
        return self._mask.across(axis)


def planned(item: QueuedObject) -> PlannedRun:
    return PlannedRun(item, PropagateJob(item.name, (BOX,), 0), frozenset(), (BOX,))


class Run:
    """A batch of rows that is told what comes of each."""

    def __init__(self, rows: Sequence[QueuedObject], plan: Callable[[QueuedObject], PlannedRun] = planned) -> None:
        self.sent: list[str] = []
        self.summary: BatchSummary | None = None
        self.batch = Batch(
            rows,
            a_volume(),
            Segments(),  # type: ignore[arg-type]
            sequence=rows,
            planned=plan,
            send=self._send,
            ended=self._ended,
            later=lambda function: function(),
        )
        self.batch.advance()

    def _send(self, run: PlannedRun) -> bool:
        self.sent.append(run.item.name)
        return True

    def _ended(self, summary: BatchSummary) -> None:
        assert self.summary is None, "a batch ends once"
        self.summary = summary


def test_an_object_with_a_prompt_of_no_use_does_not_keep_the_others_from_running() -> None:
    rows = [an_object("first"), an_object("second")]
    run = Run(rows)
    error = PromptError("The box is empty.", "Draw another.")
    run.batch.failed(error, None)
    assert run.sent == ["first", "second"]
    assert (rows[0].state, rows[0].fruitless, rows[0].message) == (ObjectState.FAILED, True, str(error))
    assert rows[1].state is ObjectState.RUNNING
    assert run.summary is None


@pytest.mark.parametrize("error", [WorkerError("It died.", "Run again."), InputError("No.", "Yes."), Cancelled()])
def test_what_would_fail_them_all_ends_the_batch_and_may_be_tried_again(error: MedSAMError) -> None:
    rows = [an_object("first"), an_object("second")]
    run = Run(rows)
    run.batch.failed(error, None)
    assert run.sent == ["first"]
    assert rows[0].state is (ObjectState.CANCELLED if isinstance(error, Cancelled) else ObjectState.FAILED)
    assert not rows[0].fruitless
    assert rows[1].state is ObjectState.WAITING
    assert run.summary is not None
    assert run.summary.error is error
    assert run.summary.total == 2
    assert run.summary.written == []


def test_an_object_that_cannot_be_planned_is_passed_over() -> None:
    rows = [an_object("first"), an_object("second")]

    def plan(item: QueuedObject) -> PlannedRun:
        if item.name == "first":
            raise PromptError("first has no prompt.", "Draw a box.")
        return planned(item)

    run = Run(rows, plan)
    assert run.sent == ["second"]
    assert (rows[0].state, rows[0].fruitless) == (ObjectState.FAILED, True)
    assert run.batch.position == 2


# --- planning ------------------------------------------------------------------------------------------------------


def corrected(*erased: int) -> tuple[QueuedObject, Segments]:
    """An object that was found on the slices 1 to 7, some of which the user erased."""
    found = np.zeros(SHAPE, bool)
    found[1:8, 2:4, 2:4] = True
    now = found.copy()
    now[list(erased)] = False
    item = an_object("first")
    item.segment_id = "s1"
    item.written = Written(PackedMask.of(found, 0), (BOX,))
    return item, Segments(PackedMask.of(now, 0))


@pytest.mark.parametrize(
    ("erased", "asked", "limits"),
    [
        ((2, 6), (0, 8), (3, 5)),
        ((2, 6), (4, 8), (4, 5)),
        ((2,), (1, 4), (3, 4)),
        ((), (2, 20), (2, 8)),
        ((), (-3, 5), (0, 5)),
    ],
)
def test_erased_slices_limit_a_run_as_the_range_does(
    erased: tuple[int, ...], asked: tuple[int, int], limits: tuple[int, int]
) -> None:
    item, scene = corrected(*erased)
    settings = EffectSettings(range_rule="slices", first=asked[0], last=asked[1])
    run = plan_run(item, settings, scene, a_volume(), None)  # type: ignore[arg-type]
    assert run.job.slice_range == limits
    assert run.locked == set(erased)
    assert not run.job.stop_early


def test_without_a_range_erased_slices_alone_limit_a_run() -> None:
    item, scene = corrected(6)
    run = plan_run(item, EffectSettings(), scene, a_volume(), None)  # type: ignore[arg-type]
    assert run.job.slice_range == (0, 5)
    assert run.job.stop_early
    item, scene = corrected()
    assert plan_run(item, EffectSettings(), scene, a_volume(), None).job.slice_range is None  # type: ignore[arg-type]


def test_a_range_that_erased_slices_leave_nothing_of_is_refused() -> None:
    item, scene = corrected(2)
    settings = EffectSettings(range_rule="slices", first=0, last=2)
    with pytest.raises(PromptError, match="0 to 2 holds no slice"):
        plan_run(item, settings, scene, a_volume(), None)  # type: ignore[arg-type]


def a_target(window: Any) -> SessionTarget:
    return SessionTarget("v1", 7, "lite_medsam", window, "auto", "CT", (1.0, 1.0, 1.0), lambda: np.zeros(SHAPE))


@pytest.mark.parametrize(
    ("opened", "order"),
    [
        (None, "ACBD"),
        ("ct-lung", "BDAC"),
        ("ct-abdomen", "ACBD"),
        ("ct-brain", "ACBD"),
        ((-160.0, 240.0), "ACBD"),
    ],
)
def test_objects_of_one_window_run_together_and_those_of_the_open_one_first(opened: Any, order: str) -> None:
    windows = ["ct-abdomen", "ct-lung", "ct-abdomen", "ct-lung"]
    rows = [an_object(name, window) for name, window in zip("ABCD", windows, strict=True)]
    target = a_target(opened) if opened is not None else None
    assert "".join(row.name for row in by_window(rows, a_volume(), EffectSettings(), target)) == order


def test_with_a_window_of_the_users_choice_the_order_stays() -> None:
    rows = [an_object(name, window) for name, window in zip("AB", ["ct-abdomen", "ct-lung"], strict=True)]
    settings = EffectSettings(intensity="ct-bone")
    assert by_window(rows, a_volume(), settings, a_target("ct-lung")) == rows
