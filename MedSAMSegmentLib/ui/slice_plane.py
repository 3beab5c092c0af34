"""Which slice of the volume a view shows, and where a drawn rectangle lies in voxels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import GeometryError, PromptError
from ..geometry import IN_PLANE_AXES
from ..prompts import Box

MAXIMUM_DRIFT = 1.0
"""Voxels that a drawn box may span across the slices before the view counts as oblique to the volume."""


@dataclass(frozen=True)
class SlicePlane:
    """Slice `index` across array axis `axis` (0 = k, 1 = j, 2 = i)."""

    axis: int
    index: int


def transform_points(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply a 4x4 affine to points (n,3)."""
    return np.atleast_2d(points) @ matrix[:3, :3].T + matrix[:3, 3]


def plane_of_view(slice_to_world: NDArray[np.float64], world_to_ijk: NDArray[np.float64]) -> SlicePlane:
    """The volume's slice nearest to the view: the axis that the view's normal follows most, at the view's centre.

    Both matrices are 4x4. The index may lie outside the volume.
    """
    in_plane = world_to_ijk[:3, :3] @ slice_to_world[:3, :2]
    # A plane's normal in voxel space is the cross product of its two in-plane directions there.
    normal = np.abs(np.cross(in_plane[:, 0], in_plane[:, 1]))
    axis = 2 - int(np.argmax(normal))
    centre = transform_points(world_to_ijk, slice_to_world[:3, 3])[0]
    return SlicePlane(axis, nearest(centre[2 - axis]))


def box_on_slice(corners_world: NDArray[np.float64], world_to_ijk: NDArray[np.float64], axis: int) -> tuple[Box, int]:
    """The box of voxels that a rectangle drawn in a view covers, and its slice.

    `corners_world` (4,3) are the rectangle's corners in any order. A voxel belongs to the box when its centre lies
    inside; at least the voxels under the corners do. Raises `GeometryError` when the rectangle crosses slices, which
    means that the view is oblique to the volume's axes.
    """
    ijk = transform_points(world_to_ijk, corners_world)
    across = ijk[:, 2 - axis]
    if np.ptp(across) > MAXIMUM_DRIFT:
        raise GeometryError(
            "This view is oblique to the volume, so the box crosses several slices.",
            "Align the view with the volume and draw again.",
        )
    index = nearest(float(across.mean()))
    bounds: dict[str, tuple[int, int]] = {"kji"[axis]: (index, index)}
    for other in IN_PLANE_AXES[axis]:
        along = ijk[:, 2 - other]
        bounds["kji"[other]] = _whole_bounds(float(along.min()), float(along.max()))
    return Box(**bounds), index


def require_inside(index: int, axis: int, shape_zyx: tuple[int, int, int]) -> None:
    if not 0 <= index < shape_zyx[axis]:
        raise PromptError("This slice lies outside the volume.", "Scroll to the image and draw there.")


def nearest(value: float) -> int:
    """The nearest whole number; halves go up, so that neighbouring slices never share a position."""
    return math.floor(value + 0.5)


def _whole_bounds(low: float, high: float) -> tuple[int, int]:
    first, last = math.ceil(low - 1e-6), math.floor(high + 1e-6)
    return (first, last) if first <= last else (nearest(low), nearest(low))
