"""The worker as a `subprocess.Popen`: for the command line, notebooks and tests."""

from __future__ import annotations

import queue
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO

from ..errors import WorkerError
from .launch import LaunchCommand
from .launcher import LaunchedInterpreter
from .transport import Tail

READ_BYTES = 1 << 20


class PopenTransport:
    """Three threads move bytes, so that neither side can block the other. No thread calls back."""

    def __init__(self) -> None:
        self.on_activity: Callable[[], None] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._interpreter = LaunchedInterpreter("")
        self._changed = threading.Condition()
        self._news = False
        self._received: deque[bytes] = deque()
        self._stdout_closed = False
        self._errors = Tail()
        self._error_thread: threading.Thread | None = None
        self._outgoing: queue.SimpleQueue[Sequence[bytes | memoryview] | None] = queue.SimpleQueue()
        self._backlog = 0

    def start(self, command: LaunchCommand) -> None:
        try:
            process = subprocess.Popen(
                [command.program, *command.arguments],
                env=dict(command.environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
            )
        except OSError as error:
            raise WorkerError(
                f"{command.program} could not be started: {error.strerror or error}.",
                "Choose another Python interpreter in the settings.",
            ) from error
        self._process = process
        self._interpreter = LaunchedInterpreter(command.program)
        self._start_pumps(process)

    def _start_pumps(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        threading.Thread(target=self._pump_out, args=(process.stdin,), daemon=True).start()
        threading.Thread(target=self._pump_in, args=(process.stdout,), daemon=True).start()
        self._error_thread = threading.Thread(target=self._pump_errors, args=(process.stderr,), daemon=True)
        self._error_thread.start()

    def write(self, pieces: Sequence[bytes | memoryview]) -> None:
        with self._changed:
            self._backlog += sum(len(piece) for piece in pieces)
        self._outgoing.put(pieces)

    @property
    def backlog(self) -> int:
        with self._changed:
            return self._backlog

    def wake(self) -> None:
        with self._changed:
            self._news = True
            self._changed.notify_all()

    def close_input(self) -> None:
        self._outgoing.put(None)

    def read(self) -> bytes:
        with self._changed:
            self._news = False
            chunks = list(self._received)
            self._received.clear()
        return b"".join(chunks)

    @property
    def at_end(self) -> bool:
        with self._changed:
            return self._stdout_closed and not self._received

    @property
    def exit_status(self) -> int | None:
        return None if self._process is None else self._process.poll()

    @property
    def error_text(self) -> str:
        if self._error_thread is not None and self.exit_status is not None:
            # The last words of a process that died are often still in the pipe.
            self._error_thread.join(timeout=1.0)
        return self._errors.text

    def set_interpreter_pid(self, process_id: object) -> None:
        self._interpreter.set_interpreter_pid(process_id)

    def kill(self) -> None:
        self._interpreter.kill()
        if self._process is not None:
            self._process.kill()
        self._outgoing.put(None)

    def wait(self, seconds: float) -> None:
        with self._changed:
            if self._stdout_closed and not self._received:
                # Nothing more is to be read; what may still come is the exit status.
                self._changed.wait(min(seconds, 0.01))
            elif not self._news:
                self._changed.wait(seconds)

    def reap(self, seconds: float) -> bool:
        if self._process is None:
            return True
        try:
            self._process.wait(max(seconds, 0.0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def _pump_out(self, stdin: IO[bytes]) -> None:
        try:
            with stdin:
                while (pieces := self._outgoing.get()) is not None:
                    for piece in pieces:
                        rest = memoryview(piece)
                        while rest:
                            written = stdin.write(rest)
                            rest = rest[written:]
                            with self._changed:
                                self._backlog -= written
                    self.wake()
        except OSError:
            # The child is gone; its exit status says the rest.
            return

    def _pump_in(self, stdout: IO[bytes]) -> None:
        with stdout:
            while data := stdout.read(READ_BYTES):
                self._notify(data)
        self._notify(None)

    def _notify(self, data: bytes | None) -> None:
        with self._changed:
            if data is None:
                self._stdout_closed = True
            else:
                self._received.append(data)
            self._news = True
            self._changed.notify_all()

    def _pump_errors(self, stderr: IO[bytes]) -> None:
        with stderr:
            while data := stderr.read(READ_BYTES):
                self._errors.add(data)
