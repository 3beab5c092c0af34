"""All labelmaps of a segmentation as they were, to be set back when a write fails half-way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import slicer


@dataclass(frozen=True, eq=False)
class _SavedLabelmap:
    segment_id: str
    image: Any
    label_value: int


class SegmentationSnapshot:
    """Copies of the labelmaps; segments that share one (a layer) share its copy."""

    def __init__(self, segmentation: Any) -> None:
        self._segmentation = segmentation
        self._name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        copies: dict[Any, Any] = {}
        self._kept: list[_SavedLabelmap] = []
        for segment_id in segmentation.GetSegmentIDs():
            segment = segmentation.GetSegment(segment_id)
            image = segment.GetRepresentation(self._name)
            if image is not None and image not in copies:
                copies[image] = slicer.vtkOrientedImageData()
                copies[image].DeepCopy(image)
            self._kept.append(_SavedLabelmap(segment_id, copies.get(image), segment.GetLabelValue()))

    def restore(self) -> None:
        """Set all segments back and remove those that were added since."""
        known = {kept.segment_id for kept in self._kept}
        for segment_id in self._segmentation.GetSegmentIDs():
            if segment_id not in known:
                self._segmentation.RemoveSegment(segment_id)
        for kept in self._kept:
            segment = self._segmentation.GetSegment(kept.segment_id)
            if segment is not None and kept.image is not None:
                segment.SetLabelValue(kept.label_value)
                segment.AddRepresentation(self._name, kept.image)
        self._refresh_surfaces()

    def _refresh_surfaces(self) -> None:
        """Make surfaces anew that were made from what was half written."""
        surface = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
        shown = self._segmentation.ContainsRepresentation(surface)
        self._segmentation.InvalidateNonSourceRepresentations()
        if shown:
            self._segmentation.CreateRepresentation(surface)


def labelmap_states(segmentation: Any) -> list[tuple[str, Any, int]]:
    """Return each segment's id, its labelmap and the time at which that last changed: equal while nobody edits one."""
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    images = [(each, segmentation.GetSegment(each).GetRepresentation(name)) for each in segmentation.GetSegmentIDs()]
    return [(segment_id, image, int(image.GetMTime()) if image is not None else 0) for segment_id, image in images]


@contextmanager
def rollback_on_error(segmentation: Any) -> Iterator[None]:
    """Take back what is written within when it ends in an error."""
    snapshot = SegmentationSnapshot(segmentation)
    written = False
    try:
        yield
        written = True
    finally:
        if not written:
            snapshot.restore()
