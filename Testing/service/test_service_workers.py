"""Workers on a server, as 3D Slicer uses them: a real server, the real way there, a real worker with its stand-in."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from numpy.typing import NDArray
from service_support import STAND_IN, TOKEN, WAIT, Clock, RunningServer, a_block, served, settings

from MedSAMSegmentLib.errors import Cancelled, MedSAMError, UsageError, WorkerError
from MedSAMSegmentLib.prompts import Box, Point
from MedSAMSegmentLib.results import Segmentation3D
from MedSAMSegmentLib.service.service import Service
from MedSAMSegmentLib.service.settings import ComputeSettings, Limits
from MedSAMSegmentLib.worker.client import WorkerClient
from MedSAMSegmentLib.worker.launch import server_command, worker_command
from MedSAMSegmentLib.worker.popen_transport import PopenTransport
from MedSAMSegmentLib.worker.records import PING, RecordParser
from MedSAMSegmentLib.worker.remote_volume import RemoteVolume

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
AROUND = Box(i=(5, 15), j=(3, 11), k=(2, 9))
StartServer = Callable[..., RunningServer]
Connect = Callable[..., WorkerClient]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Clients of workers on a server; each is ended after the test."""
    clients: list[WorkerClient] = []

    def start(address: str, token: str = TOKEN, **options: Any) -> WorkerClient:
        clients.append(WorkerClient(partial(server_command, address, token), PopenTransport, **options))
        return clients[-1]

    yield start
    for client in clients:
        client.close()


def volume_of(client: WorkerClient, array: NDArray | None = None, **options: Any) -> RemoteVolume:
    return RemoteVolume(client, "lite_medsam", a_block() if array is None else array, device="cpu", **options)


def failure(client: WorkerClient, pending: Any) -> MedSAMError:
    with pytest.raises(MedSAMError) as caught:
        client.wait(pending, WAIT)
    assert TOKEN not in f"{caught.value} {caught.value.detail} {client.error_text}"
    return caught.value


def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in the server's own time."""
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def runs_on(client: WorkerClient) -> dict[str, Any]:
    """Run the block; what the run says, to be compared with another's."""
    volume, slices, progress = volume_of(client, window="ct-lung"), [], []
    first_looks: list[int] = []
    preview = client.wait(volume.segment_slice(0, 5, AROUND, on_first_look=lambda s: first_looks.append(s.index)), WAIT)
    second = client.wait(volume.segment_slice(1, 6, [AROUND, Point(7, 6, 5)], reading=2), WAIT)
    objects = [[AROUND], [Box(i=(6, 13), j=(4, 9), k=(3, 8))]]
    result: Segmentation3D = client.wait(
        volume.propagate(
            objects, slice_range=(2, 9), names=["a", "b"], on_slice=slices.append, on_progress=progress.append
        ),
        WAIT,
    )
    return {
        "preview": (preview.mask.tolist(), preview.score, preview.flags, first_looks),
        "second": (second.mask.tolist(), second.flags),
        "masks": [item.mask.tolist() for item in result.objects],
        "names": [item.name for item in result.objects],
        "slices": [(item.index, item.object_index, item.mask.tolist()) for item in slices],
        "progress": [(p.done, p.total, p.stage) for p in progress],
        "figures": (result.axis, result.model, result.window, result.encodes),
    }


def test_everything_is_as_with_a_worker_on_this_machine(server: RunningServer, connect: Connect) -> None:
    local = WorkerClient(partial(worker_command, script=STAND_IN), PopenTransport)
    try:
        here = runs_on(local)
    finally:
        local.close()
    there = connect(server.address)
    assert runs_on(there) == here
    assert np.array(here["masks"][0]).sum() == 6 * 6 * 8
    facts = there.worker
    assert facts["server"] == server.address
    assert facts["pid"] != os.getpid()
    assert {"id": "lite_medsam", "state": "ready"}.items() <= next(
        one for one in facts["models"] if one["id"] == "lite_medsam"
    ).items()
    assert TOKEN not in str(facts)


def test_a_volume_that_is_opened_late_or_in_part_arrives_whole(server: RunningServer, connect: Connect) -> None:
    # A window by percentiles needs all voxels before the first slice; this one comes in eleven parts, compressed.
    rng = np.random.default_rng(3)
    array = rng.integers(0, 3, (60, 400, 450)).astype(np.int16)
    array[20:30, 100:200, 100:200] = 900
    client = connect(server.address)
    volume = volume_of(client, array, window="mr", slice_range=(10, 50))
    found = client.wait(volume.propagate([Box(i=(90, 210), j=(90, 210), k=(15, 35))]), WAIT).objects[0].mask
    np.testing.assert_array_equal(found, (array > 0) & _inside(array.shape))
    assert server.service.workers


