"""The last runs of a session, so that a click does not compute anew what it does not change."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..results import SliceResult

MAXIMUM_RUNS = 4
"""Runs that are kept: a preview, a run, and what was there before. A slice of 512 x 512 takes 32 KiB."""


@dataclass(frozen=True, eq=False)
class _PackedResult:
    """A result whose mask is empty, its mask as bits, and that mask's shape (rows, columns)."""

    result: SliceResult
    bits: NDArray[np.uint8]
    shape: tuple[int, int]

    @classmethod
    def of(cls, result: SliceResult) -> _PackedResult:
        rows, columns = result.mask.shape
        empty = replace(result, mask=np.zeros((0, 0), dtype=bool))
        return cls(empty, np.packbits(result.mask), (rows, columns))

    def unpack(self) -> SliceResult:
        rows, columns = self.shape
        mask = np.unpackbits(self.bits, count=rows * columns).reshape(rows, columns).astype(bool)
        return replace(self.result, mask=mask)


class KeptRuns:
    """Results by what was asked; the oldest run goes first."""

    def __init__(self) -> None:
        self._runs: OrderedDict[Hashable, list[_PackedResult]] = OrderedDict()

    def clear(self) -> None:
        self._runs.clear()

    def results(
        self, asked: Hashable, run: Callable[[], Iterator[SliceResult]], *, again: bool
    ) -> Iterator[SliceResult]:
        """Yield the results of `run()` and keep them when it ends; with `again` those that are kept, if any."""
        if again and asked in self._runs:
            self._runs.move_to_end(asked)
            for packed in list(self._runs[asked]):
                yield packed.unpack()
            return
        kept = []
        for result in run():
            kept.append(_PackedResult.of(result))
            yield result
        self._runs[asked] = kept
        self._runs.move_to_end(asked)
        while len(self._runs) > MAXIMUM_RUNS:
            self._runs.popitem(last=False)
