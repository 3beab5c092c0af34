"""The life of a request, with a worker that answers when the test says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from MedSAMSegmentLib.errors import Cancelled, MedSAMError, WorkerError
from MedSAMSegmentLib.geometry import SlicePlane
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.results import ObjectResult, PackedMask
from MedSAMSegmentLib.ui.run.protocols import PropagateJob, RunOutcome, SessionInfo, SessionTarget, SlicePreview
from MedSAMSegmentLib.ui.run.request import RequestScheduler, RunState

SHAPE = (5, 8, 9)
BOX = Box(k=(2, 2), j=(1, 5), i=(1, 6))
PLANE = SlicePlane(0, 2)


@dataclass
class HeldService:
    """Keeps each request; the test answers it."""

    requests: list[tuple[str, Any]] = field(default_factory=list)
    done: Callable[..., None] | None = None
    failed: Callable[[MedSAMError], None] | None = None
    on_slice: Callable[..., None] | None = None
    cancels: int = 0
    ended: bool = False
    refuse: MedSAMError | None = None

    def open(self, target, done, failed):
        self._take("open", target, done, failed)

    def segment_slice(self, plane, prompts, done, failed, *, reading, on_first_look):
        self.on_slice = on_first_look
        self._take("slice", (plane, prompts, reading), done, failed)

    def propagate(self, job, on_slice, on_progress, done, failed):
        self.on_slice = on_slice
        self._take("propagate", job, done, failed)

    def cancel(self):
        self.cancels += 1

    def close_volume(self):
        self.requests.append(("close", None))

    def shutdown(self):
        self.ended = True

    def _take(self, name, what, done, failed):
        if self.refuse is not None:
            raise self.refuse
        self.requests.append((name, what))
        self.done, self.failed = done, failed

    @property
    def names(self):
        return [name for name, _ in self.requests]


class Journal:
    def __init__(self):
        self.lines: list[tuple[str, Any]] = []

    def run_state_changed(self): ...

    def session_opened(self, info):
        self.lines.append(("opened", info))

    def first_look_ready(self, preview):
        self.lines.append(("look", preview.plane.index))

    def preview_ready(self, preview):
        self.lines.append(("preview", preview))

    def run_progressed(self, done, total):
        self.lines.append(("progress", (done, total)))

    def slice_ready(self, preview):
        self.lines.append(("slice", preview.plane.index))

    def run_finished(self, job, result):
        self.lines.append(("finished", job.name))

    def run_failed(self, job, error, partial):
        self.lines.append(("failed", (job.name if job else None, error, partial)))

    @property
    def names(self):
        return [name for name, _ in self.lines]


@pytest.fixture
def service():
    return HeldService()


@pytest.fixture
def journal():
    return Journal()


@pytest.fixture
def run(service, journal):
    return RequestScheduler(service, journal)


def target(**changes):
    values = {
        "volume_id": "v1",
        "volume_time": 1,
        "model": "lite_medsam",
        "window": "auto",
        "device": "auto",
        "modality": None,
        "spacing_zyx": (1.0, 1.0, 1.0),
        "read": lambda: np.zeros(SHAPE, np.int16),
    }
    return SessionTarget(**(values | changes))


JOB = PropagateJob("Lesion_1", (BOX,), axis=0)


def a_preview(index=2):
    return SlicePreview(SlicePlane(0, index), np.ones(SHAPE[1:], bool), 0.9)


def a_result():
    return RunOutcome(ObjectResult("Lesion_1", PackedMask(SHAPE, 0)))


def test_the_session_is_opened_once_and_then_only_prompts_travel(run, service, journal):
    run.preview(target(), PLANE, [BOX])
    service.done(SessionInfo())
    service.done(a_preview())
    run.preview(target(), PLANE, [BOX])
    service.done(a_preview())
    assert service.names == ["open", "slice", "slice"]
    assert journal.names == ["opened", "preview", "preview"]
    assert run.state is RunState.IDLE


def test_another_model_opens_a_new_session(run, service):
    run.preview(target(), PLANE, [BOX])
    service.done(SessionInfo())
    service.done(a_preview())
    run.preview(target(model="medsam2"), PLANE, [BOX])
    assert service.names == ["open", "slice", "open"]


def test_a_target_that_changes_while_the_session_opens_is_opened_too(run, service):
    run.preview(target(), PLANE, [BOX])
    run.preview(target(volume_time=2), PLANE, [BOX])
    service.done(SessionInfo())
    assert service.names == ["open", "open"]


def test_of_many_previews_only_the_newest_waiting_one_runs(run, service, journal):
    for index in (1, 2, 3):
        run.preview(target(), SlicePlane(0, index), [BOX])
    service.done(SessionInfo())
    service.done(a_preview(3))
    assert [what[0].index for name, what in service.requests if name == "slice"] == [3]
    assert journal.names == ["opened", "preview"]


def test_a_preview_is_asked_for_in_the_reading_that_is_wanted(run, service):
    run.preview(target(), PLANE, [BOX], reading=2)
    service.done(SessionInfo())
    assert [what[2] for name, what in service.requests if name == "slice"] == [2]


def test_propagate_waits_for_the_preview_and_a_second_one_is_refused(run, service, journal):
    run.preview(target(), PLANE, [BOX])
    service.done(SessionInfo())
    assert run.propagate(target(), JOB, SHAPE)
    assert not run.propagate(target(), JOB, SHAPE)
    assert not run.preview(target(), PLANE, [BOX])
    service.done(a_preview())
    assert service.names == ["open", "slice", "propagate"]
    service.done(a_result())
    assert journal.names == ["opened", "preview", "finished"]
    assert run.propagate(target(), JOB, SHAPE)


def start_propagation(run, service):
    run.propagate(target(), JOB, SHAPE)
    service.done(SessionInfo())


def test_cancel_reports_cancelled_with_the_slices_done(run, service, journal):
    start_propagation(run, service)
    service.on_slice(a_preview(2))
    run.cancel()
    assert service.cancels == 1
    assert run.state is RunState.CANCELLING
    service.failed(Cancelled())
    name, error, partial = journal.lines[-1][1]
    assert name == "Lesion_1"
    assert isinstance(error, Cancelled)
    assert partial.packed.slices == [2]
    assert run.state is RunState.IDLE


def test_a_result_that_crosses_the_cancel_is_not_delivered(run, service, journal):
    start_propagation(run, service)
    run.cancel()
    service.done(a_result())
    assert journal.names == ["opened", "failed"]
    assert isinstance(journal.lines[-1][1][1], Cancelled)


def test_cancel_while_the_volume_travels_cancels_the_propagation(run, service, journal):
    run.propagate(target(), JOB, SHAPE)
    run.cancel()
    service.done(SessionInfo())
    assert service.names == ["open"]
    assert journal.lines[-1][1][0] == "Lesion_1"
    assert not run.busy


def test_a_worker_killed_to_cancel_still_reads_as_cancelled(run, service, journal):
    start_propagation(run, service)
    run.cancel()
    service.failed(WorkerError("The worker ended."))
    assert isinstance(journal.lines[-1][1][1], Cancelled)
    run.preview(target(), PLANE, [BOX])
    assert service.names[-1] == "open"


def test_an_abandoned_run_says_nothing_and_the_next_request_waits_for_its_end(run, service, journal):
    start_propagation(run, service)
    run.abandon()
    service.on_slice(a_preview())
    assert run.preview(target(), PLANE, [BOX])
    assert service.names == ["open", "propagate"]
    service.failed(Cancelled())
    assert service.names == ["open", "propagate", "slice"]
    assert journal.names == ["opened"]


def test_a_dead_worker_is_a_failure_and_the_next_request_opens_again(run, service, journal):
    start_propagation(run, service)
    service.failed(WorkerError("The worker ended.", "Try again."))
    assert isinstance(journal.lines[-1][1][1], WorkerError)
    start_propagation(run, service)
    assert service.names == ["open", "propagate", "open", "propagate"]


def test_a_failure_to_open_names_the_job(run, service, journal):
    run.propagate(target(), JOB, SHAPE)
    service.failed(MedSAMError("No model."))
    assert journal.lines == [("failed", ("Lesion_1", journal.lines[0][1][1], None))]
    assert not run.busy


def test_a_request_that_cannot_be_sent_fails_like_any_other(run, service, journal):
    service.refuse = WorkerError("The interpreter does not exist.")
    run.propagate(target(), JOB, SHAPE)
    assert journal.names == ["failed"]
    assert not run.busy


def test_nothing_is_delivered_after_shutdown(run, service, journal):
    start_propagation(run, service)
    run.shutdown()
    service.done(a_result())
    assert service.ended
    assert journal.names == ["opened"]
    assert run.state is RunState.IDLE


def test_a_first_look_is_told_until_the_preview_is_cancelled(run, service, journal):
    run.preview(target(), PLANE, [BOX])
    service.done(SessionInfo("cpu"))
    service.on_slice(a_preview(2))
    assert journal.names == ["opened", "look"]
    run.cancel()
    service.on_slice(a_preview(2))
    assert journal.names == ["opened", "look"], "nothing of a request that was taken back"
