"""From stored values to the image's: rescaled frame by frame in floating point, the stack's type chosen afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CINE_MODALITIES = frozenset(("US", "IVUS", "XA", "RF", "ES", "XC", "OP", "OPT", "IVOCT"))
"""Modalities whose frames follow each other in time, not in space."""

MEASURED_MODALITIES = frozenset(("CT", "PT", "NM", "RTDOSE"))
"""Modalities whose values are measurements: they are kept, however the image is to be shown."""

INVERTED = "MONOCHROME1: the grey values were inverted."
KEPT = "MONOCHROME1: the values are measurements and were kept; viewers show them inverted."

_EXACT = (np.int16, np.uint16, np.int32, np.uint32, np.int64)


@dataclass(frozen=True, eq=False)
class ValueMap:
    """The way from stored values to the image's: `value * slope + intercept`, or a table from `first` on.

    `inverted` stands for the sum of the lowest and highest value that can be stored when bright is stored as low.
    """

    slope: float = 1.0
    intercept: float = 0.0
    table: NDArray | None = None
    first: int = 0
    inverted: int | None = None

    @property
    def is_identity(self) -> bool:
        return self.table is None and self.slope == 1.0 and self.intercept == 0.0

    @property
    def is_integral(self) -> bool:
        """True when whole stored values give whole values."""
        return self.table is not None or (self.slope.is_integer() and self.intercept.is_integer())

    def stored(self, values: NDArray) -> NDArray:
        """Return stored values with bright as high, in their own type."""
        if self.inverted is None:
            return values
        if values.dtype.kind == "f":
            return -values
        # In a type that holds every intermediate; the result lies in the range of the stored bits.
        return (self.inverted - values.astype(np.int64)).astype(values.dtype)

    def values(self, stored: NDArray) -> NDArray:
        """Return the image's values of stored ones, as float64; those of a table in its own type."""
        if self.table is not None:
            places = np.clip(stored.astype(np.int64) - self.first, 0, len(self.table) - 1)
            return np.asarray(self.table[places])
        return stored.astype(np.float64) * self.slope + self.intercept


def apply_value_maps(frames: Sequence[NDArray], maps: Sequence[ValueMap]) -> list[NDArray]:
    """Return frames of stored values as the image's, all in one type that holds them.

    Stored values that need no rescaling keep their type. Whole numbers become the smallest of int16, uint16 and larger
    ones that holds all; others float32, or float64 where float32 could not tell neighbouring steps apart.
    """
    turned = [one.stored(frame) for frame, one in zip(frames, maps, strict=True)]
    if all(one.is_identity for one in maps):
        dtype = np.result_type(*turned)
        return [frame.astype(dtype, copy=False) for frame in turned]
    dtype = _type_of(turned, maps)
    return [one.values(frame).astype(dtype, copy=False) for frame, one in zip(turned, maps, strict=True)]


def _type_of(stored: Sequence[NDArray], maps: Sequence[ValueMap]) -> np.dtype:
    ends = [
        (float(edges.min()), float(edges.max()))
        for edges in (
            one.values(np.array([frame.min(), frame.max()])) if one.table is None else one.values(frame)
            for frame, one in zip(stored, maps, strict=True)
        )
    ]
    lowest, highest = min(low for low, _high in ends), max(high for _low, high in ends)
    whole = all(one.is_integral and frame.dtype.kind in "bui" for frame, one in zip(stored, maps, strict=True))
    if whole:
        for kind in _EXACT:
            if np.iinfo(kind).min <= lowest and highest <= np.iinfo(kind).max:
                return np.dtype(kind)
    largest = max(abs(lowest), abs(highest))
    if largest > np.finfo(np.float32).max:
        return np.dtype(np.float64)
    steps = [abs(one.slope) for one in maps if one.table is None and one.slope]
    coarse = float(np.spacing(np.float32(largest)))
    stored_in_64 = any(frame.dtype == np.float64 for frame in stored)
    fine = not steps or coarse <= min(steps) / 2 or not whole_steps_matter(stored)
    return np.dtype(np.float64 if stored_in_64 or not fine else np.float32)


def whole_steps_matter(stored: Sequence[NDArray]) -> bool:
    """Return whether frames hold whole numbers, whose neighbours are one step of the slope apart."""
    return any(frame.dtype.kind in "bui" for frame in stored)


def is_cine(modality: str, *, timed: bool) -> bool:
    """Return whether a multi-frame image runs in time; `timed` when it names a frame time."""
    return timed or modality in CINE_MODALITIES
