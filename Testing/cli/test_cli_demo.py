"""`medsam-segment demo` as a user runs it, with the real weights; it takes a minute or more, so it runs once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import slicerio
from PIL import Image

from MedSAMSegmentLib.commands.demo import ORGANS
from MedSAMSegmentLib.io.read_segmentation import read_segmentation
from MedSAMSegmentLib.io.report import file_digest

DICE = {"right lung": 0.967, "left lung": 0.965, "thoracic vertebral column": 0.665}
MARGIN = 0.02


@pytest.fixture(scope="module")
def finished(lite_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("demo") / "new"
    environment = {**os.environ, "MEDSAM_MODEL_DIR": str(lite_checkpoint.parent)}
    command = [sys.executable, "-m", "MedSAMSegmentLib", "demo", "--output", str(folder), "--offline"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, timeout=900, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder, done.stdout


def test_the_demo_prints_how_well_each_organ_was_found(finished: tuple[Path, str]) -> None:
    rows = {organ.name: next(line for line in finished[1].splitlines() if organ.name in line) for organ in ORGANS}
    scores = {name: float(line.removeprefix(name).split()[0]) for name, line in rows.items()}
    assert {name: score for name, score in scores.items() if score < DICE[name] - MARGIN} == {}
    reported = {row["organ"]: row["dice"] for row in json.loads((finished[0] / "report.json").read_text())["table"]}
    assert scores == pytest.approx(reported, abs=1e-3)


def test_an_organ_that_the_demo_has_not_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "MedSAMSegmentLib", "demo", "--output", str(tmp_path / "new"), "--organ", "liver"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert done.returncode == 2
    assert "no organ 'liver'" in done.stderr
    assert "right lung, left lung, thoracic vertebral column" in done.stderr
    assert not (tmp_path / "new").exists()


def test_the_demo_leaves_segments_a_picture_and_a_report(finished: tuple[Path, str]) -> None:
    segments = read_segmentation(finished[0] / "chest.seg.nrrd").segments
    assert [segment.name for segment in segments] == [organ.name for organ in ORGANS]
    assert [":".join(segment.terminology.type) for segment in segments] == [organ.terminology for organ in ORGANS]
    with Image.open(finished[0] / "chest.png") as picture:
        assert picture.width > 200
    chest = Path(slicerio.__file__).parent / "data" / "CTChest4.nrrd"
    assert json.loads((finished[0] / "report.json").read_text())["input"]["sha256"] == file_digest(chest)
