"""A cohort of twelve cases that was run once, to its end; tests look at it, or at copies of it."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

import pytest
from cohort_support import CORRUPT, COUNT, TOO_LARGE, Ran, a_cohort, finish, quick, write_claim

ADDRESS_SPACE = 8 << 30


def limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Two processes ran all cases; the image of c11 is cut off, and that of c12 does not fit in the memory allowed."""
    folder = tmp_path_factory.mktemp("cohort")
    manifest, out = a_cohort(folder / "images", COUNT), folder / "out"
    corrupt = manifest.parent / f"{CORRUPT}.nrrd"
    corrupt.write_bytes(corrupt.read_bytes()[:900])
    write_claim(manifest.parent / f"{TOO_LARGE}.nrrd")
    finished = finish(quick(manifest, out, "--workers", 2, "--retries", 1), preexec_fn=limit_memory)
    return Ran(manifest, out, finished)


@pytest.fixture(scope="session")
def four_done(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Four cases without a fault, run by one process: what the same cases give when they are run otherwise."""
    folder = tmp_path_factory.mktemp("four")
    manifest, out = a_cohort(folder / "images", 4), folder / "out"
    finished = finish(quick(manifest, out))
    assert finished.returncode == 0, finished.stderr
    return Ran(manifest, out, finished)


@pytest.fixture
def copied(undisturbed: Ran, tmp_path: Path) -> Ran:
    """The same, with times kept, to be changed; without the image that is too large to copy."""
    images = tmp_path / "images"
    shutil.copytree(undisturbed.manifest.parent, images, ignore=shutil.ignore_patterns(f"{TOO_LARGE}.nrrd"))
    lines = undisturbed.manifest.read_text(encoding="utf-8").splitlines(keepends=True)
    manifest = images / undisturbed.manifest.name
    manifest.write_text("".join(line for line in lines if not line.startswith(TOO_LARGE)), encoding="utf-8")
    shutil.copytree(undisturbed.out, tmp_path / "out")
    return Ran(manifest, tmp_path / "out", undisturbed.finished)
