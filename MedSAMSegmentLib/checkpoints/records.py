"""The record beside a checkpoint: what its content was when it was last hashed.

While size and modification time agree with the record, the file need not be hashed again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from .folder import write_atomically
from .transfer import FileDigest


@dataclass(frozen=True)
class FileRecord:
    """The facts known of a checkpoint on disk.

    `origin` says where it came from. `trusted_on_first_use` is true when no published hash existed to check it
    against: from then on the file is held to the recorded one.
    """

    size: int
    mtime_ns: int
    sha256: str
    md5: str
    origin: str
    trusted_on_first_use: bool

    def matches(self, path: Path) -> bool:
        """Return whether the file still has the recorded size and modification time. Raises OSError."""
        status = path.stat()
        return (status.st_size, status.st_mtime_ns) == (self.size, self.mtime_ns)


def record_path(path: Path) -> Path:
    return path.with_name(path.name + ".record.json")


def new_record(mtime_ns: int, digest: FileDigest, origin: str, trusted_on_first_use: bool) -> FileRecord:
    """Return the record of a file; `mtime_ns` is its modification time before it was hashed, so that the record does
    not speak of one that was changed meanwhile."""
    return FileRecord(digest.size, mtime_ns, digest.sha256, digest.md5, origin, trusted_on_first_use)


def read_record(path: Path) -> FileRecord | None:
    """Return the record of the checkpoint at `path`; None when there is none or it is unreadable."""
    try:
        fields = json.loads(record_path(path).read_text(encoding="utf-8"))
        return FileRecord(**fields)
    except (OSError, ValueError, TypeError):
        return None


def write_record(path: Path, record: FileRecord) -> None:
    """Write the record of the checkpoint at `path`, atomically. Raises OSError."""
    write_atomically(record_path(path), json.dumps(asdict(record), indent=1) + "\n")
