"""Correct and go again: slices edited since the last run become key slices and stay as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...geometry import take_slice
from ...prompts import Box, Line, MaskPrompt, Point, Prompt
from ...results import PackedMask


@dataclass(frozen=True, eq=False)
class Written:
    """The mask that the last run left in a segment, on the volume's grid, and the prompts that led to it."""

    packed: PackedMask
    prompts: tuple[Prompt, ...]

    @classmethod
    def of(cls, mask: NDArray[np.bool_], axis: int, prompts: Iterable[Prompt]) -> Written:
        """Pack a mask (z,y,x) by its slices across `axis`."""
        z, y, x = mask.shape
        packed = PackedMask((z, y, x), axis)
        for index in painted_slices(mask, axis):
            packed.set_slice(index, take_slice(mask, axis, index))
        return cls(packed, tuple(prompts))

    @property
    def axis(self) -> int:
        return self.packed.axis


@dataclass(frozen=True, eq=False)
class Continuation:
    """The next run of an object: prompts, the slices that must not change, and the first and last slice that erased
    ones leave."""

    prompts: list[Prompt]
    locked: frozenset[int]
    bounds: tuple[int, int]


def painted_slices(mask: NDArray[np.bool_], axis: int) -> list[int]:
    """Indices across `axis` of the slices with a voxel."""
    other = tuple(a for a in range(3) if a != axis)
    return [int(n) for n in np.flatnonzero(mask.any(axis=other))]


def changed_slices(written: Written, now: NDArray[np.bool_]) -> list[int]:
    """Indices of the slices that differ from what was written."""
    axis, before = written.axis, written.packed
    candidates = sorted({*before.slices, *painted_slices(now, axis)})
    return [n for n in candidates if not np.array_equal(before.get_slice(n), take_slice(now, axis, n))]


def continue_from(
    current: NDArray[np.bool_],
    axis: int,
    drawn: Sequence[Prompt],
    *,
    written: Written | None = None,
    keys: Iterable[int] = (),
) -> Continuation:
    """The next run of a segment that holds `current` (z,y,x).

    Slices edited since `written`, and those named in `keys`, become mask prompts. Such a slice that is empty now ends
    the object on its side: propagation does not pass it. Of `drawn` the prompts on other slices keep serving.
    """
    edited = set(keys)
    if written is not None and written.axis == axis:
        edited.update(changed_slices(written, current))
    masks = {n: take_slice(current, axis, n) for n in sorted(edited)}
    painted: list[Prompt] = [MaskPrompt(axis, n, mask) for n, mask in masks.items() if mask.any()]
    erased = [n for n, mask in masks.items() if not mask.any()]
    prompts = [*(p for p in drawn if slice_of(p, axis) not in masks), *painted]
    return Continuation(prompts, frozenset(edited), _bounds(prompts, erased, axis, current.shape[axis]))


def merged(
    current: NDArray[np.bool_],
    result: PackedMask,
    *,
    previous: Written | None = None,
    locked: Iterable[int] = (),
) -> NDArray[np.bool_]:
    """The segment after a run (z,y,x): the result, plus what the user had besides our last result.

    Locked slices are taken over from `current` unchanged.
    """
    combined = result.unpack()
    target, source = np.moveaxis(combined, result.axis, 0), np.moveaxis(current, result.axis, 0)
    before = previous.packed if previous is not None else None
    if before is not None and before.axis != result.axis:
        target |= source & ~np.moveaxis(before.unpack(), result.axis, 0)
    else:
        for index in painted_slices(current, result.axis):
            target[index] |= source[index] & ~before.get_slice(index) if before is not None else source[index]
    for index in locked:
        target[index] = source[index]
    return combined


def slice_of(prompt: Prompt, axis: int) -> int | None:
    """The one slice that a prompt lies on; None for a 3D box."""
    if isinstance(prompt, Box):
        first, last = prompt.along(axis)
        return first if first == last else None
    if isinstance(prompt, (Line, Point)):
        return prompt.slice_index(axis)
    return prompt.index


def _bounds(prompts: Sequence[Prompt], erased: Sequence[int], axis: int, size: int) -> tuple[int, int]:
    keys = [n for n in (slice_of(p, axis) for p in prompts) if n is not None]
    if not keys:
        return (0, size - 1)
    above = [n for n in erased if n > max(keys)]
    below = [n for n in erased if n < min(keys)]
    return (max(below) + 1 if below else 0, min(above) - 1 if above else size - 1)
