"""A module like Slicer's `qt`, made of PySide6, that offers what PythonQt wraps and nothing else."""

from __future__ import annotations

import types
from typing import Any

from PySide6 import QtCore

PYTHONQT_PROCESS = {
    *("setProcessEnvironment", "start", "state", "exitStatus", "exitCode", "kill", "write", "bytesToWrite"),
    *("bytesAvailable", "closeWriteChannel", "readAllStandardOutput", "readAllStandardError", "errorString"),
    *("waitForReadyRead", "waitForFinished", "waitForStarted"),
    *("readyReadStandardOutput", "readyReadStandardError", "bytesWritten", "finished", "errorOccurred", "started"),
}
"""Methods that PythonQt's wrappers of QProcess and QIODevice declare, slots and signals of QProcess itself."""


class StrongSignal:
    """A signal that keeps what is connected to it, as PythonQt does, until it is disconnected."""

    def __init__(self, signal: Any, handlers: list[Any]) -> None:
        self._signal = signal
        self._handlers = handlers

    def connect(self, handler: Any) -> None:
        self._handlers.append(handler)
        self._signal.connect(handler)

    def disconnect(self, handler: Any) -> None:
        self._handlers.remove(handler)
        self._signal.disconnect(handler)


class Timer:
    """A timer whose signal keeps its handlers."""

    singleShot = QtCore.QTimer.singleShot

    def __init__(self) -> None:
        self._timer = QtCore.QTimer()
        self.handlers: list[Any] = []
        self.timeout = StrongSignal(self._timer.timeout, self.handlers)
        self.setInterval, self.start, self.stop = self._timer.setInterval, self._timer.start, self._timer.stop


class Process:
    NotRunning = QtCore.QProcess.ProcessState.NotRunning
    CrashExit = QtCore.QProcess.ExitStatus.CrashExit
    FailedToStart = QtCore.QProcess.ProcessError.FailedToStart

    def __init__(self) -> None:
        self._process = QtCore.QProcess()
        self.handlers: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        if name not in PYTHONQT_PROCESS:
            raise AttributeError(f"PythonQt's QProcess has no {name}")
        attribute = getattr(self._process, name)
        return StrongSignal(attribute, self.handlers) if isinstance(attribute, QtCore.SignalInstance) else attribute


def make_qt() -> types.ModuleType:
    qt = types.ModuleType("qt")
    qt.QProcess = Process  # type: ignore[attr-defined]
    qt.QProcessEnvironment = QtCore.QProcessEnvironment  # type: ignore[attr-defined]
    qt.QTimer = Timer  # type: ignore[attr-defined]
    qt.QByteArray = QtCore.QByteArray  # type: ignore[attr-defined]
    return qt
