"""Every way a worker can fail, each with a real child process."""

from __future__ import annotations

import os
import stat
import subprocess
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

from MedSAMSegmentLib.errors import Cancelled, DeviceError, InputError, MedSAMError, ModelError, WorkerError
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.worker.client import WorkerClient
from MedSAMSegmentLib.worker.frames import Frame, FrameParser
from MedSAMSegmentLib.worker.launch import BOOTSTRAP, LIBRARY_FOLDER, LaunchCommand, foreign_environment, worker_command
from MedSAMSegmentLib.worker.popen_transport import PopenTransport
from MedSAMSegmentLib.worker.protocol import PROTOCOL
from MedSAMSegmentLib.worker.remote_volume import RemoteVolume

STAND_IN = Path(__file__).with_name("stand_in_child.py")
WAIT = 120.0
"""Seconds for a child process on a machine that has much else to do; what works takes far less."""
A_BOX = Box(i=(4, 15), j=(2, 12), k=(2, 9))
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="the test speaks of POSIX signals")

StartClient = Callable[..., WorkerClient]
Volume = NDArray[np.int16]


def failure_of(client: WorkerClient, volume: Volume) -> MedSAMError:
    pending = RemoteVolume(client, "any", volume).propagate([A_BOX])
    with pytest.raises(MedSAMError) as caught:
        client.wait(pending, WAIT)
    assert not client.busy
    return caught.value


def assert_next_request_works(start: StartClient, client: WorkerClient, volume: Volume) -> None:
    """The same client serves again once the fault is over: its next worker is started without it."""
    client._command = partial(worker_command, script=STAND_IN)
    pending = RemoteVolume(client, "any", volume).segment_slice(0, 5, A_BOX)
    np.testing.assert_array_equal(client.wait(pending, WAIT).mask, volume[5] > 0)


ENDS = [
    pytest.param("early-exit", "ended before it was ready (exit code 7)", "no luck", id="exit before ready"),
    pytest.param("early-kill", "ended before it was ready (signal 9)", "", id="killed before ready", marks=posix_only),
    pytest.param("open-killed", "memory was not enough (signal 9), during: load model", "", marks=posix_only),
    pytest.param("killed", "memory was not enough (signal 9)", "", id="killed in a run", marks=posix_only),
    pytest.param("crash", "crashed (signal 11)", "Segmentation fault", marks=posix_only),
    pytest.param("exit-42", "ended unexpectedly (exit code 42)", "last words"),
    pytest.param("half-frame", "ended unexpectedly (exit code 0)", "ended inside a message"),
    pytest.param("early-garbage", "output is damaged", "Welc"),
    pytest.param("garbage", "output is damaged", "Trac"),
    pytest.param("strange-answer", "'done' message cannot be read", ""),
]


@pytest.mark.parametrize(("fault", "sentence", "detail"), ENDS)
def test_a_worker_that_fails_becomes_a_sentence_and_is_replaced(
    start_client: StartClient, a_volume: Volume, fault: str, sentence: str, detail: str
) -> None:
    client = start_client(fault)
    error = failure_of(client, a_volume)
    assert isinstance(error, WorkerError)
    assert sentence in error.message
    assert error.cure
    assert detail in error.detail
    assert not client.running
    assert_next_request_works(start_client, client, a_volume)


FAILURES = [
    ("memory-error", DeviceError, "The memory is not enough for this run."),
    ("cuda-memory", DeviceError, "The memory is not enough for this run."),
    ("allocator", DeviceError, "The memory is not enough for this run."),
    ("unicode", WorkerError, "The run failed: ValueError: Größe ≠ 三 \U0001f9e0"),
    ("no-module", ModelError, "cannot load the package 'a_module_that_is_missing'"),
]


@pytest.mark.parametrize(("fault", "kind", "sentence"), FAILURES)
def test_an_exception_in_the_worker_keeps_it_alive(
    start_client: StartClient, a_volume: Volume, fault: str, kind: type[MedSAMError], sentence: str
) -> None:
    client = start_client(fault)
    error = failure_of(client, a_volume)
    assert type(error) is kind
    assert sentence in error.message
    assert error.cure
    assert "Traceback" in error.detail
    preview = client.wait(RemoteVolume(client, "any", a_volume).segment_slice(0, 5, A_BOX), WAIT)
    np.testing.assert_array_equal(preview.mask, a_volume[5] > 0)
    assert client.generation == 1


