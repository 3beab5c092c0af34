"""The only writer of segments: through the Segment Editor, in one undo step, checked afterwards.

Masking, editable area and overwrite mode of the editor hold as for its own effects, because the editor applies them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from ..geometry import VolumeGeometry, axis_from_name
from .editor_host import EditorHost
from .mask_block import MaskBlock
from .new_segment import NewSegment
from .reference_lattice import Lattice, Placement, place_block, place_on_lattice, reference_lattice, require_shape
from .segment_change import Change, Target, WriteOutcome, apply_change
from .segment_reader import segment_of
from .segmentation_snapshot import rollback_on_error

__all__ = ["ObjectToWrite", "SegmentWriter", "SliceRange", "WritableObject", "WriteOutcome"]


@dataclass(frozen=True)
class SliceRange:
    """Slices `first` to `last`, both included, across array axis `axis` of the volume."""

    axis: int
    first: int
    last: int


class WritableObject(Protocol):
    """A mask and its segment. `mask` is looked at once, so that it may be made only then."""

    @property
    def mask(self) -> NDArray[np.bool_]: ...
    @property
    def target(self) -> str | NewSegment: ...


@dataclass(frozen=True, eq=False)
class ObjectToWrite:
    """One mask (z,y,x, bool, on the volume's grid) and its segment: the id of an existing one, or a new one."""

    mask: NDArray[np.bool_]
    target: str | NewSegment


class SegmentWriter:
    """Writes masks into the segmentation that `host` edits."""

    def __init__(self, host: EditorHost) -> None:
        self._host = host

    def replace(
        self, mask_zyx: NDArray[np.bool_], geometry: VolumeGeometry, segment_id: str, *, allow_empty: bool = False
    ) -> WriteOutcome:
        """Make the segment equal to the mask.

        Raises `OutputError` and changes nothing when the mask is empty (unless `allow_empty`), lies beyond the
        segmentation's geometry, or the segment is gone; `GeometryError` for a non-linear transform. Raises
        `OutputError` too when the editor did not write what it should have.
        """
        self._require_voxels(mask_zyx, allow_empty)
        return self._write_one(Change(self._placed(mask_zyx, geometry, segment_id)), segment_id)

    def add(self, mask_zyx: NDArray[np.bool_], geometry: VolumeGeometry, segment_id: str) -> WriteOutcome:
        """Add the mask to the segment. Raises as `replace`."""
        self._require_voxels(mask_zyx, allow_empty=False)
        return self._write_one(Change(self._placed(mask_zyx, geometry, segment_id), add_only=True), segment_id)

    def replace_slices(
        self, mask_zyx: NDArray[np.bool_], geometry: VolumeGeometry, segment_id: str, slices: SliceRange
    ) -> WriteOutcome:
        """Make the segment equal to the mask on some of the volume's slices and leave it as it is on all others.

        An empty slice of the mask empties the segment there. Raises as `replace`, empty masks apart.
        """
        region, part = _slab(mask_zyx, geometry, slices)
        segment_of(self._segmentation_node(), segment_id)
        lattice = self._lattice()
        change = Change(place_block(part, geometry, lattice), place_block(region, geometry, lattice).block)
        return self._write_one(change, segment_id)

    def write_objects(self, objects: Sequence[WritableObject], geometry: VolumeGeometry) -> list[WriteOutcome]:
        """Write several masks, each into its segment, in one undo step; new segments are added in the same step.

        Where masks overlap the overwrite mode decides, later ones above earlier ones. An empty mask leaves its
        segment as it is and makes no new one. Raises as `replace`; then no segment is changed and none was added.
        """
        node, lattice = self._segmentation_node(), self._lattice()
        for entry in objects:
            if isinstance(entry.target, str):
                segment_of(node, entry.target)
        placed = [_place_inside(entry.mask, geometry, lattice) for entry in objects]
        if not any(placement.block.mask.any() for placement in placed):
            return [_nothing(entry) for entry in objects]
        self._host.saveStateForUndo()
        with rollback_on_error(node.GetSegmentation()):
            return [self._apply(*pair, lattice) for pair in zip(objects, placed, strict=True)]

    def _apply(self, entry: WritableObject, placement: Placement, lattice: Lattice) -> WriteOutcome:
        if not placement.block.mask.any():
            return _nothing(entry)
        node, wish = self._segmentation_node(), entry.target
        segment_id = wish.add_to(node.GetSegmentation()) if isinstance(wish, NewSegment) else wish
        return apply_change(self._host, Change(placement), Target(node, segment_id, lattice))

    def _write_one(self, change: Change, segment_id: str) -> WriteOutcome:
        lattice, node = self._lattice(), self._segmentation_node()
        self._host.saveStateForUndo()
        with rollback_on_error(node.GetSegmentation()):
            return apply_change(self._host, change, Target(node, segment_id, lattice))

    def _placed(self, mask_zyx: NDArray[np.bool_], geometry: VolumeGeometry, segment_id: str) -> Placement:
        segment_of(self._segmentation_node(), segment_id)
        return _place_inside(mask_zyx, geometry, self._lattice())

    def _lattice(self) -> Lattice:
        return reference_lattice(self._host, self._segmentation_node())

    def _segmentation_node(self) -> Any:
        parameters = self._host.parameterSetNode()
        node = parameters.GetSegmentationNode() if parameters is not None else None
        if node is None or node.GetSegmentation() is None:
            raise OutputError("No segmentation is chosen.", "Choose one in the Segment Editor.")
        return node

    @staticmethod
    def _require_voxels(mask_zyx: NDArray[np.bool_], allow_empty: bool) -> None:
        if not (allow_empty or mask_zyx.any()):
            raise OutputError("Nothing was found; the segment stays as it is.", "Draw a larger box or add a point.")


def _place_inside(mask_zyx: NDArray[np.bool_], geometry: VolumeGeometry, lattice: Lattice) -> Placement:
    """Return the mask on the lattice. Raises `OutputError` when nothing of it is left there."""
    placement = place_on_lattice(mask_zyx, geometry, lattice)
    if placement.block.mask.any() or not mask_zyx.any():
        return placement
    if placement.outside_voxels:
        raise OutputError(
            "The result lies outside the segmentation's geometry.",
            "Extend it in the Segment Editor (button beside the source volume: Specify geometry), or use a new one.",
        )
    raise OutputError(
        "The result is smaller than a voxel of the segmentation's grid.",
        "Give the segmentation the volume's geometry (Segment Editor: Specify geometry).",
    )


def _slab(mask_zyx: NDArray[np.bool_], geometry: VolumeGeometry, slices: SliceRange) -> tuple[MaskBlock, MaskBlock]:
    """Return all voxels of the slices, and the mask's on them. Raises `OutputError` or `GeometryError`."""
    require_shape(mask_zyx, geometry)
    axis = axis_from_name(slices.axis)
    size = geometry.shape_zyx[axis]
    if not 0 <= slices.first <= slices.last < size:
        raise OutputError(
            f"The slices {slices.first} to {slices.last} are not within 0 to {size - 1}.", "Give slices of the volume."
        )
    part = mask_zyx[tuple(slice(slices.first, slices.last + 1) if a == axis else slice(None) for a in range(3))]
    i, j, k = (slices.first if 2 - n == axis else 0 for n in range(3))
    return MaskBlock(np.ones(part.shape, bool), (i, j, k)), MaskBlock(part != 0, (i, j, k))


def _nothing(entry: WritableObject) -> WriteOutcome:
    return WriteOutcome(entry.target if isinstance(entry.target, str) else "", voxels=0)
