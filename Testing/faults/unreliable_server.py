"""A web server in a process of its own whose answers go wrong as their address says.

The address holds, as JSON, what is wrong with the first answers, one dict each; those after them are right.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ETAG = '"v1"'
PAGE = b"<!DOCTYPE html><html>Please log in</html>"
SILENCE = 1.0
"""Seconds without a byte: more than the client of the campaign waits."""


def address_of(port: int, name: str, wrongs: Sequence[Mapping[str, Any]]) -> str:
    said = base64.urlsafe_b64encode(json.dumps(list(wrongs)).encode()).decode()
    return f"http://127.0.0.1:{port}/{name}/{said}/weights.pth"


@contextmanager
def unreliable_server(content: bytes) -> Iterator[tuple[int, int]]:
    """Serve `content` in a child; give the port and the child's process ID."""
    listener = socket.create_server(("127.0.0.1", 0))
    child = os.fork()
    if child == 0:
        try:
            _serve(listener, content)
        finally:
            os._exit(0)
    port = listener.getsockname()[1]
    listener.close()
    try:
        yield port, child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _serve(listener: socket.socket, content: bytes) -> None:
    handler = type("Handler", (_Handler,), {"content": content, "asked": Counter(), "lock": threading.Lock()})
    server = _Server(("127.0.0.1", 0), handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.serve_forever()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet: clients are killed and hang up here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    content: bytes
    asked: Counter[str]
    lock: threading.Lock

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        with self.lock:
            number = self.asked[self.path]
            self.asked[self.path] += 1
        wrongs = json.loads(base64.urlsafe_b64decode(self.path.split("/")[2]))
        with contextlib.suppress(OSError):
            self._answer(wrongs[number] if number < len(wrongs) else {})

    def _answer(self, wrong: Mapping[str, Any]) -> None:
        if wrong.get("silent"):
            time.sleep(SILENCE)
            self.close_connection = True
            return
        if "status" in wrong:
            self.send_response(wrong["status"])
            self.send_header("Content-Length", "0")
            if "location" in wrong:
                self.send_header("Location", wrong["location"])
            self.end_headers()
            return
        content, etag = self.content, wrong.get("etag", ETAG)
        if "content" in wrong:
            content = {
                "page": PAGE,
                "other": bytes(len(content)),
                "longer": content + bytes(5000),
                "shorter": content[: len(content) // 2],
                "empty": b"",
            }[wrong["content"]]
        start = self._start(wrong, etag)
        self.send_response(206 if start else 200)
        if start:
            shown = start + wrong.get("range", 0)
            self.send_header("Content-Range", f"bytes {shown}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("ETag", etag)
        if not wrong.get("no_length"):
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self._send(content[start:], wrong)

    def _start(self, wrong: Mapping[str, Any], etag: str) -> int:
        wanted = self.headers.get("Range", "")
        if wrong.get("no_ranges") or not wanted.startswith("bytes=") or self.headers.get("If-Range") != etag:
            return 0
        return int(wanted[6:].rstrip("-"))

    def _send(self, body: bytes, wrong: Mapping[str, Any]) -> None:
        stop = wrong.get("drop", len(body))
        for begin in range(0, min(stop, len(body)), 8192):
            self.wfile.write(body[begin : min(begin + 8192, stop)])
            if "pause" in wrong:
                self.wfile.flush()
                time.sleep(wrong["pause"])
        if wrong.get("hang"):
            self.wfile.flush()
            time.sleep(SILENCE)
        if wrong.get("reset"):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if stop < len(body) or wrong.get("no_length") or wrong.get("reset"):
            self.close_connection = True
