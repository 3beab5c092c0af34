"""One mouse gesture on a slice view: a click, or a drag that draws a box or a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

MINIMUM_DRAG_PIXELS = 4

XY: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Click:
    position: XY


@dataclass(frozen=True)
class Drag:
    start: XY
    end: XY

    @property
    def corners(self) -> tuple[XY, XY, XY, XY]:
        """The rectangle that start and end span, in ring order."""
        (x0, y0), (x1, y1) = self.start, self.end
        return ((x0, y0), (x1, y0), (x1, y1), (x0, y1))


class MouseGesture:
    """Follows press, move and release of the left button in one view."""

    def __init__(self) -> None:
        self._start: XY | None = None
        self._last: XY = (0, 0)

    @property
    def active(self) -> bool:
        return self._start is not None

    def press(self, position: XY) -> None:
        self._start = self._last = position

    def move(self, position: XY) -> Drag | None:
        """The drag so far; None when no button is down."""
        if self._start is None:
            return None
        self._last = position
        return Drag(self._start, position)

    def release(self, position: XY | None = None) -> Click | Drag | None:
        """The finished gesture; None when it did not start in this view."""
        if self._start is None:
            return None
        start, end = self._start, self._last if position is None else position
        self._start = None
        if max(abs(end[0] - start[0]), abs(end[1] - start[1])) < MINIMUM_DRAG_PIXELS:
            return Click(start)
        return Drag(start, end)

    def abort(self) -> None:
        self._start = None
