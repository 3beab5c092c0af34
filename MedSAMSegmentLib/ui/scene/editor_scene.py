"""The effect's reading and writing of the scene: everything about MRML that the controller needs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from slicer.i18n import tr as _

from ...errors import InputError, OutputError
from ...geometry import SlicePlane, VolumeGeometry
from ...mrml.markups import box_of_roi, roi_is_placed
from ...mrml.mask_block import MaskBlock
from ...mrml.new_segment import NewSegment, numbered_names
from ...mrml.roi_placement import is_placing, place_new_roi
from ...mrml.segment_reader import read_block, read_slice, stored_at, stored_block
from ...mrml.segment_writer import ObjectToWrite, SegmentWriter, SliceRange, WriteOutcome
from ...mrml.slice_view import align_with_volume
from ...mrml.volume_node import displayed_window_of, geometry_of, is_spacing_known, modality_of, voxels_of
from ...prompts import Box, Prompt
from ...results import PackedMask

ROI_ROLE = "ROI"


@dataclass(frozen=True)
class SelectedSegment:
    """The segment selected in the editor: `id` "" for none; `empty` when nothing is in it."""

    id: str
    name: str
    empty: bool


@dataclass(frozen=True, eq=False)
class SceneVolume:
    """The source volume at this moment. `time` changes with its voxels, `geometry` with its place."""

    node_id: str
    time: int
    geometry: VolumeGeometry
    modality: str | None
    displayed_window: tuple[float, float] | None
    read: Callable[[], NDArray[Any]] = field(repr=False)
    spacing_known: bool = True

    def same_as(self, other: SceneVolume | None) -> bool:
        return (
            other is not None
            and (self.node_id, self.time) == (other.node_id, other.time)
            and self.geometry.shape_zyx == other.geometry.shape_zyx
            and bool(np.allclose(self.geometry.ijk_to_lps, other.geometry.ijk_to_lps))
        )


@dataclass(frozen=True, eq=False)
class MaskToWrite:
    """`mask()` gives the mask; `segment_id` is that of its segment, "" for a new one called `name`."""

    mask: Callable[[], PackedMask]
    segment_id: str
    name: str


@dataclass(frozen=True, eq=False)
class _LateObject:
    """A `WritableObject` whose mask is unpacked when it is looked at: many large masks never lie in memory at once."""

    make: Callable[[], PackedMask]
    target: str | NewSegment

    @property
    def mask(self) -> MaskBlock:
        mask, (k, j, i) = self.make().tight()
        return MaskBlock(mask, (i, j, k))


class EffectScene:
    """The nodes behind one effect's `scriptedEffect`."""

    def __init__(self, host: Any) -> None:
        self._host = host
        self._writer = SegmentWriter(host)

    @property
    def parameter_node(self) -> Any:
        return self._host.parameterSetNode()

    @property
    def volume_node(self) -> Any:
        return self.parameter_node.GetSourceVolumeNode() if self.parameter_node is not None else None

    @property
    def segmentation_node(self) -> Any:
        return self.parameter_node.GetSegmentationNode() if self.parameter_node is not None else None

    @property
    def closing(self) -> bool:
        scene = self._host.scene()
        return scene is None or bool(scene.IsClosing())

    def volume(self) -> SceneVolume:
        """Raises `InputError` or `GeometryError`, with what to do, when it cannot be segmented."""
        node = self.volume_node
        if node is None:
            raise InputError(_("No source volume is chosen."), _("Choose one above the list of segments."))
        geometry = geometry_of(node)
        voxels_of(node)  # raises for what has no voxels or too many channels
        return SceneVolume(
            node.GetID(),
            int(node.GetImageData().GetMTime()),
            geometry,
            modality_of(node),
            displayed_window_of(node),
            lambda: voxels_of(node),
            is_spacing_known(node),
        )

    @property
    def selected_segment_id(self) -> str:
        """ "" when none is selected."""
        segment_id = self.parameter_node.GetSelectedSegmentID() if self.parameter_node is not None else ""
        return segment_id if self.has_segment(segment_id) else ""

    @property
    def last_segment_id(self) -> str:
        """The last segment of the list; "" for none."""
        node = self.segmentation_node
        count = node.GetSegmentation().GetNumberOfSegments() if node is not None and node.GetSegmentation() else 0
        return str(node.GetSegmentation().GetNthSegmentID(count - 1)) if count else ""

    def selected_segment(self) -> SelectedSegment:
        segment_id = self.selected_segment_id
        if not segment_id:
            return SelectedSegment("", "", True)
        name = self._segment(segment_id).GetName()
        try:
            block, _ = stored_block(self.segmentation_node, segment_id)
        except OutputError:
            # Not a labelmap: something is in it, and writing will say what to do.
            return SelectedSegment(segment_id, name, False)
        return SelectedSegment(segment_id, name, not block.mask.any())

    def has_segment(self, segment_id: str | None) -> bool:
        node = self.segmentation_node
        if not segment_id or node is None or node.GetSegmentation() is None:
            return False
        return node.GetSegmentation().GetSegmentIndex(segment_id) >= 0

    def select_segment(self, segment_id: str) -> None:
        if self.selected_segment_id != segment_id:
            self.parameter_node.SetSelectedSegmentID(segment_id)

    def segment_mask(self, segment_id: str, geometry: VolumeGeometry, axis: int) -> PackedMask:
        """Return the segment on the volume's grid, packed by its slices across `axis`. Raises `OutputError` when it
        is no labelmap."""
        block = read_block(self.segmentation_node, segment_id, geometry)
        return PackedMask.of(block.mask, axis, first_zyx=block.first_ijk[::-1], shape_zyx=geometry.shape_zyx)

    def segment_stamp(self, segment_id: str) -> int:
        """Grows whenever the segment's voxels change. Raises `OutputError`."""
        return stored_at(self.segmentation_node, segment_id)

    def segment_slice(self, segment_id: str, geometry: VolumeGeometry, plane: SlicePlane) -> NDArray[np.bool_]:
        """One slice (rows, columns) of it. Raises `OutputError` when it is no labelmap."""
        return read_slice(self.segmentation_node, segment_id, geometry, plane.axis, plane.index)

    def voxels_of_segment(self, segment_id: str) -> int:
        """Count the voxels that the segment holds, on its own grid. Raises `OutputError` when it is no labelmap."""
        block, _ = stored_block(self.segmentation_node, segment_id)
        return block.voxels

    def segment_name(self, segment_id: str) -> str:
        """Return the name of a segment that exists, as the user may have changed it."""
        return str(self._segment(segment_id).GetName())

    def segment_color(self, segment_id: str) -> tuple[float, float, float] | None:
        if not self.has_segment(segment_id):
            return None
        red, green, blue = self._segment(segment_id).GetColor()
        return (red, green, blue)

    def next_name(self, taken: Sequence[str]) -> str:
        """Return the first free numbered name, counting segments and the rows that have no segment yet."""
        names = numbered_names(self.segmentation_node.GetSegmentation(), len(taken) + 1)
        return next(name for name in names if name not in taken)

    def roi_node(self) -> Any:
        return self._host.nodeReference(ROI_ROLE) if self.parameter_node is not None else None

    def new_roi(self) -> None:
        """The chosen ROI is a new one, which the next clicks in the views place."""
        self.set_roi_node(place_new_roi(self._host.scene(), slicer.app.applicationLogic(), ROI_ROLE))

    @property
    def placing(self) -> bool:
        """Tell whether the next click in a view places a markup."""
        return is_placing(slicer.app.applicationLogic())

    @property
    def has_placed_roi(self) -> bool:
        """Tell whether an ROI is chosen that has a place and a size."""
        node = self.roi_node()
        return node is not None and roi_is_placed(node)

    def set_roi_node(self, node: Any) -> None:
        self._host.setNodeReference(ROI_ROLE, node)

    def roi_box(self, geometry: VolumeGeometry) -> Box | None:
        """The chosen ROI in voxels. Raises `PromptError` when it is not placed or lies outside."""
        node = self.roi_node()
        return None if node is None else box_of_roi(node, geometry)

    def is_hidden(self, segment_id: str) -> bool:
        """Tell whether a segment is shown in no view. One that does not exist yet will be shown."""
        display = self.segmentation_node.GetDisplayNode() if self.has_segment(segment_id) else None
        return display is not None and not (display.GetVisibility() and display.GetSegmentVisibility(segment_id))

    def confirm_visible(self, segment_id: str) -> bool:
        """Ask the user whether to write into a hidden segment, as every effect does; it is shown then.

        Return False when the user does not want to. The editor asks about its selected segment: this one meanwhile.
        """
        before = self.selected_segment_id
        self.select_segment(segment_id)
        try:
            return bool(self._host.confirmCurrentSegmentVisible() != self._host.NotConfirmed)
        finally:
            if before:
                self.select_segment(before)

    def write(
        self, masks: Sequence[MaskToWrite], geometry: VolumeGeometry
    ) -> Generator[None, None, list[WriteOutcome]]:
        """Write all masks in one undo step, and yield where the event loop may have a turn.

        Raises `OutputError` before anything is changed, or when the check fails. Closing the generator takes back what
        was written.
        """
        late = [_LateObject(m.mask, m.segment_id or NewSegment(m.name)) for m in masks]
        return self._writer.write_in_steps(late, geometry)

    def write_slice(
        self,
        mask: NDArray[np.bool_],
        plane: SlicePlane,
        geometry: VolumeGeometry,
        *,
        segment_id: str,
        name: str,
        replace: bool,
    ) -> WriteOutcome:
        """One slice's mask (rows, columns) into a segment: added, or in place of what the slice holds.

        Without `segment_id` into a new segment called `name`. One undo step.
        """
        i, j, k = (plane.index if 2 - n == plane.axis else 0 for n in range(3))
        block = MaskBlock(np.expand_dims(mask, plane.axis), (i, j, k))
        if not segment_id:
            return self._writer.write_objects([ObjectToWrite(block, NewSegment(name))], geometry)[0]
        if replace:
            slices = SliceRange(plane.axis, plane.index, plane.index)
            return self._writer.replace_slices(block, geometry, segment_id, slices)
        return self._writer.add(block, geometry, segment_id)

    def align_views(self, slice_nodes: Sequence[Any]) -> None:
        """Turn the slice views to the volume's axes."""
        for node in slice_nodes:
            align_with_volume(node, self.volume_node)

    def show_slice(self, plane: SlicePlane, prompts: Iterable[Prompt], geometry: VolumeGeometry) -> None:
        """Let a view show the slice, and the others the middle of the box among `prompts`, else of the volume."""
        centre = [float(n // 2) for n in geometry.shape_zyx]
        box = next((p for p in prompts if isinstance(p, Box)), None)
        if box is not None:
            centre = [(first + last) / 2 for first, last in box.bounds_zyx]
        centre[plane.axis] = float(plane.index)
        ras = geometry.ijk_to_ras @ np.array([*centre[::-1], 1.0])
        slicer.vtkMRMLSliceNode.JumpAllSlices(
            self._host.scene(), float(ras[0]), float(ras[1]), float(ras[2]), slicer.vtkMRMLSliceNode.OffsetJumpSlice
        )

    def _segment(self, segment_id: str) -> Any:
        return self.segmentation_node.GetSegmentation().GetSegment(segment_id)
