"""Fixtures for all areas."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.checkpoints.store import CheckpointStore
from MedSAMSegmentLib.errors import DownloadError

# Converting an encoder takes longer than most tests; those of the engines ask for them by name.
os.environ.setdefault("MEDSAM_ENGINE", "torch")


@pytest.fixture(scope="session")
def lite_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real LiteMedSAM weights: from the user's model folder when they are there, else fetched for this run."""
    entry = registry.get("lite_medsam")
    users = CheckpointStore()
    if users.state(entry) == "ready":
        return users.path(entry)
    try:
        return CheckpointStore(tmp_path_factory.mktemp("models")).pull(entry)
    except DownloadError as error:
        pytest.skip(f"the LiteMedSAM weights cannot be fetched here: {error.message}")
