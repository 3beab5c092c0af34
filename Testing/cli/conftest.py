"""The command line: as a user runs it, in a process of its own, and in the process of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import SimpleITK as sitk
from cli_support import Run, an_oblique_image

from MedSAMSegmentLib.cli import main


@pytest.fixture(scope="session")
def medsam_process(lite_checkpoint: Path) -> Run:
    """Runs `python -m MedSAMSegmentLib ARGUMENTS`; the weights are in the folder it is told to use."""

    def run(*arguments: object) -> subprocess.CompletedProcess:
        environment = {**os.environ, "MEDSAM_MODEL_DIR": str(lite_checkpoint.parent)}
        command = [sys.executable, "-m", "MedSAMSegmentLib", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, timeout=300, check=False)

    return run


@pytest.fixture
def medsam(lite_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The same in this process, which need not load torch each time; `models` is another folder of weights."""

    def run(*arguments: object, models: Path | None = None) -> subprocess.CompletedProcess:
        capsys.readouterr()
        with monkeypatch.context() as environment:
            environment.setenv("MEDSAM_MODEL_DIR", str(models or lite_checkpoint.parent))
            if models:  # what is removed there must not be the user's
                environment.setenv("MEDSAM_CACHE_DIR", str(models))
            try:
                code = main([*map(str, arguments)])
            except SystemExit as end:
                code = int(end.code or 0)
        return subprocess.CompletedProcess([], code, *capsys.readouterr())

    return run


BOX = ("--box", 26, 16, 0, 74, 52, 2)


@pytest.fixture(scope="session")
def oblique_nrrd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "oblique.nrrd"
    sitk.WriteImage(an_oblique_image(), str(path))
    return path


@pytest.fixture(scope="session")
def box_arguments() -> tuple[object, ...]:
    return BOX


@pytest.fixture
def medsam_here(lite_checkpoint: Path, oblique_nrrd: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs one slice of the oblique image in this process, with more options; the exit code."""
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(lite_checkpoint.parent))

    def run(*more: object) -> int:
        return main(["run", *map(str, (oblique_nrrd, *BOX, "--range", 1, 1, *more))])

    return run
