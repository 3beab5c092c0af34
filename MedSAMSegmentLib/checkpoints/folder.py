"""Work in the model folder: one process at a time, with room enough, leaving nothing half done."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..cancellation import CancelCheck, raise_if_cancelled
from ..errors import DownloadError
from ..registry import ModelEntry
from .transfer import CHUNK_BYTES, ByteProgressCallback, Digester, FileDigest, megabytes

if TYPE_CHECKING:
    from filelock import BaseFileLock

_LOCK_POLL_SECONDS = 0.1


@contextlib.contextmanager
def lock_file(folder: Path, file_name: str, cancel: CancelCheck, *, last: bool = False) -> Iterator[None]:
    """Let one process at a time change a checkpoint. Waits until the other is done or the user cancels.

    With `last` the lock's own file is deleted at the end, unless somebody holds it by then. Creates the folder. Raises
    OSError when it cannot be written, and Cancelled.
    """
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        raise_if_cancelled(cancel)
        with hold_lock(folder / f"{file_name}.lock", _LOCK_POLL_SECONDS, last=last) as held:
            if held:
                yield
                return


@contextlib.contextmanager
def hold_lock(path: Path, seconds: float, *, last: bool = False) -> Iterator[bool]:
    """Yield whether the lock is this process's, which waits for so long at most while another has it.

    With `last` the lock's file is deleted at the end, unless somebody holds it by then. Raises OSError.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=seconds)
        while _is_deleted(lock):
            lock.release()
            lock.acquire(timeout=seconds)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
        if last:
            _delete_unheld(path)


def _is_deleted(lock: BaseFileLock) -> bool:
    """Return whether a lock is on a file that was deleted after this process opened it: it keeps nobody out, since
    whoever comes next opens another. Early versions of filelock do not look."""
    # No public way leads to the file that is locked, and the one of its name may be another by now. A version that
    # keeps it elsewhere is a late one, which looks itself.
    held = getattr(getattr(lock, "_context", None), "lock_file_fd", None)
    return os.name == "posix" and held is not None and os.fstat(held).st_nlink == 0


def _delete_unheld(path: Path) -> None:
    """Delete the file of a lock unless somebody holds it.

    The lock is held meanwhile, so that whoever opened the file before, and locks it after, can see that it is gone.
    Not by a FileLock: some versions delete the file of that name as they release it, by then perhaps another's.
    """
    if sys.platform == "win32":
        return  # every version deletes it there
    import fcntl

    with contextlib.suppress(OSError), path.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            path.unlink()


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
