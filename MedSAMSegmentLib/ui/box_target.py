"""The object that a drawn box belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from ..prompts import Box
from .lesion_queue import Lesion, LesionQueue, LesionState
from .slice_plane import SlicePlane


@dataclass(frozen=True)
class SelectedSegment:
    """The segment selected in the editor: `id` "" for none; `empty` when nothing is in it."""

    id: str
    name: str
    empty: bool


def place_box(
    queue: LesionQueue,
    plane: SlicePlane,
    box: Box,
    segment: SelectedSegment,
    *,
    new_segments: bool,
    extend: bool,
    next_name: str,
) -> Lesion:
    """Put the box into the queue and return its row, which is the current one afterwards.

    `extend` (Ctrl held) adds the box to the current object. Otherwise a box over the box of an object that has not run
    redraws that one. Otherwise, with `new_segments`, the box starts a new object: in the selected segment while that
    is empty and free, else in a segment of its own. Without `new_segments` every box belongs to the selected segment.
    """
    current = queue.of_segment(segment.id) or queue.current
    if extend and current is not None:
        return _extend(queue, current, plane, box)
    redrawn = _overlapping(queue, plane, box)
    if redrawn is not None:
        redrawn.prompts.add(plane, box)
        queue.select(redrawn)
        return redrawn
    owner = queue.of_segment(segment.id)
    if not new_segments and segment.id:
        lesion = owner or queue.append(Lesion(segment.name, segment_id=segment.id))
        return _extend(queue, lesion, plane, box)
    if segment.id and segment.empty and (owner is None or owner.state is not LesionState.WAITING):
        if owner is not None:
            queue.remove(owner)
        return _started(queue.append(Lesion(segment.name, segment_id=segment.id)), plane, box)
    return _started(queue.append(Lesion(next_name)), plane, box)


def _started(lesion: Lesion, plane: SlicePlane, box: Box) -> Lesion:
    lesion.prompts.start(plane, box)
    return lesion


def _extend(queue: LesionQueue, lesion: Lesion, plane: SlicePlane, box: Box) -> Lesion:
    lesion.prompts.add(plane, box)
    lesion.reopen()
    queue.select(lesion)
    return lesion


def _overlapping(queue: LesionQueue, plane: SlicePlane, box: Box) -> Lesion | None:
    for lesion in queue.unfinished():
        drawn = (p for p in lesion.prompts.on(plane) if isinstance(p, Box))
        if any(overlap(box.in_plane(plane.axis), other.in_plane(plane.axis)) > 0.1 for other in drawn):
            return lesion
    return None


def overlap(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> float:
    """Intersection over union of two rectangles x0, y0, x1, y1 with inclusive bounds."""
    width = min(first[2], second[2]) - max(first[0], second[0]) + 1
    height = min(first[3], second[3]) - max(first[1], second[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(x1 - x0 + 1) * (y1 - y0 + 1) for x0, y0, x1, y1 in (first, second)]
    return width * height / (sum(areas) - width * height)
