"""From drawings in a view to prompts of an object in the queue."""

from __future__ import annotations

from collections.abc import Sequence

from slicer.i18n import tr as _

from ...errors import PromptError
from ...geometry import SlicePlane
from ...prompts import Box, Line, Point, Prompt
from ..objects.queue import ObjectQueue, ObjectState, QueuedObject
from ..scene.editor_scene import EffectScene, SceneVolume, SelectedSegment
from ..scene.view_geometry import ViewGeometry

XY = tuple[int, int]
Placed = tuple[QueuedObject, SlicePlane]


class Drawing:
    """Puts drawings into `queue`. Every method returns the object, which is the current one then, and the slice.

    All raise `GeometryError` for a view that is oblique to the volume, `PromptError` for what does not fit.
    """

    def __init__(self, scene: EffectScene, queue: ObjectQueue) -> None:
        self._scene = scene
        self._queue = queue

    def box(self, geometry: ViewGeometry, corners_xy: Sequence[XY], *, new_segments: bool, extend: bool) -> Placed:
        """A rectangle. Raises `GeometryError`, too, where the image is turned in the view."""
        box = geometry.box(corners_xy)
        return self._place(geometry.plane(), box, new_segments=new_segments, extend=extend)

    def line(
        self, geometry: ViewGeometry, volume: SceneVolume, start_xy: XY, end_xy: XY, *, new_segments: bool, extend: bool
    ) -> Placed:
        """A RECIST diameter, in a turned view as well. It starts or extends an object as a box does."""
        line = Line(geometry.voxel(start_xy), geometry.voxel(end_xy)).fitted(volume.geometry.shape_zyx)
        corners = [start_xy, (start_xy[0], end_xy[1]), end_xy, (end_xy[0], start_xy[1])]
        around = _box_around_line(geometry, corners)
        item, plane = self._place(geometry.plane(), around, new_segments=new_segments, extend=extend)
        item.prompts.exchange_last(line)
        return item, plane

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
        item = known or self._queue.append(QueuedObject(segment.name, segment_id=segment.id))
        if {plane.axis} != {key.axis for key in item.keys | {plane}}:
            item.keys.clear()
        item.keys.symmetric_difference_update({plane})
        item.reopen()
        self._queue.select(item)
        return item, plane

    def from_roi(self, volume: SceneVolume) -> QueuedObject | None:
        """The chosen ROI as an object, in the selected segment while that is empty and free; None without a new ROI."""
        node = self._scene.roi_node()
        if node is None or self._queue.of_roi(node.GetID()) is not None:
            return None
        box = self._scene.roi_box(volume.geometry)
        segment = self._scene.selected_segment()
        free = bool(segment.id) and segment.empty and self._queue.of_segment(segment.id) is None
        new = QueuedObject(segment.name, segment_id=segment.id) if free else QueuedObject(self._next_name())
        new.prompts.roi, new.roi_id = box, node.GetID()
        return self._queue.append(new)

    def follow_roi(self, item: QueuedObject, volume: SceneVolume) -> bool:
        """Take over where the object's ROI is now; true when it was elsewhere."""
        node, before = self._scene.roi_node(), item.prompts.roi
        if before is not None and node is not None and node.GetID() == item.roi_id:
            item.prompts.roi = self._scene.roi_box(volume.geometry)
        return item.prompts.roi != before

    def again(self, volume: SceneVolume) -> QueuedObject | None:
        """The selected segment as an object: one that ran before, or one with painted slices."""
        segment = self._scene.selected_segment()
        item = self._queue.of_segment(segment.id)
        if item is not None and (item.prompts or item.written is not None):
            return item
        if not segment.id or segment.empty:
            return None
        item = self._of_selected_segment()
        if item is not None:
            item.keys.update(self._painted_planes(segment.id, volume))
        return item

    def _place(self, plane: SlicePlane, box: Box, *, new_segments: bool, extend: bool) -> Placed:
        item = place_box(
            self._queue,
            plane,
            box,
            self._scene.selected_segment(),
            new_segments=new_segments,
            extend=extend,
            next_name=self._next_name(),
        )
        return item, plane

    def _require_paint(self, segment: SelectedSegment, volume: SceneVolume, plane: SlicePlane) -> None:
        """An empty key slice would say that the object ends there, which erasing it says more clearly."""
        if not self._scene.segment_slice(segment.id, volume.geometry, plane).any():
            message = _("{name} is empty on slice {n}.").format(name=segment.name, n=plane.index)
            raise PromptError(message, _("Paint the object on this slice first."))

    def _add(self, plane: SlicePlane, prompt: Prompt) -> Placed:
        """Add to the current object, to the selected segment's where none is current, or start one.

        The current object may have no segment yet: the one that is selected is then that of the object before.
        """
        item = self._queue.current or self._of_selected_segment()
        if item is None:
            item = self._queue.append(QueuedObject(self._next_name()))
        item.prompts.add(plane, prompt)
        self._queue.select(item)
        return item, plane

    def _of_selected_segment(self) -> QueuedObject | None:
        segment = self._scene.selected_segment()
        if not segment.id:
            return None
        return self._queue.of_segment(segment.id) or self._queue.append(
            QueuedObject(segment.name, segment_id=segment.id)
        )

    def _painted_planes(self, segment_id: str, volume: SceneVolume) -> list[SlicePlane]:
        mask = self._scene.segment_mask(segment_id, volume.geometry, 0)
        # The axis across which the fewest slices hold something is the one that the user painted on.
        found = {axis: mask.across(axis).slices for axis in (0, 1, 2)}
        axis = min(found, key=lambda a: (len(found[a]), a))
        return [SlicePlane(axis, index) for index in found[axis]]

    def _next_name(self) -> str:
        return self._scene.next_name([r.name for r in self._queue.rows if not r.segment_id])


