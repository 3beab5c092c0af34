"""The bounds of a worker whose client is on another machine, on real worker processes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import repeat
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from MedSAMSegmentLib.errors import InputError, MedSAMError, ModelError, UsageError, WorkerError
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.worker.admission import FRAME_COST, Admission
from MedSAMSegmentLib.worker.client import WorkerClient
from MedSAMSegmentLib.worker.frames import Frame, FrameParser, encode_frame
from MedSAMSegmentLib.worker.launch import LIBRARY_FOLDER
from MedSAMSegmentLib.worker.protocol import OpenVolume, Prepare, Request, VolumePart, request_payload
from MedSAMSegmentLib.worker.remote_volume import RemoteVolume

STAND_IN = Path(__file__).with_name("stand_in_child.py")
WAIT = 60.0
BOX = Box(i=(5, 15), j=(3, 11), k=(2, 9))
BOUNDS = Admission(volume_bytes=1_000_000, loading={"device": "cpu", "precision": "auto"})


@pytest.fixture(autouse=True)
def models(lite_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(lite_checkpoint.parent))


@pytest.fixture
def confined(start_client: Callable[..., WorkerClient]) -> WorkerClient:
    return start_client("--confined", BOUNDS.text)


def failure(client: WorkerClient, pending: Any) -> MedSAMError:
    with pytest.raises(MedSAMError) as caught:
        client.wait(pending, WAIT)
    return caught.value


def test_a_run_within_the_bounds_is_that_of_any_worker(
    confined: WorkerClient, start_client: Callable[..., WorkerClient], a_volume: NDArray[np.int16]
) -> None:
    local = start_client()
    masks = []
    for client in (confined, local):
        volume = RemoteVolume(client, "lite_medsam", a_volume, window="ct-lung", modality="CT", device="auto")
        result = client.wait(volume.propagate([BOX], slice_range=(2, 9), names=["block"], stop={}), WAIT)
        masks.append(result.objects[0].mask)
        seen = client.wait(volume.segment_slice(1, 7, BOX, reading=2), WAIT)
        assert seen.mask.any()
    np.testing.assert_array_equal(*masks)


def test_the_device_that_the_server_chose_stands(confined: WorkerClient, a_volume: NDArray[np.int16]) -> None:
    opened = confined.wait(RemoteVolume(confined, "lite_medsam", a_volume, device="cuda", engine="torch").open(), WAIT)
    # The stand-in tells the options that it got.
    assert '"device": "cpu"' in opened["window"]
    assert '"engine": "torch"' in opened["window"]


@pytest.mark.parametrize(
    "options",
    [
        {"weights": "/etc/passwd"},
        {"weights": "own-a.pth"},
        {"download": True},
        {"store": "/tmp"},
        {"cache_bytes": 1 << 60},
        {"geometry": {}},
        {"__class__": "x"},
    ],
    ids=str,
)
def test_files_downloads_and_whatever_else_are_refused(
    confined: WorkerClient, a_volume: NDArray[np.int16], options: dict[str, Any]
) -> None:
    error = failure(confined, RemoteVolume(confined, "lite_medsam", a_volume, **options).open())
    assert isinstance(error, UsageError)
    assert next(iter(options)) in error.message
    assert error.detail == "", "a trace names paths of the server"
    prepared = failure(confined, confined.submit(a_pending(Prepare("lite_medsam", options))))
    assert isinstance(prepared, UsageError)
    assert confined.running, "nothing else is lost by it"


def a_pending(request: Request) -> Any:
    from MedSAMSegmentLib.worker.pending import Pending

    return Pending(request, lambda frame: None)


@pytest.mark.parametrize("options", [{"weights": "/etc/passwd"}, {"on_slice": 1}, {"cancel": True}], ids=str)
def test_a_run_takes_known_options_alone(
    confined: WorkerClient, a_volume: NDArray[np.int16], options: dict[str, Any]
) -> None:
    volume = RemoteVolume(confined, "lite_medsam", a_volume)
    confined.wait(volume.open(), WAIT)
    with pytest.raises(UsageError, match=next(iter(options))):
        BOUNDS.admit(a_run(**options))
    assert not confined.wait(volume.propagate([BOX]), WAIT).objects[0].mask[0].any()


def a_run(**options: Any) -> Any:
    from MedSAMSegmentLib.worker.protocol import Propagate

    return Propagate(1, [BOX], options)


@pytest.mark.parametrize(
    "options", [{"names": "x" * 10_000}, {"axis": "k"}, {"stop": [1]}, {"direction": [1]}], ids=str
)
def test_options_of_another_form_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(WorkerError, match="form"):
        BOUNDS.admit(a_run(**options))


@pytest.mark.parametrize(
    "model", ["../../etc/passwd", "/etc/passwd", "own-../x.pth", "own-x.pth", "no_such", "x" * 999]
)
def test_a_model_is_a_name_of_the_servers_list(confined: WorkerClient, a_volume: NDArray[np.int16], model: str) -> None:
    error = failure(confined, RemoteVolume(confined, model, a_volume).open())
    assert isinstance(error, (UsageError, ModelError))


def test_a_model_without_weights_is_for_whoever_runs_the_server(
    tmp_path: Path, lite_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, confined: WorkerClient
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(lite_checkpoint, folder)
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(folder))
    error = failure(confined, RemoteVolume(confined, "medsam2", np.zeros((2, 3, 4), np.uint8)).open())
    assert type(error) is ModelError
    assert "medsam-segment models pull medsam2" in error.cure


def test_a_volume_beyond_the_bound_is_refused_before_it_comes(confined: WorkerClient) -> None:
    volume = RemoteVolume(confined, "lite_medsam", np.zeros((40, 200, 200), np.int16))
    error = failure(confined, volume.open())
    assert isinstance(error, InputError)
    assert "3.2 MB" in error.message
    assert "1.0 MB" in error.message


def test_too_many_volumes_at_a_time_are_refused(confined: WorkerClient, a_volume: NDArray[np.int16]) -> None:
    volumes = [RemoteVolume(confined, "lite_medsam", a_volume) for _ in range(BOUNDS.volumes + 1)]
    for volume in volumes[:-1]:
        confined.wait(volume.open(), WAIT)
    assert "Too many volumes" in failure(confined, volumes[-1].open()).message
    volumes[0].close()
    confined.wait(volumes[-1].open(), WAIT)


# Frames as no client of ours sends them.


@contextmanager
def a_worker(bounds: Admission) -> Iterator[tuple[IO[bytes], Callable[[], Frame]]]:
    """A worker without a client: its stdin, and the next event that it sends."""
    command = [sys.executable, str(STAND_IN), str(LIBRARY_FOLDER), "--confined", bounds.text]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdin is not None
    assert process.stdout is not None
    parser, stdout, events = FrameParser(), process.stdout, deque[Frame]()

    def next_event() -> Frame:
        while not events:
            data = stdout.read1(1 << 16)  # type: ignore[attr-defined]
            if not data:
                raise EOFError
            events.extend(parser.iter_feed(data))
        return events.popleft()

    try:
        yield process.stdin, next_event
    finally:
        process.kill()
        process.wait(WAIT)
        stdout.close()
        with suppress(BrokenPipeError):
            process.stdin.close()


def send(stdin: IO[bytes], request: Request, number: int) -> None:
    header, arrays = request_payload(request, number)
    for piece in encode_frame(header, arrays):
        stdin.write(piece)
    stdin.flush()


def test_parts_that_come_again_and_again_do_not_fill_the_memory() -> None:
    part = VolumePart(1, (4, 100, 100), (0, 0, 0), np.zeros((4, 100, 100), np.int16))
    with a_worker(BOUNDS) as (stdin, next_event):
        for _ in range(5):
            send(stdin, part, 0)
        send(stdin, OpenVolume(1, "lite_medsam", (4, 100, 100), "int16"), 1)
        event = next_event()
    assert event.header["kind"] == "error"
    assert "again and again" in event.header["message"]


def test_a_message_beyond_the_bound_ends_the_worker_before_it_comes() -> None:
    with a_worker(BOUNDS) as (stdin, next_event):
        values = np.zeros((600, 100, 100), np.uint8)
        stdin.write(encode_frame({"kind": "part", "id": 0}, {"values": values})[0])
        stdin.flush()
        event = next_event()
        assert (event.header["kind"], event.header["id"]) == ("error", None)
        assert "6,000,000 bytes" in event.header["message"]
        with pytest.raises(EOFError):
            next_event()


def test_more_requests_than_may_wait_end_the_worker() -> None:
    bounds = Admission(volume_bytes=1000)
    request = b"".join(encode_frame({"kind": "close", "id": 1, "session": 1}))
    with a_worker(bounds) as (stdin, next_event):
        # Nobody reads the answers: it stops to answer as soon as the pipe is full, and the requests wait.
        with pytest.raises(BrokenPipeError):
            write_each(stdin, repeat(request, 4 * bounds.waiting_bytes // FRAME_COST))
        with pytest.raises(EOFError):
            deque(iter(next_event, None), maxlen=0)


def write_each(stdin: IO[bytes], requests: Iterable[bytes]) -> None:
    for request in requests:
        stdin.write(request)
        stdin.flush()
