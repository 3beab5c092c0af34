"""Results of a session: slices as they are computed, and the finished objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .geometry import slice_shape

FLAG_EMPTY = "empty"
FLAG_AREA_JUMP = "area-jump"
FLAG_LOW_SCORE = "low-score"


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


class PackedMask:
    """A mask of a volume held as one packed row of bits a slice: an eighth of the bytes, where something is."""

    def __init__(self, shape_zyx: tuple[int, int, int], axis: int) -> None:
        self.shape_zyx = shape_zyx
        self.axis = axis
        self._slice_shape = slice_shape(shape_zyx, axis)
        self._bits: dict[int, NDArray[np.uint8]] = {}

    @property
    def nbytes(self) -> int:
        return sum(bits.nbytes for bits in self._bits.values())

    @property
    def slices(self) -> list[int]:
        """Indices of the slices that hold at least one voxel."""
        return sorted(self._bits)

    def set_slice(self, index: int, mask: NDArray[np.bool_]) -> None:
        if mask.shape != self._slice_shape:
            raise InputError(f"A mask of {mask.shape} does not fit a slice of {self._slice_shape}.")
        if mask.any():
            self._bits[index] = np.packbits(mask)
        else:
            self._bits.pop(index, None)

    def get_slice(self, index: int) -> NDArray[np.bool_]:
        rows, columns = self._slice_shape
        if index not in self._bits:
            return np.zeros(self._slice_shape, dtype=bool)
        return np.unpackbits(self._bits[index], count=rows * columns).reshape(rows, columns).view(bool)

    def unpack(self) -> NDArray[np.bool_]:
        """Return the whole mask (z,y,x)."""
        volume = np.zeros(self.shape_zyx, dtype=bool)
        across = np.moveaxis(volume, self.axis, 0)
        for index in self._bits:
            across[index] = self.get_slice(index)
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
    """Flag slices by what the slices say together: empty inside the object, area that changes suddenly, low score.

    A score is low when it is below `low_score`, or below `low_share` of the object's median: what scores an object
    reaches depends on its contrast, so its own slices are the measure.
    A slice jumps when its area is more than `area_ratio` times larger, or smaller, than on both neighbours; at the
    end of the run only growth counts, because shrinking is how an object ends.
    """
    usual = float(np.median([score.score for score in slices.values()])) if slices else 0.0
    lowest = max(low_score, low_share * usual)
    flagged: dict[int, SliceScore] = {}
    for index, score in slices.items():
        flags: list[str] = []
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
