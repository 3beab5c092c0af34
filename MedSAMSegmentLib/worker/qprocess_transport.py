"""The worker as Slicer's `qt.QProcess`: driven by the application's event loop, no thread.

The only file of this package that knows Qt. It keeps to what PythonQt's QProcess, QIODevice and QTimer offer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import WorkerError
from .launch import LaunchCommand
from .transport import Tail

TICK_MILLISECONDS = 100
WRITE_BYTES = 4 << 20
KILLED = 9
NOT_STARTED = 127


class QProcessTransport:
    """`on_activity` is called when bytes arrive, when the process ends, and ten times a second for time limits."""

    def __init__(self) -> None:
        import qt

        self.on_activity: Callable[[], None] | None = None
        self._qt = qt
        self._process: Any = qt.QProcess()
        self._timer: Any = qt.QTimer()
        self._errors = Tail()
        self._started = False
        self._failure: str | None = None
        self._outgoing: list[memoryview] = []
        self._close_after_write = False

    def start(self, command: LaunchCommand) -> None:
        qt, process = self._qt, self._process
        environment = qt.QProcessEnvironment()
        for name, value in command.environment.items():
            environment.insert(name, value)
        process.setProcessEnvironment(environment)
        process.readyReadStandardOutput.connect(self._notify)
        process.readyReadStandardError.connect(self._take_errors)
        process.bytesWritten.connect(self._write_more)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(self._on_error)
        self._timer.setInterval(TICK_MILLISECONDS)
        self._timer.timeout.connect(self._notify)
        process.start(command.program, list(command.arguments))
        self._started = True
        if self._failure is not None:
            raise WorkerError(
                f"{command.program} could not be started: {self._failure}.",
                "Choose another Python interpreter in the settings.",
            )
        self._timer.start()

    def write(self, pieces: Sequence[bytes | memoryview]) -> None:
        self._outgoing.extend(memoryview(piece) for piece in pieces)
        self._write_more()

    def close_input(self) -> None:
        self._close_after_write = True
        self._write_more()

    def read(self) -> bytes:
        if not self._started:
            return b""
        return bytes(self._process.readAllStandardOutput().data())

    @property
    def at_end(self) -> bool:
        return self.exit_status is not None and self._process.bytesAvailable() == 0

    @property
    def exit_status(self) -> int | None:
        if not self._started or (self._failure is None and self._process.state() != self._qt.QProcess.NotRunning):
            return None
        if self._failure is not None:
            return NOT_STARTED
        code = int(self._process.exitCode())
        if self._process.exitStatus() != self._qt.QProcess.CrashExit:
            return code
        # A crash has the signal's number as its code on POSIX, and a 32-bit status on Windows, here as a signed one.
        return code & 0xFFFFFFFF if code < 0 else -(code or KILLED)

    @property
    def error_text(self) -> str:
        self._take_errors()
        return self._errors.text

    def kill(self) -> None:
        self._outgoing.clear()
        self._process.kill()

    def wait(self, seconds: float) -> None:
        self._process.waitForReadyRead(max(int(seconds * 1000), 1))

    def reap(self, seconds: float) -> bool:
        if self.exit_status is None:
            self._process.waitForFinished(max(int(seconds * 1000), 1))
        return self.exit_status is not None

    def _write_more(self, *_: object) -> None:
        """Hand Qt one chunk at a time: it copies what it is given, and a volume need not be in memory twice."""
        process = self._process
        while self._outgoing and process.bytesToWrite() < WRITE_BYTES:
            piece = self._outgoing.pop(0)
            chunk = bytes(piece[:WRITE_BYTES])
            if len(piece) > len(chunk):
                self._outgoing.insert(0, piece[len(chunk) :])
            if process.write(self._qt.QByteArray(chunk)) != len(chunk):
                # The channel is closed: the process is gone or going, and its exit status will say so.
                self._outgoing.clear()
        if self._close_after_write and not self._outgoing:
            process.closeWriteChannel()

    def _take_errors(self) -> None:
        if self._started:
            self._errors.add(bytes(self._process.readAllStandardError().data()))

    def _on_finished(self, *_: object) -> None:
        self._timer.stop()
        self._notify()

    def _on_error(self, error: object) -> None:
        if error == self._qt.QProcess.FailedToStart:
            self._failure = str(self._process.errorString())
            self._errors.add(self._failure.encode())
            self._timer.stop()
            self._notify()

    def _notify(self) -> None:
        if self.on_activity is not None:
            self.on_activity()
