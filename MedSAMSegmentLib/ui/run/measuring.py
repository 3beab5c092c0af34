"""Measures what was written one object at a time, so that the views show a run's result before its figures."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from ...geometry import VolumeGeometry
from ...measurements import measure
from ..objects.corrections import Written
from ..objects.queue import QueuedObject, WrittenResult

Job = tuple[QueuedObject, WrittenResult, Written]


class DeferredMeasurement:
    """`later` calls a function when the event loop runs again; `changed()` is called after each object."""

    def __init__(self, later: Callable[[Callable[[], None]], None], changed: Callable[[], None]) -> None:
        self._later = later
        self._changed = changed
        self._jobs: deque[tuple[Job, VolumeGeometry]] = deque()

    @property
    def busy(self) -> bool:
        return bool(self._jobs)

    def add(self, items: Iterable[QueuedObject], geometry: VolumeGeometry) -> None:
        idle = not self._jobs
        for item in items:
            if item.result is not None and item.written is not None:
                self._jobs.append(((item, item.result, item.written), geometry))
        if idle and self._jobs:
            self._later(self._next)

    def clear(self) -> None:
        self._jobs.clear()

    def _next(self) -> None:
        if not self._jobs:
            return
        (item, result, written), geometry = self._jobs.popleft()
        try:
            item.measured(result, measure(written.packed.unpack(), geometry, written.axis))
        finally:
            if self._jobs:
                self._later(self._next)
        self._changed()
