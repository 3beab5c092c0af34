"""`medsam-segment train` with the real network: stopped, resumed, listed, used; and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from MedSAMSegmentLib.checkpoints.custom_models import CustomModels
from MedSAMSegmentLib.checkpoints.store import CheckpointStore
from MedSAMSegmentLib.checkpoints.weights import load_state_dict
from MedSAMSegmentLib.cli import main
from MedSAMSegmentLib.registry import get
from MedSAMSegmentLib.training.sources import find_sources
from MedSAMSegmentLib.training.split import split_by_patient
from MedSAMSegmentLib.training.work_folder import WorkFolder

REPO = Path(__file__).resolve().parents[2]
WritePatient = Callable[..., Path]


@pytest.fixture
def model_folder(tmp_path: Path, lite_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(lite_checkpoint, folder)
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(folder))
    return folder


@pytest.fixture
def data(tmp_path: Path, write_patient: WritePatient) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for number, name in enumerate(("anna", "bert")):
        write_patient(folder, name, shift=number)
    return folder


def arguments(data: Path, out: Path, *more: str) -> list[str]:
    return [
        "train", "--data", str(data), "--label", "ball", "-o", str(out), "--steps", "4", "--slices", "1",
        "--device", "cpu", "--engine", "torch", "--offline", *more,
    ]  # fmt: skip


def stop_at_first_step(command: list[str], state: Path) -> tuple[int, str]:
    """Run the command and press Ctrl+C as soon as it trains; return how it ended and what it said."""
    process = subprocess.Popen(
        [sys.executable, "-m", "MedSAMSegmentLib", *command],
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(REPO)},
    )
    # The index of the validation's embeddings is the last thing written before the first step.
    while process.poll() is None and not (state.parent / "validation" / "index.json").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    return process.returncode, said


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl+C cannot be sent to another process there")
def test_a_training_is_stopped_resumed_listed_and_used(
    tmp_path: Path, model_folder: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "own.safetensors"
    work = tmp_path / "own.safetensors.training"
    code, said = stop_at_first_step(arguments(data, out), work / "state.safetensors")
    assert code == 5, said
    assert "--resume goes on" in said
    assert not out.exists()
    assert work.is_dir()

    assert main(arguments(data, out)) == 2
    assert "--resume to go on with it" in capsys.readouterr().err
    assert main(arguments(data, out, "--resume", "--seed", "3")) == 3
    assert "other data or options" in capsys.readouterr().err

    assert main(arguments(data, out, "--resume")) == 0
    said = capsys.readouterr().out
    assert "Use it by --model own-own.safetensors" in said
    assert not work.exists()

    card = json.loads((tmp_path / "own.card.json").read_text(encoding="utf-8"))
    assert card["validated"] is True
    assert {card["data"][0]["patient"], card["data"][1]["patient"]} == {"anna", "bert"}
    assert sorted(map(len, card["split"].values())) == [1, 1]
    assert card["steps"] == 4
    assert card["base"]["sha256"] == get("lite_medsam").sha256
    assert 0 <= card["dice_before"]["mean"] <= 1
    rows = (tmp_path / "own.curves.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 5
    assert (tmp_path / "own.curves.png").read_bytes().startswith(b"\x89PNG")

    published = load_state_dict(model_folder / "lite_medsam.pth")
    tuned = load_state_dict(out)
    assert tuned.keys() == published.keys()
    changed = {name.split(".")[0] for name in tuned if not tuned[name].equal(published[name])}
    assert changed == {"mask_decoder", "prompt_encoder"}

    (own,) = CustomModels(CheckpointStore()).all()
    assert own.sha256 == card["sha256"]
    assert main(["models", "list"]) == 0
    assert "own-own.safetensors" in capsys.readouterr().out
    mask = tmp_path / "mask.seg.nrrd"
    box = ["--box", "18", "20", "3", "38", "40", "3", "--range", "3", "3"]
    command = ["run", str(data / "anna.nrrd"), "--model", own.id, *box, "-o", str(mask), "--engine", "torch"]
    assert main([*command, "--device", "cpu", "--offline"]) == 0
    assert mask.exists()

    assert main(arguments(data, out)) == 3
    assert "are there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    "refusal",
    [
        (["--label", "balloon"], 3, "No segment is called 'balloon'"),
        (["-o", "own.pth"], 2, "is no name for the weights"),
        (["--model", "medsam2"], 2, "cannot be trained here"),
        (["--val-fraction", "1.5"], 2, "no part from 0"),
        (["--rehearsal", "much"], 2, "no weight from 0"),
        (["--resume"], 2, "nothing to resume"),
        (["--model", "own-none.safetensors"], 4, "is not in the model folder"),
    ],
)
def test_what_cannot_end_well_is_refused_at_once(
    tmp_path: Path,
    model_folder: Path,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    refusal: tuple[list[str], int, str],
) -> None:
    change, code, said = refusal
    out = tmp_path / "own.safetensors"
    assert main(arguments(data, out, *change)) == code
    assert said in capsys.readouterr().err
    assert not list(tmp_path.glob("own*"))


@pytest.mark.parametrize(
    ("folder", "said"),
    [("none", "none does not exist"), ("own.safetensors", "is a folder"), ("own.card.json", "card.json is a folder")],
)
def test_a_place_that_cannot_be_written_to_is_refused_at_once(
    tmp_path: Path, model_folder: Path, capsys: pytest.CaptureFixture[str], folder: str, said: str
) -> None:
    out = tmp_path / "own.safetensors"
    if folder == "none":
        out = tmp_path / folder / out.name
    else:
        (tmp_path / folder).mkdir()
    # Before the data are looked for, which are not there.
    assert main(arguments(tmp_path / "nothing", out, "--overwrite")) == 3
    assert said in capsys.readouterr().err
    assert not (tmp_path / "own.safetensors.training").exists()


def test_a_patient_to_test_with_is_not_trained_on(
    tmp_path: Path, model_folder: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(data, tmp_path / "own.safetensors", "--val", str(data))) == 2
    assert "trained on and tested with" in capsys.readouterr().err


def test_an_image_is_never_written_over(tmp_path: Path, model_folder: Path, data: Path) -> None:
    (data / "own.safetensors").write_bytes(b"mine")
    manifest = data / "m.csv"
    manifest.write_text("image,reference\nanna.nrrd,own.safetensors\n", encoding="utf-8")
    assert main(arguments(manifest, data / "own.safetensors", "--overwrite")) == 3
    assert (data / "own.safetensors").read_bytes() == b"mine"


def test_a_folder_that_is_not_of_a_training_is_left_alone(
    tmp_path: Path, model_folder: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "own.safetensors.training"
    foreign.mkdir()
    (foreign / "letters.txt").write_text("dear", encoding="utf-8")
    assert main(arguments(data, tmp_path / "own.safetensors", "--overwrite")) == 3
    assert "not of a training" in capsys.readouterr().err
    assert (foreign / "letters.txt").exists()


def test_only_patients_who_show_the_object_are_tested_with(
    tmp_path: Path, model_folder: Path, data: Path, write_patient: WritePatient
) -> None:
    write_patient(data, "carl")
    (empty,) = split_by_patient(find_sources(data), 0.2, seed=0).patients()["validation"]
    write_patient(data, empty, label="Other")
    assert main(arguments(data, tmp_path / "own.safetensors")) == 0
    card = json.loads((tmp_path / "own.card.json").read_text(encoding="utf-8"))
    split = card["split"]
    assert sorted(split["training"] + split["validation"]) == sorted({"anna", "bert", "carl"} - {empty})
    assert card["validated"] is True
    for scores in (card["dice_before"], card["dice_after"]):
        assert list(scores["by_patient"]) == split["validation"]
    assert all(row["slices"] for row in card["data"])


def test_with_one_patient_left_nothing_is_validated(
    tmp_path: Path, model_folder: Path, data: Path, write_patient: WritePatient, capsys: pytest.CaptureFixture[str]
) -> None:
    write_patient(data, "bert", label="Other")
    assert main(arguments(data, tmp_path / "own.safetensors")) == 0
    said = capsys.readouterr().out
    assert "left out, without enough of ball: bert.nrrd" in said
    assert "not validated: there is one patient alone" in said
    card = json.loads((tmp_path / "own.card.json").read_text(encoding="utf-8"))
    assert card["validated"] is False
    assert card["judged_on"] != "validation"
    assert card["split"] == {"training": ["anna"], "validation": []}


def test_patients_to_test_with_must_show_the_object(
    tmp_path: Path, model_folder: Path, data: Path, write_patient: WritePatient, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_patient(other, "carl", label="Other")
    assert main(arguments(data, tmp_path / "own.safetensors", "--val", str(other))) == 3
    told = capsys.readouterr()
    assert "No slice of the images for validation has enough of ball" in told.err
    assert "views of" not in told.out
    assert not list(tmp_path.glob("own*"))


def test_an_image_that_cannot_be_read_leaves_nothing(
    tmp_path: Path, model_folder: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "bert.nrrd").write_bytes(b"NRRD0004\nnonsense")
    assert main(arguments(data, tmp_path / "own.safetensors")) == 3
    assert "bert.nrrd" in capsys.readouterr().err
    assert not list(tmp_path.glob("own*"))


def test_a_segmentation_that_cannot_be_read_is_said_to_be_left_out(
    tmp_path: Path, model_folder: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "bert.seg.nrrd").write_bytes(b"NRRD0004\nnonsense")
    # No label of that name: the sources are found, and nothing is computed.
    assert main(arguments(data, tmp_path / "own.safetensors", "--label", "balloon")) == 3
    assert "left out: bert.seg.nrrd cannot be read" in capsys.readouterr().out
    (data / "anna.seg.nrrd").write_bytes(b"NRRD0004\nnonsense")
    assert main(arguments(data, tmp_path / "own.safetensors")) == 3
    assert "no segmentation to learn from: 2 cannot be read" in capsys.readouterr().err
    assert not list(tmp_path.glob("own*"))


@pytest.mark.parametrize("option", [(), ("--resume",), ("--overwrite",)])
def test_a_second_training_into_one_output_is_refused(
    tmp_path: Path, model_folder: Path, data: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, ...]
) -> None:
    out = tmp_path / "own.safetensors"
    with WorkFolder.beside(out).held(resume=False, overwrite=False):
        assert main(arguments(data, out, *option)) == 2
        assert "is running already" in capsys.readouterr().err
        assert WorkFolder.beside(out).is_ours
