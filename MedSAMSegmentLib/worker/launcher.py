"""Slicer's Python is two processes: PythonSlicer (CTK's launcher) starts the interpreter python-real and waits for it.

A kill of the launcher leaves the interpreter alive, and the launcher turns whatever ended it into exit code 1. So the
interpreter is started directly where the environment has all that the launcher would set, and is ended by its own
process id where some launcher is in between.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

LAUNCHER_NAME = "PythonSlicer"
INTERPRETER_NAME = "python-real"
LAUNCHER_WORDS = "exit abnormally - Report the problem"
"""What CTK's launcher writes to stderr when the program that it started did not end by itself."""


def without_launcher(program: str, variables: Mapping[str, str]) -> str:
    """Return the interpreter that PythonSlicer would start, if `variables` are those of a running Slicer; else
    `program`.

    Slicer starts its scripted command-line modules in the same way (`#!/usr/bin/env python-real`). PYTHONHOME shows
    that Slicer's own launcher has set the paths of libraries and packages.
    """
    path = Path(program)
    interpreter = path.with_name(INTERPRETER_NAME + path.suffix)
    if path.stem == LAUNCHER_NAME and variables.get("PYTHONHOME") and interpreter.is_file():
        return str(interpreter)
    return program


class LaunchedInterpreter:
    """The process behind a launcher that was started as `program`. Nothing for any other program.

    Only PythonSlicer is known to start its interpreter on this machine: behind another one (a script with `ssh`,
    `docker` or `wsl`) the process id belongs to a machine or container of its own.
    """

    def __init__(self, program: str) -> None:
        self._is_launched = Path(program).stem == LAUNCHER_NAME
        self._process_id = 0

    def set_interpreter_pid(self, process_id: object) -> None:
        """Take the process id that the interpreter gave."""
        if self._is_launched and isinstance(process_id, int) and process_id > 1:
            self._process_id = process_id

    def kill(self) -> None:
        """End it now, once; nothing happens when it is gone."""
        process_id, self._process_id = self._process_id, 0
        if process_id:
            # On Windows any signal that is no console event ends the process at once.
            with contextlib.suppress(OSError):
                os.kill(process_id, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
