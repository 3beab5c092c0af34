"""Drawings in a view, which become prompts of an object in the queue."""

from __future__ import annotations

from collections.abc import Sequence

from slicer.i18n import tr as _

from ..errors import PromptError
from ..prompts import Line, Point, Prompt
from .box_target import SelectedSegment, place_box
from .corrections import painted_slices
from .effect_scene import EffectScene, SceneVolume
from .lesion_queue import Lesion, LesionQueue
from .slice_plane import SlicePlane
from .view_geometry import ViewGeometry

XY = tuple[int, int]
Placed = tuple[Lesion, SlicePlane]


class Drawing:
    """Puts drawings into `queue`. Every method returns the object, which is the current one then, and the slice.

    All raise `GeometryError` for a view that is oblique to the volume, `PromptError` for what does not fit.
    """

    def __init__(self, scene: EffectScene, queue: LesionQueue) -> None:
        self._scene = scene
        self._queue = queue

    def box(self, geometry: ViewGeometry, corners_xy: Sequence[XY], *, new_segments: bool, extend: bool) -> Placed:
        plane = geometry.plane()
        lesion = place_box(
            self._queue,
            plane,
            geometry.box(corners_xy),
            self._scene.selected_segment(),
            new_segments=new_segments,
            extend=extend,
            next_name=self._next_name(),
        )
        return lesion, plane

    def line(
        self, geometry: ViewGeometry, volume: SceneVolume, start_xy: XY, end_xy: XY, *, new_segments: bool, extend: bool
    ) -> Placed:
        """A RECIST diameter. It starts or extends an object as a box does."""
        line = Line(geometry.voxel(start_xy), geometry.voxel(end_xy)).fitted(volume.geometry.shape_zyx)
        corners = [start_xy, (start_xy[0], end_xy[1]), end_xy, (end_xy[0], start_xy[1])]
        around = _at_least_two_pixels(geometry, corners)
        lesion, plane = self.box(geometry, around, new_segments=new_segments, extend=extend)
        lesion.prompts.add(plane, line)
        return lesion, plane

    def point(self, geometry: ViewGeometry, volume: SceneVolume, position_xy: XY, positive: bool) -> Placed:
        point = Point(*geometry.voxel(position_xy), positive=positive).fitted(volume.geometry.shape_zyx)
        return self._add(geometry.plane(), point)

    def key_slice(self, geometry: ViewGeometry, volume: SceneVolume) -> Placed:
        """This slice's painted mask is a prompt from now on, or is one no longer."""
        plane = geometry.plane()
        segment = self._scene.selected_segment()
        if not segment.id:
            raise PromptError(_("No segment is selected."), _("Select the segment that was painted."))
        known = self._queue.of_segment(segment.id)
        if known is None or plane not in known.keys:
            self._require_paint(segment, volume, plane)
        lesion = known or self._queue.append(Lesion(segment.name, segment_id=segment.id))
        if {plane.axis} != {key.axis for key in lesion.keys | {plane}}:
            lesion.keys.clear()
        lesion.keys.symmetric_difference_update({plane})
        lesion.reopen()
        self._queue.select(lesion)
        return lesion, plane

    def from_roi(self, volume: SceneVolume) -> Lesion | None:
        """The chosen ROI as an object, in the selected segment while that is empty and free; None without a new ROI."""
        node = self._scene.roi_node()
        if node is None or any(row.roi_id == node.GetID() for row in self._queue.rows):
            return None
        box = self._scene.roi_box(volume.geometry)
        segment = self._scene.selected_segment()
        free = bool(segment.id) and segment.empty and self._queue.of_segment(segment.id) is None
        new = Lesion(segment.name, segment_id=segment.id) if free else Lesion(self._next_name())
        new.prompts.roi, new.roi_id = box, node.GetID()
        return self._queue.append(new)

    def follow_roi(self, lesion: Lesion, volume: SceneVolume) -> bool:
        """Take over where the object's ROI is now; true when it was elsewhere."""
        node, before = self._scene.roi_node(), lesion.prompts.roi
        if before is not None and node is not None and node.GetID() == lesion.roi_id:
            lesion.prompts.roi = self._scene.roi_box(volume.geometry)
        return lesion.prompts.roi != before

    def again(self, volume: SceneVolume) -> Lesion | None:
        """The selected segment as an object: one that ran before, or one with painted slices."""
        segment = self._scene.selected_segment()
        lesion = self._queue.of_segment(segment.id)
        if lesion is not None and (lesion.prompts or lesion.written is not None):
            return lesion
        if not segment.id or segment.empty:
            return None
        lesion = self._of_selected_segment()
        if lesion is not None:
            lesion.keys.update(self._painted_planes(segment.id, volume))
        return lesion

    def _require_paint(self, segment: SelectedSegment, volume: SceneVolume, plane: SlicePlane) -> None:
        """An empty key slice would say that the object ends there, which erasing it says more clearly."""
        if not self._scene.segment_slice(segment.id, volume.geometry, plane).any():
            message = _("{name} is empty on slice {n}.").format(name=segment.name, n=plane.index)
            raise PromptError(message, _("Paint the object on this slice first."))

    def _add(self, plane: SlicePlane, prompt: Prompt) -> Placed:
        """Add to the selected segment's object, to the current one, or start one."""
        lesion = self._queue.of_segment(self._scene.selected_segment_id) or self._queue.current
        if lesion is None:
            lesion = self._of_selected_segment() or self._queue.append(Lesion(self._next_name()))
        lesion.prompts.add(plane, prompt)
        self._queue.select(lesion)
        return lesion, plane

    def _of_selected_segment(self) -> Lesion | None:
        segment = self._scene.selected_segment()
        if not segment.id:
            return None
        return self._queue.of_segment(segment.id) or self._queue.append(Lesion(segment.name, segment_id=segment.id))

    def _painted_planes(self, segment_id: str, volume: SceneVolume) -> list[SlicePlane]:
        mask = self._scene.segment_mask(segment_id, volume.geometry)
        # The axis across which the fewest slices hold something is the one that the user painted on.
        found = {axis: painted_slices(mask, axis) for axis in (0, 1, 2)}
        axis = min(found, key=lambda a: (len(found[a]), a))
        return [SlicePlane(axis, index) for index in found[axis]]

    def _next_name(self) -> str:
        return self._scene.next_name([r.name for r in self._queue.rows if not r.segment_id])


def _at_least_two_pixels(geometry: ViewGeometry, corners_xy: list[XY]) -> list[XY]:
    """The corners, spread where a level or upright line spans no area: a box needs a width and a height."""
    xs, ys = ([c[n] for c in corners_xy] for n in (0, 1))
    grow = 1
    while True:
        try:
            geometry.box(corners_xy)
            return corners_xy
        except PromptError:
            if grow > 64:
                raise
        low, high = (min(xs) - grow, min(ys) - grow), (max(xs) + grow, max(ys) + grow)
        corners_xy = [low, (low[0], high[1]), high, (high[0], low[1])]
        grow *= 2
