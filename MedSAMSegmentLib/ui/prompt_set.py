"""The prompts of the object at hand, drawn on slices across one axis."""

from __future__ import annotations

from dataclasses import dataclass

from ..prompts import Box, Line, MaskPrompt, Point, Prompt
from .slice_plane import SlicePlane


@dataclass(frozen=True)
class _Drawn:
    plane: SlicePlane
    prompt: Prompt


class PromptSet:
    """The prompts drawn for one object, in order. A drawing across another axis starts over: a run goes along one axis.

    `roi` is the 3D box of an object that an ROI marks.
    """

    def __init__(self) -> None:
        self._drawn: list[_Drawn] = []
        self.roi: Box | None = None

    def __bool__(self) -> bool:
        return bool(self._drawn) or self.roi is not None

    @property
    def axis(self) -> int:
        """The axis of the run; slices of the first array axis when nothing was drawn yet."""
        return self._drawn[-1].plane.axis if self._drawn else 0

    @property
    def latest(self) -> SlicePlane | None:
        """The slice drawn on last, else the middle one of the ROI."""
        if self._drawn or self.roi is None:
            return self._drawn[-1].plane if self._drawn else None
        return SlicePlane(self.axis, sum(self.roi.along(self.axis)) // 2)

    @property
    def planes(self) -> list[SlicePlane]:
        return sorted({d.plane for d in self._drawn}, key=lambda plane: plane.index)

    def start(self, plane: SlicePlane, prompt: Prompt) -> None:
        """A new object begins with this prompt."""
        self._drawn = [_Drawn(plane, prompt)]

    def add(self, plane: SlicePlane, prompt: Prompt) -> None:
        """Add to the object. A box, line or mask replaces the one on the same slice; points gather."""
        if plane.axis != self.axis:
            self._drawn = []
        if not isinstance(prompt, Point):
            replaced = (Box, Line) if isinstance(prompt, (Box, Line)) else (MaskPrompt,)
            self._drawn = [d for d in self._drawn if d.plane != plane or not isinstance(d.prompt, replaced)]
        self._drawn.append(_Drawn(plane, prompt))

    def remove_last(self) -> None:
        """The ROI goes last: it is there from the beginning."""
        if self._drawn:
            self._drawn.pop()
        else:
            self.roi = None

    def clear(self) -> None:
        self._drawn = []
        self.roi = None

    def on(self, plane: SlicePlane) -> list[Prompt]:
        """The prompts on one slice; the ROI's cross-section where it is cut and nothing else outlines the object."""
        here = [d.prompt for d in self._drawn if d.plane == plane]
        outlined = any(isinstance(p, (Box, Line, MaskPrompt)) for p in here)
        if self.roi is not None and not outlined:
            first, last = self.roi.along(plane.axis)
            if first <= plane.index <= last:
                here.append(on_slice(self.roi, plane))
        return here

    def all(self) -> list[Prompt]:
        drawn = [d.prompt for d in self._drawn]
        return [*drawn, self.roi] if self.roi is not None else drawn


def on_slice(box: Box, plane: SlicePlane) -> Box:
    """The box cut to one slice."""
    bounds = {"k": box.k, "j": box.j, "i": box.i}
    bounds["kji"[plane.axis]] = (plane.index, plane.index)
    return Box(**bounds)
