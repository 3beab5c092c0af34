"""`--reading`: what a run says where a box may mean two things, and what it takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from MedSAMSegmentLib.cli import main
from MedSAMSegmentLib.commands import run as run_command
from MedSAMSegmentLib.inference.device import DeviceChoice
from MedSAMSegmentLib.inference.slice_predictor import SlicePrediction, SlicePrompts
from MedSAMSegmentLib.io.read_segmentation import read_segmentation

BOX = ("--box", "10", "10", "1", "29", "29", "1")
ONE_READING = "one: the box has one reading; --reading 2 changed nothing."
FIRST = "one: on slice 1 the box may mean two things: try --reading 2."
SECOND = "one: on slice 1 the box may mean two things: this is the second, --reading 1 gives the first."


class Embedding(SimpleNamespace):
    nbytes = 1


class BrightModel:
    """Answers with the bright pixels of the box, so that the dark ones are what the inverted view shows."""

    def __init__(self) -> None:
        self.entry = SimpleNamespace(id="bright", kind="slice", family="", input_size=64)
        self.device = DeviceChoice.__new__(DeviceChoice)
        self.title = "cpu"
        self.weights_sha256, self.weights_note = "0" * 64, ""

    def transform(self, shape: tuple[int, int]) -> BrightModel:
        return self

    def encode(self, pixels: NDArray[np.uint8]) -> Embedding:
        return Embedding(pixels=pixels)

    def predict(self, embedding: Embedding, prompts: SlicePrompts) -> SlicePrediction:
        assert prompts.box_xyxy is not None
        x0, y0, x1, y1 = (int(v) for v in prompts.box_xyxy)
        mask = np.zeros(embedding.pixels.shape[:2], dtype=bool)
        mask[y0 : y1 + 1, x0 : x1 + 1] = embedding.pixels[y0 : y1 + 1, x0 : x1 + 1] > 127
        return SlicePrediction(mask, 0.9, np.where(mask, 5.0, -5.0).astype(np.float32), 1.0)

    def smooth(self, prediction: SlicePrediction, transform: BrightModel) -> NDArray[np.bool_]:
        return prediction.low_res_logits > 0

    def mask_to_low_res(self, mask: NDArray[np.bool_], plane: tuple[int, int]) -> NDArray[np.bool_]:
        return mask


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs one slice whose box is half bright and half dark, with more options; what was printed."""
    image = np.full((3, 40, 40), 128, np.uint8)
    image[:, 10:30, 10:20], image[:, 10:30, 20:30] = 200, 40
    sitk.WriteImage(sitk.GetImageFromArray(image), str(tmp_path / "image.nrrd"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_command, "load_model", lambda *asked: BrightModel())

    def run(*more: str) -> str:
        outputs = ("-o", "out.seg.nrrd", "--report", "out.json", "--name", "one", "--range", "1", "1", "--overwrite")
        assert main(["run", "image.nrrd", *BOX, "--window", "none", *outputs, *more]) == 0
        return capsys.readouterr().out

    return run


def halves() -> tuple[float, float]:
    """The shares of the bright and the dark half that were segmented."""
    mask = read_segmentation("out.seg.nrrd").segments[0].mask_zyx[1]
    return float(mask[10:30, 10:20].mean()), float(mask[10:30, 20:30].mean())


def reported() -> tuple[int, str | None, list[str]]:
    """The option, the sentence and the key slice's flags of the report."""
    report = json.loads(Path("out.json").read_text(encoding="utf-8"))
    item = report["objects"][0]
    return report["options"]["reading"], item["reading_note"], item["slices"]["1"]["flags"]


def test_a_box_that_may_mean_two_things_is_said_and_the_other_one_is_an_option(ran: Callable[..., str]) -> None:
    assert FIRST in ran().splitlines()
    assert halves() == (1.0, 0.0)
    assert reported() == (1, FIRST.removeprefix("one: "), ["two-readings"])
    assert SECOND in ran("--reading", "2").splitlines()
    assert halves() == (0.0, 1.0)
    assert reported() == (2, SECOND.removeprefix("one: "), ["two-readings"])


def test_a_second_reading_that_is_not_there_is_said(ran: Callable[..., str]) -> None:
    assert "reading" not in ran("--strategy", "static")
    assert reported() == (1, None, [])
    assert ONE_READING in ran("--strategy", "static", "--reading", "2").splitlines()
    assert halves() == (1.0, 0.0)
    assert reported() == (2, ONE_READING.removeprefix("one: "), [])


@pytest.mark.parametrize("value", ["0", "3", "two", "1.0", ""])
def test_other_readings_are_refused(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "image.nrrd", *BOX, "-o", "out.nrrd", "--reading", value]) == 2
    error = capsys.readouterr().err
    assert f"Argument --reading: there is no reading '{value}': use 1, or 2 for the other thing a box may mean" in error