def _inside(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    inside = np.zeros(shape, bool)
    inside[15:36, 90:211, 90:211] = True
    return inside


def test_two_clients_at_once_have_workers_of_their_own(server: RunningServer, connect: Connect) -> None:
    first, second = connect(server.address), connect(server.address)
    doubled = np.repeat(a_block(), 2, axis=2)
    volumes = [volume_of(first), volume_of(second, doubled)]
    asked = [volumes[0].propagate([AROUND]), volumes[1].propagate([Box(i=(10, 30), j=(3, 11), k=(2, 9))])]
    found = [client.wait(one, WAIT).objects[0].mask for client, one in zip((first, second), asked, strict=True)]
    assert len(server.service.workers) == 2
    np.testing.assert_array_equal(found[0], a_block() > 0)
    np.testing.assert_array_equal(found[1], doubled > 0)


def test_a_worker_ends_with_its_client(server: RunningServer, connect: Connect) -> None:
    client = connect(server.address)
    client.wait(volume_of(client).open(), WAIT)
    assert len(server.service.workers) == 1
    client.close()
    until(lambda: len(server.service.workers) == 0)


def test_a_run_is_cancelled_and_the_next_one_needs_no_new_worker(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server("slow").address)
    volume = volume_of(client)
    running = volume.propagate([AROUND], on_progress=lambda progress: client.cancel(running))
    assert isinstance(failure(client, running), Cancelled)
    assert client.wait(volume.segment_slice(0, 5, AROUND), WAIT).mask.sum() == 6 * 8
    assert client.generation == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("killed", r"was ended by the system, most likely because the memory was not enough .*Close other programs"),
        ("crash", r"The worker crashed.*Run the self-check"),
        ("exit-42", r"The worker ended unexpectedly \(exit code 42\)"),
        ("memory-error", r"The memory is not enough for this run"),
        ("garbage", r"cannot be read|are not a message"),
    ],
)
def test_what_ends_the_worker_is_said_as_here(
    start_server: StartServer, connect: Connect, fault: str, words: str
) -> None:
    server = start_server(fault)
    client = connect(server.address)
    error = failure(client, volume_of(client).propagate([AROUND]))
    with pytest.raises(type(error), match=words):
        raise error
    assert str(Path(__file__).parents[2]) not in error.detail, "paths of the server are not the client's"
    # The next request gets a new worker.
    assert client.wait(volume_of(client).segment_slice(0, 5, AROUND), WAIT).mask.sum() == 6 * 8


@pytest.mark.parametrize("fault", ["early-exit", "early-kill", "early-garbage"])
def test_a_worker_that_cannot_start_is_a_sentence(start_server: StartServer, connect: Connect, fault: str) -> None:
    client = connect(start_server(fault).address)
    error = failure(client, volume_of(client).open())
    assert isinstance(error, WorkerError)
    assert error.cure


def test_a_wrong_token_is_said_and_neither_is_shown(server: RunningServer, connect: Connect) -> None:
    client = connect(server.address, "another-token-of-16")
    error = failure(client, volume_of(client).open())
    assert "does not accept the token" in error.message
    assert server.address in error.message
    assert "another-token" not in f"{error} {error.detail} {client.error_text}"
    assert len(server.service.workers) == 0


def test_a_path_is_refused_and_the_worker_lives_on(server: RunningServer, connect: Connect, tmp_path: Path) -> None:
    client = connect(server.address)
    error = failure(client, volume_of(client, weights=tmp_path / "a.pth").open())
    assert isinstance(error, UsageError)
    assert "'weights'" in error.message
    assert client.wait(volume_of(client).segment_slice(0, 5, AROUND), WAIT).mask.any()
    assert client.generation == 1


def test_no_more_workers_than_are_lent(start_server: StartServer, connect: Connect) -> None:
    server = start_server(limits=Limits(workers=1))
    first, second = connect(server.address), connect(server.address)
    first.wait(volume_of(first).open(), WAIT)
    error = failure(second, volume_of(second).open())
    assert "All 1 workers of the server are in use" in error.message
    assert "This computer" in error.cure
    answer = requests.post(f"{server.address}/api/v1/workers", headers=AUTHORIZED, timeout=WAIT)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
    first.close()
    until(lambda: len(server.service.workers) == 0)
    second.wait(volume_of(second).open(), WAIT)


def test_a_server_that_lends_none_says_so(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server(limits=Limits(workers=0)).address)
    assert "lends no workers" in failure(client, volume_of(client).open()).message


def test_a_volume_beyond_the_servers_limit_is_refused(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server(limits=Limits(upload_bytes=10_000)).address)
    error = failure(client, volume_of(client).open())
    assert "the server takes 10.0 kB" in error.message


