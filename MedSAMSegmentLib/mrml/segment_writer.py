"""The only writer of segments: through the Segment Editor, in one undo step, checked afterwards.

Masking, editable area and overwrite mode of the editor hold as for its own effects, because the editor applies them.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from ..geometry import VolumeGeometry, axis_from_name
from .editor_host import EditorHost
from .mask_block import MaskBlock
from .new_segment import NewSegment
from .reference_lattice import Lattice, Placement, place_block, reference_lattice, require_shape
from .segment_change import Change, Target, WriteOutcome, change_in_steps
from .segment_reader import segment_of
from .segmentation_snapshot import labelmap_states, rollback_on_error

__all__ = ["Mask", "ObjectToWrite", "SegmentWriter", "SliceRange", "WritableObject", "WriteOutcome"]


Mask: TypeAlias = "NDArray[np.bool_] | MaskBlock"
"""A mask on the volume's grid: the whole of it (z,y,x), or the part that holds its voxels."""

T = TypeVar("T")


@dataclass(frozen=True)
class SliceRange:
    """Slices `first` to `last`, both included, across array axis `axis` of the volume."""

    axis: int
    first: int
    last: int


class WritableObject(Protocol):
    """A mask and its segment. `mask` is looked at once, so that it may be made only then."""

    @property
    def mask(self) -> Mask: ...
    @property
    def target(self) -> str | NewSegment: ...


@dataclass(frozen=True, eq=False)
class ObjectToWrite:
    """One mask and its segment: the id of an existing one, or a new one."""

    mask: Mask
    target: str | NewSegment


class SegmentWriter:
    """Writes masks into the segmentation that `host` edits."""

    def __init__(self, host: EditorHost) -> None:
        self._host = host

    def replace(
        self, mask: Mask, geometry: VolumeGeometry, segment_id: str, *, allow_empty: bool = False
    ) -> WriteOutcome:
        """Make the segment equal to the mask.

        Raises `OutputError` and changes nothing when the mask is empty (unless `allow_empty`), lies beyond the
        segmentation's geometry, or the segment is gone; `GeometryError` for a non-linear transform. Raises
        `OutputError` too when the editor did not write what it should have.
        """
        return self._write_one(Change(self._placed(mask, geometry, segment_id, allow_empty)), segment_id)

    def add(self, mask: Mask, geometry: VolumeGeometry, segment_id: str) -> WriteOutcome:
        """Add the mask to the segment. Raises as `replace`."""
        return self._write_one(Change(self._placed(mask, geometry, segment_id), add_only=True), segment_id)

    def replace_slices(self, mask: Mask, geometry: VolumeGeometry, segment_id: str, slices: SliceRange) -> WriteOutcome:
        """Make the segment equal to the mask on some of the volume's slices and leave it as it is on all others.

        An empty slice of the mask empties the segment there. Raises as `replace`, empty masks apart.
        """
        region, part = _slab(_block_of(mask, geometry), geometry, slices)
        segment_of(self._segmentation_node(), segment_id)
        lattice = self._lattice()
        change = Change(place_block(part, geometry, lattice), place_block(region, geometry, lattice).block)
        return self._write_one(change, segment_id)

    def write_objects(self, objects: Sequence[WritableObject], geometry: VolumeGeometry) -> list[WriteOutcome]:
        """Write several masks, each into its segment, in one undo step; new segments are added in the same step.

        Where masks overlap the overwrite mode decides, later ones above earlier ones. An empty mask leaves its
        segment as it is and makes no new one. Raises as `replace`; then no segment is changed and none was added.
        """
        return _to_the_end(self._steps(objects, geometry))

    def write_in_steps(
        self, objects: Sequence[WritableObject], geometry: VolumeGeometry
    ) -> Generator[None, None, list[WriteOutcome]]:
        """Do what `write_objects` does, and yield where the event loop may have a turn.

        When somebody else changes segments meanwhile, what was written is taken back and all of it is written anew, at
        once. Closing the generator takes it back too.
        """
        segmentation = self._segmentation_node().GetSegmentation()
        steps = self._steps(objects, geometry)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                outcomes: list[WriteOutcome] = end.value
                return outcomes
            before = labelmap_states(segmentation)
            try:
                yield
            except GeneratorExit:
                steps.close()
                raise
            if labelmap_states(segmentation) != before:
                break
        steps.close()
        return self.write_objects(objects, geometry)

    def _steps(
        self, objects: Sequence[WritableObject], geometry: VolumeGeometry
    ) -> Generator[None, None, list[WriteOutcome]]:
        node, lattice = self._segmentation_node(), self._lattice()
        for entry in objects:
            if isinstance(entry.target, str):
                segment_of(node, entry.target)
        placed: list[Placement] = []
        for entry in objects:
            placed.append(_place_inside(_block_of(entry.mask, geometry), geometry, lattice))
            yield
        if not any(placement.block.mask.any() for placement in placed):
            return [_nothing(entry) for entry in objects]
        self._host.saveStateForUndo()
        with rollback_on_error(node.GetSegmentation()):
            outcomes = []
            for entry, placement in zip(objects, placed, strict=True):
                outcomes.append((yield from self._apply(entry, placement, lattice)))
            return outcomes

    def _apply(
        self, entry: WritableObject, placement: Placement, lattice: Lattice
    ) -> Generator[None, None, WriteOutcome]:
        if not placement.block.mask.any():
            return _nothing(entry)
        node, wish = self._segmentation_node(), entry.target
        segment_id = wish.add_to(node.GetSegmentation()) if isinstance(wish, NewSegment) else wish
        return (yield from change_in_steps(self._host, Change(placement), Target(node, segment_id, lattice)))

    def _write_one(self, change: Change, segment_id: str) -> WriteOutcome:
        lattice, node = self._lattice(), self._segmentation_node()
        self._host.saveStateForUndo()
        with rollback_on_error(node.GetSegmentation()):
            return _to_the_end(change_in_steps(self._host, change, Target(node, segment_id, lattice)))

    def _placed(self, mask: Mask, geometry: VolumeGeometry, segment_id: str, allow_empty: bool = False) -> Placement:
        block = _block_of(mask, geometry)
        if not (allow_empty or block.mask.any()):
            raise OutputError("Nothing was found; the segment stays as it is.", "Draw a larger box or add a point.")
        segment_of(self._segmentation_node(), segment_id)
        return _place_inside(block, geometry, self._lattice())

    def _lattice(self) -> Lattice:
        return reference_lattice(self._host, self._segmentation_node())

    def _segmentation_node(self) -> Any:
        parameters = self._host.parameterSetNode()
        node = parameters.GetSegmentationNode() if parameters is not None else None
        if node is None or node.GetSegmentation() is None:
            raise OutputError("No segmentation is chosen.", "Choose one in the Segment Editor.")
        return node


