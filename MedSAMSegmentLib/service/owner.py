"""The owner of the worker process: one thread that asks it one question at a time.

`WorkerClient` belongs to one thread. Requests of the server come from many, so they are put into a queue here; what
the worker answers is told from the owner's thread. Cancelling, the kill of a worker that does not stop, and the start
of the next one are the client's.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from ..errors import Cancelled, MedSAMError
from ..worker.client import WorkerClient
from ..worker.launch import LaunchCommand, worker_command
from ..worker.pending import Pending
from ..worker.popen_transport import PopenTransport
from ..worker.protocol import Prepare
from ..worker.remote_volume import RemoteVolume
from .problems import UNEXPECTED, ServiceProblem, busy
from .runs import Job, VolumeSetup
from .sessions import ImageSession
from .settings import ComputeSettings

WAIT_SECONDS = 0.25
"""After so long the owner looks at time limits, if nothing wakes it before."""

OPEN_VOLUMES = 2
"""Images that stay open in the worker: each takes memory there."""

IDLE_SECONDS = 900.0
"""A worker that nobody asked anything for so long is ended, and its memory is free."""

HANG_SECONDS = 600.0
"""A worker that has ended nothing for so long is not merely slow: what waits for it in vain ends it."""

_log = logging.getLogger(__name__)


class WorkerOwner:
    """Runs from `start` to `close`. Everything public may be called from any thread."""

    def __init__(
        self,
        compute: ComputeSettings,
        *,
        most_waiting: int,
        command: Callable[[], LaunchCommand] = worker_command,
        grace_seconds: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._compute = compute
        self._most_waiting = most_waiting
        self._transport: PopenTransport | None = None
        self._client = WorkerClient(
            command, self._make_transport, grace_seconds=grace_seconds, idle_seconds=IDLE_SECONDS
        )
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._previews: deque[Job] = deque()
        self._runs: deque[Job] = deque()
        self._current: tuple[Job, Pending[Any]] | None = None
        self._unanswered = False
        self._last_sign = 0.0
        self._volumes: OrderedDict[tuple[str, VolumeSetup], RemoteVolume] = OrderedDict()
        self._gone: set[str] = set()
        self._thread = threading.Thread(target=self._serve, name="worker owner", daemon=True)
        self.device = ""
        """The device that computed last; empty while nothing was computed."""

    def start(self, *, prepare: bool = False) -> None:
        """Begin to serve; with `prepare` the worker loads the model before it is asked for anything."""
        if prepare:
            self._commands.put(self._prepare)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and not self._stopping.is_set()

    def submit(self, job: Job) -> None:
        """Ask the worker, as soon as it is free. Raises `ServiceProblem` when too many wait (429), or at the end."""
        with self._lock:
            if not self.alive:
                raise ServiceProblem(
                    "The server is about to end.", "Try again when it is back.", status=503, code="stopping"
                )
            if len(self._previews) + len(self._runs) >= self._most_waiting:
                raise busy(f"{self._most_waiting} requests wait already.")
            (self._previews if job.urgent else self._runs).append(job)
        self._rouse()

    def cancel(self, job: Job) -> None:
        """End a job: at once when it waits, else as soon as the worker stops."""
        self._tell(lambda: self._cancel(job))

    def give_up(self, job: Job) -> None:
        """Take back a job that nobody waits for any more. The worker lives on, unless it has hung.

        To kill it would cost the others its model: where many wait, each would find it being loaded, and wait in vain.
        """
        self._tell(lambda: self._cancel(job, kill=self._clock() - self._last_sign > HANG_SECONDS))

    def forget(self, session: ImageSession) -> None:
        """End the jobs of a session that is gone, and close its image in the worker."""
        self._tell(lambda: self._forget(session))

    def close(self) -> None:
        """End the worker and everything that waits for it. Returns when it is gone."""
        self._stopping.set()
        self._rouse()
        if self._thread.is_alive():
            self._thread.join()

    def _make_transport(self) -> PopenTransport:
        self._transport = PopenTransport()
        return self._transport

    def _prepare(self) -> None:
        """Say nothing when it fails: the first request will."""
        with contextlib.suppress(MedSAMError):
            self._client.submit(Pending(Prepare(self._compute.model, self._compute.loading), lambda frame: None))

    def _tell(self, command: Callable[[], None]) -> None:
        self._commands.put(command)
        self._rouse()

    def _rouse(self) -> None:
        self._wake.set()
        transport = self._transport
        if transport is not None:
            transport.wake()

    def _serve(self) -> None:
        try:
            while not self._stopping.is_set():
                # What wakes the transport after this look at it ends the wait below; commands are taken after it.
                self._wake.clear()
                self._guarded(self._client.poll)
                self._take_commands()
                self._guarded(self._go_on)
                self._wait()
        finally:
            self._stopping.set()
            self._guarded(self._client.close)
            with self._lock:
                waiting = [*self._previews, *self._runs]
                self._previews.clear()
                self._runs.clear()
            for job in waiting:
                job.fail(Cancelled())

    def _guarded(self, step: Callable[[], None]) -> None:
        """Do a step; an error in it must not end the thread that all requests depend on."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 - said by its type alone, which names no patient
            _log.error("unexpected %s in the owner of the worker", type(error).__name__)

    def _take_commands(self) -> None:
        while True:
            try:
                command = self._commands.get_nowait()
            except queue.Empty:
                return
            self._guarded(command)

    def _go_on(self) -> None:
        if self._current is not None:
            if not self._current[1].over:
                return
            self._current = None
            self._unanswered = False
            self._close_gone()
        if not self._unanswered:
            self._last_sign = self._clock()
        while (job := self._next()) is not None:
            if job.session.removed:
                job.fail(Cancelled())
                continue
            try:
                self._current = (job, job.begin(self._volume_of(job)))
                return
            except MedSAMError as error:
                job.fail(error)
            except Exception as error:  # noqa: BLE001 - one job that cannot begin must not stop the others
                _log.error("unexpected %s at the start of a request", type(error).__name__)
                job.fail(UNEXPECTED)

    def _next(self) -> Job | None:
        with self._lock:
            for waiting in (self._previews, self._runs):
                if waiting:
                    return waiting.popleft()
        return None

    def _volume_of(self, job: Job) -> RemoteVolume:
        """Return the job's image as it is, or will be, open in the worker; the one longest unused is closed for it."""
        key = (job.session.id, job.setup)
        if key not in self._volumes:
            while len(self._volumes) >= OPEN_VOLUMES:
                self._volumes.popitem(last=False)[1].close()
            volume = job.session.volume
            self._volumes[key] = RemoteVolume(
                self._client,
                job.setup.model,
                volume.array_zyx,
                volume.spacing_zyx,
                on_opened=self._opened,
                window=job.setup.window,
                modality=volume.modality,
                time_series=volume.time_axis,
                **self._compute.loading,
            )
        self._volumes.move_to_end(key)
        return self._volumes[key]

    def _opened(self, fields: dict[str, Any]) -> None:
        self.device = str(fields.get("device", ""))

    def _cancel(self, job: Job, *, kill: bool = True) -> None:
        with self._lock:
            waiting = self._previews if job.urgent else self._runs
            found = job in waiting
            if found:
                waiting.remove(job)
        if found:
            job.fail(Cancelled())
        elif self._current is not None and self._current[0] is job:
            if kill:
                self._client.cancel(self._current[1])
            else:
                self._client.abandon(self._current[1])
                # It is over for us alone: the worker may be at it still.
                self._current, self._unanswered = None, True
                self._close_gone()

    def _forget(self, session: ImageSession) -> None:
        with self._lock:
            waiting = [job for job in (*self._previews, *self._runs) if job.session is session]
        current = self._current[0] if self._current is not None else None
        for job in (*waiting, *([current] if current is not None and current.session is session else ())):
            self._cancel(job)
        self._gone.add(session.id)
        if self._current is None or self._current[1].over:
            self._close_gone()

    def _close_gone(self) -> None:
        """Close the images of sessions that are gone: between requests, since one may still compute on them."""
        for key in [key for key in self._volumes if key[0] in self._gone]:
            self._volumes.pop(key).close()
        self._gone.clear()

    def _wait(self) -> None:
        transport = self._transport
        if self._client.running and transport is not None:
            transport.wait(WAIT_SECONDS)
        else:
            self._wake.wait(WAIT_SECONDS)
