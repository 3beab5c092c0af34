"""What the worker does while nobody asks for anything: it encodes the slices around the last preview."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from MedSAMSegmentLib.intensity import to_uint8
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.results import SliceResult
from MedSAMSegmentLib.worker import session_host
from MedSAMSegmentLib.worker.client import WorkerClient
from MedSAMSegmentLib.worker.prefetch import SLICES, PrefetchQueue, outwards
from MedSAMSegmentLib.worker.protocol import OpenVolume, SegmentSlice, VolumePart
from MedSAMSegmentLib.worker.remote_volume import RemoteVolume
from MedSAMSegmentLib.worker.session_host import SessionHost

StartClient = Callable[..., WorkerClient]
WAIT = 60.0
BOX = Box(i=(5, 14), j=(3, 11), k=(5, 5))


def ahead(client: WorkerClient) -> list[tuple[int, int]]:
    """Axis and index of what the stand-in encoded without being asked."""
    words = [line.split() for line in client.error_text.splitlines() if line.startswith("ahead ")]
    return [(int(axis), int(index)) for _, axis, index in words]


def wait_for(client: WorkerClient, condition: Callable[[], bool], seconds: float = WAIT) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, client.error_text
        client.poll()
        time.sleep(0.01)


def test_neighbours_come_outwards_and_end_with_the_volume() -> None:
    assert list(outwards(2, 5)) == [3, 1, 4, 0]
    assert list(outwards(0, 3)) == [1, 2]
    assert list(outwards(0, 1)) == []
    assert list(islice(outwards(500, 10**9), 3)) == [501, 499, 502]


def test_nothing_is_planned_for_a_model_that_takes_long() -> None:
    plan = PrefetchQueue()
    plan.plan(1, 0, 5, 12, seconds=10.0)
    assert not plan
    plan.plan(1, 0, 5, 12, seconds=0.1)
    assert not plan, "the slice was encoded before; its neighbours are not"
    plan.plan(2, 0, 5, 12, seconds=0.1)
    assert plan


class TimedSession:
    """Looks at a slice in some views, and takes its time for each."""

    device = "cpu"
    shape_zyx = (12, 5, 6)

    def __init__(self, views: int, seconds: float, now: list[float]) -> None:
        self.volume = to_uint8(np.zeros(self.shape_zyx, np.uint8))
        self.counters = SimpleNamespace(encodes=7)
        self._views, self._seconds, self._now = views, seconds, now

    def segment_slice(
        self, axis: int, index: int, prompts: Any, *, reading: int, on_first_look: Any, cancel: Any
    ) -> SliceResult:
        self.counters.encodes += self._views
        self._now[0] += self._seconds
        return SliceResult(0, axis, index, np.zeros((5, 6), bool), 0.9)


@pytest.mark.parametrize(
    ("views", "seconds", "ahead_of_requests"),
    [(2, 3.0, True), (2, 5.0, False), (1, 1.0, True), (1, 3.0, False), (0, 3.0, False)],
)
def test_patience_counts_the_seconds_of_one_view(
    monkeypatch: pytest.MonkeyPatch, views: int, seconds: float, ahead_of_requests: bool
) -> None:
    now = [100.0]
    monkeypatch.setattr(session_host.time, "monotonic", lambda: now[0])
    host = SessionHost(lambda *_: TimedSession(views, seconds, now))  # type: ignore[arg-type, return-value]
    host.receive(VolumePart(1, TimedSession.shape_zyx, (0, 0, 0), np.zeros(TimedSession.shape_zyx, np.uint8)))
    host.answer(OpenVolume(1, "any", TimedSession.shape_zyx, "uint8"), lambda *_: None, lambda: False)
    host.answer(SegmentSlice(1, 0, 5, [BOX]), lambda *_: None, lambda: False)
    assert host.has_idle_work is ahead_of_requests


def test_after_a_preview_its_neighbours_are_encoded_nearest_first(start_client: StartClient, a_volume: NDArray) -> None:
    client = start_client()
    client.wait(RemoteVolume(client, "any", a_volume).segment_slice(0, 5, BOX), WAIT)
    wait_for(client, lambda: len(ahead(client)) >= SLICES)
    assert ahead(client) == [(0, n) for n in (6, 4, 7, 3, 8, 2, 9, 1)]


def test_a_request_comes_before_the_work_ahead(start_client: StartClient, a_volume: NDArray) -> None:
    client = start_client("slow-ahead")
    volume = RemoteVolume(client, "any", a_volume)
    client.wait(volume.segment_slice(0, 5, BOX), WAIT)
    wait_for(client, lambda: len(ahead(client)) >= 1)
    client.wait(volume.propagate([BOX], slice_range=(5, 6)), WAIT)
    client.wait(volume.propagate([BOX], slice_range=(5, 6)), WAIT)
    assert len(ahead(client)) <= 3, "a run ends the work ahead"


def test_a_failure_ahead_is_kept_for_the_log_and_the_next_request_is_answered(
    start_client: StartClient, a_volume: NDArray
) -> None:
    client = start_client("ahead-fails")
    volume = RemoteVolume(client, "any", a_volume)
    client.wait(volume.segment_slice(0, 5, BOX), WAIT)
    wait_for(client, lambda: "no kernel for this" in client.error_text)
    assert client.wait(volume.segment_slice(0, 6, BOX), WAIT).index == 6
    assert client.generation == 1


@pytest.mark.parametrize("then", ["close", "propagate"])
def test_what_was_planned_is_forgotten_when_something_else_is_asked_for(
    start_client: StartClient, a_volume: NDArray, then: str
) -> None:
    client = start_client()
    volume: Any = RemoteVolume(client, "any", a_volume)
    client.wait(volume.segment_slice(0, 5, BOX), WAIT)
    if then == "close":
        volume.close()
        client.wait(RemoteVolume(client, "any", a_volume).open(), WAIT)
    else:
        client.wait(volume.propagate([BOX], slice_range=(5, 6)), WAIT)
    before = ahead(client)
    time.sleep(0.8)
    client.poll()
    assert ahead(client) == before
