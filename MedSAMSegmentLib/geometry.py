"""Grids and slices: voxel indices, physical space, and the planes that a slice-wise model sees.

Arrays are z,y,x (index order k,j,i). Physical space inside the library is LPS millimetres, as in DICOM, ITK
and NIfTI readers of SimpleITK; Slicer's RAS is a sign flip of the first two axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import GeometryError, UsageError

LPS_FROM_RAS: NDArray[np.float64] = np.diag([-1.0, -1.0, 1.0, 1.0])

AXIS_NAMES = {"k": 0, "j": 1, "i": 2, "z": 0, "y": 1, "x": 2}
"""Slice axes by name; an axis number is always the array axis of z,y,x."""

IN_PLANE_AXES = {0: (1, 2), 1: (0, 2), 2: (0, 1)}
"""For each slice axis, the array axes that become the slice's rows and columns."""


def axis_from_name(axis: int | str) -> int:
    """Return the array axis 0, 1 or 2 (z,y,x) from a number or one of k, j, i, z, y, x. Raises `UsageError`."""
    if isinstance(axis, str):
        if axis.lower() in AXIS_NAMES:
            return AXIS_NAMES[axis.lower()]
    elif axis in IN_PLANE_AXES:
        return int(axis)
    raise UsageError(f"The axis {axis!r} is not known.", "Use 0 (k, z), 1 (j, y) or 2 (i, x).")


@dataclass(frozen=True)
class SlicePlane:
    """Slice `index` across array axis `axis` (0 = k, 1 = j, 2 = i)."""

    axis: int
    index: int


@dataclass(frozen=True)
class VolumeGeometry:
    """A volume's grid: `shape_zyx` in voxels and `ijk_to_lps`, a 4x4 affine in mm with IJK column order i,j,k."""

    shape_zyx: tuple[int, int, int]
    ijk_to_lps: NDArray[np.float64]

    def __post_init__(self) -> None:
        matrix = np.array(self.ijk_to_lps, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.all(np.isfinite(matrix)):
            raise GeometryError("The volume's orientation matrix is not a finite 4x4 matrix.", "Repair the header.")
        # Relative to the voxel's size, so that microscopic spacings are not taken for flat ones.
        edges = np.linalg.norm(matrix[:3, :3], axis=0)
        if edges.min() == 0 or abs(np.linalg.det(matrix[:3, :3] / edges)) < 1e-6:
            raise GeometryError("The volume's axes lie in one plane.", "Repair its spacing and direction.")
        if len(self.shape_zyx) != 3 or min(self.shape_zyx) < 1:
            raise GeometryError(
                f"The volume has the shape {self.shape_zyx}.", "A volume needs three sizes of at least 1."
            )
        matrix.setflags(write=False)
        object.__setattr__(self, "ijk_to_lps", matrix)
        object.__setattr__(self, "shape_zyx", tuple(int(n) for n in self.shape_zyx))

    @classmethod
    def from_spacing(
        cls, shape_zyx: tuple[int, int, int], spacing_zyx: tuple[float, float, float] = (1.0, 1.0, 1.0)
    ) -> VolumeGeometry:
        """Return an axis-aligned grid at the origin with `spacing_zyx` in mm."""
        z, y, x = (float(s) for s in spacing_zyx)
        return cls(shape_zyx, np.diag([x, y, z, 1.0]))

    @classmethod
    def from_ras(cls, shape_zyx: tuple[int, int, int], ijk_to_ras: NDArray[np.float64]) -> VolumeGeometry:
        """Return the same grid from Slicer's IJK to RAS matrix."""
        return cls(shape_zyx, LPS_FROM_RAS @ np.asarray(ijk_to_ras, dtype=np.float64))

    @property
    def ijk_to_ras(self) -> NDArray[np.float64]:
        return LPS_FROM_RAS @ self.ijk_to_lps

    @property
    def spacing_zyx(self) -> tuple[float, float, float]:
        """Voxel size in mm along z, y, x: lengths of the affine's columns."""
        x, y, z = np.linalg.norm(self.ijk_to_lps[:3, :3], axis=0)
        return (float(z), float(y), float(x))

    @property
    def voxel_volume_ml(self) -> float:
        return float(abs(np.linalg.det(self.ijk_to_lps[:3, :3]))) / 1000.0

    def lps_to_ijk(self, points_lps: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the continuous voxel indices (n,3) in i,j,k order of points (n,3) in LPS mm. Voxel centres are
        integers.

        Points too far away for a number become infinite or NaN, which every prompt refuses.
        """
        points = np.atleast_2d(np.asarray(points_lps, dtype=np.float64))
        matrix = np.linalg.inv(self.ijk_to_lps)
        with np.errstate(over="ignore", invalid="ignore"):
            return points @ matrix[:3, :3].T + matrix[:3, 3]

    def ras_to_ijk(self, points_ras: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.lps_to_ijk(np.atleast_2d(np.asarray(points_ras, dtype=np.float64)) * (-1.0, -1.0, 1.0))

    def agrees_with(self, other: VolumeGeometry, tolerance: float = 0.1) -> bool:
        """Return whether both are one grid: the same shape, and corners that lie within `tolerance` voxels of each
        other."""
        if self.shape_zyx != other.shape_zyx:
            return False
        k, j, i = ((0, size - 1) for size in self.shape_zyx)
        corners = np.stack(np.meshgrid(i, j, k), axis=-1).reshape(-1, 3)
        there = corners @ other.ijk_to_lps[:3, :3].T + other.ijk_to_lps[:3, 3]
        return bool(np.abs(self.lps_to_ijk(there) - corners).max() <= tolerance)

    def in_plane_spacing(self, axis: int) -> tuple[float, float]:
        """Return the row and column spacing in mm of a slice across `axis`."""
        rows, columns = IN_PLANE_AXES[axis]
        return (self.spacing_zyx[rows], self.spacing_zyx[columns])


def take_slice(volume_zyx: NDArray, axis: int, index: int) -> NDArray:
    """Return the slice (rows, columns[, channels]) of a volume (z,y,x[,c]) across `axis`; a view, not a copy."""
    return np.moveaxis(volume_zyx, axis, 0)[index]


def slice_shape(shape_zyx: tuple[int, int, int], axis: int) -> tuple[int, int]:
    """Return the rows and columns of a slice across `axis`."""
    rows, columns = IN_PLANE_AXES[axis]
    return (shape_zyx[rows], shape_zyx[columns])
