"""A slice's mask as geometry for a view: rectangles that fill it, edges that bound it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..geometry import IN_PLANE_AXES
from .slice_plane import SlicePlane


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
