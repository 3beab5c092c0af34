"""`medsam-segment challenge`: answers, scores and the interactive run on small cases, and what is refused."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_support import Run
from filelock import FileLock

from MedSAMSegmentLib.challenge.answer import class_prompts, with_area
from MedSAMSegmentLib.challenge.files import cases_in
from MedSAMSegmentLib.cli import main
from MedSAMSegmentLib.errors import InputError, PromptError
from MedSAMSegmentLib.io.challenge_npz import read_npz, write_segs
from MedSAMSegmentLib.io.interactive_npz import read_interactive_npz
from MedSAMSegmentLib.prompts import Box, Point

REPO = Path(__file__).resolve().parents[2]
SUBMISSION = REPO / "Resources" / "challenge"
SIDES = {"z_mid_x_min": 26, "z_mid_x_max": 74, "z_mid_y_min": 16, "z_mid_y_max": 52}
BOX = {"z_min": 0, "z_max": 2, "z_mid": 1, **SIDES}


def an_ellipsoid() -> tuple[np.ndarray, np.ndarray]:
    """An image (3,72,96) of a bright ellipsoid in noise, and its labels."""
    z, y, x = np.ogrid[:3, :72, :96]
    inside = ((z - 1) / 3) ** 2 + ((y - 34) / 18.0) ** 2 + ((x - 50) / 24.0) ** 2 <= 1
    noise = np.random.default_rng(5).normal(40, 8, inside.shape)
    return np.clip(noise + 120 * inside, 0, 255).astype(np.uint8), inside.astype(np.uint8)


IMAGES, LABELS = an_ellipsoid()


def save(path: Path, **arrays: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **arrays)
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def year_24(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("year24")
    rows = [[26, 16, 0, 74, 52, 2]]
    save(folder / "3D_volume.npz", imgs=IMAGES, gts=LABELS, spacing=[1.0, 1.0, 4.0], boxes=rows)
    save(folder / "2D_picture.npz", imgs=np.stack([IMAGES[1]] * 3, -1), gts=LABELS[1], boxes=[[26, 16, 74, 52]])
    save(folder / "3D_outside.npz", imgs=IMAGES, gts=LABELS, spacing=[1.0, 1.0, 4.0], boxes=[[200, 16, 0, 210, 52, 2]])
    return folder


@pytest.mark.usefixtures("lite_checkpoint")
def test_all_cases_are_answered_but_the_one_that_cannot_be(medsam: Run, year_24: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "out", tmp_path / "scores.csv"
    done = medsam("challenge", "predict", "--year", 24, "-i", year_24, "-o", out, "--engine", "torch")
    assert done.returncode == InputError.exit_code
    assert "3D_outside.npz: no answer. A box runs from 200 to 210 along i" in done.stdout
    assert "1 of 3 cases have no answer: 3D_outside.npz." in done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["2D_picture.npz", "3D_volume.npz"]
    assert list(read_npz(out / "3D_volume.npz")) == ["segs"]
    assert read_npz(out / "2D_picture.npz")["segs"].shape == LABELS[1].shape

    evaluate = ("challenge", "evaluate", "-s", str(out), "-g", str(year_24), "--csv", str(table))
    assert main([*evaluate]) == InputError.exit_code, "one answer is missing"
    assert not table.exists()
    assert main([*evaluate, "--missing", "zero"]) == 0
    scores = {row["case"]: float(row["dsc"]) for row in rows_of(table)}
    assert scores["3D_outside.npz"] == 0.0
    assert min(scores["2D_picture.npz"], scores["3D_volume.npz"]) > 0.95


@pytest.mark.usefixtures("lite_checkpoint")
def test_an_interactive_run_writes_answers_scores_and_clicks(medsam: Run, tmp_path: Path) -> None:
    save(tmp_path / "cases" / "one.npz", imgs=IMAGES, gts=LABELS, spacing=[1.0, 1.0, 4.0], boxes=[BOX])
    out = tmp_path / "out"
    run = ("challenge", "interactive", "-i", tmp_path / "cases", "-o", out, "--engine", "torch", "--keep-open")
    done = medsam(*run)
    assert done.returncode == 0, done.stderr
    (row,) = rows_of(out / "metrics.csv")
    assert float(row["DSC_1"]) > 0.95
    assert row["num_class"] == "1"
    assert read_npz(out / "one.npz")["all_segs"].shape == (6, *LABELS.shape)
    clicks = rows_of(out / "clicks.csv")
    assert {click["class"] for click in clicks} == {"1"}
    assert 1 <= len(clicks) <= 5

    assert "already" in medsam(*run).stderr
    table = tmp_path / "again.csv"
    arguments = ["challenge", "evaluate", "--year", "25", "-s", out, "-g", tmp_path / "cases", "--csv", table]
    assert main([str(argument) for argument in arguments]) == 0
    (again,) = rows_of(table)
    for name in ("DSC_AUC", "NSD_AUC", "DSC_Final", "NSD_Final", "DSC_1", "NSD_6"):
        assert again[name] == row[name]


@pytest.mark.parametrize("action", [("predict", "--year", "25"), ("interactive",)])
def test_a_second_run_into_a_folder_is_refused(
    action: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "cases" / "one.npz", imgs=IMAGES, gts=LABELS, spacing=[1.0, 1.0, 4.0], boxes=[BOX])
    out = tmp_path / "out"
    words = ["challenge", *action, "-i", str(tmp_path / "cases"), "-o", str(out), "--offline", "--overwrite"]
    words += ["--weights", str(tmp_path / "none.pth"), "--model", "lite_medsam"]
    out.mkdir()
    with FileLock(out / ".challenge.lock"):
        assert main(words) == 2
        assert f"Another run is writing into {out}." in capsys.readouterr().err
        assert (out / ".challenge.lock").exists(), "it is the other's"
    assert main(words) == 4, "the weights are missing"
    assert list(out.iterdir()) == []


def evaluate(tmp_path: Path, *more: str) -> int:
    names = {"-s": "segs", "-g": "gts", "--csv": "scores.csv"}
    places = [word for option, name in names.items() for word in (option, str(tmp_path / name))]
    return main(["challenge", "evaluate", *places, *more])


def test_the_table_is_that_of_the_year_and_its_rules_are_options(tmp_path: Path) -> None:
    gts = np.where(LABELS == 1, 2, 0).astype(np.uint8)
    save(tmp_path / "gts" / "a.npz", gts=gts, spacing=[1.0, 1.0, 9.0])
    (tmp_path / "segs").mkdir()
    write_segs(tmp_path / "segs" / "a.npz", np.concatenate((gts[:2], gts[2:] * 0)))
    assert evaluate(tmp_path) == 0
    assert rows_of(tmp_path / "scores.csv") == [{"case": "a.npz", "dsc": "", "nsd": "0.0"}]
    assert evaluate(tmp_path) == InputError.exit_code, "the table is there already"
    assert evaluate(tmp_path, "--overwrite", "--both-empty", "left-out") == 0
    (published,) = rows_of(tmp_path / "scores.csv")
    assert evaluate(tmp_path, "--overwrite", "--classes", "all-but-zero", "--spacing-order", "axes") == 0
    (sound,) = rows_of(tmp_path / "scores.csv")
    assert published["dsc"] == sound["dsc"]
    assert float(published["nsd"]) > float(sound["nsd"])
    assert evaluate(tmp_path, "--overwrite", "--year", "25", "--no-nsd") == 0
    (final,) = rows_of(tmp_path / "scores.csv")
    assert set(final) == {"CaseName", "DSC_Final", "num_class"}
    assert float(final["DSC_Final"]) == pytest.approx(float(sound["dsc"]), abs=1e-4)


@pytest.mark.parametrize("table", ["missing/scores.csv", "segs"], ids=["no folder", "a folder"])
def test_a_table_that_cannot_be_written_is_refused_before_anything_is_scored(
    table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "gts" / "a.npz", gts=LABELS, spacing=[1.0, 1.0, 4.0])
    (tmp_path / "segs").mkdir()
    write_segs(tmp_path / "segs" / "a.npz", LABELS)
    where = ("-s", str(tmp_path / "segs"), "-g", str(tmp_path / "gts"), "--csv", str(tmp_path / table))
    assert main(["challenge", "evaluate", *where, "--overwrite"]) == 3
    said = capsys.readouterr()
    assert "folder" in said.err
    assert said.out == ""


def test_the_spacing_comes_from_the_images_where_the_references_have_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "gts" / "a.npz", gts=LABELS)
    save(tmp_path / "images" / "a.npz", imgs=IMAGES, spacing=[1.0, 1.0, 9.0])
    (tmp_path / "segs").mkdir()
    write_segs(tmp_path / "segs" / "a.npz", LABELS)
    assert evaluate(tmp_path) == 2
    assert "--images" in capsys.readouterr().err
    assert evaluate(tmp_path, "--images", str(tmp_path / "images")) == 0
    assert rows_of(tmp_path / "scores.csv") == [{"case": "a.npz", "dsc": "1.0", "nsd": "1.0"}]


def test_inputs_are_never_replaced_and_folders_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = save(tmp_path / "cases" / "a.npz", imgs=IMAGES, boxes=[BOX])
    folder = str(case.parent)
    assert main(["challenge", "predict", "--year", "25", "-i", folder, "-o", folder, "--overwrite"]) == 3
    assert main(["challenge", "predict", "--year", "25", "-i", folder, "-o", str(tmp_path / "no" / "out")]) == 3
    assert main(["challenge", "predict", "--year", "25", "-i", str(tmp_path), "-o", str(tmp_path / "out")]) == 3
    assert "holds no .npz file" in capsys.readouterr().err
    with pytest.raises(InputError, match="no folder"):
        cases_in(tmp_path / "nothing")


@pytest.mark.skipif(os.name == "nt", reason="a script for a container of Linux")
def test_the_entry_script_of_a_submission_answers_what_lies_in_its_folder(
    lite_checkpoint: Path, year_24: Path, tmp_path: Path
) -> None:
    program = tmp_path / "medsam-segment"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m MedSAMSegmentLib "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    (tmp_path / "inputs").mkdir()
    shutil.copy(year_24 / "2D_picture.npz", tmp_path / "inputs")
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPO),
        "MEDSAM_MODEL_DIR": str(lite_checkpoint.parent),
        "CHALLENGE_YEAR": "24",
        "CHALLENGE_INPUTS": str(tmp_path / "inputs"),
        "CHALLENGE_OUTPUTS": str(tmp_path / "outputs"),
    }
    done = subprocess.run(["sh", str(SUBMISSION / "predict.sh")], env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0
    segs = read_npz(tmp_path / "outputs" / "2D_picture.npz")["segs"]
    assert 2 * (segs * LABELS[1]).sum() / (segs.sum() + LABELS[1].sum()) > 0.95


def test_the_submission_is_built_of_what_is_there() -> None:
    lines = (SUBMISSION / "Dockerfile").read_text(encoding="utf-8").splitlines()
    words = [line.split()[1:] for line in lines if line.startswith("COPY")]
    sources = [word for line in words for word in line[:-1] if not word.startswith("--")]
    assert [source for source in sources if source != "weights" and not (REPO / source).exists()] == []
    assert "weights" in sources


def test_a_box_of_the_interactive_challenge_begins_on_the_slice_it_was_drawn_on(tmp_path: Path) -> None:
    flat = {**BOX, "z_min": 1, "z_max": 1}
    clicks = [{"fg": [[1, 30, 50]], "bg": []}, {"fg": [], "bg": []}, {"fg": [], "bg": [[0, 0, 0]]}]
    path = save(tmp_path / "a.npz", imgs=IMAGES, boxes=[BOX, flat], clicks=clicks)
    first, second, third = class_prompts(read_interactive_npz(path))
    whole = Box(i=(26, 74), j=(16, 52), k=(0, 2))
    drawn = Box(i=(26, 74), j=(16, 52), k=(1, 1))
    assert first.prompts == (whole, drawn, Point(i=50, j=30, k=1))
    assert first.slices == (0, 2)
    assert second.prompts == (drawn,)
    assert second.slices == (1, 1)
    assert third.prompts == (), "clicks on the background alone say nothing"


def test_a_box_around_a_voxel_gets_an_area_inside_of_the_image() -> None:
    assert with_area(Box(i=(5, 5), j=(0, 0), k=(1, 1)), (3, 9, 9)) == Box(i=(4, 5), j=(0, 1), k=(1, 1))
    assert with_area(Box(i=(3, 99), j=(2, 4), k=(0, 9)), (3, 9, 9)) == Box(i=(3, 8), j=(2, 4), k=(0, 2))
    with pytest.raises(PromptError, match="along j"):
        with_area(Box(i=(3, 4), j=(9, 12), k=(0, 1)), (3, 9, 9))
