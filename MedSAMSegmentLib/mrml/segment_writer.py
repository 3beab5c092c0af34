"""The only writer of segments: through the Segment Editor, in one undo step, checked afterwards.

Masking, editable area and overwrite mode of the editor hold as for its own effects, because the editor applies them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import slicer
from numpy.typing import NDArray

from ..errors import OutputError
from ..geometry import VolumeGeometry, axis_from_name
from .editable_area import editable_area, is_masked
from .editor_host import EditorHost
from .images import Extent, oriented_image
from .mask_block import MaskBlock, intersection, is_empty, union
from .new_segment import NewSegment
from .reference_lattice import Lattice, Placement, place_block, place_on_lattice, reference_lattice, require_shape
from .segment_reader import segment_of, stored_block
from .transforms import inverse


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


@dataclass(frozen=True)
class WriteOutcome:
    """What became of one mask.

    `voxels` is the segment's size afterwards, on its own grid. `masked_voxels` were wanted but the editor's masking
    forbids them. `outside_voxels` of the volume lie beyond the segmentation's geometry. `interpolated` tells that the
    segmentation's grid is not the volume's. `segment_id` is "" for an empty mask that made no segment.
    """

    segment_id: str
    voxels: int
    masked_voxels: int = 0
    outside_voxels: int = 0
    interpolated: bool = False


@dataclass(frozen=True, eq=False)
class _Change:
    """A mask on the lattice, ready to be applied. `region` limits what may change; None for the whole segment."""

    placement: Placement
    region: MaskBlock | None = None
    add_only: bool = False


@dataclass(frozen=True, eq=False)
class _Target:
    """The segment that is written, on its reference lattice."""

    node: Any
    segment_id: str
    lattice: Lattice

    def stored(self) -> MaskBlock:
        """The segment's voxels on the reference lattice, which holds all segments."""
        block, own = stored_block(self.node, self.segment_id)
        if own is None:
            return block
        lattice_from_own = inverse(self.lattice.ijk_to_world) @ own.ijk_to_world
        return block.mapped(lattice_from_own, self.lattice.extent)[0]


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
        return self._write_one(_Change(self._placed(mask_zyx, geometry, segment_id)), segment_id)

    def add(self, mask_zyx: NDArray[np.bool_], geometry: VolumeGeometry, segment_id: str) -> WriteOutcome:
        """Add the mask to the segment. Raises as `replace`."""
        self._require_voxels(mask_zyx, allow_empty=False)
        return self._write_one(_Change(self._placed(mask_zyx, geometry, segment_id), add_only=True), segment_id)

    def replace_slices(
        self, mask_zyx: NDArray[np.bool_], geometry: VolumeGeometry, segment_id: str, slices: SliceRange
    ) -> WriteOutcome:
        """Make the segment equal to the mask on some of the volume's slices and leave it as it is on all others.

        An empty slice of the mask empties the segment there. Raises as `replace`, empty masks apart.
        """
        region, part = _slab(mask_zyx, geometry, slices)
        segment_of(self._segmentation_node(), segment_id)
        lattice = self._lattice()
        change = _Change(place_block(part, geometry, lattice), place_block(region, geometry, lattice).block)
        return self._write_one(change, segment_id)

    def write_objects(self, objects: Sequence[WritableObject], geometry: VolumeGeometry) -> list[WriteOutcome]:
        """Write several masks, each into its segment, in one undo step; new segments are added in the same step.

        Where masks overlap the overwrite mode decides, later ones above earlier ones. An empty mask leaves its
        segment as it is and makes no new one. Raises as `replace`; what can be checked is checked before anything is
        changed.
        """
        node, lattice = self._segmentation_node(), self._lattice()
        for entry in objects:
            if isinstance(entry.target, str):
                segment_of(node, entry.target)
        placed = [_place_inside(entry.mask, geometry, lattice) for entry in objects]
        if not any(placement.block.mask.any() for placement in placed):
            return [_nothing(entry) for entry in objects]
        self._host.saveStateForUndo()
        outcomes = []
        for entry, placement in zip(objects, placed, strict=True):
            if not placement.block.mask.any():
                outcomes.append(_nothing(entry))
                continue
            wish = entry.target
            segment_id = wish.add_to(node.GetSegmentation()) if isinstance(wish, NewSegment) else wish
            outcomes.append(self._apply(_Change(placement), _Target(node, segment_id, lattice)))
        return outcomes

    def _write_one(self, change: _Change, segment_id: str) -> WriteOutcome:
        lattice = self._lattice()
        self._host.saveStateForUndo()
        return self._apply(change, _Target(self._segmentation_node(), segment_id, lattice))

    def _apply(self, change: _Change, target: _Target) -> WriteOutcome:
        """Write one change into one segment and compare the result with what it has to be."""
        wanted = change.placement.block
        with self._selected(target.segment_id):
            before = target.stored()
            extent = _scope(change, before)
            editable = editable_area(self._host, extent) if is_masked(self._host) else np.ones((1, 1, 1), bool)
            expected = _expected(before.over(extent), change, extent, editable)
            self._send(change, before, target)
            after = target.stored()
        wrong = int(np.count_nonzero(expected != after.over(extent)))
        wrong += abs(_beyond(after, extent) - _beyond(before, extent))
        if wrong:
            raise self._not_written(wrong, target)
        return WriteOutcome(
            target.segment_id,
            voxels=after.voxels,
            masked_voxels=int(np.count_nonzero(wanted.over(extent) & ~editable)),
            outside_voxels=change.placement.outside_voxels,
            interpolated=change.placement.resampled,
        )

    def _send(self, change: _Change, before: MaskBlock, target: _Target) -> None:
        wanted = change.placement.block
        if change.add_only:
            self._modify(wanted, self._host.ModificationModeAdd, target)
        elif change.region is not None:
            self._send_region(wanted, change.region, before, target)
        else:
            # Over all that the segment holds: beyond the labelmap, "Set" erases voxels that masking protects.
            extent = _joint_extent(before, wanted)
            whole = MaskBlock(wanted.over(extent), (extent[0], extent[2], extent[4]))
            self._modify(whole, self._host.ModificationModeSet, target)

    def _send_region(self, wanted: MaskBlock, region: MaskBlock, before: MaskBlock, target: _Target) -> None:
        shared = intersection(before.extent, region.extent)
        if not is_empty(shared):
            gone = before.over(shared) & region.over(shared) & ~wanted.over(shared)
            self._remove(MaskBlock(gone, (shared[0], shared[2], shared[4])), before, target)
        if wanted.mask.any():
            self._modify(wanted, self._host.ModificationModeAdd, target)

    def _remove(self, gone: MaskBlock, before: MaskBlock, target: _Target) -> None:
        if not gone.mask.any():
            return
        mode = self._host.parameterSetNode().GetMaskMode()
        if mode != slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment:
            self._modify(gone.cropped(), self._host.ModificationModeRemove, target)
            return
        # With this mask mode "Remove" hands the voxels to the mask's segment; "Set" to what is kept does not.
        with self._no_overwriting():
            kept = MaskBlock(before.mask & ~gone.over(before.extent), before.first_ijk)
            self._modify(kept, self._host.ModificationModeSet, target)

    def _modify(self, block: MaskBlock, mode: int, target: _Target) -> None:
        labelmap = oriented_image(block.mask.astype(np.uint8), block.first_ijk, target.lattice.ijk_to_node)
        self._host.modifySegmentByLabelmap(target.node, target.segment_id, labelmap, mode)

    def _not_written(self, wrong: int, target: _Target) -> OutputError:
        name = segment_of(target.node, target.segment_id).GetName()
        reason = "its Masking settings may be in the way" if is_masked(self._host) else "its log tells more"
        return OutputError(
            f"The Segment Editor did not write {wrong} of the voxels of {name} as asked; {reason}.",
            "Press Undo, set Editable area to Everywhere without an intensity range, and run again.",
        )

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

    @contextmanager
    def _selected(self, segment_id: str) -> Iterator[None]:
        """Select the segment while it is written: the editor computes its mask for the selected one."""
        node = self._host.parameterSetNode()
        selected = node.GetSelectedSegmentID()
        node.SetSelectedSegmentID(segment_id)
        try:
            yield
        finally:
            if selected:
                node.SetSelectedSegmentID(selected)

    @contextmanager
    def _no_overwriting(self) -> Iterator[None]:
        """Let other segments alone: voxels that the segment merely keeps must not be taken from them again."""
        node = self._host.parameterSetNode()
        mode = node.GetOverwriteMode()
        node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
        try:
            yield
        finally:
            node.SetOverwriteMode(mode)


