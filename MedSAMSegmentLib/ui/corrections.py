"""Correct and go again: slices edited since the last run become key slices and stay as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geometry import take_slice
from ..prompts import Box, Line, MaskPrompt, Point, Prompt


@dataclass(frozen=True, eq=False)
class Written:
    """What the last run left in a segment: its mask (z,y,x) on the volume's grid, and the prompts that led to it."""

    segment_id: str
    axis: int
    mask: NDArray[np.bool_]
    prompts: tuple[Prompt, ...]


@dataclass(frozen=True, eq=False)
class Continuation:
    """How to run again: prompts, the slices that must not change, and the range that erased slices leave.

    `bounds` are the first and last slice that may be computed.
    """

    prompts: list[Prompt]
    locked: frozenset[int]
    bounds: tuple[int, int]


def changed_slices(before: NDArray[np.bool_], now: NDArray[np.bool_], axis: int) -> list[int]:
    """Indices across `axis` of the slices that differ."""
    other = tuple(a for a in range(3) if a != axis)
    return [int(n) for n in np.flatnonzero((before != now).any(axis=other))]


def continue_from(
    written: Written, current: NDArray[np.bool_], drawn: Sequence[Prompt] = (), locked: Iterable[int] = ()
) -> Continuation:
    """The next run of a segment that was edited by hand since `written`.

    Edited slices become mask prompts. An edited slice that is empty now ends the object on its side: propagation does
    not pass it. The earlier prompts keep serving on slices that were not edited; `drawn` come on top. `locked` are
    slices that the user named as keys without editing them.
    """
    axis = written.axis
    edited = sorted({*changed_slices(written.mask, current, axis), *locked})
    masks = {n: take_slice(current, axis, n) for n in edited}
    keys: list[Prompt] = [MaskPrompt(axis, n, mask.copy()) for n, mask in masks.items() if mask.any()]
    erased = [n for n, mask in masks.items() if not mask.any()]
    kept = [p for p in written.prompts if _slice_of(p, axis) not in masks]
    prompts = [*kept, *keys, *drawn]
    return Continuation(prompts, frozenset(edited), _bounds(prompts, erased, axis, current.shape[axis]))


def painted_prompts(current: NDArray[np.bool_], axis: int) -> list[Prompt]:
    """Each painted slice of a segment as a key slice."""
    other = tuple(a for a in range(3) if a != axis)
    painted = np.flatnonzero(current.any(axis=other))
    return [MaskPrompt(axis, int(n), take_slice(current, axis, int(n)).copy()) for n in painted]


def merged(
    current: NDArray[np.bool_],
    result: NDArray[np.bool_],
    axis: int,
    *,
    previous: NDArray[np.bool_] | None = None,
    locked: Iterable[int] = (),
) -> NDArray[np.bool_]:
    """The segment after a run (z,y,x): the result, plus what the user had besides our last result.

    Locked slices are taken over from `current` unchanged.
    """
    combined = result.copy() if previous is None else result | (current & ~previous)
    if previous is None:
        combined |= current
    target, source = np.moveaxis(combined, axis, 0), np.moveaxis(current, axis, 0)
    for index in locked:
        target[index] = source[index]
    return combined


def _bounds(prompts: Sequence[Prompt], erased: Sequence[int], axis: int, size: int) -> tuple[int, int]:
    keys = [n for n in (_slice_of(p, axis) for p in prompts) if n is not None]
    if not keys:
        return (0, size - 1)
    above = [n for n in erased if n > max(keys)]
    below = [n for n in erased if n < min(keys)]
    return (max(below) + 1 if below else 0, min(above) - 1 if above else size - 1)


def _slice_of(prompt: Prompt, axis: int) -> int | None:
    """The one slice that a prompt lies on; None for a 3D box."""
    if isinstance(prompt, Box):
        first, last = prompt.along(axis)
        return first if first == last else None
    if isinstance(prompt, (Line, Point)):
        return prompt.slice_index(axis)
    return prompt.index
