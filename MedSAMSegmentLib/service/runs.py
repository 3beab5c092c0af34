"""Questions to the worker: previews and runs, and the numbered events of a run."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ..errors import Cancelled, MedSAMError
from ..prompts import Prompt
from ..propagation import Direction, StopRule
from ..results import Progress, Segmentation3D, SliceResult
from .problems import problem_fields

if TYPE_CHECKING:
    from ..worker.pending import Pending
    from ..worker.remote_volume import RemoteVolume
    from .sessions import ImageSession

State = Literal["queued", "running", "done", "failed", "cancelled"]

MOST_EVENTS = 4096
"""A run keeps its last events only: progress that nobody listened to is not worth memory."""


@dataclass(frozen=True)
class VolumeSetup:
    """The model and the window that an image is opened with in the worker."""

    model: str
    window: str


class Job(ABC):
    """A question to the worker about one image. Every method but `begin` may be called from any thread."""

    def __init__(self, session: ImageSession, setup: VolumeSetup, *, urgent: bool) -> None:
        self.session = session
        self.setup = setup
        self.urgent = urgent
        """It goes before those that are not."""

    @abstractmethod
    def begin(self, volume: RemoteVolume) -> Pending[Any]:
        """Send it. Raises `MedSAMError`."""

    @abstractmethod
    def fail(self, error: MedSAMError) -> None:
        """End it without a result."""


class Preview(Job):
    """One object on one slice; `answer` gets the result or the error.

    `on_first_look` may be called once before, from the owner's thread, with what the slice looks like so far.
    """

    def __init__(
        self,
        session: ImageSession,
        setup: VolumeSetup,
        *,
        axis: int,
        index: int,
        prompts: Sequence[Prompt],
        reading: int,
        on_first_look: Callable[[SliceResult], None] | None = None,
    ) -> None:
        super().__init__(session, setup, urgent=True)
        self.axis = axis
        self.index = index
        self.prompts = list(prompts)
        self.reading = reading
        self.on_first_look = on_first_look
        self.answer: Future[SliceResult] = Future()

    def begin(self, volume: RemoteVolume) -> Pending[Any]:
        return volume.segment_slice(
            self.axis,
            self.index,
            self.prompts,
            reading=self.reading,
            on_first_look=self.on_first_look,
            on_done=self._done,
            on_error=self.fail,
        )

    def _done(self, result: SliceResult) -> None:
        # Whoever asked may have stopped waiting at this very moment.
        with contextlib.suppress(InvalidStateError):
            self.answer.set_result(result)

    def fail(self, error: MedSAMError) -> None:
        with contextlib.suppress(InvalidStateError):
            self.answer.set_exception(error)


@dataclass(frozen=True)
class RunOrder:
    """The objects and options of a run; `terminologies` is one text an object, empty where none was given."""

    objects: Sequence[Sequence[Prompt]]
    names: Sequence[str]
    terminologies: Sequence[str]
    axis: int
    slice_range: tuple[int, int] | None = None
    direction: Direction = "both"
    strategy: str | None = None
    stop: bool = False
    reading: int = 1


@dataclass(frozen=True)
class Event:
    """One event of a run: its number, from 1 on, its kind and its fields."""

    number: int
    kind: str
    fields: dict[str, Any] = field(default_factory=dict)


class Run(Job):
    """Objects in 3D. Its state, events and result may be read from any thread."""

    def __init__(self, session: ImageSession, setup: VolumeSetup, order: RunOrder) -> None:
        super().__init__(session, setup, urgent=False)
        self.id = secrets.token_hex(8)
        self.order = order
        self.state: State = "queued"
        self.progress: Progress | None = None
        self.error: MedSAMError | None = None
        self.result: Segmentation3D | None = None
        self.seconds: float | None = None
        self.writing = threading.Lock()
        """Held while a file of the result is written: two requests must not write one file."""
        self._lock = threading.Lock()
        self._started = 0.0
        self._events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._count = 0
        self._listeners: list[Callable[[], None]] = []

    @property
    def over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    def begin(self, volume: RemoteVolume) -> Pending[Any]:
        order = self.order
        self._started = time.monotonic()
        self._tell("running", "progress", {"stage": "start", "done": 0, "total": 0})
        return volume.propagate(
            [list(prompts) for prompts in order.objects],
            axis=order.axis,
            slice_range=order.slice_range,
            direction=order.direction,
            strategy=order.strategy,
            stop=StopRule() if order.stop else None,
            names=list(order.names),
            reading=order.reading,
            on_progress=self._progressed,
            on_done=self._done,
            on_error=self.fail,
        )

    def events_after(self, number: int) -> list[Event]:
        """Return the events that are kept and came after the event `number`."""
        with self._lock:
            return [event for event in self._events if event.number > number]

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener`, from any thread, after each event to come."""
        with self._lock:
            self._listeners.append(listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        with self._lock:
            self._listeners.remove(listener)

    def fail(self, error: MedSAMError) -> None:
        if self.over:
            return
        if isinstance(error, Cancelled):
            self._end("cancelled", {})
            return
        self.error = error
        self._end("failed", {"problem": problem_fields(error)})

    def _progressed(self, progress: Progress) -> None:
        self.progress = progress
        self._tell("running", "progress", {"stage": progress.stage, "done": progress.done, "total": progress.total})

    def _done(self, result: Segmentation3D) -> None:
        self.result = result
        self._end("done", {"seconds": round(time.monotonic() - self._started, 3)})

    def _end(self, state: State, fields: dict[str, Any]) -> None:
        self.seconds = round(time.monotonic() - self._started, 3) if self._started else None
        self._tell(state, state, fields)

    def _tell(self, state: State, kind: str, fields: dict[str, Any]) -> None:
        with self._lock:
            self.state = state
            self._count += 1
            self._events.append(Event(self._count, kind, fields))
            listeners = list(self._listeners)
        for listener in listeners:
            listener()
