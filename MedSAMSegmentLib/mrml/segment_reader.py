"""Segments as masks: on the grid they are stored on, or on a volume's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from ..errors import OutputError
from ..geometry import VolumeGeometry
from .images import Extent, array_of, has_voxels
from .mask_block import MaskBlock
from .reference_lattice import Lattice, extent_of
from .transforms import inverse

_NO_VOXEL = np.zeros((1, 1, 1), bool)


def segment_of(segmentation_node: Any, segment_id: str) -> Any:
    """Return the `vtkSegment` with this id. Raises `OutputError` when the segmentation or the segment is gone."""
    if segmentation_node is None or segmentation_node.GetSegmentation() is None:
        raise OutputError("The segmentation is gone.", "Choose a segmentation in the Segment Editor.")
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id) if segment_id else None
    if segment is None:
        raise OutputError(
            f"The segment {segment_id or '(none)'} is not in {segmentation_node.GetName()}.",
            "Select a segment and try again.",
        )
    return segment


def stored_at(segmentation_node: Any, segment_id: str) -> int:
    """Return a number that grows whenever the segment's stored voxels change. Raises `OutputError` as
    `stored_block`."""
    return int(_stored_image(segmentation_node, segment_id)[1].GetMTime())


def stored_block(segmentation_node: Any, segment_id: str) -> tuple[MaskBlock, Lattice | None]:
    """Return a segment's voxels on the grid that stores them, and that grid; an empty block and None for an empty
    segment.

    Several segments may share one stored image (a layer); only this one's label counts. Raises `OutputError` when the
    segment is gone or has no binary labelmap.
    """
    segment, image = _stored_image(segmentation_node, segment_id)
    if not has_voxels(image):
        return MaskBlock(_NO_VOXEL), None
    i0, _, j0, _, k0, _ = image.GetExtent()
    block = MaskBlock(array_of(image) == segment.GetLabelValue(), (i0, j0, k0))
    return block.cropped(), Lattice.of_image(image, segmentation_node)


def _stored_image(segmentation_node: Any, segment_id: str) -> tuple[Any, Any]:
    segment = segment_of(segmentation_node, segment_id)
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    image = segment.GetRepresentation(name)
    if image is None:
        raise OutputError(
            f"The segment {segment.GetName()} is not stored as a labelmap.",
            "Make the binary labelmap the source representation (Segmentations module).",
        )
    return segment, image


def read_segment(segmentation_node: Any, segment_id: str, geometry: VolumeGeometry) -> NDArray[np.bool_]:
    """Return a segment (z,y,x, bool) on a volume's grid, through the transforms of both nodes.

    Exact where the grids agree, the nearest voxel elsewhere. Raises `OutputError` as `stored_block`, `GeometryError`
    for a non-linear transform on the segmentation.
    """
    extent = extent_of(geometry)
    return _read(segmentation_node, segment_id, geometry, extent).over(extent)


def read_block(segmentation_node: Any, segment_id: str, geometry: VolumeGeometry) -> MaskBlock:
    """Return the part of `read_segment` that holds its voxels, in the volume's voxel indices."""
    return _read(segmentation_node, segment_id, geometry, extent_of(geometry))


def read_slice(
    segmentation_node: Any, segment_id: str, geometry: VolumeGeometry, axis: int, index: int
) -> NDArray[np.bool_]:
    """Return one slice (rows, columns) of `read_segment`, in a fraction of its time."""
    spans = [(index, index) if a == axis else (0, n - 1) for a, n in enumerate(geometry.shape_zyx)]
    (k0, k1), (j0, j1), (i0, i1) = spans
    extent = (i0, i1, j0, j1, k0, k1)
    return np.take(_read(segmentation_node, segment_id, geometry, extent).over(extent), 0, axis)


def _read(segmentation_node: Any, segment_id: str, geometry: VolumeGeometry, extent: Extent) -> MaskBlock:
    """Return the segment's voxels within `extent` of the volume."""
    block, lattice = stored_block(segmentation_node, segment_id)
    if lattice is None:
        return block
    volume_from_lattice = inverse(lattice.from_volume(geometry))
    return block.mapped(volume_from_lattice, extent)[0]
