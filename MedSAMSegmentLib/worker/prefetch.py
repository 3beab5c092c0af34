"""Slices that the worker encodes while nobody asks for anything: those around the one that the user looks at."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice

SLICES = 8
"""At most so many for each preview: a few seconds of work, and a small part of the cache."""

PATIENCE_SECONDS = 2.0
"""Where one slice takes longer, nothing is done ahead: the next request may have to wait for the slice at hand."""


@dataclass(frozen=True)
class PrefetchSlice:
    session: int
    axis: int
    index: int


class PrefetchQueue:
    """Filled after a preview, emptied one slice at a time, forgotten as soon as something else is asked for."""

    def __init__(self) -> None:
        self._waiting: deque[PrefetchSlice] = deque()
        self._slow: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def plan(self, session: int, axis: int, index: int, slices: int, seconds: float) -> None:
        """Plan the neighbours, outwards, of slice `index` of `slices`, which was answered in `seconds`.

        A session that was slow once stays so: its later answers may be quick because the slice was encoded before.
        """
        self.forget()
        if seconds > PATIENCE_SECONDS:
            self._slow.add(session)
        if session not in self._slow:
            around = islice(outwards(index, slices), SLICES)
            self._waiting.extend(PrefetchSlice(session, axis, neighbour) for neighbour in around)

    def take(self) -> PrefetchSlice:
        return self._waiting.popleft()

    def forget(self) -> None:
        self._waiting.clear()


def outwards(index: int, slices: int) -> Iterator[int]:
    """Yield index + 1, index - 1, index + 2, ... as far as they lie in 0 .. slices - 1."""
    for distance in count(1):
        pair = [neighbour for neighbour in (index + distance, index - distance) if 0 <= neighbour < slices]
        if not pair:
            return
        yield from pair
