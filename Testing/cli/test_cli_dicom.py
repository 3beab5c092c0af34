"""DICOM on the command line: series listed and chosen, spacing given, what is filled or not known in the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_support import a_dataset
from PIL import Image

from MedSAMSegmentLib.cli import main

BOX = ("--box", 20, 14, 1, 44, 34, 1)


def a_series(folder: Path, places: range | list[int], uid: str, **tags: object) -> Path:
    """One slice of 64 x 48 a file, a bright block in each."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = np.full((48, 64), -900, np.int16)
    stored[16:32, 22:42] = 60
    geometry = {"PixelSpacing": [0.9, 0.8], "SliceThickness": 3}
    values = {"PixelRepresentation": 1, "RescaleSlope": 1, "RescaleIntercept": 0}
    for place in places:
        own = {"SeriesInstanceUID": uid, "InstanceNumber": place + 1, "ImagePositionPatient": [0, 0, 3 * place]}
        data = a_dataset(stored, **{**geometry, **values, **own, **tags})
        for name in [name for name, value in tags.items() if value is None]:
            delattr(data, name)
        data.save_as(folder / f"{place:02d}.dcm", enforce_file_format=True)
    return folder


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    a_series(tmp_path / "patient" / "scout", [0], "1.1", SeriesDescription="Scout")
    a_series(tmp_path / "patient" / "ct", range(5), "1.2", SeriesDescription="Thorax")
    return tmp_path / "patient"


def info(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    assert main(["info", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_info_lists_the_series_of_a_folder(patient: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = info(capsys, patient)
    assert facts["size_ijk"] == [64, 48, 5]
    listed = [
        (row["number"], row["uid"], row["modality"], row["description"], row["slices"]) for row in facts["series"]
    ]
    assert listed == [("1", "1.1", "CT", "Scout", 1), ("2", "1.2", "CT", "Thorax", 5)]
    assert facts["series"][1]["spacing_mm_ijk"] == [0.8, 0.9, 3]
    assert info(capsys, patient, "--series", 1)["size_ijk"] == [64, 48, 1]
    assert info(capsys, patient, "--series", "1.1")["size_ijk"] == [64, 48, 1]
    assert main(["info", str(patient)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split()[:3] == ["2", "CT", "5"]
    assert "Thorax" in lines[2]
    assert main(["info", str(patient), "--series", "9"]) == 3
    shown = capsys.readouterr()
    assert "Scout" in shown.out
    assert shown.err.count("\n") == 1
    assert "1: 1.1, 2: 1.2" in shown.err


def test_info_of_a_file_is_no_list(patient: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "series" not in info(capsys, patient / "ct" / "00.dcm")


def test_a_list_is_shown_though_the_series_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_series(tmp_path / "far", [0, 1, 2, 50, 51], "1.2")
    assert main(["info", str(tmp_path / "far"), "--json"]) == 3
    shown = capsys.readouterr()
    facts = json.loads(shown.out)
    assert facts["series"][0]["slices"] == 5
    assert "leave gaps" in facts["error"]


@pytest.mark.parametrize("words", [("--spacing", "0", "1", "1"), ("--spacing", "1", "nan", "1"), ("--series", "1")])
def test_what_is_no_spacing_or_no_series_is_a_mistake(
    tmp_path: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(tmp_path / "a.png")
    assert main(["info", str(tmp_path / "a.png"), *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture
def segment(lite_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., dict]:
    """Runs one image and gives the report."""
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(lite_checkpoint.parent))

    def run(image: Path, *words: object) -> dict:
        report = tmp_path / "report.json"
        assert main(["run", str(image), *map(str, words), "--report", str(report), "--overwrite"]) == 0
        return json.loads(report.read_text())

    return run


def test_slices_that_were_filled_are_named_with_the_result(
    tmp_path: Path, segment: Callable[..., dict], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = a_series(tmp_path / "gap", [0, 1, 3], "1.2")
    report = segment(folder, *BOX, "--range", 1, 2)
    assert report["input"]["filled_slices"] == [2]
    assert any("not evenly spaced" in note for note in report["input"]["notes"])
    assert "made from their neighbours: slices 2" in capsys.readouterr().out
    assert report["objects"][0]["volume_ml"] > 0


def test_without_spacing_nothing_is_measured_and_the_report_says_why(
    tmp_path: Path, segment: Callable[..., dict], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = a_series(tmp_path / "none", range(3), "1.2", PixelSpacing=None)
    report = segment(folder, *BOX, "--range", 1, 1)
    assert any(note.startswith("no spacing: mm and mL mean nothing") for note in report["input"]["notes"])
    assert report["input"]["spacing_known_ijk"] == [False, False, True]
    assert report["objects"][0]["volume_ml"] is None
    assert "recist" not in report["objects"][0]
    shown = capsys.readouterr().out
    assert "no spacing: mm and mL mean nothing" in shown
    assert "no mL without spacing" in shown
    given = segment(folder, *BOX, "--range", 1, 1, "--spacing", 0.5, 0.5, 2)
    item = given["objects"][0]
    assert item["volume_ml"] == pytest.approx(item["voxels"] * 0.5 * 0.5 * 2 / 1000, rel=1e-3)
    assert "recist" in item
    assert given["options"]["spacing"] == [0.5, 0.5, 2]


def test_a_run_on_a_chosen_series(patient: Path, segment: Callable[..., dict]) -> None:
    report = segment(patient, "--box", 20, 14, 0, 44, 34, 0, "--series", "1")
    assert report["options"]["series"] == "1"
    assert report["input"]["notes"] == []