def test_a_server_that_is_stopped_tells_its_clients(start_server: StartServer, connect: Connect) -> None:
    server = start_server("slow")
    client = connect(server.address)
    stopper = threading.Thread(target=server.stop)
    running = volume_of(client).propagate([AROUND], on_progress=lambda p: None if stopper.ident else stopper.start())
    error = failure(client, running)
    stopper.join()
    assert "The server was stopped" in error.message
    again = failure(client, volume_of(client).open())
    assert "does not answer" in again.message
    assert "This computer" in again.cure


class Cable:
    """A TCP connection between two ports that can be cut, or fall silent."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
                there = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            self._open += [here, there]
            for source, target in ((here, there), (there, here)):
                threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def cut(self) -> None:
        self._listener.close()
        for end in self._open:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
            finally:
                end.close()


def test_a_cut_connection_ends_the_run_with_a_sentence_and_the_worker(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server("slow")
    cable = Cable(server.port)
    client = connect(cable.address)
    cut: list[float] = []

    def progressed(progress: Any) -> None:
        if progress.done == 2 and not cut:
            cut.append(time.monotonic())
            cable.cut()

    error = failure(client, volume_of(client).propagate([AROUND], on_progress=progressed))
    assert cut
    assert isinstance(error, WorkerError)
    assert error.message.startswith(f"The connection to {cable.address} was lost")
    assert "This computer" in error.cure
    until(lambda: len(server.service.workers) == 0)


def test_a_client_that_falls_silent_loses_its_worker(start_server: StartServer, connect: Connect) -> None:
    clock = Clock()
    server = start_server(clock=clock)
    client = connect(server.address)
    client.wait(volume_of(client).open(), WAIT)
    clock.now += Limits().stall_seconds + 1
    server.service.workers.expire()
    until(lambda: len(server.service.workers) == 0)


def test_a_worker_that_nobody_uses_is_ended_and_comes_back(start_server: StartServer, connect: Connect) -> None:
    clock = Clock()
    server = start_server(clock=clock)
    client = connect(server.address)
    client.wait(volume_of(client).open(), WAIT)
    (worker,) = server.service.workers.all()
    clock.now += Limits().idle_seconds + 1
    worker.heard = clock.now  # it pings, but asks for nothing
    server.service.workers.expire()
    until(lambda: (client.poll(), not client.running)[1])
    assert client.wait(volume_of(client).segment_slice(0, 5, AROUND), WAIT).mask.any()
    assert client.generation == 2


@pytest.fixture
def tls_server(lite_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server with a certificate that nobody has signed; its address. The certificate is host.pem."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(lite_checkpoint.parent))
    certificate, key = tmp_path / "host.pem", tmp_path / "host.key"
    made = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    service = Service(settings(certificate=certificate, key=key), command=partial(worker_command, script=STAND_IN))
    with served(service) as server:
        yield f"https://localhost:{server.port}"


def test_a_certificate_is_verified(
    tls_server: str, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(tls_server)
    error = failure(client, volume_of(client).open())
    assert f"The certificate of {tls_server} is not trusted" in error.message
    assert "REQUESTS_CA_BUNDLE" in error.cure
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "host.pem"))
    trusting = connect(tls_server)
    assert trusting.wait(volume_of(trusting).segment_slice(0, 5, AROUND), WAIT).mask.sum() == 6 * 8


@pytest.mark.usefixtures("one_thread")
def test_the_networks_masks_are_those_of_a_worker_on_this_machine(
    lite_checkpoint: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(lite_checkpoint.parent))
    z, y, x = np.ogrid[:7, :96, :80]
    ball = ((z - 3) / 4.5) ** 2 + ((y - 50) / 20) ** 2 + ((x - 40) / 18) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 8, ball.shape)
    volume = (np.where(ball, 180, 40) + noise).clip(0, 255).astype(np.uint8)
    box = Box(i=(20, 60), j=(28, 72), k=(3, 4))
    local = WorkerClient(worker_command, PopenTransport)
    found = []
    try:
        with served(Service(settings(compute=ComputeSettings(device="cpu", engine="torch")))) as server:
            for client in (connect(server.address), local):
                opened = RemoteVolume(client, "lite_medsam", volume, window="none", device="cpu", engine="torch")
                preview = client.wait(opened.segment_slice(0, 3, box), WAIT * 3)
                run = client.wait(opened.propagate([box], names=["ball"]), WAIT * 3)
                found.append((preview.mask, run.objects[0].mask, preview.score, run.encodes))
    finally:
        local.close()
    (there, here) = found
    np.testing.assert_array_equal(there[0], here[0])
    np.testing.assert_array_equal(there[1], here[1])
    assert there[2:] == here[2:]
    assert 2 * (there[1] & ball)[3:5].sum() / (there[1].sum() + ball[3:5].sum()) > 0.9


# What no client of ours does.


class RawWorker:
    """A worker asked for by hand; `records` is what came of its output."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self.answer = requests.post(f"{server.address}/api/v1/workers", headers=AUTHORIZED, timeout=WAIT, stream=True)
        self.place = self.answer.headers["Location"]

    def send(self, data: bytes, offset: int = 0, **headers: str) -> requests.Response:
        return requests.post(
            f"{self._server.address}{self.place}/input",
            params={"offset": offset},
            data=data,
            headers={**AUTHORIZED, **headers},
            timeout=WAIT,
        )

    def read_all(self) -> tuple[bytes, dict[str, Any]]:
        """Return the output to its end, and how it ended."""
        parser, found = RecordParser(), b""
        for data in self.answer.raw.stream(1 << 16):
            found += b"".join(parser.feed(data))
        assert parser.last is not None
        return found, parser.last


