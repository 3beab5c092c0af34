"""The child's main: frames in, frames out, one request at a time.

A thread of its own reads requests, so that `cancel` and the parent's end are seen while a run computes. When the
parent goes, its end of the pipe closes; the worker then stops by itself, whatever it is doing.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import os
import platform
import queue
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from ..errors import MedSAMError, WorkerError
from .admission import FRAME_COST, Admission
from .failure import describe
from .frames import READ_BYTES, Frame, FrameLimits, FrameParser, encode_frame, write_all
from .memory import available_bytes, total_bytes
from .protocol import CURE, PROTOCOL, VolumePart, error_fields, parse_request
from .session_host import SessionFactory, SessionHost

QUIET_SECONDS = 0.4
"""Prompts on one slice often follow each other; work ahead waits so long for the next one."""

MOST_CANCELS = 10_000
"""Requests that were cancelled and have not been answered."""

EXIT_PARENT_GONE = 3
EXIT_PROTOCOL = 4


class Worker:
    """Serves requests from `read_fd` and writes events to `write_fd` until told to stop.

    `orphan_grace` is the time in seconds that a running request gets to end once the parent is gone. `admission` is
    that of a client on another machine, who gets no traces.
    """

    def __init__(
        self,
        read_fd: int,
        write_fd: int,
        host: SessionHost,
        orphan_grace: float = 2.0,
        admission: Admission | None = None,
    ) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._host = host
        self._orphan_grace = orphan_grace
        self._admission = admission
        self._waiting_lock = threading.Lock()
        self._waiting_bytes = 0
        self._requests: queue.SimpleQueue[Frame | MedSAMError | None] = queue.SimpleQueue()
        self._stopped: set[int] = set()
        self._parent_gone = threading.Event()
        self._exit = threading.Event()

    def serve(self) -> int:
        """Serve until told to stop; return the process's exit status."""
        threading.Thread(target=self._read, name="requests", daemon=True).start()
        while True:
            item = self._next()
            if item is None:
                break
            if isinstance(item, MedSAMError):
                self._emit_error(None, item)
                return EXIT_PROTOCOL
            self._count(-_cost(item))
            if not self._handle(item):
                break
        self._exit.set()
        self._host.close_all()
        return EXIT_PARENT_GONE if self._parent_gone.is_set() else 0

    def _next(self) -> Frame | MedSAMError | None:
        """Return the next request. After a moment without one the host works ahead, slice by slice, until one comes."""
        while self._host.has_idle_work:
            with contextlib.suppress(queue.Empty):
                return self._requests.get(timeout=QUIET_SECONDS)
            self._do_idle_work()
        return self._requests.get()

    def _do_idle_work(self) -> None:
        while self._host.has_idle_work and self._requests.empty():
            try:
                self._host.do_idle_work()
            except Exception as error:  # noqa: BLE001 - nobody asked for it: it is tried again, and reported, on request
                print(describe(error).detail, file=sys.stderr)

    def _handle(self, frame: Frame) -> bool:
        """Handle a frame; return False when the worker should end."""
        kind, request_id = frame.header.get("kind"), frame.header.get("id")
        if type(request_id) is not int:
            # Answered by no number, as a part that cannot be read.
            self._emit_error(None, WorkerError("A request has no number.", CURE))
            return True
        if kind == "hello":
            self._emit(request_id, "ready", _introduction() if self._admission is None else {"protocol": PROTOCOL})
            return True
        if kind == "shutdown":
            self._emit(request_id, "done", {})
            return False
        if kind == VolumePart.kind:
            self._take_part(frame)
            return True
        self._answer(frame, request_id)
        self._stopped.discard(request_id)
        return True

    def _take_part(self, frame: Frame) -> None:
        """A part that cannot be read tells that the other end speaks another language; it is no one's answer."""
        try:
            part = parse_request(frame)
        except MedSAMError as error:
            self._emit_error(None, error)
        else:
            assert isinstance(part, VolumePart)
            self._host.receive(part)

    def _answer(self, frame: Frame, request_id: Any) -> None:
        def emit(kind: str, fields: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> None:
            self._emit(request_id, kind, fields, arrays)

        def should_stop() -> bool:
            return request_id in self._stopped or self._parent_gone.is_set()

        try:
            request = parse_request(frame)
            assert not isinstance(request, VolumePart), "a part is no question"
            fields, arrays = self._host.answer(request, emit, should_stop)
            self._emit(request_id, "done", fields, arrays)
        except Exception as error:  # noqa: BLE001 - the one boundary: nothing may end the worker without a sentence
            failure = describe(error)
            if not isinstance(error, MedSAMError):
                print(failure.detail, file=sys.stderr)
            self._emit_error(request_id, failure)

    def _emit(
        self, request_id: Any, kind: str, fields: Mapping[str, Any], arrays: Mapping[str, NDArray] | None = None
    ) -> None:
        pieces = encode_frame({**fields, "kind": kind, "id": request_id}, arrays)
        try:
            for piece in pieces:
                write_all(self._write_fd, piece)
        except OSError:
            # Nobody reads any more; there is no one to tell and nothing to save.
            os._exit(EXIT_PARENT_GONE)

    def _emit_error(self, request_id: Any, error: MedSAMError) -> None:
        fields = error_fields(error)
        self._emit(request_id, "error", fields if self._admission is None else {**fields, "detail": ""})

    def _read(self) -> None:
        parser = FrameParser(self._frame_limits())
        try:
            while data := os.read(self._read_fd, READ_BYTES):
                for frame in parser.iter_feed(data):
                    self._receive(frame)
        except WorkerError as error:
            self._requests.put(error)
        except MemoryError as error:
            # What came of the message is lost, so the stream has no known position any more.
            self._requests.put(describe(error))
        except OSError:
            pass
        self._end_with_parent()

    def _frame_limits(self) -> FrameLimits:
        if self._admission is not None:
            return self._admission.frame_limits
        return FrameLimits(body_bytes=total_bytes() or FrameLimits.body_bytes)

    def _receive(self, frame: Frame) -> None:
        """Queue a request. Raises `WorkerError` for more than a client on another machine may have waiting here."""
        if frame.header.get("kind") != "cancel":
            waiting = self._count(_cost(frame))
            if self._admission is not None and waiting > self._admission.waiting_bytes:
                raise WorkerError("More was sent than the server takes at a time.", CURE)
            self._requests.put(frame)
            return
        target = frame.header.get("target")
        if isinstance(target, int) and len(self._stopped) < MOST_CANCELS:
            self._stopped.add(target)

    def _count(self, size: int) -> int:
        """Add to the bytes that wait, and return them."""
        with self._waiting_lock:
            self._waiting_bytes += size
            return self._waiting_bytes

    def _end_with_parent(self) -> None:
        self._parent_gone.set()
        self._requests.put(None)
        if not self._exit.wait(self._orphan_grace):
            os._exit(EXIT_PARENT_GONE)


def _cost(frame: Frame) -> int:
    return FRAME_COST + sum(array.nbytes for array in frame.arrays.values())


def _widen(pipe: int) -> None:
    """Let more bytes wait in the pipe: while torch is imported the reading thread seldom gets its turn."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, READ_BYTES)


def _introduction() -> dict[str, Any]:
    return {
        "protocol": PROTOCOL,
        "pid": os.getpid(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "machine": platform.machine(),
    }


def run(
    read_fd: int,
    write_fd: int,
    arguments: Sequence[str] = (),
    *,
    session_factory: SessionFactory | None = None,
    memory: Callable[[], int | None] = available_bytes,
) -> int:
    """Serve until the parent says or goes. `session_factory` and `memory` stand in for the library's own in tests."""
    parser = argparse.ArgumentParser(prog="worker")
    parser.add_argument("--orphan-grace", type=float, default=2.0, help="seconds to end in when the parent is gone")
    parser.add_argument("--confined", metavar="BOUNDS", help="the client is on another machine; see `Admission`")
    parser.add_argument("--server", action="store_true", help="the worker is one on a server; see `bridge`")
    options = parser.parse_args(list(arguments))
    admission = Admission.from_text(options.confined) if options.confined else None
    faulthandler.enable()
    _widen(read_fd)
    # Ctrl+C in a terminal reaches the whole group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if options.server:
        from .bridge import run as run_bridge

        run_bridge(read_fd, write_fd)
    host = SessionHost(session_factory, memory, admission)
    status = Worker(read_fd, write_fd, host, options.orphan_grace, admission).serve()
    sys.stderr.flush()
    # Interpreter shutdown would wait for the library's threads and run into the reader's blocking read.
    os._exit(status)
