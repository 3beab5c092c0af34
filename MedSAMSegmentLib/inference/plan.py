"""From prompts to a plan: which slices of which object, starting where, with what."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import PromptError, UsageError
from ..geometry import IN_PLANE_AXES, VolumeGeometry, slice_shape
from ..prompts import Box, Line, MaskPrompt, ObjectPrompts, Point, Prompt
from ..propagation import Direction
from .recist_prompt import RecistLine

PixelBox: TypeAlias = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels of a slice, inclusive."""


@dataclass(eq=False)
class KeyPrompt:
    """The prompts on one slice: pixels x (columns), y (rows). A `mask` is the answer itself and stays.

    A RECIST `line` comes with the `box` around it; `aspect` is a pixel's height divided by its width.
    """

    box: PixelBox | None = None
    points_xy: list[tuple[float, float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    mask: NDArray[np.bool_] | None = None
    line: RecistLine | None = None
    aspect: float = 1.0

    @property
    def outlines(self) -> bool:
        """True when more than clicks is known: a box, a line or a mask."""
        return self.box is not None or self.mask is not None

    def signature(self) -> Hashable:
        mask = None if self.mask is None else (self.mask.shape, np.packbits(self.mask).tobytes())
        return (self.box, tuple(self.points_xy), tuple(self.labels), mask, self.line, self.aspect)

    @property
    def is_positive(self) -> bool:
        return self.outlines or any(self.labels)


@dataclass(frozen=True)
class Click:
    """A point on slice `index`, in pixels x (columns), y (rows): it belongs to the object (`positive`) or does not."""

    index: int
    x: int
    y: int
    positive: bool


@dataclass(eq=False)
class ObjectPlan:
    """One object: its key slices, and the first and last slice to compute.

    `corrections` are clicks on other slices, which refine what is found there. `open_ended` is true when neither a
    3D box nor a range says where the object ends. `box` is the 3D box, if any. `clicks` are all points in the order in
    which they were placed; `outlined` is the first and last slice to compute without them, None where nothing else
    says where the object is.
    """

    name: str
    keys: Mapping[int, KeyPrompt]
    first: int
    last: int
    open_ended: bool
    box: Box | None = None
    corrections: Mapping[int, KeyPrompt] = field(default_factory=dict)
    clicks: Sequence[Click] = ()
    outlined: tuple[int, int] | None = None

    def without_clicks(self) -> ObjectPlan | None:
        """Return the plan as it is without a point; None when nothing else says where the object is."""
        if self.outlined is None:
            return None
        keys = {index: replace(key, points_xy=[], labels=[]) for index, key in self.keys.items()}
        first, last = self.outlined
        return replace(self, keys=keys, first=first, last=last, corrections={}, clicks=())

    def signature(self) -> Hashable:
        """Return what two plans have in common that ask for the same; their names do not matter."""

        def of(keys: Mapping[int, KeyPrompt]) -> Hashable:
            return tuple((index, key.signature()) for index, key in sorted(keys.items()))

        return (of(self.keys), of(self.corrections), self.first, self.last, self.open_ended, self.box)

    def reach(self, key_index: int, direction: Direction, upwards: bool) -> range:
        """Return the slices that this key serves in one direction, nearest first.

        Between two keys each serves its half, or the one behind all of it where the run goes one way only.
        """
        if direction == ("down" if upwards else "up"):
            return range(0)
        keys = sorted(self.keys)
        position = keys.index(key_index)
        halved = direction == "both"
        if upwards:
            upper = self.last
            if position + 1 < len(keys):
                upper = (key_index + keys[position + 1]) // 2 if halved else keys[position + 1] - 1
            return range(key_index + 1, upper + 1)
        lower = self.first
        if position:
            lower = ((keys[position - 1] + key_index) // 2 if halved else keys[position - 1]) + 1
        return range(key_index - 1, lower - 1, -1)


@dataclass(frozen=True)
class PlanSettings:
    """The grid that prompts lie on, and how they are read.

    `direction` of the run: slices before the first key, or behind the last one, are not part of a run that goes the
    other way. `bounded_lines`: a RECIST line alone bounds its object to the slices of a ball with that diameter, as
    Efficient MedSAM2's script has it; with `reference` by that script's own formula.
    """

    geometry: VolumeGeometry
    axis: int
    slice_range: tuple[int, int] | None = None
    bounded_lines: bool = False
    reference: bool = False
    direction: Direction = "both"

    @property
    def count(self) -> int:
        return self.geometry.shape_zyx[self.axis]

    @property
    def aspect(self) -> float:
        """A pixel's height by its width; the official script takes pixels for square."""
        if self.reference:
            return 1.0
        rows, columns = self.geometry.in_plane_spacing(self.axis)
        return rows / columns

    def line_extent(self, index: int, line: RecistLine) -> tuple[int, int]:
        spacing = self.geometry.spacing_zyx
        rows, columns = IN_PLANE_AXES[self.axis]
        across = (spacing[self.axis], spacing[rows], spacing[columns])
        return line.slice_range(index, self.count, across, reference=self.reference)


def plan_objects(
    objects: Sequence[ObjectPrompts], settings: PlanSettings, names: Sequence[str] | None = None
) -> list[ObjectPlan]:
    """Return one plan for each object. An object is one prompt or a sequence of prompts that belong together.

    Raises `PromptError` for prompts that do not fit the volume, `UsageError` for names that do not match.
    """
    if not objects:
        raise PromptError("There is no prompt.", "Draw a box, or give --box.")
    if settings.slice_range is not None:
        check_range(settings.slice_range, settings.count)
    if names is not None and len(names) != len(objects):
        raise UsageError(f"There are {len(names)} names for {len(objects)} objects.", "Give one name an object.")
    plans = []
    for number, prompts in enumerate(objects):
        name = names[number] if names else f"Segment_{number + 1}"
        together = list(prompts) if isinstance(prompts, Sequence) else [prompts]
        plans.append(_plan_object(name, together, settings))
    return plans


def check_range(slice_range: tuple[int, int], count: int) -> None:
    """Raise `PromptError` for a range of slices that is none of 0 to `count` - 1."""
    first, last = slice_range
    if first > last:
        raise PromptError(f"The range runs from {first} to {last}.", "Give the lower slice first.")
    if last < 0 or first >= count:
        raise PromptError(f"The range {first} to {last} lies outside 0 to {count - 1}.", "Use the volume's slices.")


def middle_slice(first: int, last: int) -> int:
    """Return the official key slice: `int((z1 - z0) / 2 + z0)`."""
    return int((last - first) / 2 + first)


def _plan_object(name: str, prompts: list[Prompt], settings: PlanSettings) -> ObjectPlan:
    if not prompts:
        raise PromptError(f"The object {name!r} has no prompt.", "Give it a box, a point, a line or a mask.")
    fitted = [prompt.fitted(settings.geometry.shape_zyx) for prompt in prompts]
    axis = settings.axis
    boxes = [p for p in fitted if isinstance(p, Box)]
    for box in boxes:
        box.require_area(axis, settings.geometry.shape_zyx)
    whole = next((b for b in boxes if b.along(axis)[0] != b.along(axis)[1]), None)
    keys_by_slice: dict[int, KeyPrompt] = {}
    for prompt in fitted:
        if prompt is not whole:
            _add(keys_by_slice, prompt, settings)
    if whole is not None:
        _add_box_key(keys_by_slice, whole, settings, name)
    if not any(key.is_positive for key in keys_by_slice.values()):
        raise PromptError(f"The object {name!r} has only negative points.", "Add a box or a positive point.")
    first, last, open_ended = _extent(keys_by_slice, whole, settings)
    inside = {index: key for index, key in keys_by_slice.items() if first <= index <= last}
    keys, corrections = _split(inside)
    if not keys:
        raise PromptError(f"The prompt of {name!r} lies outside the slices {first} to {last}.", "Widen the range.")
    outlined = _outlined_extent(keys_by_slice, whole, settings) if any(key.outlines for key in keys.values()) else None
    if settings.direction == "up":
        first, outlined = min(keys), (min(keys), outlined[1]) if outlined else None
    if settings.direction == "down":
        last, outlined = max(keys), (outlined[0], max(keys)) if outlined else None
    corrections = {index: key for index, key in corrections.items() if first <= index <= last}
    clicks = [click for click in _clicks(fitted, settings) if first <= click.index <= last]
    return ObjectPlan(name, keys, first, last, open_ended, whole, corrections, clicks, outlined)


def _clicks(prompts: Sequence[Prompt], settings: PlanSettings) -> Iterator[Click]:
    """Yield the points as the pixels that they lie in."""
    for prompt in prompts:
        if isinstance(prompt, Point):
            x, y = (math.floor(value + 0.5) for value in prompt.in_plane(settings.axis))
            yield Click(prompt.slice_index(settings.axis), x, y, prompt.positive)


def _outlined_extent(
    keys_by_slice: Mapping[int, KeyPrompt], whole: Box | None, settings: PlanSettings
) -> tuple[int, int]:
    """Return the first and last slice of an object that has an outline, as if nobody had clicked."""
    return _extent({index: key for index, key in keys_by_slice.items() if key.outlines}, whole, settings)[:2]


def _split(keys_by_slice: Mapping[int, KeyPrompt]) -> tuple[dict[int, KeyPrompt], dict[int, KeyPrompt]]:
    """Return key slices, and clicks that correct: beside an outline every slice with clicks alone, else negative
    ones."""
    outlined = any(key.outlines for key in keys_by_slice.values())
    keys = {index: key for index, key in keys_by_slice.items() if (key.outlines if outlined else key.is_positive)}
    return keys, {index: key for index, key in keys_by_slice.items() if index not in keys}


def _add(keys_by_slice: dict[int, KeyPrompt], prompt: Prompt, settings: PlanSettings) -> None:
    axis = settings.axis
    if isinstance(prompt, Box):
        first, last = prompt.along(axis)
        if first != last:
            raise PromptError("One object has two 3D boxes.", "Give each 3D box as an object of its own.")
        _key(keys_by_slice, first).box = prompt.in_plane(axis)
    elif isinstance(prompt, Point):
        key = _key(keys_by_slice, prompt.slice_index(axis))
        key.points_xy.append(prompt.in_plane(axis))
        key.labels.append(int(prompt.positive))
    elif isinstance(prompt, Line):
        _add_line(_key(keys_by_slice, prompt.slice_index(axis)), prompt, settings)
    else:
        _add_mask(keys_by_slice, prompt, axis)


def _add_line(key: KeyPrompt, prompt: Line, settings: PlanSettings) -> None:
    start, end = (point.in_plane(settings.axis) for point in prompt.points)
    line = RecistLine(start, end)
    box = line.box(slice_shape(settings.geometry.shape_zyx, settings.axis), settings.aspect)
    if box[0] == box[2] or box[1] == box[3]:
        raise PromptError("The line is shorter than two voxels.", "Draw it from one edge of the object to the other.")
    key.line, key.box, key.aspect = line, box, settings.aspect


def _add_mask(keys_by_slice: dict[int, KeyPrompt], prompt: MaskPrompt, axis: int) -> None:
    if prompt.axis != axis:
        raise PromptError(f"The mask lies across axis {prompt.axis}, the run goes along {axis}.", "Use one axis.")
    _key(keys_by_slice, prompt.index).mask = prompt.mask


def _add_box_key(keys_by_slice: dict[int, KeyPrompt], whole: Box, settings: PlanSettings, name: str) -> None:
    """Draw the 3D box on the middle of the slices that it and the range hold, unless another slice was boxed.

    A painted slice does not replace it: that is how a result is corrected, and its first key slice stays.
    """
    if any(key.box is not None for key in keys_by_slice.values()):
        return
    first, last = whole.along(settings.axis)
    if settings.slice_range is not None:
        first, last = max(first, settings.slice_range[0]), min(last, settings.slice_range[1])
    if first <= last:
        _key(keys_by_slice, middle_slice(first, last)).box = whole.in_plane(settings.axis)
    elif not keys_by_slice:
        first, last = whole.along(settings.axis)
        raise PromptError(
            f"The box of {name!r} spans the slices {first} to {last}, outside the range.", "Widen the range."
        )


def _extent(keys_by_slice: Mapping[int, KeyPrompt], whole: Box | None, settings: PlanSettings) -> tuple[int, int, bool]:
    """Return the first and last slice, and whether the object may end before."""
    size = settings.count
    if settings.slice_range is not None:
        first, last = settings.slice_range
        return max(first, 0), min(last, size - 1), False
    if whole is not None:
        first, last = whole.along(settings.axis)
        return min(first, *keys_by_slice), max(last, *keys_by_slice), False
    extents = [settings.line_extent(index, key.line) for index, key in keys_by_slice.items() if key.line is not None]
    if settings.bounded_lines and extents:
        return min(*keys_by_slice, *(e[0] for e in extents)), max(*keys_by_slice, *(e[1] for e in extents)), False
    return 0, size - 1, True


def _key(keys_by_slice: dict[int, KeyPrompt], index: int) -> KeyPrompt:
    return keys_by_slice.setdefault(index, KeyPrompt())
