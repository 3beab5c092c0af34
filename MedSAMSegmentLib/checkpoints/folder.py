"""Work in the model folder: one process at a time, with room enough, leaving nothing half done."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..cancellation import CancelCheck, raise_if_cancelled
from ..errors import DownloadError
from ..registry import ModelEntry
from .transfer import CHUNK_BYTES, ByteProgressCallback, Digester, FileDigest, megabytes

_LOCK_POLL_SECONDS = 0.1


@contextlib.contextmanager
def lock_file(folder: Path, file_name: str, cancel: CancelCheck) -> Iterator[None]:
    """Let one process at a time change a checkpoint. Waits until the other is done or the user cancels.

    Creates the folder. Raises OSError when it cannot be written, and Cancelled.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{file_name}.lock")
    while True:
        raise_if_cancelled(cancel)
        try:
            lock.acquire(timeout=_LOCK_POLL_SECONDS)
            break
        except Timeout:
            continue
    try:
        yield
    finally:
        lock.release()


def require_space(folder: Path, entry: ModelEntry, part: Path) -> None:
    """Raise DownloadError when the disk has no room for what is still to come of `part`."""
    present = part.stat().st_size if part.exists() else 0
    needed = entry.expected_bytes - present
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DownloadError(
            f"The disk of {folder} has {megabytes(free)} free; {entry.title} needs {megabytes(needed)}.",
            "Free some space, or set MEDSAM_MODEL_DIR to a folder on another disk.",
        )


def discard_parts(folder: Path, file_name: str) -> None:
    """Delete every temporary file of a checkpoint; the caller holds its lock."""
    with contextlib.suppress(OSError):
        for leftover in folder.glob(f"{file_name}.*.part*"):
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def write_atomically(path: Path, content: str | bytes | memoryview) -> None:
    """Write a file whole or not at all: beside it, then moved. Raises OSError."""
    # Two threads of one process may write the same file.
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def copy_with_digest(
    stream: BinaryIO, part: Path, total: int, progress: ByteProgressCallback, cancel: CancelCheck
) -> FileDigest:
    """Copy an open file to `part`, hashing it on the way. Raises OSError and Cancelled."""
    digester = Digester()
    with part.open("wb") as target:
        while chunk := stream.read(CHUNK_BYTES * 16):
            raise_if_cancelled(cancel)
            digester.update(chunk)
            target.write(chunk)
            progress(digester.size, total)
    return digester.digest()
