"""The last runs of a session, so that a click does not compute anew what it does not change."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator

from ..results import PackedResult, SliceResult

MAXIMUM_RUNS = 4
"""Runs that are kept: a preview, a run, and what was there before. A slice takes an eighth of a byte a pixel of its
object's box."""


class KeptRuns:
    """Results by what was asked; the oldest run goes first."""

    def __init__(self) -> None:
        self._runs: OrderedDict[Hashable, list[PackedResult]] = OrderedDict()

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
            kept.append(PackedResult.of(result))
            yield result
        self._runs[asked] = kept
        self._runs.move_to_end(asked)
        while len(self._runs) > MAXIMUM_RUNS:
            self._runs.popitem(last=False)
