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


class Process:
    NotRunning = QtCore.QProcess.ProcessState.NotRunning
    CrashExit = QtCore.QProcess.ExitStatus.CrashExit
    FailedToStart = QtCore.QProcess.ProcessError.FailedToStart

    def __init__(self) -> None:
        self._process = QtCore.QProcess()

    def __getattr__(self, name: str) -> Any:
        if name not in PYTHONQT_PROCESS:
            raise AttributeError(f"PythonQt's QProcess has no {name}")
        return getattr(self._process, name)


def make_qt() -> types.ModuleType:
    qt = types.ModuleType("qt")
    qt.QProcess = Process  # type: ignore[attr-defined]
    qt.QProcessEnvironment = QtCore.QProcessEnvironment  # type: ignore[attr-defined]
    qt.QTimer = QtCore.QTimer  # type: ignore[attr-defined]
    qt.QByteArray = QtCore.QByteArray  # type: ignore[attr-defined]
    return qt
