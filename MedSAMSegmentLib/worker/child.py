"""One child process as the client sees it: frames over a transport, its hello, its deadlines, its end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from ..errors import MedSAMError, WorkerError
from .exit_status import explain_exit
from .frames import Frame, FrameParser, encode_frame
from .outbox import Outbox
from .protocol import PROTOCOL, Hello, error_from_fields, request_payload
from .transport import Transport

HELLO_ID = 0
DETAIL_CHARACTERS = 8000
BACKLOG_BYTES = 4 << 20
"""No part of a volume is added to so many bytes that wait already: a request behind them waits for no more."""

Clock = Callable[[], float]


class Child:
    """Started by the constructor. `ready` holds its introduction once it has said hello."""

    def __init__(self, transport: Transport, start: Callable[[Transport], None], clock: Clock, hello_seconds: float):
        self._transport = transport
        self._clock = clock
        self._parser = FrameParser()
        self._inbox: deque[Frame] = deque()
        self._broken: WorkerError | None = None
        self.outbox = Outbox()
        """What is to be sent once the child has said hello, and as fast as it takes it."""
        self.ready: dict[str, Any] | None = None
        self.kill_at: float | None = None
        self.last_use = clock()
        self._backlog = 0
        self._taken_at = clock()
        start(transport)
        self._hello_until = clock() + hello_seconds
        self._hello_seconds = hello_seconds
        self._write(*request_payload(Hello(), HELLO_ID))

    @property
    def transport(self) -> Transport:
        return self._transport

    @property
    def deaf_seconds(self) -> float:
        """For how long bytes have waited of which the child took none; 0 where none wait. It reads whatever it does, so
        one that computes is not deaf."""
        self._see_what_was_taken()
        return self._clock() - self._taken_at

    def _see_what_was_taken(self) -> None:
        backlog = self._transport.backlog
        if backlog == 0 or backlog < self._backlog:
            self._taken_at = self._clock()
        self._backlog = backlog

    def send(self) -> None:
        """Send what was put into the outbox, as far as the child takes it now."""
        self.last_use = self._clock()
        self.send_more()

    def send_more(self) -> None:
        """Go on with the outbox.

        Nothing but hello is sent before the answer to it: a worker of another version gets no volume.
        """
        self._see_what_was_taken()
        if self.ready is None:
            return
        for message in self.outbox.take(lambda: self._transport.backlog < BACKLOG_BYTES):
            self._write(*message)
        self._backlog = self._transport.backlog
        if self.outbox.has_steps and self._transport.backlog < BACKLOG_BYTES:
            self._transport.wake()

    def next_event(self) -> Frame | None:
        """Return the next event that has arrived, if any. Raises the `MedSAMError` that makes this child useless."""
        self._read()
        while self._inbox:
            frame = self._inbox.popleft()
            if self.ready is None:
                self._handshake(frame)
            elif frame.header.get("kind") == "error" and frame.header.get("id") is None:
                raise error_from_fields(frame.header)
            else:
                return frame
        if self._broken is not None:
            raise self._broken
        self._check_time()
        if self._transport.exit_status is not None:
            # It may have been a launcher, whose interpreter would serve on with the pipes that it left.
            self._transport.kill()
        if self._transport.at_end:
            raise self._exit_error()
        return None

    def _read(self) -> None:
        """Read what arrived. Events before damaged bytes are still good, so the damage is kept for after them."""
        data = self._transport.read()
        try:
            for frame in self._parser.iter_feed(data):
                self._inbox.append(frame)
        except WorkerError as error:
            detail = f"{error.detail}\n{self.error_text}".strip()
            self._broken = WorkerError(f"The worker's output is damaged: {error.message}", error.cure, detail)

    def _handshake(self, frame: Frame) -> None:
        if frame.header.get("kind") == "error":
            raise error_from_fields(frame.header)
        if frame.header.get("kind") != "ready":
            raise WorkerError("The worker did not introduce itself.", "Choose another Python interpreter.")
        theirs = frame.header.get("protocol")
        if theirs != PROTOCOL:
            raise WorkerError(
                f"The worker speaks version {theirs} of the protocol, this program version {PROTOCOL}.",
                "Install the same version of the library on both ends.",
            )
        self.ready = frame.header
        self._transport.set_interpreter_pid(frame.header.get("pid"))
        self.send_more()

    def _check_time(self) -> None:
        now = self._clock()
        if self.ready is None and now > self._hello_until:
            raise WorkerError(
                f"The worker did not answer within {self._hello_seconds:g} seconds.",
                "Try again, or choose another Python interpreter in the settings.",
                self.error_text,
            )

    def _exit_error(self) -> MedSAMError:
        try:
            self._parser.finish()
        except WorkerError as error:
            broken = f"{error.message} {error.detail}\n"
        else:
            broken = ""
        # The exit status follows the end of stdout within moments, unless the child closed it and lives on.
        if not self._transport.reap(1.0):
            self._transport.kill()
            self._transport.reap(1.0)
        return explain_exit(self._transport.exit_status, self.ready is not None, broken + self.error_text)

    @property
    def error_text(self) -> str:
        return self._transport.error_text[-DETAIL_CHARACTERS:]

    def _write(self, header: dict[str, Any], arrays: Mapping[str, NDArray]) -> None:
        self._transport.write(encode_frame(header, arrays))
