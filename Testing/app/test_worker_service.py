"""The effect's service over a real worker process whose model is a stand-in."""

from __future__ import annotations

import gc
import json
import time
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from MedSAMSegmentLib.geometry import SlicePlane
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.ui.run.protocols import PropagateJob, RunOutcome, SessionTarget, SlicePreview
from MedSAMSegmentLib.ui.run.worker_service import WorkerService
from MedSAMSegmentLib.worker.client import WorkerClient
from MedSAMSegmentLib.worker.launch import worker_command
from MedSAMSegmentLib.worker.popen_transport import PopenTransport

STAND_IN = Path(__file__).resolve().parents[1] / "worker" / "stand_in_child.py"
PLANE = SlicePlane(0, 5)
BOX = Box(k=(5, 5), j=(4, 10), i=(6, 14))
WAIT = 60.0


class Asker:
    """Asks the service and waits for the answer."""

    def __init__(self) -> None:
        self.client = WorkerClient(partial(worker_command, script=STAND_IN), PopenTransport)
        self.service = WorkerService(self.client)

    def open(self, **changes: Any) -> None:
        volume = np.full((12, 20, 24), -5, np.int16)
        volume[3:9, 4:10, 6:14] = 100
        values = {"volume_id": "v", "volume_time": 1, "model": "any", "window": "none", "device": "cpu"}
        values |= {"modality": None, "spacing_zyx": (1.0, 1.0, 1.0), "read": lambda: volume}
        self.wait(lambda done, failed: self.service.open(SessionTarget(**(values | changes)), done, failed))

    def preview(self, plane: SlicePlane = PLANE, reading: int = 1) -> SlicePreview:
        """Ask for a slice; `looks` keeps the first look at it."""
        self.looks: list[SlicePreview] = []
        return self.wait(
            lambda done, failed: self.service.segment_slice(
                plane, [BOX], done, failed, reading=reading, on_first_look=self.looks.append
            )
        )

    def propagate(self, reading: int = 1) -> RunOutcome:
        job = PropagateJob("a", (BOX,), 0, (4, 7), reading=reading)
        nothing = lambda *_: None  # noqa: E731
        return self.wait(lambda done, failed: self.service.propagate(job, nothing, nothing, done, failed))

    def wait(self, ask: Any) -> Any:
        answers: list[Any] = []
        ask(answers.append, answers.append)
        pending = self.service._pending
        assert pending is not None
        self.client.wait(pending, WAIT)
        return answers[-1]


@pytest.fixture
def asker() -> Iterator[Asker]:
    found = Asker()
    yield found
    found.client.close()


@pytest.mark.parametrize("time_series", [False, True])
def test_the_target_says_whether_slices_are_frames_in_time(asker: Asker, time_series: bool) -> None:
    asker.open(time_series=time_series)
    # The stand-in tells its options as the description of the window.
    assert json.loads(asker.propagate().window)["time_series"] is time_series


def test_the_worker_is_asked_for_the_reading_that_is_wanted(asker: Asker) -> None:
    asker.open()
    assert [asker.preview(reading=n).two_readings for n in (1, 2)] == [False, True]
    assert [asker.propagate(n).result.slices[5].flags for n in (1, 2)] == [(), ("two-readings",)]


def test_the_first_look_at_the_first_slice_is_timed_and_nothing_after_it(asker: Asker) -> None:
    """It takes as long as any other slice, the answer of several views longer."""
    asker.open()
    answer = asker.preview()
    (look,) = asker.looks
    assert look.seconds is not None
    assert 0 < look.seconds < WAIT
    assert answer.seconds is None
    assert asker.preview().seconds is asker.looks[0].seconds is None
    outcome = asker.propagate()
    assert (outcome.seconds, outcome.encodes) == (0.5, 3)
    assert asker.preview(SlicePlane(0, 8)).seconds is None
    asker.open(volume_time=2)
    asker.preview()
    assert asker.looks[0].seconds is not None


def test_preparing_starts_the_worker_that_then_serves(asker: Asker) -> None:
    asker.service.prepare()
    asker.service.prepare()
    until = time.monotonic() + WAIT
    while "pid" not in asker.client.worker and time.monotonic() < until:
        asker.client.poll()
        time.sleep(0.01)
    process = asker.client.worker["pid"]
    asker.open()
    assert asker.preview().mask.any()
    assert (asker.client.worker["pid"], asker.client.generation) == (process, 1)


def test_a_model_is_loaded_once_for_each_worker_and_again_for_the_next(asker: Asker) -> None:
    for _ in range(3):
        asker.service.prepare("any", "cpu")
    assert [vars(pending.request) for pending in asker.client._pending.values()] == [
        {"model": "any", "options": {"device": "cpu"}}
    ]
    asker.open()
    assert not asker.client.busy
    psutil.Process(asker.client.worker["pid"]).kill()
    while asker.client.running:
        asker.client.poll()
    asker.service.prepare("any", "cpu")
    assert asker.client.busy
    asker.open()
    assert asker.preview().mask.any()


def test_preparing_without_an_interpreter_says_nothing_until_there_is_a_request(tmp_path: Path) -> None:
    service = WorkerService(WorkerClient(partial(worker_command, tmp_path / "python"), PopenTransport))
    service.prepare()
    assert not service.client.running


def test_a_closed_volume_is_freed_here_and_there(asker: Asker) -> None:
    volumes = [np.zeros((4, 8, 8), np.int16)]
    kept = weakref.ref(volumes[0])
    asker.open(read=volumes.pop)
    asker.service.close_volume()
    closing = next(iter(asker.client._pending.values()))
    asker.client.wait(closing, WAIT)
    assert closing.error is None, "the worker knew the volume and closed it"
    gc.collect()
    assert kept() is None
    asker.open()
    assert asker.preview().mask.any()
