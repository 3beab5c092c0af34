"""From prompts to a plan: which slices of which object, starting where, with what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import PromptError, UsageError
from ..prompts import Box, Line, Point, Prompt

BoxXY: TypeAlias = tuple[int, int, int, int]
Direction: TypeAlias = Literal["both", "up", "down"]
ObjectPrompts: TypeAlias = Prompt | Sequence[Prompt]

DIRECTIONS: tuple[Direction, ...] = ("both", "up", "down")


@dataclass(eq=False)
class KeyPrompt:
    """What the user said on one slice: pixels x (columns), y (rows). A `mask` is the answer itself and stays."""

    box: BoxXY | None = None
    points_xy: list[tuple[float, float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    mask: NDArray[np.bool_] | None = None


@dataclass(eq=False)
class ObjectPlan:
    """One object: its key slices, and the first and last slice to compute.

    `open_ended` is true when neither a 3D box nor a range says where the object ends. `box` is the 3D box, if any.
    """

    name: str
    keys: Mapping[int, KeyPrompt]
    first: int
    last: int
    open_ended: bool
    box: Box | None = None

    def reach(self, key_index: int, direction: Direction, upwards: bool) -> range:
        """The slices that this key serves in one direction, nearest first; between two keys each serves its half."""
        if direction == ("down" if upwards else "up"):
            return range(0)
        keys = sorted(self.keys)
        position = keys.index(key_index)
        if upwards:
            upper = (key_index + keys[position + 1]) // 2 if position + 1 < len(keys) else self.last
            return range(key_index + 1, upper + 1)
        lower = (keys[position - 1] + key_index) // 2 + 1 if position else self.first
        return range(key_index - 1, lower - 1, -1)


def plan_objects(
    objects: Sequence[ObjectPrompts],
    shape_zyx: tuple[int, int, int],
    axis: int,
    slice_range: tuple[int, int] | None = None,
    names: Sequence[str] | None = None,
) -> list[ObjectPlan]:
    """One plan for each object. An object is one prompt or a sequence of prompts that belong together.

    Raises `PromptError` for prompts that do not fit the volume, `UsageError` for names that do not match.
    """
    if not objects:
        raise PromptError("There is no prompt.", "Draw a box, or give --box.")
    if names is not None and len(names) != len(objects):
        raise UsageError(f"There are {len(names)} names for {len(objects)} objects.", "Give one name an object.")
    plans = []
    for number, prompts in enumerate(objects):
        name = names[number] if names else f"Segment_{number + 1}"
        together = list(prompts) if isinstance(prompts, Sequence) else [prompts]
        plans.append(_plan_object(name, together, shape_zyx, axis, slice_range))
    return plans


def middle_slice(first: int, last: int) -> int:
    """The official key slice: `int((z1 - z0) / 2 + z0)`."""
    return int((last - first) / 2 + first)


def _plan_object(
    name: str,
    prompts: list[Prompt],
    shape_zyx: tuple[int, int, int],
    axis: int,
    slice_range: tuple[int, int] | None,
) -> ObjectPlan:
    if not prompts:
        raise PromptError(f"The object {name!r} has no prompt.", "Give it a box, a point, a line or a mask.")
    fitted = [prompt.fitted(shape_zyx) for prompt in prompts]
    boxes = [p for p in fitted if isinstance(p, Box)]
    whole = next((b for b in boxes if b.along(axis)[0] != b.along(axis)[1]), None)
    keys: dict[int, KeyPrompt] = {}
    for prompt in fitted:
        _add_to_key(keys, prompt, axis, whole)
    if whole is not None and not any(_is_positive(key) for key in keys.values()):
        _key(keys, _box_key_slice(whole.along(axis), slice_range, name)).box = whole.in_plane(axis)
    if not any(_is_positive(key) for key in keys.values()):
        raise PromptError(f"The object {name!r} has only negative points.", "Add a box or a positive point.")
    first, last, open_ended = _extent(keys, whole, slice_range, shape_zyx[axis], axis)
    inside = {index: key for index, key in keys.items() if first <= index <= last}
    if not inside:
        raise PromptError(f"The prompt of {name!r} lies outside the slices {first} to {last}.", "Widen the range.")
    return ObjectPlan(name, inside, first, last, open_ended, whole)


def _box_key_slice(extent: tuple[int, int], slice_range: tuple[int, int] | None, name: str) -> int:
    """The middle of the slices that both the box and the range hold."""
    first, last = extent
    if slice_range is not None:
        first, last = max(first, slice_range[0]), min(last, slice_range[1])
    if first > last:
        raise PromptError(
            f"The box of {name!r} spans the slices {extent[0]} to {extent[1]}, outside the range.", "Widen the range."
        )
    return middle_slice(first, last)


def _add_to_key(keys: dict[int, KeyPrompt], prompt: Prompt, axis: int, whole: Box | None) -> None:
    if isinstance(prompt, Box):
        if prompt is not whole:
            first, last = prompt.along(axis)
            if first != last:
                raise PromptError("One object has two 3D boxes.", "Give each 3D box as an object of its own.")
            _key(keys, first).box = prompt.in_plane(axis)
    elif isinstance(prompt, Point):
        key = _key(keys, prompt.slice_index(axis))
        key.points_xy.append(prompt.in_plane(axis))
        key.labels.append(int(prompt.positive))
    elif isinstance(prompt, Line):
        _key(keys, prompt.slice_index(axis)).box = line_box(prompt, axis)
    else:
        if prompt.axis != axis:
            raise PromptError(f"The mask lies across axis {prompt.axis}, the run goes along {axis}.", "Use one axis.")
        _key(keys, prompt.index).mask = prompt.mask


def line_box(line: Line, axis: int) -> BoxXY:
    """The box that a RECIST line spans on its slice, in whole pixels."""
    (x0, y0), (x1, y1) = (point.in_plane(axis) for point in line.points)
    left, right = sorted((x0, x1))
    top, bottom = sorted((y0, y1))
    return (round(left), round(top), round(right), round(bottom))


def _extent(
    keys: Mapping[int, KeyPrompt],
    whole: Box | None,
    slice_range: tuple[int, int] | None,
    size: int,
    axis: int,
) -> tuple[int, int, bool]:
    if slice_range is not None:
        first, last = (int(n) for n in slice_range)
        if first > last:
            raise PromptError(f"The range runs from {first} to {last}.", "Give the lower slice first.")
        if last < 0 or first >= size:
            raise PromptError(f"The range {first} to {last} lies outside 0 to {size - 1}.", "Use the volume's slices.")
        return max(first, 0), min(last, size - 1), False
    if whole is not None:
        first, last = whole.along(axis)
        return min(first, *keys), max(last, *keys), False
    return 0, size - 1, True


def _key(keys: dict[int, KeyPrompt], index: int) -> KeyPrompt:
    return keys.setdefault(index, KeyPrompt())


def _is_positive(key: KeyPrompt) -> bool:
    return key.box is not None or key.mask is not None or any(key.labels)
