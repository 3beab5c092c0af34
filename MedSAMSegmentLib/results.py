"""Results of a session: slices as they are computed, and the finished objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .geometry import IN_PLANE_AXES, slice_shape

FLAG_EMPTY = "empty"
FLAG_AREA_JUMP = "area-jump"
FLAG_LOW_SCORE = "low-score"
FLAG_TWO_READINGS = "two-readings"
"""The box of this key slice holds two things that may be meant: the other one is `reading` 2."""
FLAG_FIRST_LOOK = "first-look"
"""What the first view of this key slice shows; the answer from all of its views follows."""

Assessment: TypeAlias = Literal["sure", "look", "doubtful"]

SURE_CONFIDENCE = 0.75
DOUBTFUL_CONFIDENCE = 0.55
"""Means of an answer's slice scores, measured on the tuned cases of `Testing/bench`."""


def assess(confidence: float) -> Assessment:
    """Return the word for the confidence in a whole answer, 0..1."""
    if confidence >= SURE_CONFIDENCE:
        return "sure"
    return "look" if confidence >= DOUBTFUL_CONFIDENCE else "doubtful"


@dataclass(frozen=True)
class Progress:
    """`done` of `total` slices; `stage` is a word for the user."""

    done: int
    total: int
    stage: str = "slices"


@dataclass(frozen=True, eq=False)
class SliceResult:
    """One object's mask (rows, columns) on slice `index` across `axis`; `score` is the confidence, 0..1.

    `key` is true where the user's own prompt stood.
    """

    object_index: int
    axis: int
    index: int
    mask: NDArray[np.bool_]
    score: float
    flags: tuple[str, ...] = ()
    key: bool = False


@dataclass(frozen=True)
class SliceScore:
    score: float
    area: int
    flags: tuple[str, ...] = ()
    key: bool = False


@dataclass(frozen=True, eq=False)
class PackedSlice:
    """A slice's mask held as the packed bits of its tight box: little more than what is in it.

    `shape` (rows, columns) is that of the slice. The box begins at `row` and `column`; its `extent` (rows, columns) is
    0, 0 where the mask is empty.
    """

    shape: tuple[int, int]
    row: int
    column: int
    extent: tuple[int, int]
    bits: NDArray[np.uint8]

    @classmethod
    def of(
        cls, mask: NDArray[np.bool_], *, corner: tuple[int, int] = (0, 0), shape: tuple[int, int] | None = None
    ) -> PackedSlice:
        """Pack a mask (rows, columns).

        A part of the mask of a slice of `shape` begins at the row and column `corner` of it; all else is False.
        """
        whole = shape or (mask.shape[0], mask.shape[1])
        rows = np.flatnonzero(mask.any(axis=1))
        if rows.size == 0:
            return cls(whole, 0, 0, (0, 0), np.zeros(0, dtype=np.uint8))
        part = mask[rows[0] : rows[-1] + 1]
        columns = np.flatnonzero(part.any(axis=0))
        part = part[:, columns[0] : columns[-1] + 1]
        row, column = corner[0] + int(rows[0]), corner[1] + int(columns[0])
        return cls(whole, row, column, (part.shape[0], part.shape[1]), np.packbits(part))

    @property
    def is_empty(self) -> bool:
        return self.extent == (0, 0)

    @property
    def place(self) -> tuple[slice, slice]:
        """The rows and columns of the box in the slice."""
        rows, columns = self.extent
        return (slice(self.row, self.row + rows), slice(self.column, self.column + columns))

    def part(self) -> NDArray[np.bool_]:
        """Return the mask within the box."""
        rows, columns = self.extent
        return np.unpackbits(self.bits, count=rows * columns).reshape(rows, columns).view(bool)

    def unpack(self) -> NDArray[np.bool_]:
        """Return the mask (rows, columns) of the whole slice."""
        mask = np.zeros(self.shape, dtype=bool)
        mask[self.place] = self.part()
        return mask

    def equals(self, other: PackedSlice) -> bool:
        same_place = (self.row, self.column, self.extent) == (other.row, other.column, other.extent)
        return same_place and np.array_equal(self.bits, other.bits)


@dataclass(frozen=True, eq=False)
class PackedResult:
    """A slice's result to keep: `mask` is its mask, packed, and `bare` all else, with a mask of no pixels."""

    bare: SliceResult
    mask: PackedSlice

    @classmethod
    def of(cls, result: SliceResult) -> PackedResult:
        return cls(replace(result, mask=np.zeros((0, 0), dtype=bool)), PackedSlice.of(result.mask))

    def unpack(self) -> SliceResult:
        return replace(self.bare, mask=self.mask.unpack())


