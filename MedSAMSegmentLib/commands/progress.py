"""Progress on a terminal, silence in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..results import Progress


class SliceProgressBar:
    """A bar over slices."""

    def __init__(self, bar: object) -> None:
        self._bar = bar

    def __call__(self, progress: Progress) -> None:
        bar = self._bar
        bar.total = progress.total  # type: ignore[attr-defined]
        bar.n = progress.done  # type: ignore[attr-defined]
        bar.refresh()  # type: ignore[attr-defined]


class ByteProgressBar:
    """A bar over bytes; the total may be unknown."""

    def __init__(self, bar: object) -> None:
        self._bar = bar

    def __call__(self, done: int, total: int | None) -> None:
        bar = self._bar
        bar.total = total  # type: ignore[attr-defined]
        bar.n = done  # type: ignore[attr-defined]
        bar.refresh()  # type: ignore[attr-defined]


@contextmanager
def slice_bar(label: str, quiet: bool) -> Iterator[SliceProgressBar]:
    from tqdm import tqdm

    with tqdm(total=0, desc=label, unit="slice", disable=_hidden(quiet), file=sys.stderr) as bar:
        yield SliceProgressBar(bar)


@contextmanager
def byte_bar(label: str, quiet: bool) -> Iterator[ByteProgressBar]:
    from tqdm import tqdm

    with tqdm(total=0, desc=label, unit="B", unit_scale=True, disable=_hidden(quiet), file=sys.stderr) as bar:
        yield ByteProgressBar(bar)


def say(text: str, quiet: bool) -> None:
    if not quiet:
        print(text, flush=True)


def _hidden(quiet: bool) -> bool:
    return quiet or not sys.stderr.isatty()
