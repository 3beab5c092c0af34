"""Tells which functions of the library each test calls, in its own process and in those that it starts.

A pytest plug-in (`-p called_functions`) for the test process; `sitecustomize.py`, which this module writes beside a
copy of the library, for its children. Both append lines to the file that MEDSAM_CALLS names: test, source file, first
line and name of the function, separated by tabs. What a fixture with a wide scope calls counts for all tests of its
file.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

LIBRARY = os.sep + "MedSAMSegmentLib" + os.sep

CHILD_HOOK = """
import os
if os.environ.get("MEDSAM_CALLS") and os.environ.get("PYTEST_CURRENT_TEST"):
    import sys
    sys.path.insert(0, os.environ["MEDSAM_MUTATION"])
    try:
        import called_functions
        test = os.environ["PYTEST_CURRENT_TEST"].rsplit(" ", 1)[0]
        called_functions.Recorder(os.environ["MEDSAM_CALLS"]).start(test)
    finally:
        del sys.path[0]
"""


class Recorder:
    """Appends a line for the first call of each function by each test."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115  # open as long as the process
        self._seen: set[CodeType] = set()
        self.test = ""

    def start(self, test: str) -> None:
        self.begin(test)
        threading.settrace(self._called)
        sys.settrace(self._called)

    def begin(self, test: str) -> None:
        self.test = test
        self._seen = set()

    def note(self, *words: object) -> None:
        self._file.write("\t".join(map(str, words)) + "\n")

    def _called(self, frame: FrameType, event: str, arg: object) -> None:
        code = frame.f_code
        if code not in self._seen:
            self._seen.add(code)
            if LIBRARY in code.co_filename:
                file = code.co_filename[code.co_filename.rindex(LIBRARY) + 1 :]
                self.note("call", self.test, file, code.co_firstlineno, code.co_name)


_recorder: Recorder | None = None


def pytest_configure(config: pytest.Config) -> None:
    global _recorder  # noqa: PLW0603  # one for the process, as the interpreter's trace function
    if path := os.environ.get("MEDSAM_CALLS"):
        _recorder = Recorder(path)
        _recorder.start("")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    if _recorder is not None:
        _recorder.begin(item.nodeid)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Iterator[None]:
    if _recorder is None or fixturedef.scope == "function":
        return (yield)
    test = _recorder.test
    _recorder.begin(test.split("::")[0])
    try:
        return (yield)
    finally:
        _recorder.begin(test)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if _recorder is not None:
        _recorder.note("time", report.nodeid, report.when, report.outcome, f"{report.duration:.3f}")


def write_child_hook(folder: Path) -> None:
    """Make child processes that find `folder` on their path tell what they call."""
    (folder / "sitecustomize.py").write_text(CHILD_HOOK)