class PackedMask:
    """A mask of a volume, held as its slices' packed masks."""

    def __init__(self, shape_zyx: tuple[int, int, int], axis: int) -> None:
        self.shape_zyx = shape_zyx
        self.axis = axis
        self._slice_shape = slice_shape(shape_zyx, axis)
        self._slices: dict[int, PackedSlice] = {}

    @classmethod
    def of(
        cls,
        mask_zyx: NDArray[np.bool_],
        axis: int,
        *,
        first_zyx: tuple[int, int, int] = (0, 0, 0),
        shape_zyx: tuple[int, int, int] | None = None,
    ) -> PackedMask:
        """Pack a mask (z,y,x) by its slices across `axis`.

        A part of the mask of a volume of `shape_zyx` begins at the voxel `first_zyx` of it; all else is False.
        """
        z, y, x = mask_zyx.shape
        packed = cls(shape_zyx or (z, y, x), axis)
        row, column = (first_zyx[a] for a in IN_PLANE_AXES[axis])
        for number, part in enumerate(np.moveaxis(mask_zyx, axis, 0)):
            packed.set_part(first_zyx[axis] + number, part, (row, column))
        return packed

    @property
    def nbytes(self) -> int:
        return sum(part.bits.nbytes for part in self._slices.values())

    @property
    def slices(self) -> list[int]:
        """Indices of the slices that hold at least one voxel."""
        return sorted(self._slices)

    def set_slice(self, index: int, mask: NDArray[np.bool_]) -> None:
        if mask.shape != self._slice_shape:
            raise InputError(f"A mask of {mask.shape} does not fit a slice of {self._slice_shape}.")
        self.set_part(index, mask, (0, 0))

    def set_part(self, index: int, mask: NDArray[np.bool_], corner: tuple[int, int]) -> None:
        """Make a slice equal to `mask` (rows, columns) from the row and column `corner` on, and False elsewhere."""
        ends = (corner[0] + mask.shape[0], corner[1] + mask.shape[1])
        if min(corner) < 0 or ends[0] > self._slice_shape[0] or ends[1] > self._slice_shape[1]:
            raise InputError(f"A mask of {mask.shape} at {corner} does not fit a slice of {self._slice_shape}.")
        packed = PackedSlice.of(mask, corner=corner, shape=self._slice_shape)
        if packed.is_empty:
            self._slices.pop(index, None)
        else:
            self._slices[index] = packed

    def get_slice(self, index: int) -> NDArray[np.bool_]:
        if index in self._slices:
            return self._slices[index].unpack()
        return np.zeros(self._slice_shape, dtype=bool)

    def same_slice(self, other: PackedMask, index: int) -> bool:
        """Tell whether both hold the same on a slice. They are of one shape and axis."""
        mine, its = self._slices.get(index), other._slices.get(index)
        return mine is its if mine is None or its is None else mine.equals(its)

    def changed_slices(self, later: PackedMask) -> list[int]:
        """Return the indices, across the axis of this mask, of the slices on which a mask of the same shape differs."""
        now = later.across(self.axis)
        return [n for n in sorted({*self._slices, *now._slices}) if not self.same_slice(now, n)]

    def tight(self) -> tuple[NDArray[np.bool_], tuple[int, int, int]]:
        """Return the part (z,y,x) that holds all voxels, and the z,y,x of its first voxel; one voxel for an empty
        mask."""
        if not self._slices:
            return np.zeros((1, 1, 1), dtype=bool), (0, 0, 0)
        parts = self._slices.values()
        row, column = min(p.row for p in parts), min(p.column for p in parts)
        rows = max(p.row + p.extent[0] for p in parts) - row
        columns = max(p.column + p.extent[1] for p in parts) - column
        first, last = min(self._slices), max(self._slices)
        lower, extent = [row, column], [rows, columns]
        lower.insert(self.axis, first)
        extent.insert(self.axis, last - first + 1)
        mask = np.zeros(extent, dtype=bool)
        across = np.moveaxis(mask, self.axis, 0)
        for index, part in self._slices.items():
            down, along = part.row - row, part.column - column
            across[index - first, down : down + part.extent[0], along : along + part.extent[1]] = part.part()
        return mask, (lower[0], lower[1], lower[2])

    def across(self, axis: int) -> PackedMask:
        """Return the same mask, packed by its slices across `axis`."""
        if axis == self.axis:
            return self
        mask, first = self.tight()
        return PackedMask.of(mask, axis, first_zyx=first, shape_zyx=self.shape_zyx)

    def unpack(self) -> NDArray[np.bool_]:
        """Return the whole mask (z,y,x)."""
        volume = np.zeros(self.shape_zyx, dtype=bool)
        across = np.moveaxis(volume, self.axis, 0)
        for index, part in self._slices.items():
            across[index][part.place] = part.part()
        return volume


