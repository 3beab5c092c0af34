"""Files appear whole or not at all: written beside the target, then moved over it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import OutputError

_recorders: list[list[Path]] = []


@contextmanager
def record_written_files() -> Iterator[list[Path]]:
    """Collect the files that are moved into place meanwhile: what an interrupted command has to own up to."""
    written: list[Path] = []
    _recorders.append(written)
    try:
        yield written
    finally:
        _recorders.remove(written)


@contextmanager
def atomic_write(target: str | Path, suffix: str = "") -> Iterator[Path]:
    """Yield a temporary path beside `target`, moved over it when the block ends well and removed when it does not.

    `suffix` is what the writer in the block needs to know the format by; default: the target's own.
    Raises `OutputError` when the folder is missing or cannot be written, or the disk is full.
    """
    target = Path(target)
    if not target.parent.is_dir():
        raise OutputError(f"The folder {target.parent} does not exist.", "Create it, or choose another place.")
    if target.is_dir():
        raise OutputError(f"{target} is a folder.", "Give the name of a file.")
    ending = suffix or "".join(target.suffixes[-2:])
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(6)}{ending}")
    try:
        # With the rights of a plain new file, as the user's umask has them.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror}.", "Choose another folder.") from error
    try:
        yield temporary
        os.replace(temporary, target)
        for written in _recorders:
            written.append(target)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise OutputError(
            f"{target} cannot be written: {reason}.", "Free space or choose another folder.", str(error)
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
