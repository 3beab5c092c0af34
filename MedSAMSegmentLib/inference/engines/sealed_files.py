"""Derived files with their digests beside them: what was altered or half written since is not used.

`NAME.sha256` is written after the file it belongs to, so that a process that ends in between leaves a file without one,
which counts as altered.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from pathlib import Path

from ...checkpoints.folder import write_atomically

SUFFIX = ".sha256"


def seal_path(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


def seal(path: Path) -> None:
    """Write the digest of a file that was just written. Raises OSError."""
    write_atomically(seal_path(path), _digest(path) + "\n")


def unseal(path: Path) -> None:
    """Remove the digest before its file is replaced. Raises OSError."""
    seal_path(path).unlink(missing_ok=True)


def is_whole(path: Path) -> bool:
    """Return whether the file is there as it was when it was sealed."""
    with contextlib.suppress(OSError, ValueError):
        return hmac.compare_digest(seal_path(path).read_text(encoding="ascii").strip(), _digest(path))
    return False


def note_if_altered(notes: list[str], *paths: Path) -> None:
    """Append a sentence on each file that is there, but has another digest than when it was sealed."""
    for path in paths:
        if path.is_file() and seal_path(path).is_file() and not is_whole(path):
            notes.append(f"{path.name} was altered or damaged and is made again")


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