def test_prints_of_python_of_c_and_of_child_processes_do_not_touch_the_frames(
    start_client: StartClient, a_volume: Volume
) -> None:
    client = start_client("print")
    run = client.wait(RemoteVolume(client, "any", a_volume).propagate([A_BOX], slice_range=(5, 5)), WAIT)
    np.testing.assert_array_equal(run.mask[5], a_volume[5] > 0)
    client.close()
    for words in ("a print of Python", "an echo of a child process", "a puts of C"):
        assert words in client.error_text


def test_a_worker_that_never_says_hello_has_a_time_limit(start_client: StartClient, a_volume: Volume) -> None:
    client = start_client("early-hang", hello_seconds=0.5)
    error = failure_of(client, a_volume)
    assert "did not answer within 0.5 seconds" in error.message
    assert not client.running


def test_a_cancelled_run_stops_and_keeps_the_worker(start_client: StartClient, a_volume: Volume) -> None:
    client = start_client("slow", grace_seconds=WAIT)
    volume = RemoteVolume(client, "any", a_volume)
    slices: list[Any] = []

    def stop_after_two(result: Any) -> None:
        slices.append(result)
        if len(slices) == 2:
            client.cancel(pending)

    pending = volume.propagate([A_BOX], on_slice=stop_after_two)
    with pytest.raises(Cancelled):
        client.wait(pending, WAIT)
    assert len(slices) == 2
    preview = client.wait(volume.segment_slice(0, 5, A_BOX), WAIT)
    np.testing.assert_array_equal(preview.mask, a_volume[5] > 0)
    assert client.generation == 1


@pytest.mark.parametrize("fault", ["deaf", "hold-the-lock", "open-hang"])
def test_a_run_that_ignores_cancel_is_killed_after_the_grace_period(
    start_client: StartClient, a_volume: Volume, fault: str
) -> None:
    client = start_client(fault, grace_seconds=0.3)
    volume = RemoteVolume(client, "any", a_volume)
    progress: list[Any] = []
    pending = volume.propagate([A_BOX], on_progress=progress.append)
    while not progress:
        with pytest.raises(WorkerError, match="not answered"):
            client.wait(pending, 0.02)
    process = psutil.Process(client.worker["pid"])
    # Right after its word of progress the worker looks once more whether to stop; on a busy machine that takes a while.
    with pytest.raises(WorkerError, match="not answered"):
        client.wait(pending, 1.0)
    client.cancel(pending)
    client.poll()
    assert not pending.over
    with pytest.raises(Cancelled):
        client.wait(pending, WAIT)
    assert is_gone(process, WAIT)
    assert not client.running
    assert_next_request_works(start_client, client, a_volume)


def test_a_request_that_was_not_sent_yet_is_cancelled_at_once(start_client: StartClient, a_volume: Volume) -> None:
    client = start_client("early-hang")
    pending = RemoteVolume(client, "any", a_volume).propagate([A_BOX])
    client.cancel(pending)
    with pytest.raises(Cancelled):
        _ = pending.result


def test_closing_the_client_kills_a_worker_that_computes(start_client: StartClient, a_volume: Volume) -> None:
    client = start_client("deaf")
    volume = RemoteVolume(client, "any", a_volume)
    client.wait(volume.open(), WAIT)
    process = psutil.Process(client.worker["pid"])
    pending = volume.propagate([A_BOX])
    client.close()
    assert is_gone(process, WAIT)
    with pytest.raises(Cancelled):
        _ = pending.result


def test_a_volume_larger_than_the_memory_is_refused_with_its_bytes_before_anything_is_sent(
    start_client: StartClient,
) -> None:
    client = start_client()
    huge = np.broadcast_to(np.zeros(1, np.int16), (100_000, 10_000, 10_000))
    with pytest.raises(InputError, match=r"needs 50\.0 TB \(50,000,000,000,000 bytes\)"):
        RemoteVolume(client, "any", huge).open()


def test_the_worker_refuses_a_volume_that_does_not_fit_beside_what_it_holds(
    start_client: StartClient, a_volume: Volume
) -> None:
    error = failure_of(start_client("no-memory"), a_volume)
    assert isinstance(error, InputError)
    assert "needs 17.3 kB (17,280 bytes) of memory, 1.0 kB is free" in error.message


