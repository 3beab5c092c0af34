"""Files appear whole or not at all: written beside the target, then moved over it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..errors import OutputError

LONGEST_WAIT = 5.0
"""Seconds for another process that moves files into the same folder; it may be stopped."""

_KEPT_OF_NAME = 40

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
    with atomic_writes((target, suffix)) as (temporary,):
        yield temporary


@contextmanager
def atomic_writes(*targets: tuple[str | Path, str]) -> Iterator[tuple[Path, ...]]:
    """Write files of one folder that belong together, each with its suffix, as `atomic_write` does one.

    Nothing is moved before all are written. What belongs to the first file is missing for a moment, but at none is it
    that of another file.
    """
    with ExitStack() as temporaries:
        paths = [Path(target) for target, _ in targets]
        written = tuple(
            temporaries.enter_context(_temporary(path, suffix))
            for path, (_, suffix) in zip(paths, targets, strict=True)
        )
        try:
            yield written
            for temporary in written:
                _flush(temporary)
            _move(written, paths)
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or (str(error).strip() or type(error).__name__).splitlines()[-1]
            raise OutputError(
                f"{paths[0]} cannot be written: {reason}.", "Free space or choose another folder.", str(error)
            ) from error


@contextmanager
def _temporary(target: Path, suffix: str) -> Iterator[Path]:
    """Make an empty file beside the target; it is removed at the end, if it is still there."""
    if not target.parent.is_dir():
        raise OutputError(f"The folder {target.parent} does not exist.", "Create it, or choose another place.")
    if target.is_dir():
        raise OutputError(f"{target} is a folder.", "Give the name of a file.")
    ending = suffix or "".join(target.suffixes[-2:])
    temporary = target.with_name(f"{_temporary_start(target)}{secrets.token_hex(6)}{ending}")
    try:
        # With the rights of a plain new file, as the user's umask has them.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror}.", "Choose another folder.") from error
    try:
        yield temporary
    finally:
        with contextlib.suppress(OSError):  # a folder that was closed meanwhile: the reason is told already
            temporary.unlink(missing_ok=True)


def _temporary_start(target: Path) -> str:
    """Return what the names of the temporary files of a target begin with."""
    return f".{target.name[:_KEPT_OF_NAME]}."


def remove_leftovers(folder: Path, names: Collection[str]) -> None:
    """Remove the temporary files that a process which was killed left beside targets of these names in a folder.

    Only whoever alone writes these targets may ask for it. Of names too long to tell apart nothing is removed.
    """
    with contextlib.suppress(FileNotFoundError):
        for leftover in _temporaries_of(folder, names):
            with contextlib.suppress(OSError):
                leftover.unlink()


def _temporaries_of(folder: Path, names: Collection[str]) -> Iterator[Path]:
    """Yield the temporary files of targets of these names in a folder; none of names too long to tell apart."""
    starts = {_temporary_start(folder / name) for name in names if len(name) <= _KEPT_OF_NAME}
    temporary = re.compile(r"(\..+\.)[0-9a-f]{12}(\..*)?")
    for entry in os.scandir(folder):
        found = temporary.fullmatch(entry.name) if entry.name.startswith(".") else None
        if found and found[1] in starts:
            yield Path(entry.path)


def _flush(temporary: Path) -> None:
    """Let the disk say now what it could not take, where it can be asked. Raises OSError."""
    descriptor = os.open(temporary, os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            raise
    finally:
        os.close(descriptor)


def _move(written: tuple[Path, ...], targets: list[Path]) -> None:
    with contextlib.ExitStack() as stack:
        if len(targets) > 1 and not stack.enter_context(_one_at_a_time(targets[0].parent)):
            _overtake(written, targets)
        _require_there(written, targets[0])
        for companion in targets[1:]:
            companion.unlink(missing_ok=True)
        for temporary, target in zip(written, targets, strict=True):
            try:
                os.replace(temporary, target)
            except FileNotFoundError:
                _require_there((temporary,), targets[0])
                raise
            for recorder in _recorders:
                recorder.append(target)


def _overtake(written: tuple[Path, ...], targets: list[Path]) -> None:
    """Remove what others are about to move over the same targets: one that was stopped between its moves would put its
    second file beside our first one when it goes on."""
    for found in _temporaries_of(targets[0].parent, [target.name for target in targets]):
        if found not in written:
            found.unlink(missing_ok=True)


def _require_there(written: tuple[Path, ...], target: Path) -> None:
    """Raise `OutputError` when another process has removed what was to be moved."""
    if not all(temporary.exists() for temporary in written):
        raise OutputError(
            f"{target} cannot be written: another process wrote it meanwhile.",
            "Look at what is there, or choose another name.",
        )


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[bool]:
    """Keep other processes from moving files that belong together into the folder; nowhere a condition of work.

    Yields False when one of them did not end in time.
    """
    descriptor, alone = None, True
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
        until = time.monotonic() + LONGEST_WAIT
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    alone = False
                    break
                time.sleep(0.01)
    try:
        yield alone
    finally:
        if descriptor is not None:
            os.close(descriptor)
