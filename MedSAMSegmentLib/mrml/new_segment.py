"""Segments that a run adds: names with numbers, colours, terminology."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class NewSegment:
    """A segment to add. Without a colour (r, g, b in 0..1) or a terminology entry the segmentation gives its own.

    `terminology` is Slicer's text form: context~category~type~modifier~anatomic context~region~region modifier.
    Neither keys nor values of `tags` may hold ":" or "|", which separate them in files.
    """

    name: str
    colour: tuple[float, float, float] | None = None
    terminology: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def add_to(self, segmentation: Any) -> str:
        """Add the empty segment and return its id. The caller has saved the undo state."""
        colour = (list(self.colour),) if self.colour is not None else ()
        segment_id = str(segmentation.AddEmptySegment("", self.name, *colour))
        segment = segmentation.GetSegment(segment_id)
        if self.terminology:
            segment.SetTag(segment.GetTerminologyEntryTagName(), self.terminology)
        for key, value in self.tags.items():
            segment.SetTag(key, value)
        return segment_id


def numbered_names(segmentation: Any, stem: str, count: int) -> list[str]:
    """`count` names "stem N" that continue after the highest number in use."""
    pattern = re.compile(re.escape(stem) + r" (\d+)")
    names = (segmentation.GetNthSegment(n).GetName() or "" for n in range(segmentation.GetNumberOfSegments()))
    used = [int(found.group(1)) for found in map(pattern.fullmatch, names) if found]
    first = max(used, default=0) + 1
    return [f"{stem} {number}" for number in range(first, first + count)]
