"""DICOM out on the command line: a folder goes in, a SEG or an RTSTRUCT comes out; refused before a model is loaded."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_support import a_dataset
from PIL import Image

from MedSAMSegmentLib.cli import main
from MedSAMSegmentLib.commands import run

BOX = ("--box", 20, 14, 1, 44, 34, 1)


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    """Five slices of 64 x 48, a bright block in each."""
    return a_series(tmp_path / "ct", range(5))


def a_series(folder: Path, places: range | list[int]) -> Path:
    folder.mkdir()
    stored = np.full((48, 64), -900, np.int16)
    stored[16:32, 22:42] = 60
    for place in places:
        tags: dict[str, object] = {"PixelSpacing": [0.9, 0.8], "PixelRepresentation": 1, "RescaleIntercept": 0}
        tags |= {"RescaleSlope": 1, "FrameOfReferenceUID": "1.2.9", "ImagePositionPatient": [0, 0, 3 * place]}
        data = a_dataset(stored, **tags, InstanceNumber=place + 1, SliceThickness=3)
        data.save_as(folder / f"{place:02d}.dcm", enforce_file_format=True)
    return folder


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the model was asked for")

    monkeypatch.setattr(run, "load_model", fail)


def segment(*words: object) -> int:
    return main(["run", *map(str, words)])


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_a_folder_goes_in_and_a_dicom_file_comes_out(
    ct: Path,
    kind: str,
    lite_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if kind == "seg":
        pytest.importorskip("highdicom")
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(lite_checkpoint.parent))
    out, report = ct.parent / "out.dcm", ct.parent / "report.json"
    words = (ct, *BOX, "--range", 1, 2, "--name", "block", "--terminology", "SCT:10200004:Liver", "-o", out)
    chosen = () if kind == "seg" else ("--dicom-type", "rtstruct")
    assert segment(*words, "--report", report, *chosen) == 0
    assert f"wrote {out}" in capsys.readouterr().out
    data = pydicom.dcmread(out)
    voxels = json.loads(report.read_text())["objects"][0]["voxels"]
    assert voxels > 100
    if kind == "seg":
        assert [item.SegmentLabel for item in data.SegmentSequence] == ["block"]
        assert data.SegmentSequence[0].SegmentAlgorithmName == "MedSAMSegment, lite_medsam"
        assert data.pixel_array.sum() == voxels
    else:
        assert [item.ROIName for item in data.StructureSetROISequence] == ["block"]
        assert data.StructureSetName == "MedSAMSegment, lite_medsam"
        heights = {float(contour.ContourData[2]) for contour in data.ROIContourSequence[0].ContourSequence}
        assert heights == {3.0, 6.0}
    # Nobody is asked here, so what is there stays.
    before = out.read_bytes()
    assert segment(*words, *chosen) == 3
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_bytes() == before


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("GAP", "-o", "x.dcm"), 3, "filled or resampled (k 2)"),
        (("CT", "-o", "x.dcm", "--spacing", "1", "1", "1"), 3, "Leave --spacing out"),
        (("PNG", "-o", "x.dcm"), 3, "read from DICOM"),
        (("CT", "-o", "x.nrrd"), 2, "--dicom-type is the kind of a DICOM output"),
        (("CT", "--report", "x.json"), 2, "--dicom-type is the kind of a DICOM output"),
        (("CT", "-o", "ct/00.dcm", "--overwrite"), 3, "one of the inputs"),
        (("CT", "-o", "nowhere/x.dcm"), 3, "does not exist"),
    ],
)
def test_what_cannot_become_dicom_is_one_line_before_the_work(
    ct: Path,
    words: tuple[str, ...],
    code: int,
    sentence: str,
    *,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ct.parent)
    a_series(ct.parent / "gap", [0, 1, 3])
    Image.fromarray(np.zeros((48, 64), np.uint8)).save("picture.png")
    image, *rest = words
    named = {"GAP": "gap", "CT": "ct", "PNG": "picture.png"}[image]
    box = ("--box", 20, 14, 44, 34) if image == "PNG" else BOX
    assert segment(named, *box, *rest, "--dicom-type", "rtstruct") == code
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert {path.name for path in ct.parent.iterdir()} == {"ct", "gap", "picture.png"}


@pytest.mark.usefixtures("no_model")
def test_without_the_extra_one_sentence_says_what_to_install(
    ct: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    assert segment(ct, *BOX, "-o", ct.parent / "x.dcm") == 2
    said = capsys.readouterr().err
    assert 'pip install "MedSAMSegmentLib[dicom]"' in said
    assert said.count("\n") == 1
