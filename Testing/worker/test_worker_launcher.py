"""Slicer's Python is a launcher that starts the interpreter and waits: kill and diagnosis must reach through it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from worker_processes import is_gone

from MedSAMSegmentLib.errors import MedSAMError, WorkerError
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.worker.client import WorkerClient
from MedSAMSegmentLib.worker.exit_status import signal_of
from MedSAMSegmentLib.worker.launch import worker_command
from MedSAMSegmentLib.worker.launcher import LaunchedInterpreter, without_launcher
from MedSAMSegmentLib.worker.popen_transport import PopenTransport
from MedSAMSegmentLib.worker.remote_volume import RemoteVolume

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the launcher of the test is a script with a shebang")

STAND_IN = Path(__file__).with_name("stand_in_child.py")
A_BOX = Box(i=(4, 15), j=(2, 12), k=(2, 9))
Volume = NDArray[np.int16]

LAUNCHER = """#!{python}
import subprocess, sys
child = subprocess.Popen(["{python}", *sys.argv[1:]])
status = child.wait()
if status < 0:
    print("error: [{python}] exit abnormally - Report the problem.", file=sys.stderr)
    sys.exit(1)
sys.exit(status)
"""
"""Does what CTK's launcher does: same pipes, exit code 1 for whatever signal."""


def write_program(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    return write_program(tmp_path / "PythonSlicer", LAUNCHER.format(python=sys.executable))


@pytest.fixture(params=["popen", "qprocess"])
def start_launched(request: Any, launcher: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Clients of stand-in workers behind the launcher, over both transports."""
    transport: Callable[[], Any] = PopenTransport
    if request.param == "qprocess":
        transport = qprocess_transport(monkeypatch)
    clients: list[WorkerClient] = []

    def start(*faults: str, **options: Any) -> WorkerClient:
        command = partial(worker_command, launcher, script=STAND_IN, options=faults)
        clients.append(WorkerClient(command, transport, **options))
        return clients[-1]

    yield start
    for client in clients:
        client.close()


def qprocess_transport(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    pytest.importorskip("PySide6.QtCore", reason="PySide6 stands in for Slicer's Qt")
    from PySide6 import QtCore

    from MedSAMSegmentLib.worker.qprocess_transport import QProcessTransport

    spec = importlib.util.spec_from_file_location("pythonqt_shim", Path(__file__).with_name("pythonqt_shim.py"))
    assert spec is not None
    assert spec.loader is not None
    shim = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shim)
    monkeypatch.setitem(sys.modules, "qt", shim.make_qt())
    if QtCore.QCoreApplication.instance() is None:
        monkeypatch.setattr(sys, "harness_qt_application", QtCore.QCoreApplication([]), raising=False)
    return QProcessTransport


def a_run(client: WorkerClient, volume: Volume) -> tuple[psutil.Process, Any]:
    """The interpreter and the request, one slice into a run."""
    progress: list[Any] = []
    pending = RemoteVolume(client, "any", volume).propagate([A_BOX], on_progress=progress.append)
    while not progress:
        wait_a_little(client, pending)
    return psutil.Process(client.worker["pid"]), pending


def wait_a_little(client: WorkerClient, pending: Any) -> None:
    with contextlib.suppress(WorkerError):
        client.wait(pending, 0.05)


def failure_of(client: WorkerClient, volume: Volume) -> MedSAMError:
    pending = RemoteVolume(client, "any", volume).propagate([A_BOX])
    with pytest.raises(MedSAMError) as caught:
        client.wait(pending, 120)
    return caught.value


def test_closing_ends_an_interpreter_that_holds_the_lock(start_launched: Any, a_volume: Volume) -> None:
    """It sees neither the end of its input nor a signal of Python; only a kill of the process itself ends it."""
    client = start_launched("hold-the-lock", grace_seconds=0.2)
    interpreter, _pending = a_run(client, a_volume)
    assert interpreter.parent() != psutil.Process(), "a launcher is between"
    client.close()
    assert is_gone(interpreter)


def test_the_interpreter_goes_with_a_launcher_that_somebody_ended(start_launched: Any, a_volume: Volume) -> None:
    client = start_launched("deaf", grace_seconds=0.2)
    interpreter, pending = a_run(client, a_volume)
    parent = interpreter.parent()
    assert parent is not None
    parent.kill()
    with pytest.raises(WorkerError):
        client.wait(pending, 20)
    assert not client.running
    assert is_gone(interpreter)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("killed", "most likely because the memory was not enough (exit code 1)"),
        ("crash", "The worker crashed (exit code 1)"),
        ("exit-42", "ended unexpectedly (exit code 42)"),
    ],
)
def test_the_end_of_the_interpreter_is_told_through_the_launcher(
    start_launched: Any, a_volume: Volume, fault: str, sentence: str
) -> None:
    error = failure_of(start_launched(fault), a_volume)
    assert isinstance(error, WorkerError)
    assert sentence in error.message


def test_slicers_own_python_is_started_without_its_launcher(
    launcher: Path, monkeypatch: pytest.MonkeyPatch, a_volume: Volume
) -> None:
    real = write_program(launcher.with_name("python-real"), f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    monkeypatch.setattr(sys, "executable", str(launcher))
    assert without_launcher(str(launcher), {"PYTHONHOME": "/slicer"}) == str(real)
    assert without_launcher(str(launcher), {}) == str(launcher), "the environment is not that of a running Slicer"
    command = worker_command(environment={**os.environ, "PYTHONHOME": "/slicer"})
    assert command.program == str(real)
    assert command.environment["PYTHONHOME"] == "/slicer"
    assert worker_command(environment={}).program == str(launcher)


def test_another_program_named_the_same_way_keeps_its_launcher(launcher: Path) -> None:
    """Another Slicer's Python needs its own libraries, which only its launcher knows."""
    write_program(launcher.with_name("python-real"), "")
    assert worker_command(launcher, environment={"PYTHONHOME": "/slicer"}).program == str(launcher)


def test_a_process_id_of_who_knows_where_is_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda process_id, _signal: killed.append(process_id))
    for program, process_id in (
        ("/opt/gpu-server.sh", 77),
        ("/slicer/bin/PythonSlicer", 0),
        ("/slicer/bin/PythonSlicer", "77"),
        ("/slicer/bin/PythonSlicer", 78),
    ):
        interpreter = LaunchedInterpreter(program)
        interpreter.set_interpreter_pid(process_id)
        interpreter.kill()
        interpreter.kill()
    assert killed == [78], "once"


@pytest.mark.parametrize(
    ("status", "text", "signal"),
    [
        (-11, "", 11),
        (0xC0000005, "", 11),
        (1, "Fatal Python error: Segmentation fault\n\nCurrent thread", 11),
        (1, "Fatal Python error: Illegal instruction\nerror: [x] exit abnormally - Report the problem.", 4),
        (1, "Windows fatal exception: access violation", 11),
        (1, "error: [/slicer/bin/python-real] exit abnormally - Report the problem.", 9),
        (137, "", 9),
        (1, "Traceback (most recent call last):", 0),
        (0, "Fatal Python error: Aborted", 0),
        (None, "", 0),
    ],
)
def test_the_signal_is_found_in_the_status_or_in_what_was_written(status: int | None, text: str, signal: int) -> None:
    assert signal_of(status, text) == signal
