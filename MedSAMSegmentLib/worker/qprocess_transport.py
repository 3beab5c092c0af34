"""The worker as Slicer's `qt.QProcess`: driven by the application's event loop, no thread.

The only file of this package that knows Qt. It keeps to what PythonQt's QProcess, QIODevice and QTimer offer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import WorkerError
from .launch import LaunchCommand
from .launcher import LaunchedInterpreter
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
        self._interpreter = LaunchedInterpreter("")
        self._failure: str | None = None
        self._outgoing: list[memoryview] = []
        self._close_after_write = False
        self._connections: list[tuple[Any, Callable[..., None]]] = []

    def start(self, command: LaunchCommand) -> None:
        qt, process = self._qt, self._process
        environment = qt.QProcessEnvironment()
        for name, value in command.environment.items():
            environment.insert(name, value)
        process.setProcessEnvironment(environment)
        self._connect()
        self._timer.setInterval(TICK_MILLISECONDS)
        self._interpreter = LaunchedInterpreter(command.program)
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

    @property
    def backlog(self) -> int:
        return sum(len(piece) for piece in self._outgoing) + int(self._process.bytesToWrite())

    def wake(self) -> None:
        self._qt.QTimer.singleShot(0, self._notify)

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

    def set_interpreter_pid(self, process_id: object) -> None:
        self._interpreter.set_interpreter_pid(process_id)

    def kill(self) -> None:
        self._interpreter.kill()
        self._outgoing.clear()
        self._process.kill()

    def wait(self, seconds: float) -> None:
        self._process.waitForReadyRead(max(int(seconds * 1000), 1))

    def reap(self, seconds: float) -> bool:
        if self.exit_status is None:
            self._process.waitForFinished(max(int(seconds * 1000), 1))
        return self.exit_status is not None

    def _connect(self) -> None:
        process = self._process
        self._connections = [
            (process.readyReadStandardOutput, self._notify),
            (process.readyReadStandardError, self._take_errors),
            (process.bytesWritten, self._on_written),
            (process.finished, self._on_finished),
            (process.errorOccurred, self._on_error),
            (self._timer.timeout, self._notify),
        ]
        for signal, slot in self._connections:
            signal.connect(slot)

    def _disconnect_soon(self) -> None:
        """Disconnect, but not inside the signals: PythonQt's connections keep this object and the process for ever."""
        self._qt.QTimer.singleShot(0, self._disconnect)

    def _disconnect(self) -> None:
        for signal, slot in self._connections:
            signal.disconnect(slot)
        self._connections = []

    def _on_written(self, *_: object) -> None:
        self._write_more()
        if not self._outgoing:
            self._notify()

    def _write_more(self) -> None:
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
        self._disconnect_soon()
        self._notify()

    def _on_error(self, error: object) -> None:
        if error == self._qt.QProcess.FailedToStart:
            self._failure = str(self._process.errorString())
            self._errors.add(self._failure.encode())
            self._timer.stop()
            self._disconnect_soon()
            self._notify()

    def _notify(self) -> None:
        if self.on_activity is not None:
            self.on_activity()
