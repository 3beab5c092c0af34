"""The time that a slice takes from its image to its mask, measured where the user waits for it anyway."""

from __future__ import annotations

from collections.abc import Callable


class PreviewTimer:
    """Times the first slice of an open volume. Later ones may have been encoded before, and then take next to nothing.

    `clock` gives seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._first = False
        self._since = clock()

    def opened(self) -> None:
        """A volume was opened, maybe on the way to an answer: what came before was no work on a slice."""
        self._first = True
        self._since = self._clock()

    def asked(self) -> None:
        self._since = self._clock()

    def answered(self) -> float | None:
        """Seconds since the question; None for any but the first slice."""
        first, self._first = self._first, False
        return self._clock() - self._since if first else None

    def passed(self) -> None:
        """A run went through slices of the volume."""
        self._first = False
