"""The memory of a broken download: the part on disk, and beside it the ETag of the file that it is a part of."""

from __future__ import annotations

import json
from pathlib import Path

from .transfer import CHUNK_BYTES, Digester


def digester_of(part: Path, size: int) -> Digester:
    """Return a digester that has seen the first `size` bytes of the part on disk."""
    digester = Digester()
    if size:
        with part.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES * 16):
                digester.update(chunk)
    return digester


def _etag_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def store_etag(part: Path, address: str, etag: str) -> None:
    """Empty the part and note which file's bytes it is going to hold. Raises OSError."""
    part.write_bytes(b"")  # first, so that old bytes never meet the new ETag
    # A weak validator promises no equality of bytes, so it cannot serve to resume.
    kept = "" if etag.startswith("W/") else etag
    _etag_path(part).write_text(json.dumps({"address": address, "etag": kept}), encoding="utf-8")


def stored_etag(part: Path, address: str) -> str:
    """Return the ETag of the file that the part belongs to; empty when it cannot be resumed from this address."""
    try:
        fields = json.loads(_etag_path(part).read_text(encoding="utf-8"))
        return str(fields["etag"]) if fields["address"] == address else ""
    except (OSError, ValueError, TypeError, KeyError):
        return ""


def bytes_of(part: Path) -> int:
    """Return the size of a temporary file; 0 when there is none."""
    try:
        return part.stat().st_size
    except OSError:
        return 0
