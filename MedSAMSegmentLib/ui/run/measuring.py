"""Measures what was written, in steps: the views show a run's result before its figures, and never stand still."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from ...geometry import VolumeGeometry
from ...measurements import Measurement, measure_in_steps
from ..objects.queue import QueuedObject, Written, WrittenResult

STEP_SECONDS = 0.03
"""After so long the event loop has its turn."""

Job = tuple[QueuedObject, WrittenResult, Written]


class DeferredMeasurement:
    """`later` calls a function when the event loop runs again; `changed()` is called after each object."""

    def __init__(self, later: Callable[[Callable[[], None]], None], changed: Callable[[], None]) -> None:
        self._later = later
        self._changed = changed
        self._jobs: deque[tuple[Job, VolumeGeometry]] = deque()
        self._steps: Iterator[Measurement | None] | None = None

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
        self._steps = None

    def _next(self) -> None:
        if not self._jobs:
            return
        (item, result, written), geometry = self._jobs[0]
        try:
            if self._steps is None:
                packed = written.packed
                self._steps = measure_in_steps(packed.slices, packed.get_slice, geometry, written.axis)
            found = _for_a_moment(self._steps)
            if found is None:
                self._later(self._next)
                return
            item.measured(result, found)
        except BaseException:
            self._end_job()
            raise
        self._end_job()
        self._changed()

    def _end_job(self) -> None:
        self._steps = None
        self._jobs.popleft()
        if self._jobs:
            self._later(self._next)


def _for_a_moment(steps: Iterator[Measurement | None]) -> Measurement | None:
    """Return the measurement, or None where it takes longer: it goes on with the next call."""
    until = time.monotonic() + STEP_SECONDS
    for found in steps:
        if found is not None or time.monotonic() > until:
            return found
    return None
