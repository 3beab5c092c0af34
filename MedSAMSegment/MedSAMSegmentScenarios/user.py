"""A user at the slice views: gestures as interactor events, clicks on buttons, and a count of both."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from MedSAMSegmentLib.mrml.transforms import apply, to_numpy

from .stalls import monitor

STEPS = 5


class User:
    """One gesture, click or key is one action; `count` says how many there were."""

    def __init__(self) -> None:
        self.log: list[str] = []

    @property
    def count(self) -> int:
        return len(self.log)

    def drag(
        self, view_name: str, from_ras: Sequence[float], to_ras: Sequence[float], *, control: bool = False
    ) -> None:
        """Press the left button at one point of the slice that is shown, move, release at another. RAS mm."""
        self.log.append(f"drag in {view_name}")
        view = view_widget(view_name)
        start, end = (_on_slice(view, point) for point in (from_ras, to_ras))
        _send(view, "MouseMoveEvent", start, control)
        _send(view, "LeftButtonPressEvent", start, control)
        for step in range(1, STEPS + 1):
            share = step / STEPS
            _send(view, "MouseMoveEvent", start + share * (end - start), control)
        _send(view, "LeftButtonReleaseEvent", end, control)

    def click(self, view_name: str, ras: Sequence[float]) -> None:
        self.log.append(f"click in {view_name}")
        view = view_widget(view_name)
        position = _on_slice(view, ras)
        for event in ("MouseMoveEvent", "LeftButtonPressEvent", "LeftButtonReleaseEvent"):
            _send(view, event, position, False)

    def double_click(self, view_name: str, ras: Sequence[float]) -> None:
        """As Qt sends it: the second press arrives as a double click."""
        self.click(view_name, ras)
        view = view_widget(view_name)
        position = _on_slice(view, ras)
        for event in ("LeftButtonDoubleClickEvent", "LeftButtonReleaseEvent"):
            _send(view, event, position, False)

    def press(self, button: Any) -> None:
        """Click a button that can be clicked."""
        assert button.enabled, f"the button {button.text!r} is disabled"
        self.log.append(f"press {button.text!r}")
        with monitor().watching():
            button.click()


def view_widget(name: str) -> Any:
    return slicer.app.layoutManager().sliceWidget(name)


def show_slice(view_name: str, ras: Sequence[float]) -> None:
    """Scroll a view to a position; not counted, the user looks around anyway."""
    view_widget(view_name).mrmlSliceNode().JumpSliceByOffsetting(*(float(v) for v in ras))
    slicer.app.processEvents()


def wait_for_layout(quiet_rounds: int = 5, seconds: float = 5.0) -> None:
    """Let the event loop run until the slice views keep their size: the options of a chosen effect may widen the
    panel, and a gesture aimed before that would land elsewhere."""
    end, quiet, before = time.monotonic() + seconds, 0, _view_sizes()
    while quiet < quiet_rounds and time.monotonic() < end:
        slicer.app.processEvents()
        time.sleep(0.005)
        now = _view_sizes()
        quiet, before = (quiet + 1 if now == before else 0), now


def _view_sizes() -> list[tuple[int, ...]]:
    layout = slicer.app.layoutManager()
    nodes = (layout.sliceWidget(name).mrmlSliceNode() for name in layout.sliceViewNames())
    return [tuple(node.GetDimensions()) for node in nodes]


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 1200.0) -> None:
    """Let the event loop run until a condition holds."""
    end = time.monotonic() + seconds
    with monitor().watching():
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"after {seconds:g} s there is still no {what}")
            slicer.app.processEvents()
            time.sleep(0.005)


def _on_slice(view: Any, ras: Sequence[float]) -> NDArray[np.float64]:
    """View pixels of a world point, which must lie on the slice that is shown."""
    ras_to_xy = np.linalg.inv(to_numpy(view.mrmlSliceNode().GetXYToRAS())).astype(np.float64)
    x, y, _depth = apply(ras_to_xy, np.array([ras], dtype=np.float64))[0]
    return np.array([x, y])


def _send(view: Any, event: str, position: NDArray[np.float64], control: bool) -> None:
    interactor = view.sliceView().interactor()
    x, y = (round(float(v)) for v in position)
    interactor.SetEventInformation(x, y, int(control), 0, "\0", 0, "")
    with monitor().watching():
        interactor.InvokeEvent(event)