@pytest.fixture
def raw_child() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """A worker without a client: bytes in, bytes out."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(*faults: str) -> subprocess.Popen[bytes]:
        command = worker_command(script=STAND_IN, options=faults)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        processes.append(
            subprocess.Popen([command.program, *command.arguments], env=dict(command.environment), **pipes)  # type: ignore[call-overload]
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def frames_of(data: bytes) -> list[Frame]:
    return list(FrameParser().iter_feed(data))


def test_the_worker_refuses_a_frame_that_announces_more_than_the_machine_holds(raw_child: Callable[..., Any]) -> None:
    header = b'{"kind":"open","id":1,"arrays":[{"name":"volume","dtype":"uint8","shape":[60000000000000]}]}'
    output, _ = raw_child().communicate(len(header).to_bytes(4, "big") + header + b"\x00" * 100, timeout=WAIT)
    (frame,) = frames_of(output)
    assert frame.header["code"] == "worker"
    assert "60,000,000,000,000 bytes" in frame.header["message"]


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\x00\x02[]", b"\x00" * 64], ids=["web", "list", "zeros"]
)
def test_the_worker_answers_bytes_that_are_no_request_and_ends(raw_child: Callable[..., Any], data: bytes) -> None:
    child = raw_child()
    output, _ = child.communicate(data, timeout=WAIT)
    assert [frame.header["kind"] for frame in frames_of(output)] == ["error"]
    assert child.returncode == 4


def test_a_message_that_does_not_fit_in_memory_is_answered_and_ends_the_worker(raw_child: Callable[..., Any]) -> None:
    child = raw_child("no-room")
    output, _ = child.communicate(b"\x00" * 64, timeout=WAIT)
    assert [(frame.header["kind"], frame.header["code"]) for frame in frames_of(output)] == [("error", "device")]
    assert child.returncode == 4


def test_bytes_that_a_child_does_not_take_are_told() -> None:
    transport = PopenTransport()
    transport.start(LaunchCommand(sys.executable, ("-c", "import time; time.sleep(600)"), dict(os.environ)))
    try:
        transport.write([b"x" * (4 << 20), b"y" * 7])
        assert transport.backlog + (2 << 20) > 4 << 20
        assert transport.backlog <= (4 << 20) + 7
    finally:
        transport.kill()
        assert transport.reap(WAIT)


def test_an_unknown_request_is_answered_and_the_next_one_served(raw_child: Callable[..., Any]) -> None:
    requests = b""
    for text in (
        b'{"kind":"dance","id":1}',
        b'{"kind":"close","id":2}',
        b'{"kind":"close","id":3,"session":9}',
        b'{"kind":"close","id":[3],"session":9}',
        b'{"kind":"hello"}',
        b'{"kind":"part","id":0,"session":9}',
        b'{"kind":"shutdown","id":4}',
    ):
        requests += len(text).to_bytes(4, "big") + text
    child = raw_child()
    # The pipe stays open until the answers are here: its end would mean that the parent is gone.
    child.stdin.write(requests)
    child.stdin.flush()
    output = child.stdout.read()
    assert [(f.header["id"], f.header["kind"]) for f in frames_of(output)] == [
        (1, "error"),
        (2, "error"),
        (3, "done"),
        (None, "error"),
        (None, "error"),
        (None, "error"),
        (4, "done"),
    ]


PARENT = """
import sys, time
sys.path[:0] = {paths!r}
import numpy as np
from functools import partial
from pathlib import Path
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.worker.client import WorkerClient
from MedSAMSegmentLib.worker.launch import worker_command
from MedSAMSegmentLib.worker.popen_transport import PopenTransport
from MedSAMSegmentLib.worker.remote_volume import RemoteVolume
command = partial(worker_command, script=Path({script!r}), options={faults!r})
client = WorkerClient(command, PopenTransport)
volume = RemoteVolume(client, "any", np.ones((50, 8, 8), np.int16))
client.wait(volume.open(), 120)
if {computing}:
    volume.propagate([Box(i=(0, 7), j=(0, 7), k=(0, 49))])
    time.sleep(0.3)
