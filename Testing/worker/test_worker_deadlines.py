"""When the client asks a worker to stop, and when it ends it: by a worker that says what the test wants, when it wants.

A real worker answers a cancelled request within moments, so that which answer came first would be chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from MedSAMSegmentLib.errors import Cancelled, WorkerError
from MedSAMSegmentLib.worker.client import WorkerClient
from MedSAMSegmentLib.worker.frames import FrameParser, encode_frame
from MedSAMSegmentLib.worker.launch import LaunchCommand
from MedSAMSegmentLib.worker.pending import Pending
from MedSAMSegmentLib.worker.protocol import PROTOCOL, CloseVolume

GRACE = 2.0


class ScriptedWorker:
    """A transport whose worker says what it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.on_activity: Callable[[], None] | None = None
        self.exit_status: int | None = None
        self.asked: list[dict[str, Any]] = []
        self.backlog = 0
        self.error_text = ""
        self._parser = FrameParser()
        self._said = bytearray()

    def start(self, command: LaunchCommand) -> None:
        self.say("ready", protocol=PROTOCOL, pid=0)

    def say(self, kind: str, request: int | None = None, **fields: Any) -> None:
        for piece in encode_frame({"kind": kind, "id": request, **fields}, {}):
            self._said += piece

    def write(self, pieces: Sequence[bytes | memoryview]) -> None:
        for piece in pieces:
            self.asked += [frame.header for frame in self._parser.iter_feed(bytes(piece))]

    def read(self) -> bytes:
        said, self._said = bytes(self._said), bytearray()
        return said

    @property
    def at_end(self) -> bool:
        return self.exit_status is not None and not self._said

    def kill(self) -> None:
        self.exit_status = -9 if self.exit_status is None else self.exit_status

    def cancelled(self) -> list[int]:
        return [header["target"] for header in self.asked if header["kind"] == "cancel"]

    def wake(self) -> None: ...
    def close_input(self) -> None: ...
    def set_interpreter_pid(self, process_id: object) -> None: ...
    def wait(self, seconds: float) -> None: ...

    def reap(self, seconds: float) -> bool:
        return self.exit_status is not None


class Scene:
    """A client with its worker, and a clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.worker = ScriptedWorker()
        command = LaunchCommand("python", (), {})
        self.client = WorkerClient(lambda: command, lambda: self.worker, grace_seconds=GRACE, clock=lambda: self.now)
        self.client.prepare()
        self.client.poll()

    def ask(self) -> Pending[Any]:
        return self.client.submit(Pending(CloseVolume(1), lambda frame: frame.header))

    def at(self, seconds: float) -> None:
        self.now = seconds
        self.client.poll()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_asking_again_does_not_give_a_deaf_worker_more_time(scene: Scene) -> None:
    request = scene.ask()
    scene.client.cancel(request)
    scene.at(1.5)
    scene.client.cancel(request)
    scene.at(GRACE)
    assert not request.over
    scene.at(GRACE + 0.1)
    assert scene.worker.exit_status == -9
    with pytest.raises(Cancelled):
        _ = request.result


def test_a_second_cancelled_request_does_not_give_more_time_for_the_first(scene: Scene) -> None:
    first, second = scene.ask(), scene.ask()
    scene.client.cancel(first)
    scene.at(1.5)
    scene.client.cancel(second)
    scene.at(GRACE + 0.1)
    assert scene.worker.exit_status == -9
    assert first.over
    assert second.over


def test_the_answer_to_another_request_does_not_save_a_deaf_worker(scene: Scene) -> None:
    answered, deaf = scene.ask(), scene.ask()
    scene.client.cancel(deaf)
    scene.worker.say("done", answered.request_id)
    scene.at(1.0)
    assert answered.over
    assert not deaf.over
    scene.at(GRACE + 0.1)
    assert scene.worker.exit_status == -9
    with pytest.raises(Cancelled):
        _ = deaf.result


def test_a_worker_that_stopped_in_time_lives_on(scene: Scene) -> None:
    request = scene.ask()
    scene.client.cancel(request)
    scene.worker.say("error", request.request_id, code="cancelled", message="", cure="")
    scene.at(1.0)
    with pytest.raises(Cancelled):
        _ = request.result
    scene.at(100.0)
    assert scene.client.running
    assert scene.worker.exit_status is None


def test_an_abandoned_request_is_cancelled_where_it_was_sent_and_costs_nobody_anything(scene: Scene) -> None:
    request = scene.ask()
    scene.client.abandon(request)
    assert scene.worker.cancelled() == [request.request_id]
    with pytest.raises(Cancelled):
        _ = request.result
    scene.at(100.0)
    assert scene.client.running
    scene.client.abandon(request)
    assert scene.worker.cancelled() == [request.request_id], "it is over"


def test_an_abandoned_request_that_was_not_sent_never_is(scene: Scene) -> None:
    scene.worker.backlog = 1 << 40
    request = scene.client.submit_behind(1, Pending(CloseVolume(1), lambda frame: frame.header))
    scene.client.abandon(request)
    scene.worker.backlog = 0
    scene.at(1.0)
    assert request.over
    assert [header["kind"] for header in scene.worker.asked] == ["hello"]


@pytest.mark.parametrize("takes", [False, True])
def test_a_worker_that_takes_nothing_is_ended_with_the_request_that_waited_for_it(scene: Scene, takes: bool) -> None:
    scene.worker.backlog = 1 << 40
    request = scene.client.submit_behind(1, Pending(CloseVolume(1), lambda frame: frame.header))
    for second in range(1, 6):
        scene.worker.backlog -= takes
        scene.at(second)
    scene.client.cancel(request)
    assert request.over
    assert scene.worker.exit_status == (None if takes else -9)
    assert scene.client.running == takes


def test_a_later_death_is_not_put_down_to_what_an_answered_request_did(scene: Scene) -> None:
    first = scene.ask()
    scene.worker.say("progress", first.request_id, stage="load model", done=0, total=0)
    scene.worker.say("done", first.request_id)
    scene.at(0.1)
    second = scene.ask()
    scene.worker.exit_status = -11
    scene.at(0.2)
    with pytest.raises(WorkerError) as caught:
        _ = second.result
    assert caught.value.message == "The worker crashed (signal 11)."


def test_closing_waits_for_the_end_of_a_worker_that_had_to_be_killed(scene: Scene) -> None:
    ended: list[bool] = []

    def reap(_seconds: float) -> bool:
        ended.append(scene.worker.exit_status is not None)
        return ended[-1]

    scene.worker.reap = reap  # type: ignore[method-assign]
    scene.client.close()
    assert ended == [False, True]


def test_a_late_answer_to_an_abandoned_request_is_nobodys(scene: Scene) -> None:
    old = scene.ask()
    scene.client.abandon(old)
    new = scene.ask()
    scene.worker.say("done", old.request_id)
    scene.at(0.1)
    assert not new.over
    scene.worker.say("done", new.request_id, answer=3)
    scene.at(0.2)
    assert new.result["answer"] == 3
