"""Correct and go again: slices edited since the last run become key slices and stay as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...prompts import Box, Line, MaskPrompt, Point, Prompt
from ...results import PackedMask


@dataclass(frozen=True, eq=False)
class Continuation:
    """The next run of an object: prompts, the slices that must not change, and the first and last slice that erased
    ones leave."""

    prompts: list[Prompt]
    locked: frozenset[int]
    bounds: tuple[int, int]


def continue_from(
    current: PackedMask,
    axis: int,
    drawn: Sequence[Prompt],
    *,
    written: PackedMask | None = None,
    keys: Iterable[int] = (),
) -> Continuation:
    """The next run of a segment that holds `current`; the last run left `written` in it.

    Slices edited since, and those named in `keys`, become mask prompts. Such a slice that is empty now ends
    the object on its side: propagation does not pass it. Of `drawn` the prompts on other slices keep serving.
    """
    edited = set(keys)
    if written is not None and written.axis == axis:
        edited.update(written.changed_slices(current))
    slices = current.across(axis)
    masks = {n: slices.get_slice(n) for n in sorted(edited)}
    painted: list[Prompt] = [MaskPrompt(axis, n, mask) for n, mask in masks.items() if mask.any()]
    erased = [n for n, mask in masks.items() if not mask.any()]
    prompts = [*(p for p in drawn if slice_of(p, axis) not in masks), *painted]
    return Continuation(prompts, frozenset(edited), _bounds(prompts, erased, axis, current.shape_zyx[axis]))


def merged(
    current: PackedMask,
    result: PackedMask,
    *,
    previous: PackedMask | None = None,
    locked: Iterable[int] = (),
) -> PackedMask:
    """The segment after a run, across the result's axis: the result, plus what the user had besides our last result.

    Locked slices are taken over from `current` unchanged.
    """
    axis = result.axis
    source = current.across(axis)
    before = previous.across(axis) if previous is not None else PackedMask(result.shape_zyx, axis)
    combined = PackedMask(result.shape_zyx, axis)
    kept = set(locked)
    for index in sorted({*source.slices, *result.slices} | kept):
        mask = source.get_slice(index)
        if index not in kept:
            mask &= ~before.get_slice(index)
            mask |= result.get_slice(index)
        combined.set_slice(index, mask)
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
