"""The longest stall of the event loop while a scenario ran: a freeze, to the user."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import qt

INTERVAL_MS = 50


class EventLoopMonitor:
    """A timer of 50 ms, and how late its ticks came. The scenario's own computing between its waits does not count.

    `longest` is the longest stall in seconds, `computing` the most that this thread computed between two ticks: what
    would be left of a stall on a machine that does nothing else.
    """

    def __init__(self) -> None:
        self.longest = self.computing = 0.0
        self._expected = self._spent = 0.0
        self._watching = False
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._tick)

    def reset(self) -> None:
        """Forget what was measured: another scenario begins."""
        self.longest = self.computing = 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Measure while the event loop runs on behalf of the user: in a wait, or in a gesture."""
        if self._watching:
            yield
            return
        self._watching = True
        self._expected, self._spent = time.monotonic() + INTERVAL_MS / 1000, time.thread_time()
        self._timer.start()
        try:
            yield
        finally:
            self._note(time.monotonic())
            self._timer.stop()
            self._watching = False

    def _tick(self) -> None:
        now = time.monotonic()
        self._note(now)
        self._expected = now + INTERVAL_MS / 1000

    def _note(self, now: float) -> None:
        self.longest = max(self.longest, now - self._expected)
        spent = time.thread_time()
        self.computing = max(self.computing, spent - self._spent)
        self._spent = spent


_monitor: EventLoopMonitor | None = None


def monitor() -> EventLoopMonitor:
    """Return the one monitor of this application, made when it is first asked for."""
    global _monitor  # noqa: PLW0603 - one timer for all scenarios
    if _monitor is None:
        _monitor = EventLoopMonitor()
    return _monitor
