"""The common parts of fetching a file, whatever the source: progress, digests and sentences about disks."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from ..cancellation import CancelCheck, never_cancel, raise_if_cancelled
from ..errors import DownloadError
from ..registry import ModelEntry, Source

CHUNK_BYTES = 1 << 16

ByteProgressCallback: TypeAlias = Callable[[int, int | None], None]
"""Called with the bytes done and the bytes in total (None while unknown)."""


class Fetcher(Protocol):
    """Brings the file of one kind of source to a temporary path."""

    def fetch(
        self, source: Source, part: Path, entry: ModelEntry, progress: ByteProgressCallback, cancel: CancelCheck
    ) -> FileDigest:
        """Write the file to `part` and return its digest.

        Raises DownloadError when the source cannot give the file, Cancelled, and OSError when `part` cannot be
        written.
        """


@dataclass(frozen=True)
class FileDigest:
    """Size in bytes and hexadecimal digests of a file's content."""

    size: int
    sha256: str
    md5: str


class Digester:
    """Computes a FileDigest from chunks as they stream by."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.size = 0

    def update(self, chunk: bytes) -> None:
        self._sha256.update(chunk)
        self._md5.update(chunk)
        self.size += len(chunk)

    def digest(self) -> FileDigest:
        return FileDigest(self.size, self._sha256.hexdigest(), self._md5.hexdigest())


def ignore_progress(done: int, total: int | None) -> None:
    """Do nothing: the callback of a caller that wants no progress."""


def digest_file(
    path: Path, progress: ByteProgressCallback = ignore_progress, cancel: CancelCheck = never_cancel
) -> FileDigest:
    """Compute the digest of a file on disk. Raises OSError and Cancelled."""
    digester = Digester()
    total = path.stat().st_size
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES * 16):
            raise_if_cancelled(cancel)
            digester.update(chunk)
            progress(digester.size, total)
    return digester.digest()


def digest_mismatch(entry: ModelEntry, digest: FileDigest) -> str:
    """Return the sentence that says how a file differs from what the registry states; empty when it agrees."""
    if entry.sha256 is not None and digest.sha256 != entry.sha256:
        return f"its SHA-256 is {digest.sha256}, expected {entry.sha256}"
    if entry.sha256 is None and entry.md5 is not None and digest.md5 != entry.md5:
        return f"its MD5 is {digest.md5}, expected {entry.md5}"
    if entry.size_bytes is not None and digest.size != entry.size_bytes:
        return f"it has {digest.size} bytes, expected {entry.size_bytes}"
    low, high = plausible_bytes(entry)
    if not low <= digest.size <= high:
        return f"it has {digest.size} bytes, which cannot be the {megabytes(entry.expected_bytes)} of this model"
    return ""


def plausible_bytes(entry: ModelEntry) -> tuple[int, int]:
    """Return the least and most bytes that a file with this model's weights can have.

    Half precision alone is the least; a training checkpoint (weights, two moments of the optimizer, double precision
    at worst) the most.
    """
    return entry.parameters * 2, entry.parameters * 8 * 4 + (64 << 20)


def megabytes(size: int) -> str:
    """Return a size for people, in MB of 10^6 bytes."""
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def looks_like_html(head: bytes) -> bool:
    """Return whether a file begins as a web page does: a login form or an error page in place of the weights."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    return start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml"))


def storage_error(folder: Path, error: OSError, entry: ModelEntry) -> DownloadError:
    """Return the DownloadError for a failure of the model folder itself."""
    detail = f"{type(error).__name__}: {error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DownloadError(
            f"The disk is full: {entry.file_name} could not be written to {folder}.",
            f"Free {megabytes(entry.expected_bytes)} there, or set MEDSAM_MODEL_DIR to a folder on another disk.",
            detail,
        )
    return DownloadError(
        f"The model folder {folder} cannot be written ({error.strerror or error}).",
        "Give yourself write permission there, or set MEDSAM_MODEL_DIR to a folder that you can write.",
        detail,
    )
