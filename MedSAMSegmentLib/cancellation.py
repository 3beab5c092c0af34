"""Stopping work that runs: whoever waits gives a function that is asked now and then."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from .errors import Cancelled

CancelCheck: TypeAlias = Callable[[], bool]
"""Called between slices or chunks; true stops the work with `Cancelled`."""


def never_cancel() -> bool:
    """Return False: the check of a caller that never stops the work."""
    return False


def raise_if_cancelled(cancel: CancelCheck) -> None:
    """Raise `Cancelled` when the user has asked to stop."""
    if cancel():
        raise Cancelled()
