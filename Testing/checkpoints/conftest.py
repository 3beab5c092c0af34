"""Stores that may fetch from loopback."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoint_toys import make_store

from MedSAMSegmentLib.checkpoints.store import CheckpointStore


@pytest.fixture
def waits() -> list[float]:
    """The seconds that the downloader would have waited between attempts."""
    return []


@pytest.fixture
def a_store(tmp_path: Path, waits: list[float]) -> CheckpointStore:
    return make_store(tmp_path / "models", lambda seconds, cancel: waits.append(seconds))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is removed with a checkpoint is never the user's."""
    monkeypatch.setenv("MEDSAM_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is reached directly, whatever the machine's settings."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
