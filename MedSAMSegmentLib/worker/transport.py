"""The interface of transports: start a program, bytes in, bytes out, its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from .launch import LaunchCommand

ERROR_TEXT_BYTES = 64 * 1024


class Transport(Protocol):
    """One child process. Nothing but `wait` and `reap` blocks; each object starts one process only."""

    on_activity: Callable[[], None] | None
    """Called from the event loop when there may be something to read or to check; None where no loop exists."""

    def start(self, command: LaunchCommand) -> None:
        """Start the process. Raises `WorkerError` when that is known at once to be impossible."""

    def write(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Queue bytes for the child's stdin. A child that is gone shows in `exit_status`, not here."""

    @property
    def backlog(self) -> int:
        """Bytes that were queued and that the child has not taken; `on_activity` follows when there are fewer."""

    def wake(self) -> None:
        """See to it that `on_activity` is called, or `wait` returns, as soon as the event loop had its turn."""

    def close_input(self) -> None:
        """Close the child's stdin after what is queued."""

    def read(self) -> bytes:
        """Return what has arrived on the child's stdout since the last call."""

    @property
    def at_end(self) -> bool:
        """True once stdout is closed and everything of it was read."""

    @property
    def exit_status(self) -> int | None:
        """None while the process runs; its exit status, or minus the signal that ended it."""

    @property
    def error_text(self) -> str:
        """The last `ERROR_TEXT_BYTES` of the child's stderr."""

    def set_interpreter_pid(self, process_id: object) -> None:
        """Take the id of the process that computes, as it says itself: another than the one started where a launcher is
        between."""

    def kill(self) -> None:
        """End the process now, and the interpreter that it started."""

    def wait(self, seconds: float) -> None:
        """Block until something may have happened, `seconds` at most."""

    def reap(self, seconds: float) -> bool:
        """Block until the process is gone, `seconds` at most; True when it is."""


class Tail:
    """The last bytes of a stream."""

    def __init__(self, limit: int = ERROR_TEXT_BYTES) -> None:
        self._limit = limit
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > self._limit:
            del self._data[: -self._limit]

    @property
    def text(self) -> str:
        return bytes(self._data).decode("utf-8", errors="replace")
