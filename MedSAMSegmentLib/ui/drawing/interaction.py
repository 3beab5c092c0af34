"""Mouse events of slice views as drawings. One gesture at a time; what is not ours is left to Slicer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import vtk

from ..objects.settings import Tool
from ..overlay.actors import ring
from ..overlay.painter import OverlayPainter

SLICE_WIDGET = "qMRMLSliceWidget"


class DrawingTarget(Protocol):
    """The target of gestures: the controller."""

    def drawing_begins(self) -> None: ...
    def draw_box(self, view_widget: Any, corners_xy: Any, extend: bool = False) -> None: ...
    def draw_line(self, view_widget: Any, start_xy: XY, end_xy: XY, extend: bool = False) -> None: ...
    def draw_point(self, view_widget: Any, position_xy: XY, positive: bool) -> None: ...


class SliceInteraction:
    """`tool()` is the chosen tool, `claimed()` tells that the left button is Slicer's now.

    `view` is the view in which the mouse was last, None before. Double clicks are always Slicer's: they enlarge a view.
    """

    def __init__(
        self,
        target: DrawingTarget,
        painter: OverlayPainter,
        tool: Callable[[], Tool],
        claimed: Callable[[], bool] = lambda: False,
    ) -> None:
        self._target = target
        self._claimed = claimed
        self._painter = painter
        self._tool = tool
        self._gesture = MouseGesture()
        self._drawn_in: Any = None
        self._extend = False
        self.view: Any = None

    def handle(self, interactor: Any, event_id: int, view_widget: Any) -> bool:
        """True when the event was ours."""
        if view_widget.className() != SLICE_WIDGET:
            return False
        position = tuple(interactor.GetEventPosition())
        if event_id == vtk.vtkCommand.LeftButtonPressEvent:
            return self._press(interactor, position, view_widget)
        if event_id == vtk.vtkCommand.MouseMoveEvent:
            self.view = view_widget
            return self._move(position, view_widget)
        if event_id == vtk.vtkCommand.LeftButtonReleaseEvent:
            return self._release(position, view_widget)
        return False

    def abort(self) -> None:
        """Drop a gesture that has not ended."""
        if self._gesture.active:
            self._gesture.abort()
            self._painter.overlay(self._drawn_in).hide_band()
        self._drawn_in = None

    def _press(self, interactor: Any, position: XY, view_widget: Any) -> bool:
        if interactor.GetShiftKey() or interactor.GetAltKey():
            # Shift moves the crosshair, Alt turns slices.
            return False
        self.abort()
        if self._claimed():
            return False
        self.view = self._drawn_in = view_widget
        self._extend = bool(interactor.GetControlKey())
        self._gesture.press(position)
        self._target.drawing_begins()
        return True

    def _move(self, position: XY, view_widget: Any) -> bool:
        if self._drawn_in != view_widget:
            return False
        drag = self._gesture.move(position)
        if drag is None:
            return False
        self._show_band(drag)
        return True

    def _release(self, position: XY, view_widget: Any) -> bool:
        if self._drawn_in != view_widget or not self._gesture.active:
            return False
        done = self._gesture.release(position)
        self._painter.overlay(view_widget).hide_band()
        self._drawn_in = None
        if done is not None:
            self._finish(done, view_widget)
        return True

    def _finish(self, done: Click | Drag, view_widget: Any) -> None:
        tool = self._tool()
        if tool in ("include", "exclude"):
            position = done.position if isinstance(done, Click) else done.start
            self._target.draw_point(view_widget, position, tool == "include")
        elif isinstance(done, Drag) and tool == "box":
            self._target.draw_box(view_widget, done.corners, self._extend)
        elif isinstance(done, Drag):
            self._target.draw_line(view_widget, done.start, done.end, self._extend)

    def _show_band(self, drag: Drag) -> None:
        tool = self._tool()
        overlay = self._painter.overlay(self._drawn_in)
        if tool == "box":
            overlay.show_band(ring(np.array(drag.corners, dtype=np.float64)))
        elif tool == "line":
            overlay.show_band(np.array([[drag.start, drag.end]], dtype=np.float64))


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
