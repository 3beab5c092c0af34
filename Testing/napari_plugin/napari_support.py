"""What the tests of the plug-in share: images, and a window that is used as a person uses it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from napari.utils._proxies import ReadOnlyWrapper
from napari.utils.interactions import mouse_move_callbacks, mouse_press_callbacks, mouse_release_callbacks
from napari.utils.notifications import notification_manager
from numpy.typing import NDArray

from MedSAMSegmentLib.napari.widget import SegmentWidget

WAIT_MS = 120_000


def a_block() -> NDArray[np.int16]:
    """Twelve slices of 20 x 24 with a block of 6 x 8 voxels on the slices 3 to 8."""
    volume = np.full((12, 20, 24), -5, dtype=np.int16)
    volume[3:9, 4:10, 6:14] = 100
    return volume


class Window:
    """A window with the widget."""

    def __init__(self, viewer: Any, widget: SegmentWidget, qtbot: Any) -> None:
        self.viewer = viewer
        self.widget = widget
        self.qtbot = qtbot
        self._seen = len(notification_manager.records)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Let the window live until something is true."""
        # Tests on a busy machine: nothing is asserted about how long it takes.
        self.qtbot.waitUntil(condition, timeout=WAIT_MS)

    def errors(self) -> list[str]:
        """Return what the person was told of errors since the window was opened."""
        return [str(one.message) for one in notification_manager.records[self._seen :]]

    def go_to(self, **axes: int) -> None:
        """Go to slices of the image: t, z, y, x by the names of axes."""
        layer = self.widget.image_layer
        assert layer is not None
        point = np.array(layer.world_to_data(self.viewer.dims.point))
        for name, index in axes.items():
            point["tzyx"[4 - layer.ndim :].index(name)] = index
        self.viewer.dims.point = layer.data_to_world(point)

    def drag(self, start: tuple[float, ...], end: tuple[float, ...]) -> None:
        """Drag a box between two places, in the image's indices, with the mouse on the layer of boxes."""
        self.widget.draw_boxes()
        shapes = self.widget.objects.shapes
        assert shapes is not None
        assert shapes.mode == "add_rectangle"
        begin, stop = np.array(start, float), np.array(end, float)
        self._mouse(shapes, "mouse_press", begin)
        for part in (0.3, 0.7, 1.0):
            self._mouse(shapes, "mouse_move", begin + part * (stop - begin))
        self._mouse(shapes, "mouse_release", stop)

    def click(self, place: tuple[float, ...], *, positive: bool) -> None:
        """Click on a place, in the image's indices, with the mouse on the layer of clicks."""
        (self.widget.click_plus if positive else self.widget.click_minus)()
        points = self.widget.objects.points
        assert points is not None
        assert points.mode == "add"
        self._mouse(points, "mouse_press", np.array(place, float))
        self._mouse(points, "mouse_release", np.array(place, float))

    def segment(self) -> None:
        """Press the button and wait for the end."""
        press(self.widget.run_button)
        self.wait(lambda: not self.widget.computation.running)

    def previewed(self) -> NDArray[np.bool_]:
        """Wait for a preview; where it is shown."""
        self.wait(lambda: self.widget.status.text().startswith("Preview of") or bool(self.errors()))
        assert self.errors() == []
        layer = self.widget.objects.preview
        assert layer is not None
        return np.asarray(layer.data) != 0

    def labels(self) -> NDArray[Any]:
        layer = self.widget.objects.labels
        assert layer is not None
        return np.asarray(layer.data)

    def _mouse(self, layer: Any, kind: str, place: NDArray[np.float64]) -> None:
        """Send what the canvas sends to a layer."""
        image = self.widget.image_layer
        assert image is not None
        event = SimpleNamespace(
            type=kind,
            is_dragging=kind == "mouse_move",
            position=image.data_to_world(place),
            pos=place[-2:] * 10,
            view_direction=None,
            up_direction=None,
            dims_displayed=list(self.viewer.dims.displayed[-2:]),
            dims_point=list(self.viewer.dims.point),
            modifiers=[],
            button=1,
            inverted=False,
            delta=(0, 0),
            handled=False,
        )
        {
            "mouse_press": mouse_press_callbacks,
            "mouse_move": mouse_move_callbacks,
            "mouse_release": mouse_release_callbacks,
        }[kind](layer, ReadOnlyWrapper(event, exceptions=("handled",)))


def press(button: Any) -> None:
    """Press a button that can be pressed."""
    assert button.isEnabled()
    button.click()


def is_running(process_id: int) -> bool:
    """Return whether a process is there and no mere entry in the table."""
    assert sys.platform == "linux"
    try:
        with open(f"/proc/{process_id}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
