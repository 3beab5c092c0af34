"""Paints prompts and the unwritten mask into every slice view that shows their slice."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...geometry import IN_PLANE_AXES, SlicePlane
from ...prompts import Box, Line, MaskPrompt, Point, Prompt
from ..scene.view_geometry import ViewGeometry
from .actors import ActorHost, SliceOverlay, crosses, ring

PREVIEW_COLOR = (0.18, 0.8, 0.35)
"""Colour (r, g, b in 0..1) of an object that has no segment yet. Which one Slicer will give to its segment cannot be
asked for: asking takes that colour out of the sequence."""

NO_LINES: NDArray[np.float64] = np.empty((0, 2, 2))


class OverlayPainter:
    """Overlays by view widget, made when a view is first painted and removed together."""

    def __init__(self, host: ActorHost) -> None:
        self._host = host
        self._overlays: dict[str, SliceOverlay] = {}
        self._masks: dict[SlicePlane, NDArray[np.bool_]] = {}
        self.color = PREVIEW_COLOR

    def overlay(self, view_widget: Any) -> SliceOverlay:
        key = self._host.viewNode(view_widget).GetID()
        if key not in self._overlays:
            self._overlays[key] = SliceOverlay(self._host, view_widget)
        return self._overlays[key]

    def views(self) -> list[Any]:
        return [overlay.view_widget for overlay in self._overlays.values()]

    def set_mask(self, plane: SlicePlane, mask: NDArray[np.bool_]) -> None:
        """Show this mask (rows, columns) whenever its slice is shown."""
        self._masks[plane] = mask

    @property
    def masks(self) -> dict[SlicePlane, NDArray[np.bool_]]:
        return dict(self._masks)

    def clear_masks(self) -> None:
        self._masks = {}

    def paint(self, view_widget: Any, geometry: ViewGeometry, prompts: Sequence[Prompt]) -> None:
        """Paint one view; `prompts` are those on the slice that it shows."""
        overlay = self.overlay(view_widget)
        overlay.set_mask_color(self.color)
        self._paint_mask(overlay, geometry)
        _paint_prompts(overlay, geometry, prompts)
        overlay.render()

    def remove_all(self) -> None:
        for overlay in self._overlays.values():
            # A view that a change of layout destroyed took its actors along; those of the others are still to go.
            with contextlib.suppress(ValueError):
                overlay.remove()
        self._overlays = {}
        self._masks = {}

    def _paint_mask(self, overlay: SliceOverlay, geometry: ViewGeometry) -> None:
        plane = geometry.plane_or_none()
        mask = self._masks.get(plane) if plane is not None else None
        if plane is None or mask is None or not mask.any():
            overlay.show_mask(np.empty((0, 4, 2)), NO_LINES)
            return
        rectangles = fill_rectangles(mask)
        corners = rectangles[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)
        edges = outline_segments(mask).reshape(-1, 2)
        quads = geometry.ijk_to_xy(to_ijk(corners, plane)).reshape(-1, 4, 2)
        lines = geometry.ijk_to_xy(to_ijk(edges, plane)).reshape(-1, 2, 2)
        overlay.show_mask(quads, lines)


def _paint_prompts(overlay: SliceOverlay, geometry: ViewGeometry, prompts: Iterable[Prompt]) -> None:
    plane = geometry.plane_or_none()
    if plane is None:
        prompts, plane = (), SlicePlane(0, 0)
    lines: list[NDArray[np.float64]] = [NO_LINES]
    points: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for prompt in prompts:
        if isinstance(prompt, Box):
            lines.append(ring(geometry.ijk_to_xy(to_ijk(_box_corners(prompt, plane.axis), plane))))
        elif isinstance(prompt, Line):
            ends = np.array([p.in_plane(plane.axis) for p in prompt.points])
            lines.append(geometry.ijk_to_xy(to_ijk(ends, plane))[None])
        elif isinstance(prompt, MaskPrompt):
            edges = outline_segments(prompt.mask).reshape(-1, 2)
            lines.append(geometry.ijk_to_xy(to_ijk(edges, plane)).reshape(-1, 2, 2))
        elif isinstance(prompt, Point):
            points[prompt.positive].append(prompt.in_plane(plane.axis))
    overlay.prompts.set_lines(np.concatenate(lines))
    for layer, positive in ((overlay.include, True), (overlay.exclude, False)):
        centres = np.array(points[positive], dtype=np.float64).reshape(-1, 2)
        layer.set_lines(crosses(geometry.ijk_to_xy(to_ijk(centres, plane))))


def _box_corners(box: Box, axis: int) -> NDArray[np.float64]:
    """The rectangle around the box's voxels on a slice, x, y (4,2)."""
    rows, columns = IN_PLANE_AXES[axis]
    (y0, y1), (x0, x1) = box.bounds_zyx[rows], box.bounds_zyx[columns]
    edges = (x0 - 0.5, y0 - 0.5, x1 + 0.5, y1 + 0.5)
    return np.array([[edges[a], edges[b]] for a, b in ((0, 1), (2, 1), (2, 3), (0, 3))])


def fill_rectangles(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """One rectangle x0, y0, x1, y1 (pixel edges, so a pixel at x spans x-0.5 to x+0.5) for each run in a row; (n,4)."""
    padded = np.pad(mask.astype(np.int8), ((0, 0), (1, 1)))
    steps = np.diff(padded, axis=1)
    rows, starts = np.nonzero(steps == 1)
    _, ends = np.nonzero(steps == -1)
    return np.stack([starts - 0.5, rows - 0.5, ends - 0.5, rows + 0.5], axis=1).astype(np.float64)


def outline_segments(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The pixel edges between inside and outside as segments x0, y0, x1, y1; (n,4)."""
    padded = np.pad(mask, 1)
    row, column = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    level = np.stack([column - 0.5, row - 0.5, column + 0.5, row - 0.5], axis=1)
    row, column = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    upright = np.stack([column - 0.5, row - 0.5, column - 0.5, row + 0.5], axis=1)
    return np.concatenate([level, upright]).astype(np.float64)


def to_ijk(points_xy: NDArray[np.float64], plane: SlicePlane) -> NDArray[np.float64]:
    """Pixels x, y (column, row) of a slice (n,2) as voxel coordinates i, j, k (n,3)."""
    rows, columns = IN_PLANE_AXES[plane.axis]
    ijk = np.full((len(points_xy), 3), float(plane.index))
    ijk[:, 2 - columns] = points_xy[:, 0]
    ijk[:, 2 - rows] = points_xy[:, 1]
    return ijk
