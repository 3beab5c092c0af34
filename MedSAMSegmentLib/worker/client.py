"""The client of the worker: starts it on first need, keeps it warm, and gives every request an end.

Pure Python and event-driven. `poll` takes what has arrived and calls back; call it from the transport's
`on_activity` (done here), from a timer, or let `wait` do so. Use it from one thread.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import Cancelled, MedSAMError, UsageError, WorkerError
from .child import Child
from .frames import Frame
from .launch import LaunchCommand
from .outbox import Outbox
from .pending import Pending
from .protocol import CancelRequest, Request, SelfCheck, Shutdown
from .transport import Transport

T = TypeVar("T")

HELLO_SECONDS = 60.0
GRACE_SECONDS = 2.0
LONGEST_WAIT = 0.5


class WorkerClient:
    """Requests to one worker at a time; a worker that ended, however, is replaced at the next request.

    `command` gives the command to start with, at each start. A cancelled request that has not ended after
    `grace_seconds` costs the worker its life. `idle_seconds` without a request end it; None keeps it.
    """

    def __init__(
        self,
        command: Callable[[], LaunchCommand],
        transport: Callable[[], Transport],
        *,
        hello_seconds: float = HELLO_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
        idle_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = command
        self._transport = transport
        self._hello_seconds = hello_seconds
        self._grace_seconds = grace_seconds
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._child: Child | None = None
        self._started: tuple[str, tuple[str, ...], dict[str, str]] | None = None
        self._usual_grace = grace_seconds
        self._leaving: list[tuple[Transport, float]] = []
        # Kept a while: a Qt object must not be freed inside its own signal.
        self._gone: deque[Transport] = deque(maxlen=4)
        self._pending: dict[int, Pending[Any]] = {}
        self._last_id = 0
        self._polling = False
        self._stage = ""
        self._error_text = ""
        self.generation = 0
        """Grows with each worker started; a volume opened in an earlier generation is gone."""

    @property
    def running(self) -> bool:
        return self._child is not None

    @property
    def busy(self) -> bool:
        return bool(self._pending)

    @property
    def worker(self) -> dict[str, Any]:
        """The worker's own words about itself (`pid`, `python`, `executable`, ...); empty before it is ready."""
        ready = self._child.ready if self._child is not None else None
        return dict(ready or {})

    @property
    def error_text(self) -> str:
        """The end of the worker's stderr, or of the last worker's: for "copy report"."""
        return self._child.error_text if self._child is not None else self._error_text

    def submit(self, pending: Pending[T]) -> Pending[T]:
        """Send a request, starting the worker if there is none. Raises `WorkerError` when it cannot start."""
        child = self._alive()
        child.outbox.add(self._register(pending), pending.make_request)
        child.send()
        return pending

    def submit_behind(self, session: int, pending: Pending[T], *, all_parts: bool = True) -> Pending[T]:
        """Send a request behind the parts of its volume that were queued; see `Outbox.add_behind`."""
        child = self._alive()
        child.outbox.add_behind(session, self._register(pending), pending.make_request, all_parts=all_parts)
        child.send()
        return pending

    def outbox(self) -> Outbox:
        """Return what waits to be sent, starting the worker if there is none. Raises `WorkerError`."""
        return self._alive().outbox

    def self_check(
        self,
        on_done: Callable[[dict[str, Any]], None] | None = None,
        on_error: Callable[[MedSAMError], None] | None = None,
    ) -> Pending[dict[str, Any]]:
        """Ask what the interpreter can do; see `self_check.self_check` for the fields."""
        pending = Pending(SelfCheck(), lambda frame: frame.header, on_done=on_done, on_error=on_error)
        return self.submit(pending)

    def prepare(self) -> None:
        """Start the worker ahead of the first request, and end nothing if it is there."""
        self._alive()

    def renew(self) -> None:
        """End a worker that was started for something else: another interpreter or model folder was chosen since.

        The next request starts a new one. A worker that is busy goes on. Raises `WorkerError` where the command that
        is wanted now cannot be made.
        """
        if self._child is not None and not self._pending and self._command().identity != self._started:
            self._dismiss(self._child)

    def cancel(self, pending: Pending[Any]) -> None:
        """Ask for the end of a request; `on_error` gets `Cancelled` at its answer, or when the worker is killed."""
        if pending.over or self._child is None or pending.request_id not in self._pending:
            return
        pending.cancel_asked = True
        if self._child.outbox.withdraw(pending.request_id):
            del self._pending[pending.request_id]
            if self._child.deaf_seconds > self._grace_seconds:
                # The next request would wait behind the same bytes.
                self._discard_child(
                    WorkerError("The worker was ended because it took no more.", "Start the run again.")
                )
            pending.fail(Cancelled())
            return
        self._tell(self._child, CancelRequest(pending.request_id))
        if self._child.kill_at is None:
            self._child.kill_at = self._clock() + self._grace_seconds

    def abandon(self, pending: Pending[Any]) -> None:
        """Drop a request whose answer nobody wants (a preview that a newer one replaces). Never kills the worker."""
        if pending.over or self._child is None or self._pending.pop(pending.request_id, None) is None:
            return
        if not self._child.outbox.withdraw(pending.request_id):
            self._tell(self._child, CancelRequest(pending.request_id))
        pending.fail(Cancelled())

    def poll(self) -> None:
        """Take what has arrived, call back, and see to time limits. Never blocks, never re-enters itself."""
        if self._polling:
            return
        self._polling = True
        try:
            self._take_events()
            self._check_deadlines()
            if self._child is not None:
                self._child.send_more()
        finally:
            self._polling = False

    def wait(self, pending: Pending[T], seconds: float | None = None) -> T:
        """Block until the request is over: its result, or its error raised. Not for the main thread of Slicer.

        Raises `WorkerError` after `seconds`; the request goes on then.
        """
        if self._polling:
            raise UsageError("The client cannot be waited for from its own callback.", "Use on_done.")
        until = None if seconds is None else self._clock() + seconds
        while not pending.over:
            self.poll()
            if pending.over:
                break
            left = LONGEST_WAIT if until is None else min(LONGEST_WAIT, until - self._clock())
            if left <= 0:
                raise WorkerError(f"The worker has not answered within {seconds:g} seconds.", "Cancel the request.")
            if self._child is not None:
                self._child.transport.wait(max(min(left, self._next_deadline()), 0.001))
        return pending.result

    def close(self) -> None:
        """End the worker: asked if it is idle, killed if it computes. Blocks for the grace period at most."""
        child, self._child = self._child, None
        if child is not None:
            child.transport.on_activity = None
            if child.ready is None or self._pending:
                child.transport.kill()
            else:
                self._tell(child, Shutdown())
                child.transport.close_input()
            if not child.transport.reap(self._usual_grace):
                child.transport.kill()
                child.transport.reap(self._usual_grace)
            self._error_text = child.error_text
        for transport, _ in self._leaving:
            transport.on_activity = None
            transport.kill()
            transport.reap(self._usual_grace)
        self._leaving.clear()
        self._fail_all(Cancelled())

    def _register(self, pending: Pending[Any]) -> int:
        self._last_id += 1
        pending.request_id = self._last_id
        self._pending[self._last_id] = pending
        return self._last_id

    @staticmethod
    def _tell(child: Child, request: Request) -> None:
        """Send what is not answered to anybody."""
        child.outbox.add(0, lambda: request)
        child.send()

    def _alive(self) -> Child:
        if self._child is not None and self._child.transport.exit_status is not None and not self._polling:
            # It may have ended unseen since the last poll; a request must not be sent into its grave.
            self.poll()
        if self._child is None:
            transport = self._transport()
            command = self._command()
            self._started = command.identity
            given = command.grace_seconds
            self._grace_seconds = self._usual_grace if given is None else given
            self._child = Child(transport, lambda t: t.start(command), self._clock, self._hello_seconds)
            transport.on_activity = self.poll
            self.generation += 1
        return self._child

    def _take_events(self) -> None:
        child = self._child
        while child is not None and self._child is child:
            try:
                frame = child.next_event()
            except MedSAMError as error:
                self._discard_child(error)
                return
            if frame is None:
                return
            self._deliver(frame)

    def _deliver(self, frame: Frame) -> None:
        kind, request_id = frame.header.get("kind"), frame.header.get("id")
        pending = self._pending.get(request_id) if isinstance(request_id, int) else None
        if pending is None:
            # The answer to a request that was abandoned, or to `cancel`.
            return
        try:
            tell = pending.decode_event(frame)
        except WorkerError as error:
            self._discard_child(error)
            return
        self._stage = pending.stage
        if kind in ("done", "error"):
            self._settle(pending)
        tell()

    def _settle(self, pending: Pending[Any]) -> None:
        del self._pending[pending.request_id]
        self._stage = ""
        if self._child is not None:
            self._child.last_use = self._clock()
            if not any(other.cancel_asked for other in self._pending.values()):
                self._child.kill_at = None

    def _check_deadlines(self) -> None:
        now, child = self._clock(), self._child
        if child is not None and child.kill_at is not None and now > child.kill_at:
            self._discard_child(WorkerError("The worker was ended because it did not stop.", "Start the run again."))
        elif child is not None and self._is_idle(child, now):
            self._dismiss(child)
        for transport, until in list(self._leaving):
            if transport.exit_status is not None:
                self._leaving.remove((transport, until))
                self._gone.append(transport)
            elif now > until:
                transport.kill()

    def _is_idle(self, child: Child, now: float) -> bool:
        limit = self._idle_seconds
        return limit is not None and child.ready is not None and not self._pending and now > child.last_use + limit

    def _next_deadline(self) -> float:
        if self._child is None or self._child.kill_at is None:
            return LONGEST_WAIT
        return self._child.kill_at - self._clock()

    def _dismiss(self, child: Child) -> None:
        """Let a child that nothing is asked of end by itself."""
        self._child = None
        self._tell(child, Shutdown())
        child.transport.close_input()
        self._leaving.append((child.transport, self._clock() + self._usual_grace))

    def _discard_child(self, error: MedSAMError) -> None:
        """Discard the child: kill what is left of it, and end every request."""
        child, self._child = self._child, None
        if child is not None:
            # Even when it has ended: it may have been the launcher of an interpreter that lives on.
            child.transport.kill()
            self._leaving.append((child.transport, self._clock()))
            self._error_text = child.error_text
        self._fail_all(error)

    def _fail_all(self, error: MedSAMError) -> None:
        failed, self._pending = list(self._pending.values()), {}
        error, self._stage = _at_stage(error, self._stage), ""
        for pending in failed:
            pending.fail(Cancelled() if pending.cancel_asked else error)


def _at_stage(error: MedSAMError, stage: str) -> MedSAMError:
    """Say during what the worker died: a crash while torch is imported has another cure than one in a run."""
    if not stage or not isinstance(error, WorkerError):
        return error
    message = f"{error.message.rstrip('.')}, during: {stage}."
    return WorkerError(message, error.cure, error.detail)
