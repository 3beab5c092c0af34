"""The way to a worker on a server: addresses, records, what is compressed, and servers that are none."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from MedSAMSegmentLib.errors import MedSAMError, UsageError, WorkerError
from MedSAMSegmentLib.worker.bridge import LEAST_BYTES, MOST_BYTES, Packing
from MedSAMSegmentLib.worker.client import WorkerClient
from MedSAMSegmentLib.worker.frames import encode_frame
from MedSAMSegmentLib.worker.launch import SERVER_GRACE_SECONDS, server_command
from MedSAMSegmentLib.worker.popen_transport import PopenTransport
from MedSAMSegmentLib.worker.records import PING, RecordParser, data_record, last_record
from MedSAMSegmentLib.worker.server_address import parse_server

WAIT = 60.0
TOKEN = "a-token-for-the-tests"


@pytest.mark.parametrize(
    ("text", "address", "token"),
    [
        ("https://gpu.example.org", "https://gpu.example.org", ""),
        ("gpu.example.org:8443", "https://gpu.example.org:8443", ""),
        ("  HTTPS://GPU.example.org:8443/api/v1/info  ", "https://gpu.example.org:8443", ""),
        ("localhost:8000", "http://localhost:8000", ""),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000", ""),
        ("http://127.8.8.8:1", "http://127.8.8.8:1", ""),
        ("http://[::1]:8000", "http://[::1]:8000", ""),
        (
            f"Serving on http://127.0.0.1:8000/api/v1/info?token={TOKEN}",
            "http://127.0.0.1:8000",
            TOKEN,
        ),
        (f"https://gpu.example.org:1/viewer/?token={TOKEN}", "https://gpu.example.org:1", TOKEN),
    ],
)
def test_an_address_is_what_is_typed_or_pasted(text: str, address: str, token: str) -> None:
    parsed = parse_server(text)
    assert (parsed.address, parsed.token) == (address, token)
    assert TOKEN not in repr(parsed)


@pytest.mark.parametrize(
    "text",
    [
        *("", "   ", "two words", "ftp://host", "https://", "https://user:secret@host", "https://host:port", "//host"),
        *("https://host:99999", "https://hôst", "file:///etc/passwd", "http://", "https://[::1", "a b http://"),
    ],
)
def test_what_is_no_address_is_refused_with_a_cure(text: str) -> None:
    with pytest.raises(UsageError, match="no address of a server") as caught:
        parse_server(text)
    assert caught.value.cure
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["http://gpu.example.org", "http://192.168.1.5:8000", "http://127.0.0.1.example.org", "http://0.0.0.0:80"]
)
def test_images_never_travel_in_the_clear(text: str) -> None:
    with pytest.raises(UsageError, match="in the clear") as caught:
        parse_server(text)
    assert "ssh -L" in caught.value.cure


def test_the_token_is_in_no_argument_and_another_one_is_another_worker() -> None:
    first = server_command("https://a", TOKEN, environment={"PATH": "/bin"})
    assert TOKEN not in repr(first)
    assert not [one for one in first.arguments if TOKEN in one]
    assert TOKEN in first.environment.values()
    others = [server_command("https://a", "another-token"), server_command("https://b", TOKEN)]
    assert all(other.identity != first.identity for other in others)
    assert first.grace_seconds == SERVER_GRACE_SECONDS


# Records


def test_records_are_read_however_they_are_cut() -> None:
    pieces = [b"abc", b"\x00" * 70_000, b"x"]
    stream = PING + b"".join(data_record(piece) + PING for piece in pieces) + last_record({"status": -9})
    for step in (1, 3, 4, 5, 1000, len(stream)):
        parser, found = RecordParser(), []
        for start in range(0, len(stream), step):
            found += parser.feed(stream[start : start + step])
        assert found == pieces
        assert parser.last == {"status": -9}
        assert list(parser.feed(b"more")) == []


@pytest.mark.parametrize(
    "stream",
    [
        b"\x00\x10\x00\x01",
        b"HTTP/1.1 200",
        b"\xff\xff\xff\xff",
        b"\x80\x00\x00\x02[]",
        b"\x80\x00\x00\x02{,",
        b"\x80\x00\xff\xff" + b"[" * 0xFFFF,
    ],
)
def test_what_is_no_record_is_an_error_and_takes_no_memory(stream: bytes) -> None:
    parser = RecordParser()
    with pytest.raises(WorkerError, match="cannot be read"):
        list(parser.feed(stream))


def test_damaged_records_never_raise_anything_else() -> None:
    rng = np.random.default_rng(5)
    sound = PING + data_record(b"a" * 300) + data_record(b"b") + last_record({"status": 1, "signal": 0})
    for _ in range(3000):
        damaged = bytearray(sound)
        for place in rng.integers(0, len(damaged), rng.integers(1, 5)):
            damaged[place] = rng.integers(256)
        parser = RecordParser()
        try:
            found = b"".join(parser.feed(bytes(damaged[: rng.integers(len(damaged) + 1)])))
        except WorkerError:
            continue
        assert len(found) <= len(damaged)


# What is compressed


def test_on_a_slow_network_voxels_are_compressed_and_on_a_fast_one_they_are_not() -> None:
    voxels = bytes(range(64)) * 4096
    slow, fast = Packing(), Packing()
    for _ in range(3):
        body, packed = slow.pack(voxels)
        assert packed
        slow.note(len(body), len(body) / 100_000)
    assert slow.piece_bytes() == LEAST_BYTES
    assert fast.pack(voxels)[1], "it is tried before anything is known"
    fast.note(1 << 20, 1e-5)
    plain = [fast.pack(voxels) for _ in range(5)]
    assert plain == [(voxels, False)] * 5
    assert fast.piece_bytes() == MOST_BYTES


def test_what_gains_nothing_and_what_is_small_goes_as_it_is() -> None:
    noise = os.urandom(300_000)
    packing = Packing()
    assert packing.pack(noise) == (noise, False)
    assert packing.pack(b"hello") == (b"hello", False)


# Servers that are none

INFO = b'{"models": [{"id": "a", "title": "A", "state": "ready", "licence": "x", "licence_note": "", "good_for": ""}]}'
Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def a_web_server(info: Answer, workers: Answer) -> Iterator[str]:
    """A server that answers in these ways; its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            info(self)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path.endswith("/workers"):
                workers(self)
            else:
                answer(204)(self)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return send


