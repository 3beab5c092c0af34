"""A range whose first or last slice is the one that a view shows."""

from __future__ import annotations

from typing import Literal

from slicer.i18n import tr as _

from ...errors import PromptError
from ...geometry import SlicePlane
from .queue import QueuedObject
from .settings import EffectSettings

End = Literal["first", "last"]


def limited_at(settings: EffectSettings, end: End, plane: SlicePlane, item: QueuedObject | None) -> EffectSettings:
    """The settings with a range that begins or ends at `plane`. Raises `PromptError` where `item`, the object at
    hand, was drawn across another axis."""
    if item is not None and item.axis != plane.axis:
        message = _("This view shows slices across another axis than those that {name} was drawn on.")
        raise PromptError(message.format(name=item.name), _("Put the pointer over the view in which it was drawn."))
    changes = {"range_rule": "slices", end: plane.index}
    return settings.changed(**changes)


def range_text(settings: EffectSettings, plane: SlicePlane, size: int, offset_mm: float) -> str:
    """Say which slices these are, and which one the view shows: a view itself says millimetres only."""
    first, last = settings.slice_range or (0, size - 1)
    text = _("The range is slices {first} to {last}; slice {n}, at {offset} mm, is shown here.")
    return text.format(first=first, last=min(last, size - 1), n=plane.index, offset=f"{offset_mm:.1f}")
