"""A small made-up checkpoint, an entry for it, and a store that may fetch it from loopback."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.checkpoints.https_source import HttpsFetcher
from MedSAMSegmentLib.checkpoints.package_source import PackageFetcher
from MedSAMSegmentLib.checkpoints.store import CheckpointStore
from MedSAMSegmentLib.registry import ModelEntry, Source

CONTENT = random.Random(5).randbytes(1_500_000)


def entry_at(address: str, **changes: object) -> ModelEntry:
    """An entry for CONTENT at an address, its size and SHA-256 known unless changed."""
    fields: dict[str, object] = {
        "id": "toy",
        "title": "Toy",
        "file_name": "toy.pth",
        "parameters": len(CONTENT) // 4,
        "size_bytes": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "md5": None,
        "sources": (Source("https", address),),
    }
    return replace(registry.get("lite_medsam"), **(fields | changes))  # type: ignore[arg-type]


def make_store(folder: Path, wait: Callable[..., None] = lambda seconds, cancel: None) -> CheckpointStore:
    https = HttpsFetcher(attempts=3, wait=wait, timeout=(5.0, 5.0), allow_loopback_http=True)
    return CheckpointStore(folder, fetchers={"https": https, "package": PackageFetcher()})