def output(body: bytes) -> Answer:
    return answer(201, body, Location="/api/v1/workers/1")


READY = b"".join(encode_frame({"kind": "ready", "id": 0, "protocol": 2, "pid": 1}))
FRAME_HALF = READY + READY[:20]


@pytest.mark.parametrize(
    ("info", "workers", "words"),
    [
        (answer(200, b"<html>"), output(b""), "is no server of this version"),
        (answer(200, b"[]"), output(b""), "is no server of this version"),
        (answer(200, INFO), answer(201, b""), "is no server of this version"),
        (answer(200, INFO), answer(201, b"", Location="@example.org/api/v1/workers/1"), "is no server of this version"),
        (answer(404, b"no"), output(b""), "It answered with 404"),
        (answer(301, Location="https://example.org"), output(b""), "It answered with 301"),
        (answer(401, b"{}"), output(b""), "does not accept the token"),
        (answer(200, INFO), answer(503, b'{"message": "Later.", "cure": "Wait."}'), "Later"),
        (answer(200, INFO), output(b""), "The connection to .* was lost"),
        (answer(200, INFO), output(PING + data_record(FRAME_HALF)), "The connection to .* was lost"),
        (answer(200, INFO), output(b"garbage here"), "cannot be read"),
        (answer(200, INFO), output(data_record(b"garbage here")), "are not a message"),
        (answer(200, INFO), output(last_record({"problem": {"message": "Gone.", "cure": "x"}})), "Gone"),
        (answer(200, INFO), output(last_record({"status": "x", "signal": 900})), "ended"),
        (answer(200, INFO), output(data_record(READY) + last_record({"status": -11, "signal": 11})), "crashed"),
    ],
)
def test_a_server_that_is_none_is_a_sentence(info: Answer, workers: Answer, words: str) -> None:
    with a_web_server(info, workers) as address:
        client = WorkerClient(partial(server_command, address, TOKEN), PopenTransport)
        try:
            with pytest.raises(MedSAMError, match=words) as caught:
                client.wait(client.self_check(), WAIT)
        finally:
            client.close()
    assert caught.value.cure
    assert TOKEN not in f"{caught.value} {caught.value.detail} {client.error_text}"


def test_the_number_of_a_process_of_the_servers_is_not_taken_for_one_of_here() -> None:
    ended = threading.Event()

    def workers(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(201)
        handler.send_header("Location", "/api/v1/workers/1")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        record = data_record(READY)
        handler.wfile.write(f"{len(record):x}\r\n".encode() + record + b"\r\n")
        handler.wfile.flush()
        ended.wait(WAIT)
        handler.close_connection = True

    with a_web_server(answer(200, INFO), workers) as address:
        client = WorkerClient(partial(server_command, address, TOKEN), PopenTransport)
        checking = client.self_check()
        while not client.worker and not checking.over:
            client.poll()
        told = client.worker
        client.close()
        ended.set()
    assert told["server"] == address
    assert told["pid"] not in (1, os.getpid())
    assert told["models"][0]["state"] == "ready"


def test_nobody_there_is_a_sentence() -> None:
    client = WorkerClient(partial(server_command, "http://127.0.0.1:9", TOKEN), PopenTransport)
    try:
        with pytest.raises(WorkerError, match=r"127\.0\.0\.1:9 does not answer.*This computer"):
            client.wait(client.self_check(), WAIT)
    finally:
        client.close()