def _to_the_end(steps: Generator[None, None, T]) -> T:
    """Go through all steps at once and return what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def _block_of(mask: Mask, geometry: VolumeGeometry) -> MaskBlock:
    """Return the mask as a block in the volume's voxel indices. Raises `GeometryError` for another shape."""
    if isinstance(mask, MaskBlock):
        return mask
    require_shape(mask, geometry)
    return MaskBlock(np.asarray(mask, dtype=bool))


def _place_inside(block: MaskBlock, geometry: VolumeGeometry, lattice: Lattice) -> Placement:
    """Return the mask on the lattice. Raises `OutputError` when nothing of it is left there."""
    placement = place_block(block, geometry, lattice)
    if placement.block.mask.any() or not block.mask.any():
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


def _slab(mask: MaskBlock, geometry: VolumeGeometry, slices: SliceRange) -> tuple[MaskBlock, MaskBlock]:
    """Return all voxels of the slices, and the mask's on them. Raises `OutputError`."""
    axis = axis_from_name(slices.axis)
    size = geometry.shape_zyx[axis]
    if not 0 <= slices.first <= slices.last < size:
        raise OutputError(
            f"The slices {slices.first} to {slices.last} are not within 0 to {size - 1}.", "Give slices of the volume."
        )
    spans = [(slices.first, slices.last) if a == axis else (0, n - 1) for a, n in enumerate(geometry.shape_zyx)]
    (k0, k1), (j0, j1), (i0, i1) = spans
    part = mask.over((i0, i1, j0, j1, k0, k1))
    return MaskBlock(np.ones(part.shape, bool), (i0, j0, k0)), MaskBlock(part, (i0, j0, k0))


def _nothing(entry: WritableObject) -> WriteOutcome:
    return WriteOutcome(entry.target if isinstance(entry.target, str) else "", voxels=0)
