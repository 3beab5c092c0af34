"""Jumps to slices and objects."""

from __future__ import annotations

from collections.abc import Iterable

from ...geometry import SlicePlane
from ...prompts import Box, Prompt
from ..objects.queue import QueuedObject
from .editor_scene import EffectScene, SceneVolume


class Navigator:
    """Moves every slice view to a position of the volume."""

    def __init__(self, scene: EffectScene) -> None:
        self._scene = scene

    def go_to(self, item: QueuedObject, volume: SceneVolume) -> None:
        """Select the object's segment and show the slice that it was drawn on."""
        if item.segment_id and self._scene.has_segment(item.segment_id):
            self._scene.select_segment(item.segment_id)
        if item.plane is not None:
            self.jump(item.prompts.all(), item.plane, volume)

    def jump(self, prompts: Iterable[Prompt], plane: SlicePlane, volume: SceneVolume) -> None:
        """Show the slice, and in the other views the middle of the box, else of the volume."""
        centre = [float(n // 2) for n in volume.geometry.shape_zyx]
        box = next((p for p in prompts if isinstance(p, Box)), None)
        if box is not None:
            centre = [(first + last) / 2 for first, last in box.bounds_zyx]
        centre[plane.axis] = float(plane.index)
        k, j, i = centre
        self._scene.jump((i, j, k), volume.geometry)


def next_flagged(item: QueuedObject, here: int, by: int) -> SlicePlane | None:
    """The next (1) or previous (-1) slice after `here` that deserves a look, round the ends."""
    if item.result is None or not item.result.flagged:
        return None
    indices = sorted(item.result.flagged)
    ahead = [n for n in indices if (n > here if by > 0 else n < here)]
    return SlicePlane(item.result.axis, (ahead or indices)[0 if by > 0 else -1])
