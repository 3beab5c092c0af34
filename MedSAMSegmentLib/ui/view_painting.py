"""Brings the overlays of all slice views up to date."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..prompts import Prompt
from .effect_scene import SceneVolume
from .lesion_queue import Lesion, LesionQueue
from .overlay_painter import OverlayPainter
from .slice_plane import SlicePlane
from .view_geometry import ViewGeometry


class ViewPainting:
    """`views()` gives the slice widgets of the layout; `host.viewNode` their slice nodes."""

    def __init__(self, host: Any, painter: OverlayPainter, views: Callable[[], Sequence[Any]]) -> None:
        self._host = host
        self._painter = painter
        self._views = views

    def geometry(self, view_widget: Any, volume: SceneVolume) -> ViewGeometry:
        return ViewGeometry(self._host.viewNode(view_widget), volume.geometry)

    def paint_all(self, volume: SceneVolume, queue: LesionQueue) -> None:
        for view in self._views():
            self.paint(view, volume, queue)

    def paint(self, view_widget: Any, volume: SceneVolume, queue: LesionQueue) -> None:
        geometry = self.geometry(view_widget, volume)
        plane = geometry.plane_or_none()
        prompts: list[Prompt] = []
        if plane is not None:
            prompts = [p for lesion in _shown(queue) for p in lesion.prompts.on(plane)]
        self._painter.paint(view_widget, geometry, prompts)

    def shown_index(self, axis: int, volume: SceneVolume) -> int:
        """The slice across `axis` that some view shows; -1 when none does."""
        for view in self._views():
            plane = self.geometry(view, volume).plane_or_none()
            if plane is not None and plane.axis == axis:
                return plane.index
        return -1

    def view_of(self, plane: SlicePlane, volume: SceneVolume) -> Any:
        """A view that shows the slice; None when none does."""
        return next((v for v in self._views() if self.geometry(v, volume).plane_or_none() == plane), None)


def _shown(queue: LesionQueue) -> list[Lesion]:
    """Objects whose prompts are drawn: those that wait, and the current one."""
    waiting, current = queue.waiting(), queue.current
    return waiting if current is None or current in waiting else [*waiting, current]