@pytest.fixture
def raw(server: RunningServer) -> Iterator[RawWorker]:
    worker = RawWorker(server)
    yield worker
    worker.answer.close()


def test_the_output_begins_at_once_and_is_for_no_proxy_to_keep(raw: RawWorker) -> None:
    assert raw.answer.status_code == 201
    assert raw.answer.headers["X-Accel-Buffering"] == "no"
    assert next(raw.answer.raw.stream(4)) == PING


HELLO = b'\x00\x00\x00\x17{"kind":"hello","id":0}'


def test_bytes_are_taken_in_their_order_and_once(raw: RawWorker) -> None:
    assert raw.send(HELLO[:9]).status_code == 204
    assert raw.send(HELLO[:9]).status_code == 204, "said again because the answer was lost"
    refused = raw.send(HELLO[12:], offset=12)
    assert (refused.status_code, refused.json()["code"]) == (409, "offset")
    assert raw.send(zlib.compress(HELLO[9:]), offset=9, **{"Content-Encoding": "deflate"}).status_code == 204
    assert raw.send(b"", offset=len(HELLO)).status_code == 204
    raw.send(b"\xff" * 8, offset=len(HELLO))
    output, last = raw.read_all()
    assert output.count(b'"ready"') == 1
    assert b"are not a message" in output
    assert last["status"] == 4


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (zlib.compress(bytes(9_000_000)), "deflate", 413),
        (bytes(9_000_000), "", 413),
        (b"no deflate", "deflate", 400),
        (zlib.compress(b"whole")[:-2], "deflate", 400),
        (zlib.compress(b"whole") + b"more", "deflate", 400),
        (b"x", "gzip", 415),
    ],
    ids=["bomb", "large", "garbage", "cut", "more", "gzip"],
)
def test_bodies_are_bounded(raw: RawWorker, body: bytes, encoding: str, status: int) -> None:
    answer = raw.send(body, **({"Content-Encoding": encoding} if encoding else {}))
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/api/v1/workers", {}, 401),
        ("POST", "/api/v1/workers", {"Authorization": "Bearer no"}, 401),
        ("POST", f"/api/v1/workers?token={TOKEN}", {}, 401),
        ("POST", "/api/v1/workers/0/input?offset=0", {}, 401),
        ("POST", "/api/v1/workers/0/input?offset=0", AUTHORIZED, 404),
        ("POST", "/api/v1/workers/0/input", AUTHORIZED, 422),
        ("POST", "/api/v1/workers/0/input?offset=-1", AUTHORIZED, 422),
        ("GET", "/api/v1/workers", AUTHORIZED, 405),
    ],
)
def test_who_may_ask_for_what(server: RunningServer, method: str, path: str, headers: dict, status: int) -> None:
    answer = requests.request(method, server.address + path, headers=headers, timeout=WAIT)
    assert answer.status_code == status
    assert len(server.service.workers) == 0
    if status == 405:
        assert answer.headers["Allow"] == "POST"


def test_damaged_frames_harm_nobody_else(server: RunningServer, connect: Connect) -> None:
    rng = np.random.default_rng(11)
    neighbour = connect(server.address)
    volume = volume_of(neighbour)
    neighbour.wait(volume.open(), WAIT)
    for _ in range(12):
        damaged = bytearray(HELLO + b'\x00\x00\x00\x2c{"kind":"open","id":1,"session":1,"shape":[]}')
        for place in rng.integers(0, len(damaged), 4):
            damaged[place] = rng.integers(256)
        worker = RawWorker(server)
        assert worker.send(bytes(damaged)).status_code == 204
        worker.answer.close()
    assert neighbour.wait(volume.propagate([AROUND]), WAIT).objects[0].mask.sum() == 6 * 6 * 8
    until(lambda: len(server.service.workers) == 1)
