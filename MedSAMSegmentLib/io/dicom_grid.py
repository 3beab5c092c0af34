"""The regular grid of a stack, and which slice goes where: slices keep their places, gaps do not stretch the rest.

Slices at equal distances (a tilted gantry's, too) are taken as they are. Where slices are missing, or distances differ,
the grid has the distance of neighbours, each slice lies where it was acquired, and what has no slice is filled from its
neighbours and named: propagation goes on across a gap, sizes stay true, and nobody takes the filling for an image.
A gap that is wider than `WIDEST_GAP_MM`, or fillings that outweigh the slices, are refused with the places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

UNEVEN = 0.1
"""Share of the distance between slices by which one may lie off the grid and still be taken as it is."""

SAME_STEP = 0.02
"""Share by which the distance between neighbours may be corrected so that all slices lie on the grid."""

WIDEST_GAP_MM = 50.0
MOST_FILLED = 3.0
"""Filled slices for each one that was acquired."""

TILT_DEGREES = 0.5


@dataclass(frozen=True, eq=False)
class SliceGrid:
    """`origin` (3,) and `step` (3,) of k in LPS mm; for each k the slices below and above it and the share of the one
    above (0 where the slice is taken as it is).

    `filled` are the k that lie half a step or more from any slice, `notes` sentences on what was done. `taken` holds
    for each k the slice that was taken as it is, None where there is none.
    """

    origin: NDArray[np.float64]
    step: NDArray[np.float64]
    below: tuple[int, ...]
    above: tuple[int, ...]
    share: tuple[float, ...]
    filled: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    taken: tuple[int | None, ...] = ()


def slice_grid(positions: NDArray[np.float64], readable: NDArray[np.bool_], name: str) -> SliceGrid:
    """Return the grid of slices at `positions` (n,3), n > 1, in the order of the normal.

    Places of slices that are not `readable` (n,) are filled. Raises `InputError`, with the places.
    """
    direction = positions[-1] - positions[0]
    length = float(np.linalg.norm(direction))
    direction = direction / length
    along = (positions - positions[0]) @ direction
    gaps = np.diff(along)
    step = _step(gaps)
    aside = np.linalg.norm(positions - positions[0] - np.outer(along, direction), axis=1).max()
    if gaps.min() <= 0 or aside > UNEVEN * max(step, 1.0):
        raise InputError(
            f"The slices of {name} do not lie one behind another (up to {aside:.1f} mm aside).",
            "Export a series whose slices are stacked.",
        )
    even = length / (len(along) - 1)
    if np.abs(along - even * np.arange(len(along))).max() <= UNEVEN * even:
        step = even
    else:
        # Counted from gap to gap, so that rounded positions do not add up.
        counted = np.concatenate([[0.0], np.cumsum(np.maximum(1, np.round(gaps / step)))])
        fitted = float(counted @ along / (counted @ counted))
        if abs(fitted - step) <= SAME_STEP * step and np.abs(along - fitted * counted).max() <= UNEVEN * fitted:
            step = fitted
    numbers = along / step
    whole = np.round(numbers)
    on_grid = bool(np.abs(numbers - whole).max() <= UNEVEN)
    count = int(whole[-1]) + 1
    _refuse_wide_gaps(along, gaps, count, step, name)
    return _grid(SliceSteps(positions[0], direction * step, whole if on_grid else numbers, gaps), count, readable)


def _step(gaps: NDArray[np.float64]) -> float:
    """Return the distance of neighbours: the lower median, but the least where slices lie closer than that."""
    usual = float(np.sort(gaps)[(len(gaps) - 1) // 2])
    if gaps.min() < 0.75 * usual:
        usual = float(gaps.min())
    return float(gaps[np.abs(gaps - usual) <= 0.25 * usual].mean())


def _refuse_wide_gaps(
    along: NDArray[np.float64], gaps: NDArray[np.float64], count: int, step: float, name: str
) -> None:
    wide = np.flatnonzero(gaps > max(WIDEST_GAP_MM, 1.5 * step))
    if len(wide) == 0 and count - len(along) <= MOST_FILLED * len(along):
        return
    breaks = wide if len(wide) else np.flatnonzero(gaps > 1.5 * step)
    starts, ends = [0, *(breaks + 1)], [*breaks, len(along) - 1]
    parts = [f"{along[a]:.1f} to {along[b]:.1f} mm ({b - a + 1})" for a, b in zip(starts, ends, strict=True)]
    shown = ", ".join(parts[:6]) + (f" and {len(parts) - 6} more" if len(parts) > 6 else "")
    raise InputError(
        f"The slices of {name} leave gaps of up to {gaps.max():.1f} mm; from the first one they lie at {shown}.",
        "Export the missing slices, or each part as a series of its own.",
    )


@dataclass(frozen=True, eq=False)
class SliceSteps:
    """Places of slices: `numbers` (n,) in steps from the first, whole ones where they are taken as they are."""

    origin: NDArray[np.float64]
    step: NDArray[np.float64]
    numbers: NDArray[np.float64]
    gaps: NDArray[np.float64]


def _grid(steps: SliceSteps, count: int, readable: NDArray[np.bool_]) -> SliceGrid:
    places = steps.numbers[readable]
    slices = np.flatnonzero(readable)
    below, above, share, filled = [], [], [], []
    taken: list[int | None] = []
    for k in range(count):
        after = min(int(np.searchsorted(places, k - 1e-9)), len(places) - 1)
        before = max(after - 1, 0) if places[after] > k + 1e-9 else after
        nearest = after if abs(places[after] - k) <= abs(places[before] - k) else before
        distance = abs(places[nearest] - k)
        inside = places[before] <= k <= places[after] and before != after
        if distance <= 1e-6 or not inside:
            before = after = nearest
        width = places[after] - places[before]
        below.append(int(slices[before]))
        above.append(int(slices[after]))
        share.append(float((k - places[before]) / width) if width > 0 else 0.0)
        taken.append(int(slices[nearest]) if distance <= 1e-6 else None)
        if distance >= 0.5:
            filled.append(k)
    moved = bool((steps.numbers != np.round(steps.numbers)).any())
    notes = tuple(_notes(tuple(filled), moved, steps, count))
    return SliceGrid(
        steps.origin, steps.step, tuple(below), tuple(above), tuple(share), tuple(filled), notes, tuple(taken)
    )


def _notes(filled: tuple[int, ...], moved: bool, steps: SliceSteps, count: int) -> Iterator[str]:
    distance, gaps = float(np.linalg.norm(steps.step)), steps.gaps
    if moved:
        yield (
            f"The slices are not evenly spaced ({gaps.min():.4g} to {gaps.max():.4g} mm); they were resampled onto a "
            f"grid of {distance:.4g} mm."
        )
    if filled:
        why = f"The slices leave gaps of up to {gaps.max():.4g} mm: they are not evenly spaced. "
        missing = "slices is missing and was" if len(filled) == 1 else "slices are missing and were"
        yield (
            f"{why if not moved and gaps.max() > 1.5 * distance else ''}{len(filled)} of {count} {missing} filled from "
            f"neighbours: {runs(filled)}."
        )


def runs(numbers: Sequence[int]) -> str:
    """Return numbers as text, those that follow each other as a range: "k 3 to 9, 12"."""
    parts: list[list[int]] = []
    for value in numbers:
        if parts and value == parts[-1][1] + 1:
            parts[-1][1] = value
        else:
            parts.append([value, value])
    return "k " + ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in parts)


def tilt_note(matrix: NDArray[np.float64]) -> str:
    """Return a sentence on the angle of k to the normal of the slices in `matrix` (4,4); "" where there is none."""
    normal = np.cross(matrix[:3, 0], matrix[:3, 1])
    cosine = abs(normal @ matrix[:3, 2]) / (np.linalg.norm(normal) * np.linalg.norm(matrix[:3, 2]))
    degrees = float(np.degrees(np.arccos(min(1.0, cosine))))
    return f"The gantry was tilted by {degrees:.1f} degrees; the grid is sheared." if degrees > TILT_DEGREES else ""
