"""A request on its way, as the caller holds it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from ..errors import Cancelled, MedSAMError, WorkerError
from ..results import Progress, SliceResult
from .frames import Frame
from .protocol import Request, error_from_fields

T = TypeVar("T")
E = TypeVar("E")

UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)
CURE = "Use the same version of the library on both ends."


def ignore_event() -> None:
    """Do nothing: events about a cancelled request before its end are not told."""


class Pending(Generic[T]):
    """One request: on its way, then over with `result` or `error`; one of `on_done` and `on_error` is called, once.

    `request` may be a function that makes it when it is sent. `stage` is what the worker last said it does. `decode`
    and `decode_slice` turn the frames of `done` and `slice` into what the callbacks get.
    """

    def __init__(
        self,
        request: Request | Callable[[], Request],
        decode: Callable[[Frame], T],
        *,
        on_done: Callable[[T], None] | None = None,
        on_error: Callable[[MedSAMError], None] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        on_slice: Callable[[SliceResult], None] | None = None,
        decode_slice: Callable[[Frame], SliceResult] | None = None,
    ) -> None:
        self.request = request
        self.request_id = 0
        self.stage = ""
        self.error: MedSAMError | None = None
        self.cancel_asked = False
        self._decode = decode
        self._decode_slice = decode_slice
        self._result: T | None = None
        self._over = False
        self._on_done = on_done
        self._on_error = on_error
        self._on_progress = on_progress
        self._on_slice = on_slice

    def make_request(self) -> Request:
        """Return the request as it is to be sent."""
        return self.request() if callable(self.request) else self.request

    @property
    def over(self) -> bool:
        return self._over

    @property
    def result(self) -> T:
        """The result that `done` brought. Raises the error that the request ended with, `WorkerError` while it runs."""
        if self.error is not None:
            raise self.error
        if not self._over:
            raise WorkerError("The request is still running.", "Wait for its end.")
        return self._result  # type: ignore[return-value]

    def decode_event(self, frame: Frame) -> Callable[[], None]:
        """Return the call for this event; decoding is done before, so that it cannot fail half-way.

        Raises `WorkerError` for an event that is none.
        """
        try:
            return self._decode_event(frame)
        except UNREADABLE as error:
            kind = frame.header.get("kind")
            raise WorkerError(f"The worker's {kind!r} message cannot be read.", CURE, repr(error)) from error

    def _decode_event(self, frame: Frame) -> Callable[[], None]:
        kind, fields = frame.header["kind"], frame.header
        if kind == "error":
            return partial(self.fail, Cancelled() if self.cancel_asked else error_from_fields(fields))
        if kind == "done":
            return partial(self.fail, Cancelled()) if self.cancel_asked else partial(self._succeed, self._decode(frame))
        if kind == "progress":
            progress = Progress(int(fields["done"]), int(fields["total"]), str(fields["stage"]))
            self.stage = progress.stage
            return self._live(self._on_progress, progress)
        if kind == "slice" and self._decode_slice is not None:
            return self._live(self._on_slice, self._decode_slice(frame))
        raise WorkerError(f"The worker sent a {kind!r} message, which is not known here.", CURE)

    def _live(self, callback: Callable[[E], None] | None, value: E) -> Callable[[], None]:
        return ignore_event if callback is None or self.cancel_asked else partial(callback, value)

    def _succeed(self, result: T) -> None:
        self._over = True
        self._result = result
        if self._on_done is not None:
            self._on_done(result)

    def fail(self, error: MedSAMError) -> None:
        """End with an error, unless it is over."""
        if self._over:
            return
        self._over = True
        self.error = error
        if self._on_error is not None:
            self._on_error(error)
