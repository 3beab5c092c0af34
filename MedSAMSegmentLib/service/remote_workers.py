"""Workers that clients on other machines compute with, as if they were child processes of their own.

One process a client, confined (`worker/admission.py`). It lives as long as the answer that carries its output: nothing
of a client stays when its connection ends. What clients send is not looked at here but handed on: whatever it does, it
does to the process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from ..errors import MedSAMError
from ..worker.admission import Admission
from ..worker.exit_status import signal_of
from ..worker.launch import LaunchCommand
from ..worker.records import PING, data_record, last_record
from ..worker.transport import Tail
from .problems import ServiceProblem, busy, not_found, problem_fields
from .settings import ServiceSettings

READ_BYTES = 1 << 18
END_SECONDS = 2.0
"""A process that has closed its output gets so long to end."""

IDLE = ServiceProblem(
    "The server ended its worker because nobody used it.", "Start again: it comes back.", status=408, code="idle"
)
SILENT = ServiceProblem("The client went away.", "Start again.", status=408, code="disconnected")
STOPPING = ServiceProblem("The server was stopped.", "Try again when it is back.", status=503, code="stopping")


class RemoteWorker:
    """One process and its client. Everything is called in the event loop but `kill`."""

    def __init__(self, process: asyncio.subprocess.Process, clock: Callable[[], float], ping_seconds: float) -> None:
        self.id = secrets.token_hex(16)
        self.heard = self.used = clock()
        """When the client gave a sign of life, and when it or the worker last said anything."""
        self._process = process
        self._clock = clock
        self._ping_seconds = ping_seconds
        self._writing = asyncio.Lock()
        self._taken = 0
        self._reason: MedSAMError | None = None
        self._errors = Tail()
        self._reading_errors = asyncio.ensure_future(self._read_errors())

    async def write(self, offset: int, data: bytes) -> None:
        """Hand the worker the bytes at `offset` of all that the client sends; what it has already is passed over.

        Returns when it has taken them. Raises `ServiceProblem` for bytes that do not follow (409), and 404 where the
        worker is gone.
        """
        self.heard = self._clock()
        stdin = self._process.stdin
        assert stdin is not None
        async with self._writing:
            if data and offset + len(data) <= self._taken:
                # The answer to the first try was lost.
                return
            if offset != self._taken:
                raise ServiceProblem(
                    f"The bytes from {self._taken} on are wanted.", "Start again.", status=409, code="offset"
                )
            if not data:
                return
            self.used = self.heard
            if stdin.is_closing():
                raise not_found("worker")
            stdin.write(data)
            self._taken += len(data)
            try:
                await stdin.drain()
            except (ConnectionError, OSError) as error:
                raise not_found("worker") from error

    async def records(self) -> AsyncIterator[bytes]:
        """Yield the worker's output as records, a ping where there is none for a while, and at last how it ended."""
        stdout = self._process.stdout
        assert stdout is not None
        yield PING
        while True:
            reading = asyncio.ensure_future(stdout.read(READ_BYTES))
            try:
                while not (await asyncio.wait({reading}, timeout=self._ping_seconds))[0]:
                    yield PING
            finally:
                reading.cancel()
            data = reading.result()
            if not data:
                break
            self.used = self._clock()
            yield data_record(data)
        yield last_record(await self._end())

    def kill(self, reason: MedSAMError | None = None) -> None:
        """End the process now; its client is told the reason."""
        if self._reason is None:
            self._reason = reason
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def close(self) -> None:
        """End the process, and return when it is gone."""
        self.kill()
        await self._process.wait()
        self._reading_errors.cancel()
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def _end(self) -> dict[str, Any]:
        if self._reason is not None:
            return {"problem": problem_fields(self._reason)}
        try:
            status = await asyncio.wait_for(self._process.wait(), END_SECONDS)
        except asyncio.TimeoutError:
            return {"status": None, "signal": 0}
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._reading_errors), END_SECONDS)
        # What it wrote to stderr may name paths of this machine; the signal that it tells of does not.
        return {"status": status, "signal": signal_of(status, self._errors.text)}

    async def _read_errors(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None
        while data := await stderr.read(READ_BYTES):
            self._errors.add(data)


class RemoteWorkers:
    """All of them. `command` starts a worker, `clock` gives seconds. Used in the event loop."""

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        command: Callable[[], LaunchCommand],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._command = command
        self._clock = clock
        self._workers: dict[str, RemoteWorker] = {}
        self._starting = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self._workers) + self._starting

    async def start(self) -> RemoteWorker:
        """Start a process. Raises `ServiceProblem`: 429 where there are as many as may be, 404 where there are none."""
        most = self._settings.limits.workers
        if most == 0:
            raise ServiceProblem(
                "This server lends no workers.", "Start it with --max-workers.", status=404, code="no-workers"
            )
        if self._closed:
            raise STOPPING
        if len(self) >= most:
            raise busy(f"All {most} workers of the server are in use.", 60)
        self._starting += 1
        try:
            worker = RemoteWorker(await self._process(), self._clock, self._settings.ping_seconds)
        except OSError as error:
            raise ServiceProblem(
                "The server cannot start a worker.", "Tell whoever runs it.", status=503, code="worker"
            ) from error
        finally:
            self._starting -= 1
        self._workers[worker.id] = worker
        return worker

    def get(self, worker_id: str) -> RemoteWorker:
        """Return a worker. Raises `ServiceProblem` (404)."""
        worker = self._workers.get(worker_id)
        if worker is None:
            raise not_found("worker")
        return worker

    async def end(self, worker: RemoteWorker) -> None:
        """End a worker whose client is gone; its place is free when its memory is."""
        await worker.close()
        self._workers.pop(worker.id, None)

    def all(self) -> list[RemoteWorker]:
        return list(self._workers.values())

    def expire(self) -> None:
        """End the workers whose client has been silent for long, and those that nobody has used for longer."""
        now, limits = self._clock(), self._settings.limits
        for worker in self.all():
            if now - worker.heard > limits.stall_seconds:
                worker.kill(SILENT)
            elif now - worker.used > limits.idle_seconds:
                worker.kill(IDLE)

    async def close(self) -> None:
        """End all; their clients are told."""
        self._closed = True
        for worker in self.all():
            worker.kill(STOPPING)

    async def _process(self) -> asyncio.subprocess.Process:
        command, settings = self._command(), self._settings
        bounds = Admission(volume_bytes=settings.limits.upload_bytes, loading=settings.compute.loading)
        command = replace(command, arguments=(*command.arguments, "--confined", bounds.text))
        return await asyncio.create_subprocess_exec(
            command.program,
            *command.arguments,
            env=dict(command.environment),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=READ_BYTES,
        )
