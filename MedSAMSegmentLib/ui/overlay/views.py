"""Brings the overlays of all slice views up to date."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...geometry import SlicePlane
from ...prompts import MaskPrompt, Prompt
from ..objects.queue import ObjectQueue, QueuedObject
from ..scene.editor_scene import EffectScene, SceneVolume
from ..scene.view_geometry import ViewGeometry
from .painter import OverlayPainter


class ViewPainting:
    """`views()` gives the slice widgets of the layout; `host.viewNode` their slice nodes."""

    def __init__(
        self, host: Any, scene: EffectScene, painter: OverlayPainter, views: Callable[[], Sequence[Any]]
    ) -> None:
        self._host = host
        self._scene = scene
        self._painter = painter
        self._views = views
        self._keys: dict[tuple[str, SlicePlane], tuple[int, NDArray[np.bool_]]] = {}

    def geometry(self, view_widget: Any, volume: SceneVolume) -> ViewGeometry:
        return ViewGeometry(self._host.viewNode(view_widget), volume.geometry)

    def paint_all(self, volume: SceneVolume, queue: ObjectQueue) -> None:
        for view in self._views():
            self.paint(view, volume, queue)

    def paint(self, view_widget: Any, volume: SceneVolume, queue: ObjectQueue) -> None:
        geometry = self.geometry(view_widget, volume)
        plane = geometry.plane_or_none()
        prompts: list[Prompt] = []
        if plane is not None:
            shown = _shown(queue)
            prompts = [p for item in shown for p in item.prompts.on(plane)]
            prompts += [p for item in shown if plane in item.keys for p in self._key(item, plane, volume)]
        self._painter.paint(view_widget, geometry, prompts)

    def _key(self, item: QueuedObject, plane: SlicePlane, volume: SceneVolume) -> list[Prompt]:
        """The painted slice as the prompt that it is; none while the segment cannot be read."""
        place = (item.segment_id, plane)
        try:
            stamp = self._scene.segment_stamp(item.segment_id)
            kept = self._keys.get(place)
            if kept is None or kept[0] != stamp:
                # Views are painted at every scroll and zoom; reading a large segment takes a tenth of a second.
                kept = self._keys[place] = (stamp, self._scene.segment_slice(item.segment_id, volume.geometry, plane))
        except InputError:
            return []
        return [MaskPrompt(plane.axis, plane.index, kept[1])]

    def shown_index(self, axis: int, volume: SceneVolume) -> int:
        """The slice across `axis` that some view shows; -1 when none does."""
        for view in self._views():
            plane = self.geometry(view, volume).plane_or_none()
            if plane is not None and plane.axis == axis:
                return plane.index
        return -1

    def shown_planes(self, volume: SceneVolume, first: Any = None) -> list[SlicePlane]:
        """The slices that the views show, that of the view `first` before the others."""
        views = sorted(self._views(), key=lambda view: view is not first)
        planes = (self.geometry(view, volume).plane_or_none() for view in views)
        return [plane for plane in planes if plane is not None]


def _shown(queue: ObjectQueue) -> list[QueuedObject]:
    """Objects whose prompts are drawn: those without a result, and the current one."""
    unfinished, current = queue.unfinished(), queue.current
    return unfinished if current is None or current in unfinished else [*unfinished, current]