@dataclass
class ObjectResult:
    """One object: its mask and, for each slice that was computed, score, area and flags."""

    name: str
    packed: PackedMask
    slices: dict[int, SliceScore] = field(default_factory=dict)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The mask (z,y,x), bool; a new array at each call."""
        return self.packed.unpack()

    @property
    def flagged(self) -> list[int]:
        """Slices that deserve a look."""
        return sorted(index for index, score in self.slices.items() if score.flags)

    @property
    def confidence(self) -> float:
        """The mean score of the slices that were computed, without empty ones at its ends; 0..1, 0 for no slice."""
        held = self.packed.slices
        if not held:
            return 0.0
        scores = [score.score for index, score in self.slices.items() if held[0] <= index <= held[-1]]
        return float(np.mean(scores)) if scores else 0.0

    @property
    def assessment(self) -> Assessment:
        """The confidence in the whole object as a word."""
        return assess(self.confidence)

    def add(self, result: SliceResult) -> None:
        self.packed.set_slice(result.index, result.mask)
        area = int(result.mask.sum())
        self.slices[result.index] = SliceScore(result.score, area, result.flags, result.key)


@dataclass
class Segmentation3D:
    """All objects of one run. They may overlap; `label_map` resolves that."""

    objects: list[ObjectResult]
    axis: int
    shape_zyx: tuple[int, int, int]
    model: str
    strategy: str
    device: str
    window: str
    seconds: float = 0.0
    encodes: int = 0
    predictions: int = 0

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The union of all objects (z,y,x), bool."""
        return mask_union([o.mask for o in self.objects], self.shape_zyx)

    def label_map(self) -> NDArray[np.uint16]:
        """Return the labels 1, 2, ... (z,y,x); where objects overlap the later one stands, as in the official
        scripts."""
        labels = np.zeros(self.shape_zyx, dtype=np.uint16)
        for value, result in enumerate(self.objects, start=1):
            labels[result.mask] = value
        return labels


def mask_union(masks: Sequence[NDArray[np.bool_]], shape_zyx: tuple[int, int, int]) -> NDArray[np.bool_]:
    combined = np.zeros(shape_zyx, dtype=bool)
    for mask in masks:
        combined |= mask
    return combined


def flag_slices(
    slices: dict[int, SliceScore], low_score: float = 0.5, low_share: float = 0.95, area_ratio: float = 2.0
) -> dict[int, SliceScore]:
    """Flag slices by what they say together: empty inside the object, area that changes suddenly, low score.

    A score is low when it is below `low_score`, or below `low_share` of the object's median: what scores an object
    reaches depends on its contrast, so its own slices are the measure.
    A slice jumps when its area is more than `area_ratio` times larger, or smaller, than on both neighbours; at the
    end of the run only growth counts, because shrinking is how an object ends.
    """
    usual = float(np.median([score.score for score in slices.values()])) if slices else 0.0
    lowest = max(low_score, low_share * usual)
    flagged: dict[int, SliceScore] = {}
    for index, score in slices.items():
        flags = [flag for flag in score.flags if flag == FLAG_TWO_READINGS]
        if score.area == 0:
            flags.append(FLAG_EMPTY)
        elif not score.key:
            neighbours = [slices[n].area for n in (index - 1, index + 1) if n in slices]
            if score.score < lowest:
                flags.append(FLAG_LOW_SCORE)
            if _jumps(score.area, neighbours, area_ratio):
                flags.append(FLAG_AREA_JUMP)
        flagged[index] = SliceScore(score.score, score.area, tuple(flags), score.key)
    return flagged


def _jumps(area: int, neighbours: list[int], ratio: float) -> bool:
    larger = [area > ratio * neighbour > 0 for neighbour in neighbours]
    smaller = [area * ratio < neighbour for neighbour in neighbours]
    return bool(neighbours) and (all(larger) or (len(neighbours) == 2 and all(smaller)))
