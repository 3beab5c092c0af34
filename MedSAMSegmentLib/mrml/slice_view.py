"""The slice of a volume that a slice view shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GeometryError, PromptError
from ..geometry import VolumeGeometry
from .transforms import to_numpy

DRIFT_TOLERANCE = 0.5
"""Slices that a view may drift off one slice, over the volume's cross-section, before it counts as oblique."""

TURN_TOLERANCE = 3.0
"""Degrees that a view's edges may be turned against the volume's rows: the box around a drawn square is then a tenth
larger than the square, at 20 degrees two thirds."""

ALIGN = "Align the view with the volume (its 'Rotate to volume plane' button), then try again."


@dataclass(frozen=True, eq=False)
class ShownSlice:
    """Slice `index` across array axis `axis` (0 = k, 1 = j, 2 = i) of the volume with `geometry`."""

    axis: int
    index: int
    geometry: VolumeGeometry

    def to_image(self, points_ras: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the continuous x, y (column, row) on this slice (n,2) of world points (n,3) in RAS mm."""
        ijk = self.geometry.ras_to_ijk(points_ras)
        return ijk[:, [n for n in range(3) if n != 2 - self.axis]]

    def to_ras(self, points_xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the world points (n,3) in RAS mm of x, y (column, row) positions (n,2) on this slice."""
        points = np.atleast_2d(np.asarray(points_xy, dtype=np.float64))
        ijk = np.insert(points, 2 - self.axis, self.index, axis=1)
        matrix = self.geometry.ijk_to_ras
        return ijk @ matrix[:3, :3].T + matrix[:3, 3]


def slice_to_ras_of(slice_node: Any) -> NDArray[np.float64]:
    """Return the view's 4x4 pose in the world: right, up and normal as columns, its centre as the last."""
    return to_numpy(slice_node.GetSliceToRAS())


def shown_slice(geometry: VolumeGeometry, slice_to_ras: NDArray[np.float64]) -> ShownSlice:
    """Return the slice of the volume that a view with the pose `slice_to_ras` (4x4) shows.

    The view's plane n.x = c is, in voxel indices, m.ijk = c' with m the affine's transpose times n: it is a slice
    across axis a when only m_a counts. Raises `GeometryError` when the plane leaves that slice within the volume (the
    view is oblique to it) and `PromptError` when it passes beside the volume.
    """
    normal = np.cross(slice_to_ras[:3, 0], slice_to_ras[:3, 1])
    across = geometry.ijk_to_ras[:3, :3].T @ (normal / np.linalg.norm(normal))
    i_j_or_k = _leading_axis(across, geometry)
    # One voxel along a tilted axis moves the plane by this many slices.
    drift = np.abs(across / across[i_j_or_k])
    sizes = np.array(geometry.shape_zyx[::-1])
    others = [n for n in range(3) if n != i_j_or_k]
    if sum(drift[n] * (sizes[n] - 1) / 2 for n in others) > DRIFT_TOLERANCE:
        raise GeometryError("This view is oblique to the volume's slices.", ALIGN)
    position = float(geometry.ras_to_ijk(slice_to_ras[:3, 3])[0][i_j_or_k])
    index = int(np.floor(position + 0.5))
    if not 0 <= index < sizes[i_j_or_k]:
        raise PromptError("This view shows a plane beside the volume.", "Scroll it to the image.")
    return ShownSlice(2 - i_j_or_k, index, geometry)


def require_level(shown: ShownSlice, slice_to_ras: NDArray[np.float64]) -> None:
    """Raise `GeometryError` when a rectangle in the view is none on the slice: the view is turned in its plane."""
    right = slice_to_ras[:3, 0] / np.linalg.norm(slice_to_ras[:3, 0])
    axes = np.delete(shown.geometry.ijk_to_ras[:3, :3], 2 - shown.axis, axis=1)
    along = np.abs(right @ (axes / np.linalg.norm(axes, axis=0))).max()
    degrees = float(np.degrees(np.arccos(min(along, 1.0))))
    if degrees > TURN_TOLERANCE:
        raise GeometryError(
            f"The image is turned by {degrees:.0f} degrees in this view: a box drawn here would not fit the object.",
            ALIGN,
        )


def align_with_volume(slice_node: Any, volume_node: Any) -> None:
    """Turn a slice view to the volume's nearest axes, so that it shows one slice of it."""
    slice_node.RotateToVolumePlane(volume_node)


def _leading_axis(across: NDArray[np.float64], geometry: VolumeGeometry) -> int:
    """Return the voxel axis (0 = i, 1 = j, 2 = k) that the plane's normal follows most, whatever the spacing."""
    x, y, z = geometry.spacing_zyx[::-1]
    return int(np.argmax(np.abs(across / np.array([x, y, z]))))
