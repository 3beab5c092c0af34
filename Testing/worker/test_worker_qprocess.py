"""The same client over Qt's QProcess, driven by an event loop and by nothing else."""

from __future__ import annotations

import gc
import importlib.util
import os
import stat
import sys
import time
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

pytest.importorskip("PySide6.QtCore", reason="PySide6 stands in for Slicer's Qt")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore

from MedSAMSegmentLib.errors import Cancelled, MedSAMError, WorkerError
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.worker.client import WorkerClient
from MedSAMSegmentLib.worker.launch import worker_command
from MedSAMSegmentLib.worker.pending import Pending
from MedSAMSegmentLib.worker.qprocess_transport import QProcessTransport
from MedSAMSegmentLib.worker.remote_volume import RemoteVolume

A_BOX = Box(i=(4, 15), j=(2, 12), k=(2, 9))
StartClient = Callable[..., WorkerClient]
Volume = NDArray[np.int16]


def load_shim() -> Any:
    path = Path(__file__).with_name("pythonqt_shim.py")
    spec = importlib.util.spec_from_file_location("pythonqt_shim", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make_qt()


@pytest.fixture(autouse=True)
def qt_application(monkeypatch: pytest.MonkeyPatch) -> QtCore.QCoreApplication:
    monkeypatch.setitem(sys.modules, "qt", load_shim())
    return QtCore.QCoreApplication.instance() or QtCore.QCoreApplication([])


@pytest.fixture
def start_qt_client(start_client: StartClient) -> StartClient:
    return partial(start_client, transport=QProcessTransport)


def run_loop_until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """Run Qt's event loop; nothing here polls the client."""
    until = time.monotonic() + seconds
    loop = QtCore.QEventLoop()
    wake = QtCore.QTimer()
    wake.timeout.connect(loop.quit)
    wake.start(20)
    while not condition():
        assert time.monotonic() < until, "the event loop brought no end"
        loop.exec()


def result_of(pending: Pending[Any]) -> Any:
    run_loop_until(lambda: pending.over)
    return pending.result


def failure_of(pending: Pending[Any]) -> MedSAMError:
    run_loop_until(lambda: pending.over)
    assert pending.error is not None
    return pending.error


def test_the_event_loop_alone_brings_the_answer(start_qt_client: StartClient, a_volume: Volume) -> None:
    client = start_qt_client()
    volume = RemoteVolume(client, "any", a_volume)
    done: list[Any] = []
    pending = volume.propagate([A_BOX], on_done=done.append)
    assert done == []
    run = result_of(pending)
    assert done == [run]
    np.testing.assert_array_equal(run.mask, a_volume > 0)


def test_a_large_volume_goes_through_in_parts(start_qt_client: StartClient) -> None:
    client = start_qt_client()
    array = np.zeros((24, 512, 512), dtype=np.int16)
    array[5, 100:200, 100:120] = 300
    array[-1, -1, -1] = 7
    volume = RemoteVolume(client, "any", array)
    preview = result_of(volume.segment_slice(0, 5, Box(i=(90, 110), j=(90, 130), k=(5, 5))))
    assert preview.mask.sum() == 31 * 11
    corner = result_of(volume.segment_slice(0, 23, Box(i=(500, 511), j=(500, 511), k=(23, 23))))
    assert corner.mask.sum() == 1


def test_waiting_works_without_an_event_loop(start_qt_client: StartClient, a_volume: Volume) -> None:
    client = start_qt_client()
    preview = client.wait(RemoteVolume(client, "any", a_volume).segment_slice(0, 5, A_BOX), 120)
    np.testing.assert_array_equal(preview.mask, a_volume[5] > 0)


@pytest.mark.parametrize(
    ("fault", "sentence", "detail"),
    [
        ("early-exit", "before it was ready (exit code 7)", "no luck"),
        ("exit-42", "unexpectedly (exit code 42)", "last words"),
        ("killed", "memory was not enough (signal 9)", ""),
        ("garbage", "output is damaged", "Trac"),
        ("half-frame", "unexpectedly (exit code 0)", "ended inside a message"),
    ],
)
def test_a_worker_that_fails_becomes_a_sentence(
    start_qt_client: StartClient, a_volume: Volume, fault: str, sentence: str, detail: str
) -> None:
    client = start_qt_client(fault)
    error = failure_of(RemoteVolume(client, "any", a_volume).propagate([A_BOX]))
    assert isinstance(error, WorkerError)
    assert sentence in error.message
    assert detail in error.detail
    assert not client.running


def test_a_deaf_worker_is_killed_by_the_timer_and_replaced(start_qt_client: StartClient, a_volume: Volume) -> None:
    client = start_qt_client("deaf", grace_seconds=0.2)
    volume = RemoteVolume(client, "any", a_volume)
    progress: list[Any] = []
    pending = volume.propagate([A_BOX], on_progress=progress.append)
    run_loop_until(lambda: len(progress) > 1)
    worker = psutil.Process(client.worker["pid"])
    client.cancel(pending)
    assert isinstance(failure_of(pending), Cancelled)
    run_loop_until(lambda: not worker.is_running())
    preview = result_of(volume.segment_slice(0, 5, A_BOX))
    np.testing.assert_array_equal(preview.mask, a_volume[5] > 0)
    assert client.generation == 2


@pytest.mark.parametrize("fault", ["exit-42", "nothing"])
def test_a_worker_that_ended_leaves_nothing_behind(start_qt_client: StartClient, a_volume: Volume, fault: str) -> None:
    """PythonQt's signals keep what is connected to them: process, timer and client would stay for ever."""
    client = start_qt_client(fault, idle_seconds=0.2)
    pending = RemoteVolume(client, "any", a_volume).propagate([A_BOX])
    assert client._child is not None
    transport = client._child.transport
    assert isinstance(transport, QProcessTransport)
    process_handlers, timer_handlers = transport._process.handlers, transport._timer.handlers
    assert process_handlers
    assert timer_handlers
    run_loop_until(lambda: pending.over and not client.running)
    run_loop_until(lambda: not process_handlers and not timer_handlers)
    alive = weakref.ref(transport)
    client.close()
    del transport
    client._gone.clear()
    gc.collect()
    assert alive() is None


def test_an_idle_worker_ends_by_the_timer(start_qt_client: StartClient, a_volume: Volume) -> None:
    client = start_qt_client(idle_seconds=0.2)
    volume = RemoteVolume(client, "any", a_volume)
    result_of(volume.open())
    worker = psutil.Process(client.worker["pid"])
    run_loop_until(lambda: not client.running)
    run_loop_until(lambda: not worker.is_running())


@pytest.mark.skipif(sys.platform == "win32", reason="the execute bit is of POSIX")
@pytest.mark.parametrize("executable", [False, True])
def test_a_program_that_cannot_be_started_ends_in_a_sentence(
    tmp_path: Path, a_volume: Volume, executable: bool
) -> None:
    program = tmp_path / "python"
    program.write_bytes(b"\x7fELF broken")
    if executable:
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    client = WorkerClient(partial(worker_command, program), QProcessTransport)
    errors: list[MedSAMError] = []
    try:
        pending = RemoteVolume(client, "any", a_volume).propagate([A_BOX])
        errors.append(failure_of(pending))
    except WorkerError as error:
        errors.append(error)
    assert isinstance(errors[0], WorkerError)
    assert "could not be started" in errors[0].message or "before it was ready" in errors[0].message
    client.close()


def test_the_transport_uses_only_what_pythonqt_offers() -> None:
    process = load_shim().QProcess()
    with pytest.raises(AttributeError, match="no readAll"):
        process.readAll()