def _box_around_line(geometry: ViewGeometry, corners_xy: list[XY]) -> Box:
    """Return the box around a line's corners, spread where it spans no area: a box needs a width and a height."""
    xs, ys = ([c[n] for c in corners_xy] for n in (0, 1))
    grow = 1
    while True:
        try:
            return geometry.enclosing(corners_xy)
        except PromptError:
            if grow > 64:
                raise
        low, high = (min(xs) - grow, min(ys) - grow), (max(xs) + grow, max(ys) + grow)
        corners_xy = [low, (low[0], high[1]), high, (high[0], low[1])]
        grow *= 2


def runnable_objects(
    queue: ObjectQueue, scene: EffectScene, drawing: Drawing, volume: SceneVolume, *, roi_is_range: bool = False
) -> list[QueuedObject]:
    """Return the objects that wait, and the selected segment when it was edited by hand.

    When there is neither: the chosen ROI where it is new; else what failed where the current object did; else the
    selected segment again. An ROI that is the range of runs comes last. Empty when there is nothing to run. Raises
    `OutputError` or `GeometryError` for a segment that cannot be read, `PromptError` for an ROI that is not placed.
    """
    rows = queue.waiting()
    selected = queue.of_segment(scene.selected_segment_id)
    if selected is not None and selected not in rows and is_edited(selected, scene, volume):
        rows.append(selected)
    if rows:
        return rows
    marked = None if roi_is_range else drawing.from_roi(volume)
    if marked is not None:
        return [marked]
    current = queue.current
    if current is not None and current in queue.unfinished():
        return queue.unfinished()
    last = drawing.again(volume) or drawing.from_roi(volume)
    return [last] if last is not None else []


def is_edited(item: QueuedObject, scene: EffectScene, volume: SceneVolume) -> bool:
    """Tell whether the user changed the segment since a run wrote it; Undo is no change."""
    if item.written is None:
        return False
    mask = scene.segment_mask(item.segment_id, volume.geometry, item.written.axis)
    state = item.state_of(mask)
    return state is not None and bool(state.packed.changed_slices(mask))


def place_box(
    queue: ObjectQueue,
    plane: SlicePlane,
    box: Box,
    segment: SelectedSegment,
    *,
    new_segments: bool,
    extend: bool,
    next_name: str,
) -> QueuedObject:
    """Put the box into the queue and return its row, which is the current one afterwards.

    `extend` (Ctrl held) adds the box to the current object, where none is current to the selected segment. Otherwise
    a box over the box of an object that has not run redraws that one. Otherwise, with `new_segments`, the box starts a
    new object: in the selected segment while that is empty and free, else in a segment of its own. Without
    `new_segments` every box belongs to the selected segment.
    """
    owner = queue.of_segment(segment.id)
    extended = queue.current or owner
    if extend and extended is None and segment.id:
        extended = queue.append(QueuedObject(segment.name, segment_id=segment.id))
    if extend and extended is not None:
        return _extend(queue, extended, plane, box)
    redrawn = _overlapping(queue, plane, box)
    if redrawn is not None:
        redrawn.prompts.add(plane, box)
        queue.select(redrawn)
        return redrawn
    if not new_segments and segment.id:
        item = owner or queue.append(QueuedObject(segment.name, segment_id=segment.id))
        return _extend(queue, item, plane, box)
    if segment.id and segment.empty and (owner is None or owner.state is not ObjectState.WAITING):
        if owner is not None:
            queue.remove(owner)
        return _started(queue.append(QueuedObject(segment.name, segment_id=segment.id)), plane, box)
    return _started(queue.append(QueuedObject(next_name)), plane, box)


def _started(item: QueuedObject, plane: SlicePlane, box: Box) -> QueuedObject:
    item.prompts.start(plane, box)
    return item


def _extend(queue: ObjectQueue, item: QueuedObject, plane: SlicePlane, box: Box) -> QueuedObject:
    item.prompts.add(plane, box)
    item.reopen()
    queue.select(item)
    return item


def _overlapping(queue: ObjectQueue, plane: SlicePlane, box: Box) -> QueuedObject | None:
    for item in queue.unfinished():
        drawn = (p for p in item.prompts.on(plane) if isinstance(p, Box))
        if any(box_iou(box.in_plane(plane.axis), other.in_plane(plane.axis)) > 0.1 for other in drawn):
            return item
    return None


def box_iou(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> float:
    """Intersection over union of two rectangles x0, y0, x1, y1 with inclusive bounds."""
    width = min(first[2], second[2]) - max(first[0], second[0]) + 1
    height = min(first[3], second[3]) - max(first[1], second[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(x1 - x0 + 1) * (y1 - y0 + 1) for x0, y0, x1, y1 in (first, second)]
    return width * height / (sum(areas) - width * height)