def _joint_extent(first: MaskBlock, second: MaskBlock) -> Extent:
    """The extent of both blocks; one without voxels does not count."""
    if not first.mask.any():
        return second.extent
    return union(first.extent, second.extent) if second.mask.any() else first.extent


def _scope(change: _Change, before: MaskBlock) -> Extent:
    """The extent within which `change` can change a segment; never an empty one."""
    wanted = change.placement.block
    if change.add_only:
        return wanted.extent
    whole = _joint_extent(before, wanted)
    if change.region is None:
        return whole
    part = intersection(whole, change.region.extent)
    return wanted.extent if is_empty(part) else part


def _beyond(block: MaskBlock, extent: Extent) -> int:
    """How many voxels of `block` lie beyond `extent`."""
    return block.voxels - int(np.count_nonzero(block.over(extent)))


def _expected(
    before: NDArray[np.bool_], change: _Change, extent: Extent, editable: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The segment after `change`: new where it may be edited and was meant to change, as before elsewhere."""
    wanted = change.placement.block.over(extent)
    if change.add_only:
        return before | (wanted & editable)
    changes = editable if change.region is None else editable & change.region.over(extent)
    return np.where(changes, wanted, before)


def _place_inside(mask_zyx: NDArray[np.bool_], geometry: VolumeGeometry, lattice: Lattice) -> Placement:
    """The mask on the lattice. Raises `OutputError` when nothing of it is left there."""
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
    """All voxels of the slices, and the mask's on them. Raises `OutputError` or `GeometryError`."""
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
