"""Fixtures for all areas."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.checkpoints.store import CheckpointStore
from MedSAMSegmentLib.errors import DownloadError

# Converting an encoder takes longer than most tests; those of the engines ask for them by name.
os.environ.setdefault("MEDSAM_ENGINE", "torch")

TESTING = Path(__file__).resolve().parent

LONGEST = (
    "parity/test_sam2_parity.py",
    "packaging/test_wheel.py",
    "viewer/test_viewer_use.py",
    "viewer/test_viewer_geometry.py",
    "e2e/test_accuracy.py",
)
"""Files of minutes. They begin early, so that none of them is left alone at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, behind those of the application where these are run beside others."""

    def place(item: pytest.Item) -> int:
        file = item.path.relative_to(TESTING).as_posix()
        return 0 if file.startswith("app/") else 1 + (LONGEST.index(file) if file in LONGEST else len(LONGEST))

    items.sort(key=place)


@pytest.fixture(scope="session")
def lite_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real LiteMedSAM weights: from the user's model folder when they are there, else fetched once for this run."""
    entry = registry.get("lite_medsam")
    users = CheckpointStore()
    if users.state(entry) == "ready":
        return users.path(entry)
    # Tests run in several processes, each with a folder beside those of the others.
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "models"
    store = CheckpointStore(shared)
    try:
        with FileLock(shared.with_suffix(".lock")):
            return store.path(entry) if store.state(entry) == "ready" else store.pull(entry)
    except DownloadError as error:
        pytest.skip(f"the LiteMedSAM weights cannot be fetched here: {error.message}")


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread here and in the processes that are started: the same order of sums, and no contest for the cores."""
    import torch

    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
