"""A volume on its way to the worker: what a preview needs first, the rest behind it, in parts of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MedSAMError
from ..intensity import ValueRange, range_in_steps, scaling_of
from .frames import DTYPES
from .protocol import VolumePart

PART_BYTES = 2 << 20
"""A part is copied on its way: in steps of this size no event loop notices, and a request never waits for long."""

Place = tuple[slice, slice, slice]

Choice = tuple[Any, str | None]
"""The window and the modality that the volume is opened with."""


class VolumeStream:
    """The steps of sending `volume` (z,y,x[,3]) as `session`; each yields a part, or None for work without a message.

    `part` are the slices of it that are sent, (first, last) for each axis. `choice` decides whether the worker needs
    all voxels before it can show one: then `before_open` sends them all, else `after_open` does.
    """

    def __init__(
        self, session: int, volume: NDArray, part: tuple[tuple[int, int], ...], choice: Choice, *, known: bool = True
    ) -> None:
        self.session = session
        self.opened = False
        """The request to open was sent; slices can be asked for."""
        self.value_range: ValueRange | None = None
        """Of the whole volume; None while or where it does not decide how the voxels are scaled."""
        self.dtype = wire_dtype(volume.dtype)
        self._volume = volume
        self._sent = volume[tuple(slice(first, last + 1) for first, last in part)]
        self._choice = choice
        self._known = known
        self._slices: set[tuple[int, int]] = set()
        self._near = self._sent.shape[0] // 2
        self._stopped = False

    @cached_property
    def _waiting(self) -> list[Place]:
        """Places of the parts that were not sent yet; not listed before the volume is known to fit in memory."""
        return list(_cuts(self._sent))

    @property
    def shape(self) -> tuple[int, ...]:
        return self._sent.shape

    @property
    def voxels(self) -> int:
        return int(self._sent.size)

    @property
    def nbytes(self) -> int:
        return self.voxels * self.dtype.itemsize

    def stop(self) -> None:
        """Send no more of it."""
        self._stopped = True

    def before_open(self) -> Iterator[VolumePart | None]:
        """Look at all values; send them all where the worker could not scale one without the others."""
        span: ValueRange | None = None
        for found in range_in_steps(self._as_real()):
            if self._stopped:
                return
            span = found
            yield None
        if span is not None and span[0] <= span[1] and self._decides(span):
            self.value_range = span
        else:
            yield from self.after_open()

    def after_open(self) -> Iterator[VolumePart]:
        """Send what was not sent yet, the slices near the last one that was asked for first."""
        while self._waiting and not self._stopped:
            place = min(self._waiting, key=self._distance)
            self._waiting.remove(place)
            yield self._part(place)

    def slice_first(self, axis: int, index: int) -> Iterator[VolumePart]:
        """Send one slice, in the indices of the part, unless it is there."""
        if axis == 0:
            self._near = index
            for place in [p for p in self._waiting if p[0].start <= index < p[0].stop]:
                if place[0].stop - place[0].start == 1:
                    self._waiting.remove(place)
                    yield self._part(place)
        if not self._waiting or (axis, index) in self._slices or (axis == 0 and not self._is_waiting(index)):
            return
        self._slices.add((axis, index))
        yield self._part(tuple(slice(index, index + 1) if a == axis else slice(0, self.shape[a]) for a in range(3)))

    def _is_waiting(self, index: int) -> bool:
        return any(place[0].start <= index < place[0].stop for place in self._waiting)

    def _decides(self, span: ValueRange) -> bool:
        if not self._known:
            return False
        window, modality = self._choice
        chosen = tuple(window) if isinstance(window, list) else window
        try:
            scaling = scaling_of(
                self.dtype, colour=self._volume.ndim == 4, window=chosen, modality=modality, value_range=span
            )
        except MedSAMError:
            return False  # the worker will say so, in its answer
        return scaling is not None

    def _distance(self, place: tuple[slice, ...]) -> int:
        return max(place[0].start - self._near, self._near - place[0].stop + 1)

    def _part(self, place: tuple[slice, ...]) -> VolumePart:
        first = tuple(int(s.start) for s in place)
        return VolumePart(self.session, self.shape, (first[0], first[1], first[2]), sendable(self._sent[place]))

    def _as_real(self) -> NDArray:
        return self._volume.view(np.uint8) if self._volume.dtype == np.bool_ else self._volume


def _cuts(array: NDArray) -> Iterator[Place]:
    """Blocks of whole slices of at most `PART_BYTES`, or of rows of a slice that is larger."""
    slices, rows, columns = array.shape[:3]
    row_bytes = max(array[:1, :1].nbytes, 1)
    at_once = max(PART_BYTES // (row_bytes * rows), 1)
    rows_at_once = rows if row_bytes * rows <= PART_BYTES else max(PART_BYTES // row_bytes, 1)
    for k in range(0, slices, at_once):
        for j in range(0, rows, rows_at_once):
            yield slice(k, min(k + at_once, slices)), slice(j, min(j + rows_at_once, rows)), slice(0, columns)


def wire_dtype(dtype: np.dtype) -> np.dtype:
    """The type in which voxels travel. Raises `InputError` for one that cannot."""
    if dtype == np.bool_:
        return DTYPES["uint8"]
    if dtype.name not in DTYPES:
        raise InputError(f"Voxels of the type {dtype} cannot be segmented.", "Convert the volume to a real type.")
    return DTYPES[dtype.name]


def sendable(array: NDArray) -> NDArray:
    """The array in a type and order that can travel; a copy only where it must be."""
    return np.ascontiguousarray(array, dtype=wire_dtype(array.dtype))
