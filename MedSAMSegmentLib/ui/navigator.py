"""Jumps to slices and objects."""

from __future__ import annotations

from collections.abc import Iterable

from ..prompts import Box, Prompt
from .effect_scene import EffectScene, SceneVolume
from .lesion_queue import Lesion
from .slice_plane import SlicePlane


class Navigator:
    """Moves every slice view to a position of the volume."""

    def __init__(self, scene: EffectScene) -> None:
        self._scene = scene

    def go_to(self, lesion: Lesion, volume: SceneVolume) -> None:
        """Select the object's segment and show the slice that it was drawn on."""
        if lesion.segment_id and self._scene.has_segment(lesion.segment_id):
            self._scene.select_segment(lesion.segment_id)
        if lesion.plane is not None:
            self.jump(lesion.prompts.all(), lesion.plane, volume)

    def jump(self, prompts: Iterable[Prompt], plane: SlicePlane, volume: SceneVolume) -> None:
        """Show the slice, and in the other views the middle of the box, else of the volume."""
        centre = [float(n // 2) for n in volume.geometry.shape_zyx]
        box = next((p for p in prompts if isinstance(p, Box)), None)
        if box is not None:
            centre = [(first + last) / 2 for first, last in box.bounds_zyx]
        centre[plane.axis] = float(plane.index)
        k, j, i = centre
        self._scene.jump((i, j, k), volume.geometry)


def next_flagged(lesion: Lesion, here: int, by: int) -> SlicePlane | None:
    """The next (1) or previous (-1) slice after `here` that deserves a look, round the ends."""
    if lesion.result is None or not lesion.result.flagged:
        return None
    indices = sorted(lesion.result.flagged)
    ahead = [n for n in indices if (n > here if by > 0 else n < here)]
    return SlicePlane(lesion.result.axis, (ahead or indices)[0 if by > 0 else -1])
