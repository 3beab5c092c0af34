"""The grid that a segmentation stores its segments on, and the way of a volume's mask to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GeometryError
from ..geometry import VolumeGeometry
from .images import Extent, ijk_to_node_of
from .mask_block import MaskBlock, corners_of, is_empty
from .transforms import apply, inverse, node_to_world


@dataclass(frozen=True, eq=False)
class Lattice:
    """A voxel grid in a segmentation's frame.

    `ijk_to_node` is the 4x4 from voxel indices to the segmentation node's own RAS frame, `node_to_world` the parent
    transforms of that node, `extent` the voxels that the grid reaches, in its own indices.
    """

    extent: Extent
    ijk_to_node: NDArray[np.float64]
    node_to_world: NDArray[np.float64]

    @classmethod
    def of_image(cls, image: Any, segmentation_node: Any) -> Lattice:
        """Return the grid of a `vtkOrientedImageData` that a segmentation holds. Raises `GeometryError`."""
        return cls(image.GetExtent(), ijk_to_node_of(image), node_to_world(segmentation_node))

    @property
    def ijk_to_world(self) -> NDArray[np.float64]:
        return self.node_to_world @ self.ijk_to_node

    def from_volume(self, geometry: VolumeGeometry) -> NDArray[np.float64]:
        """Return the 4x4 from the volume's voxel indices to this grid's, through both nodes' transforms."""
        return inverse(self.ijk_to_world) @ geometry.ijk_to_ras


@dataclass(frozen=True, eq=False)
class Placement:
    """A volume's mask on the reference lattice. `outside_voxels` of the volume's grid lie beyond the lattice."""

    block: MaskBlock
    resampled: bool
    outside_voxels: int


def reference_lattice(host: Any, segmentation_node: Any) -> Lattice:
    """Return the segmentation's reference geometry as the Segment Editor sees it: it contains all segments.

    A segmentation without one takes the source volume's, as on the first stroke of any effect. Raises `GeometryError`
    when there is neither.
    """
    image = host.referenceGeometryImage()
    if image is None or is_empty(image.GetExtent()):
        raise GeometryError(
            f"The segmentation {segmentation_node.GetName()} has no reference geometry.",
            "Choose a source volume in the Segment Editor.",
        )
    return Lattice.of_image(image, segmentation_node)


def require_shape(mask_zyx: NDArray[np.bool_], geometry: VolumeGeometry) -> None:
    """Raise `GeometryError` when a mask is not on the volume's grid."""
    if tuple(mask_zyx.shape) != geometry.shape_zyx:
        raise GeometryError(
            f"The mask has the shape {tuple(mask_zyx.shape)}, but the volume {geometry.shape_zyx}.",
            "Segment the volume again.",
        )


def extent_of(geometry: VolumeGeometry) -> Extent:
    """Return the voxels of a volume, in its own indices."""
    nk, nj, ni = geometry.shape_zyx
    return (0, ni - 1, 0, nj - 1, 0, nk - 1)


def place_block(block: MaskBlock, geometry: VolumeGeometry, lattice: Lattice) -> Placement:
    """Return a part of a volume's mask, in the volume's voxel indices, as a tight block on the lattice.

    On the volume's own grid the voxels are copied; on another each takes the nearest value (`MaskBlock.mapped`).
    What lies beyond the lattice is cut off, as for every effect.
    """
    source = block.cropped()
    lattice_from_volume = lattice.from_volume(geometry)
    placed, resampled = source.mapped(lattice_from_volume, lattice.extent)
    return Placement(placed.cropped(), resampled, _outside(source, lattice_from_volume, lattice.extent))


def _outside(source: MaskBlock, lattice_from_volume: NDArray[np.float64], extent: Extent) -> int:
    """Count the voxels of `source` whose centre lies beyond `extent`."""

    def beyond(points_ijk: NDArray[np.float64]) -> int:
        there = np.floor(apply(lattice_from_volume, points_ijk) + 0.5)
        inside = (there >= extent[0::2]).all(axis=1) & (there <= extent[1::2]).all(axis=1)
        return int(np.count_nonzero(~inside))

    if beyond(corners_of(source.extent)) == 0:
        return 0
    i, j, k = source.first_ijk
    # Slice by slice: the indices of a large organ's voxels would take gigabytes at once.
    slices = ((k + n, np.argwhere(source.mask[n])) for n in range(len(source.mask)))
    return sum(beyond(np.column_stack([ji[:, 1] + i, ji[:, 0] + j, np.full(len(ji), n)])) for n, ji in slices)