print(client.worker["pid"], flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(("computing", "fault"), [(False, "idle"), (True, "slow"), (True, "deaf")])
def test_the_worker_ends_by_itself_when_its_parent_is_gone(computing: bool, fault: str) -> None:
    script = PARENT.format(paths=[str(LIBRARY_FOLDER)], script=str(STAND_IN), faults=(fault,), computing=computing)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, encoding="utf-8") as parent:
        try:
            assert parent.stdout is not None
            worker = psutil.Process(int(parent.stdout.readline()))
            assert worker.is_running()
        finally:
            parent.kill()
    assert is_gone(worker, WAIT)


def test_an_interpreter_that_does_not_exist_is_named(start_client: StartClient, tmp_path: Path) -> None:
    missing = tmp_path / "python"
    with pytest.raises(WorkerError, match="There is no Python interpreter at"):
        worker_command(missing)


@posix_only
def test_a_program_that_cannot_be_started_is_named(tmp_path: Path, a_volume: Volume) -> None:
    program = tmp_path / "python"
    program.write_text("not a program")
    client = WorkerClient(partial(worker_command, program), PopenTransport)
    with pytest.raises(WorkerError, match="could not be started"):
        RemoteVolume(client, "any", a_volume).open()
    assert not client.running


@posix_only
def test_a_program_that_is_no_python_ends_in_a_sentence(tmp_path: Path, a_volume: Volume) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho hello; echo nope >&2; exit 3\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    client = WorkerClient(partial(worker_command, program), PopenTransport)
    error = failure_of(client, a_volume)
    assert "output is damaged" in error.message
    client.close()


BOOTSTRAP_AS = """
import runpy, sys
{change}
sys.argv = [{bootstrap!r}, *sys.argv[2:]]
runpy.run_path({bootstrap!r}, run_name="__main__")
"""


def client_of_python(tmp_path: Path, change: str) -> WorkerClient:
    """A client whose interpreter is this one, changed before it runs the bootstrap file."""
    script = tmp_path / "changed.py"
    script.write_text(BOOTSTRAP_AS.format(change=change, bootstrap=str(BOOTSTRAP)))

    def command() -> LaunchCommand:
        plain = worker_command()
        return LaunchCommand(plain.program, ("-s", str(script), *plain.arguments[1:]), plain.environment)

    return WorkerClient(command, PopenTransport)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("sys.version_info = (3, 9, 18)", "is Python 3.9.18, which is too old"),
        ("sys.modules['numpy'] = None", "cannot load the library"),
    ],
)
def test_an_interpreter_that_cannot_serve_says_why(
    tmp_path: Path, a_volume: Volume, change: str, sentence: str
) -> None:
    client = client_of_python(tmp_path, change)
    error = failure_of(client, a_volume)
    assert sentence in error.message
    assert "interpreter" in error.cure or "Python" in error.cure
    client.close()


def test_a_worker_of_another_protocol_version_gets_no_volume(tmp_path: Path, a_volume: Volume) -> None:
    change = f"sys.path.insert(0, {str(LIBRARY_FOLDER)!r}); import MedSAMSegmentLib.worker.main as m; m.PROTOCOL = 99"
    client = client_of_python(tmp_path, change)
    assert f"version 99 of the protocol, this program version {PROTOCOL}" in failure_of(client, a_volume).message
    client.close()


def test_a_foreign_interpreter_gets_none_of_this_pythons_variables(tmp_path: Path) -> None:
    interpreter = tmp_path / "python"
    interpreter.touch()
    ours = {"PYTHONHOME": "/slicer", "PYTHONPATH": "/slicer/lib", "__PYVENV_LAUNCHER__": "x", "HOME": "/home/me"}
    command = worker_command(interpreter, environment=ours)
    added = {"PYTHONUTF8": "1", "PYTHONNOUSERSITE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    assert command.environment == {"HOME": "/home/me", **added}
    users = worker_command(interpreter, environment={"OMP_WAIT_POLICY": "ACTIVE"})
    assert users.environment["OMP_WAIT_POLICY"] == "ACTIVE"
    assert command.arguments == ("-s", str(BOOTSTRAP), str(LIBRARY_FOLDER))
    assert worker_command(environment=ours).environment["PYTHONHOME"] == "/slicer"
    assert foreign_environment(ours) == {"HOME": "/home/me"}
