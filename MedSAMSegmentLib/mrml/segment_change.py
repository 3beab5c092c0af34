"""One change of one segment: sent to the Segment Editor, then compared with what it has to be."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from ..errors import OutputError
from .editable_area import editable_area, is_masked
from .editor_host import EditorHost
from .images import Extent, oriented_image
from .mask_block import MaskBlock, extent_intersection, extent_union, is_empty
from .reference_lattice import Lattice, Placement
from .segment_reader import segment_of, stored_block
from .transforms import inverse


@dataclass(frozen=True)
class WriteOutcome:
    """The outcome of writing one mask.

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
class Change:
    """A mask on the lattice, ready to be applied. `region` limits what may change; None for the whole segment."""

    placement: Placement
    region: MaskBlock | None = None
    add_only: bool = False


@dataclass(frozen=True, eq=False)
class Target:
    """The segment that is written, on its reference lattice."""

    node: Any
    segment_id: str
    lattice: Lattice

    def stored(self) -> MaskBlock:
        """Return the segment's voxels on the reference lattice, which holds all segments."""
        block, own = stored_block(self.node, self.segment_id)
        if own is None:
            return block
        lattice_from_own = inverse(self.lattice.ijk_to_world) @ own.ijk_to_world
        return block.mapped(lattice_from_own, self.lattice.extent)[0]


PIECE_VOXELS = 8_000_000
"""A larger labelmap goes to the editor in pieces: it takes about a tenth of a second for so many voxels."""


def change_in_steps(host: EditorHost, change: Change, target: Target) -> Generator[None, None, WriteOutcome]:
    """Write one change into one segment, as masking and overwrite mode allow. The caller has saved the undo state.

    Yields where the event loop may have a turn; the segment must not be edited by others then. Raises `OutputError`
    when the segment is not what it has to be afterwards: the editor itself fails in silence.
    """
    wanted = change.placement.block
    with _selected(host, target.segment_id):
        before = target.stored()
        extent = _scope(change, before)
        editable = editable_area(host, extent) if is_masked(host) else np.ones((1, 1, 1), bool)
        expected = _expected(before.over(extent), change, extent, editable)
    yield
    for _ in _send(host, change, before, target):
        yield
    after = target.stored()
    wrong = int(np.count_nonzero(expected != after.over(extent)))
    wrong += abs(_beyond(after, extent) - _beyond(before, extent))
    if wrong:
        raise _not_written(host, wrong, target)
    return WriteOutcome(
        target.segment_id,
        voxels=after.voxels,
        masked_voxels=int(np.count_nonzero(wanted.over(extent) & ~editable)),
        outside_voxels=change.placement.outside_voxels,
        interpolated=change.placement.resampled,
    )


def _send(host: EditorHost, change: Change, before: MaskBlock, target: Target) -> Iterator[None]:
    """Let the editor do it, and yield after each of its operations."""
    wanted = change.placement.block
    if change.add_only:
        yield from _add(host, wanted, target)
        return
    if change.region is not None:
        yield from _send_region(host, wanted, change.region, before, target)
        return
    gone = MaskBlock(before.mask & ~wanted.over(before.extent), before.first_ijk)
    if gone.mask.any() and _shows_surface(target):
        # Each operation makes the surface anew: one is enough. It goes over all that the segment holds: beyond the
        # labelmap, "Set" erases voxels that masking protects.
        extent = _joint_extent(before, wanted)
        whole = MaskBlock(wanted.over(extent), (extent[0], extent[2], extent[4]))
        _modify(host, whole, host.ModificationModeSet, target)
        yield
    else:
        # Quicker than "Set", and not more than a part at a time.
        yield from _remove(host, gone, before, target)
        yield from _add(host, wanted, target)


def _send_region(
    host: EditorHost, wanted: MaskBlock, region: MaskBlock, before: MaskBlock, target: Target
) -> Iterator[None]:
    shared = extent_intersection(before.extent, region.extent)
    if not is_empty(shared):
        gone = before.over(shared) & region.over(shared) & ~wanted.over(shared)
        yield from _remove(host, MaskBlock(gone, (shared[0], shared[2], shared[4])), before, target)
    yield from _add(host, wanted, target)


