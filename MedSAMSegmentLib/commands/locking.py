"""One command at a time in a folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ..checkpoints.folder import hold_lock
from ..errors import MedSAMError, OutputError


@contextlib.contextmanager
def hold_or_refuse(path: Path, busy: MedSAMError, *, seconds: float = 0.0, last: bool = False) -> Iterator[None]:
    """Hold the lock of that path, or raise `busy` when another process has it after so many seconds.

    With `last` the lock's file is deleted at the end. Raises `OutputError` where it cannot be made.
    """
    with contextlib.ExitStack() as stack:
        try:
            held = stack.enter_context(hold_lock(path, seconds, last=last))
        except OSError as error:
            raise OutputError(
                f"The folder {path.parent} cannot be written to: {error.strerror or error}.",
                "Choose another, or have its rights changed.",
            ) from error
        if not held:
            raise busy
        yield
