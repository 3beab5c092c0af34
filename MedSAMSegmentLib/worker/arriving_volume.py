"""A volume that comes to the worker in parts, in any order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..errors import WorkerError
from .protocol import CURE, VolumePart

Convert = Callable[[NDArray], NDArray]

MOST_COPIES = 4
"""A voxel comes with its part, and once more with a slice across each axis that was asked for before."""


class ArrivingVolume:
    """`shape` is (z,y,x[,3]), `dtype` that of the voxels.

    Parts are kept as they came until it is said where they go: `whole` puts them together, `into` converts them.
    Nothing is reserved for what was merely announced but a flag for each row of voxels.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape = shape
        self.dtype = dtype
        self._rows = np.zeros(shape[:2], bool)
        self._columns: set[int] = set()
        self._parts: list[VolumePart] = []
        self._kept_bytes = 0
        self._target: NDArray | None = None
        self._convert: Convert = lambda values: values

    @property
    def nbytes(self) -> int:
        return self.voxels * self.dtype.itemsize

    @property
    def voxels(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def complete(self) -> bool:
        return bool(self._rows.all())

    def lacks(self, axis: int, index: int) -> bool:
        """Tell whether voxels of slice `index` across `axis` are still to come; not of one that does not exist."""
        if axis not in range(3) or not 0 <= index < self.shape[axis]:
            return False
        if axis == 2:
            return index not in self._columns and not self.complete
        return not self._rows.take(index, axis=axis).all()

    def add(self, part: VolumePart) -> None:
        """Take a part. Raises `WorkerError` for one of another volume, or that reaches beyond this one, and for more
        than any volume comes in."""
        fits = (
            part.shape == self.shape
            and part.values.dtype == self.dtype
            and part.values.ndim == len(self.shape)
            and part.values.shape[3:] == self.shape[3:]
            and all(
                f >= 0 and f + n <= s for f, n, s in zip(part.first_zyx, part.values.shape, self.shape, strict=False)
            )
        )
        if not fits:
            raise WorkerError("A part of a volume arrived that does not fit it.", CURE, f"{part.first_zyx}")
        self._note(part)
        if self._target is None:
            self._kept_bytes += part.values.nbytes
            if self._kept_bytes > MOST_COPIES * self.nbytes:
                raise WorkerError("The parts of a volume came again and again.", CURE)
            self._parts.append(part)
        else:
            self._put(part)

    def whole(self) -> NDArray:
        """Return the voxels in one array and forget them here. Raises `WorkerError` when some have not arrived."""
        if not self.complete:
            raise WorkerError("The volume has not arrived as a whole.", CURE)
        if len(self._parts) == 1:
            return self._parts.pop().values
        return self.into(np.empty(self.shape, self.dtype), self._convert)

    def into(self, target: NDArray, convert: Convert) -> NDArray:
        """Put what has arrived, and what will, into `target` through `convert`. Return `target`."""
        self._target, self._convert = target, convert
        while self._parts:
            self._put(self._parts.pop())  # each is freed before the next is copied
        return target

    def _put(self, part: VolumePart) -> None:
        assert self._target is not None
        self._target[_place(part)] = self._convert(part.values)

    def _note(self, part: VolumePart) -> None:
        whole_columns = part.values.shape[2] == self.shape[2]
        if whole_columns:
            self._rows[_place(part)[:2]] = True
        elif part.values.shape[:3] == (*self.shape[:2], 1):
            self._columns.add(part.first_zyx[2])


def _place(part: VolumePart) -> tuple[slice, ...]:
    return tuple(slice(f, f + n) for f, n in zip(part.first_zyx, part.values.shape, strict=False))