def _remove(host: EditorHost, gone: MaskBlock, before: MaskBlock, target: Target) -> Iterator[None]:
    if not gone.mask.any():
        return
    mode = host.parameterSetNode().GetMaskMode()
    if mode != slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment:
        for piece in _pieces(gone.cropped(), target):
            _modify(host, piece, host.ModificationModeRemove, target)
            yield
        return
    # With this mask mode "Remove" hands the voxels to the mask's segment; "Set" to what is kept does not.
    with _no_overwriting(host):
        kept = MaskBlock(before.mask & ~gone.over(before.extent), before.first_ijk)
        _modify(host, kept, host.ModificationModeSet, target)
    yield


def _add(host: EditorHost, wanted: MaskBlock, target: Target) -> Iterator[None]:
    if not wanted.mask.any():
        return
    for piece in _pieces(wanted, target):
        _modify(host, piece, host.ModificationModeAdd, target)
        yield


def _pieces(block: MaskBlock, target: Target) -> Iterator[MaskBlock]:
    """Cut a large block into tight pieces of some slices each, unless a surface is made anew after each."""
    if block.mask.size <= PIECE_VOXELS or _shows_surface(target):
        yield block
        return
    i, j, k = block.first_ijk
    count = -(-block.mask.size // PIECE_VOXELS)
    thickness = -(-len(block.mask) // count)
    for start in range(0, len(block.mask), thickness):
        piece = MaskBlock(block.mask[start : start + thickness], (i, j, k + start))
        if piece.mask.any():
            yield piece.cropped()


def _shows_surface(target: Target) -> bool:
    name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    return bool(target.node.GetSegmentation().ContainsRepresentation(name))


def _modify(host: EditorHost, block: MaskBlock, mode: int, target: Target) -> None:
    labelmap = oriented_image(block.mask.astype(np.uint8), block.first_ijk, target.lattice.ijk_to_node)
    with _selected(host, target.segment_id):
        host.modifySegmentByLabelmap(target.node, target.segment_id, labelmap, mode)


def _not_written(host: EditorHost, wrong: int, target: Target) -> OutputError:
    name = segment_of(target.node, target.segment_id).GetName()
    reason = "its Masking settings may be in the way" if is_masked(host) else "its log tells more"
    return OutputError(
        f"The Segment Editor did not write {wrong} of the voxels of {name} as asked; {reason}.",
        "All segments are as they were. Set Editable area to Everywhere without an intensity range, and run again.",
    )


@contextmanager
def _selected(host: EditorHost, segment_id: str) -> Iterator[None]:
    """Select the segment while it is written: the editor computes its mask for the selected one."""
    node = host.parameterSetNode()
    selected = node.GetSelectedSegmentID()
    node.SetSelectedSegmentID(segment_id)
    try:
        yield
    finally:
        if selected:
            node.SetSelectedSegmentID(selected)


@contextmanager
def _no_overwriting(host: EditorHost) -> Iterator[None]:
    """Let other segments alone: voxels that the segment merely keeps must not be taken from them again."""
    node = host.parameterSetNode()
    mode = node.GetOverwriteMode()
    node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
    try:
        yield
    finally:
        node.SetOverwriteMode(mode)


def _joint_extent(first: MaskBlock, second: MaskBlock) -> Extent:
    """Return the extent of both blocks; one without voxels does not count."""
    if not first.mask.any():
        return second.extent
    return extent_union(first.extent, second.extent) if second.mask.any() else first.extent


def _scope(change: Change, before: MaskBlock) -> Extent:
    """Return the extent within which `change` can change a segment; never an empty one."""
    wanted = change.placement.block
    if change.add_only:
        return wanted.extent
    whole = _joint_extent(before, wanted)
    if change.region is None:
        return whole
    part = extent_intersection(whole, change.region.extent)
    return wanted.extent if is_empty(part) else part


def _beyond(block: MaskBlock, extent: Extent) -> int:
    """Count the voxels of `block` that lie beyond `extent`."""
    return block.voxels - int(np.count_nonzero(block.over(extent)))


def _expected(
    before: NDArray[np.bool_], change: Change, extent: Extent, editable: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return the segment after `change`: new where it may be edited and was meant to change, as before elsewhere."""
    wanted = change.placement.block.over(extent)
    if change.add_only:
        return before | (wanted & editable)
    changes = editable if change.region is None else editable & change.region.over(extent)
    return np.where(changes, wanted, before)
