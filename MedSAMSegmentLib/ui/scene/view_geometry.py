"""Between a slice view's pixels and a volume's voxels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import GeometryError, PromptError
from ...geometry import SlicePlane, VolumeGeometry
from ...mrml.slice_view import ShownSlice, require_level, shown_slice, slice_to_ras_of
from ...mrml.transforms import apply, to_numpy
from ...prompts import Box


class ViewGeometry:
    """A slice node and a volume's grid, as they are at this moment."""

    def __init__(self, slice_node: Any, geometry: VolumeGeometry) -> None:
        self._xy_to_ras = to_numpy(slice_node.GetXYToRAS())
        self._pose = slice_to_ras_of(slice_node)
        self._geometry = geometry

    def plane(self) -> SlicePlane:
        """The volume's slice that the view shows. Raises `GeometryError` (oblique) or `PromptError` (beside it)."""
        shown = self._shown()
        return SlicePlane(shown.axis, shown.index)

    def plane_or_none(self) -> SlicePlane | None:
        try:
            return self.plane()
        except (GeometryError, PromptError):
            return None

    def box(self, corners_xy: Sequence[tuple[int, int]]) -> Box:
        """The voxels of the shown slice whose centres a rectangle in the view covers, cut to the volume.

        Raises `GeometryError` when the image is turned in the view, `PromptError` when the rectangle lies beside the
        volume or is thinner than two voxels, else as `plane`.
        """
        require_level(self._shown(), self._pose)
        return self.enclosing(corners_xy)

    def enclosing(self, points_xy: Sequence[tuple[int, int]]) -> Box:
        """Return the smallest box of the shown slice around points of the view, which may be turned. Raises as `box`,
        but not for that."""
        return Box.enclosing(self._on_plane(points_xy)).fitted(self._geometry.shape_zyx)

    def voxel(self, position_xy: tuple[int, int]) -> tuple[float, float, float]:
        """The continuous i, j, k under a pixel, on the shown slice."""
        i, j, k = self._on_plane([position_xy])[0]
        return (float(i), float(j), float(k))

    def ijk_to_xy(self, points_ijk: NDArray[np.float64]) -> NDArray[np.float64]:
        """Voxel coordinates (n,3) as view pixels (n,2), projected along the view's normal."""
        to_xy = np.linalg.inv(self._xy_to_ras) @ self._geometry.ijk_to_ras
        return apply(to_xy, points_ijk)[:, :2]

    def _shown(self) -> ShownSlice:
        return shown_slice(self._geometry, self._pose)

    def _on_plane(self, points_xy: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
        plane = self.plane()
        flat = np.concatenate([np.asarray(points_xy, dtype=np.float64), np.zeros((len(points_xy), 1))], axis=1)
        ijk = self._geometry.ras_to_ijk(apply(self._xy_to_ras, flat))
        ijk[:, 2 - plane.axis] = plane.index
        return ijk
