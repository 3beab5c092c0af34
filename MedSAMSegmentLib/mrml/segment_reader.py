"""Segments as masks: on the grid they are stored on, or on a volume's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from ..errors import OutputError
from ..geometry import VolumeGeometry
from .images import array_of, has_voxels
from .mask_block import MaskBlock
from .reference_lattice import Lattice
from .transforms import inverse

_NO_VOXEL = np.zeros((1, 1, 1), bool)


def segment_of(segmentation_node: Any, segment_id: str) -> Any:
    """The `vtkSegment` with this id. Raises `OutputError` when the segmentation or the segment is gone."""
    if segmentation_node is None or segmentation_node.GetSegmentation() is None:
        raise OutputError("The segmentation is gone.", "Choose a segmentation in the Segment Editor.")
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id) if segment_id else None
    if segment is None:
        raise OutputError(
            f"The segment {segment_id or '(none)'} is not in {segmentation_node.GetName()}.",
            "Select a segment and try again.",
        )
    return segment


def stored_block(segmentation_node: Any, segment_id: str) -> tuple[MaskBlock, Lattice | None]:
    """A segment's voxels on the grid that stores them, and that grid; an empty block and None for an empty segment.

    Several segments may share one stored image (a layer); only this one's label counts. Raises `OutputError` when the
    segment is gone or has no binary labelmap.
    """
    segment = segment_of(segmentation_node, segment_id)
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    image = segment.GetRepresentation(name)
    if image is None:
        raise OutputError(
            f"The segment {segment.GetName()} is not stored as a labelmap.",
            "Make the binary labelmap the source representation (Segmentations module).",
        )
    if not has_voxels(image):
        return MaskBlock(_NO_VOXEL), None
    i0, _, j0, _, k0, _ = image.GetExtent()
    block = MaskBlock(array_of(image) == segment.GetLabelValue(), (i0, j0, k0))
    return block.cropped(), Lattice.of_image(image, segmentation_node)


def read_segment(segmentation_node: Any, segment_id: str, geometry: VolumeGeometry) -> NDArray[np.bool_]:
    """A segment (z,y,x, bool) on a volume's grid, through the transforms of both nodes.

    Exact where the grids agree, the nearest voxel elsewhere. Raises `OutputError` as `stored_block`, `GeometryError`
    for a non-linear transform on the segmentation.
    """
    block, lattice = stored_block(segmentation_node, segment_id)
    nk, nj, ni = geometry.shape_zyx
    extent = (0, ni - 1, 0, nj - 1, 0, nk - 1)
    if lattice is None:
        return np.zeros(geometry.shape_zyx, bool)
    volume_from_lattice = inverse(lattice.from_volume(geometry))
    return block.mapped(volume_from_lattice, extent)[0].over(extent)
