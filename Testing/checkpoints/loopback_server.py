"""A web server on loopback that serves one file and misbehaves as told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behaviour:
    """What the server does. `drops` holds, per request, after how many bytes of the body to hang up."""

    content: bytes
    etag: str = '"v1"'
    status: int = 200
    statuses: list[int] = field(default_factory=list)
    content_type: str = "application/octet-stream"
    drops: list[int] = field(default_factory=list)
    ranges: bool = True
    announce_length: bool = True
    bytes_per_second: float = 0.0
    redirect_to: str = ""
    redirect_status: int = 302
    content_ranges: list[str] = field(default_factory=list)
    """For each answer with a part of the file, instead of the true Content-Range; `{start}` is where it begins."""
    requests: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behaviour: Behaviour

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output quiet."""

    def do_GET(self) -> None:
        asked = self.behaviour
        asked.requests.append(dict(self.headers))
        status = asked.statuses.pop(0) if asked.statuses else asked.status
        if asked.redirect_to and self.path == "/moved":
            self.send_response(asked.redirect_status)
            self.send_header("Location", asked.redirect_to)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if status != 200:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._send_file(asked)

    def _send_file(self, asked: Behaviour) -> None:
        start = 0
        wanted = self.headers.get("Range", "")
        if asked.ranges and wanted.startswith("bytes=") and self.headers.get("If-Range") == asked.etag:
            start = int(wanted[6:].rstrip("-"))
        body = asked.content[start:]
        self.send_response(206 if start else 200)
        if start:
            told = asked.content_ranges.pop(0) if asked.content_ranges else "bytes {start}-{last}/{size}"
            sizes = {"start": start, "last": len(asked.content) - 1, "size": len(asked.content)}
            self.send_header("Content-Range", told.format(**sizes))
        self.send_header("Content-Type", asked.content_type)
        if asked.etag:
            self.send_header("ETag", asked.etag)
        if asked.announce_length:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        self._send_body(body, asked)

    def _send_body(self, body: bytes, asked: Behaviour) -> None:
        stop = asked.drops.pop(0) if asked.drops else len(body)
        step = 16384
        try:
            for begin in range(0, min(stop, len(body)), step):
                piece = body[begin : min(begin + step, stop)]
                self.wfile.write(piece)
                asked.sent += len(piece)
                if asked.bytes_per_second:
                    self.wfile.flush()
                    time.sleep(len(piece) / asked.bytes_per_second)
        except OSError:  # the client went away, as some tests make it do
            pass
        if stop < len(body) or not asked.announce_length:
            self.close_connection = True


@contextmanager
def serve(behaviour: Behaviour) -> Iterator[str]:
    """Serve until the block ends; gives the file's address."""
    handler = type("Handler", (_Handler,), {"behaviour": behaviour})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/weights.pth"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
