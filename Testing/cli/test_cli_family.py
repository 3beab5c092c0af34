"""The whole family on the command line, with weights that a test can make: files, reports, time, corrections."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from cli_support import Run
from PIL import Image

from MedSAMSegmentLib.cli import main
from MedSAMSegmentLib.inference.open import load_predictor, open_session
from MedSAMSegmentLib.io.read_segmentation import read_segmentation
from MedSAMSegmentLib.models.builders import build

PARITY = Path(__file__).resolve().parents[1] / "parity"
SHAPE = (5, 60, 80)
BOX = ("--box", 18, 14, 2, 46, 44, 2)


@pytest.fixture(scope="module")
def made_weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints with fixed numbers, by builder; the values mean nothing, but the network is the real one."""
    sys.path.insert(0, str(PARITY))
    try:
        from deterministic_weights import deterministic_state_dict
    finally:
        sys.path.remove(str(PARITY))
    folder = tmp_path_factory.mktemp("weights")
    files = {}
    for builder in ("efficienttam_ti", "sam2_hiera_t"):
        files[builder] = folder / f"{builder}_made.pt"
        weights = dict(deterministic_state_dict(build(builder)))
        # The object counts as present, whatever these numbers think of it.
        weights["sam_mask_decoder.pred_obj_score_head.layers.2.bias"] = torch.tensor([6.0])
        torch.save({"model": weights}, files[builder])
    return files


@pytest.fixture
def subprocess_run(tmp_path: Path) -> Run:
    """As a user runs it."""

    def medsam(*arguments: object) -> subprocess.CompletedProcess:
        environment = {**os.environ, "MEDSAM_MODEL_DIR": str(tmp_path), "OMP_NUM_THREADS": "2"}
        command = [sys.executable, "-m", "MedSAMSegmentLib", "run", *map(str, arguments), "--engine", "torch"]
        return subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, timeout=300, check=False)

    return medsam


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The same in this process, which need not load torch each time."""
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(tmp_path))

    def medsam(*arguments: object) -> subprocess.CompletedProcess:
        capsys.readouterr()
        code = main(["run", *map(str, arguments), "--engine", "torch"])
        return subprocess.CompletedProcess([], code, *capsys.readouterr())

    return medsam


def moving_discs(frames: int) -> np.ndarray:
    """Two bright discs that drift through noise (frames, rows, columns), uint8."""
    volume = np.random.default_rng(4).integers(20, 50, (frames, *SHAPE[1:]))
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    for k in range(frames):
        volume[k][(x - 30 - k) ** 2 + (y - 28) ** 2 < 150] += 140
        volume[k][(x - 62) ** 2 + (y - 30 - k) ** 2 < 80] += 90
    return volume.astype(np.uint8)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "discs.nrrd"
    written = sitk.GetImageFromArray(moving_discs(SHAPE[0]))
    written.SetSpacing((0.7, 0.7, 5.0))
    sitk.WriteImage(written, str(path))
    return path


@pytest.mark.parametrize(
    ("model", "builder"), [("medsam2", "sam2_hiera_t"), ("efficient_medsam2_tiny", "efficienttam_ti")]
)
def test_a_model_of_the_family_runs_with_a_file_of_weights(
    model: str, builder: str, *, subprocess_run: Run, image: Path, made_weights: dict[str, Path], tmp_path: Path
) -> None:
    out, report = tmp_path / "out.seg.nrrd", tmp_path / "report.json"
    done = subprocess_run(
        image, *BOX, "--box", 54, 22, 2, 71, 39, 2, "--box", 10, 10, 1, 60, 50, 1, "--range", 1, 3,
        "--model", model, "--weights", made_weights[builder], "-o", out, "--report", report,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    facts = json.loads(report.read_text())
    assert facts["model"]["id"] == model
    assert facts["model"]["weights_sha256"] == hashlib.sha256(made_weights[builder].read_bytes()).hexdigest()
    assert facts["strategy"] == "memory"
    assert facts["encodes"] == 3
    assert facts["predictions"] == 9
    assert [sorted(item["slices"]) for item in facts["objects"]] == [["1", "2", "3"]] * 3
    masks = [segment.mask_zyx for segment in read_segmentation(out).segments]
    assert len(masks) == 3
    assert [int(mask.sum()) for mask in masks] == [item["voxels"] for item in facts["objects"]]
    assert masks[0][2].any()


def test_a_file_of_weights_without_a_model_is_recognised(
    run: Run, image: Path, made_weights: dict[str, Path], tmp_path: Path
) -> None:
    done = run(
        image, *BOX, "--range", 2, 2, "--weights", made_weights["efficienttam_ti"], "--report", tmp_path / "r.json"
    )
    assert done.returncode == 0, done.stderr
    model = json.loads((tmp_path / "r.json").read_text())["model"]
    assert model["id"] == "efficient_medsam2_tiny"
    assert "keys and shapes" in model["recognised"]
    assert "efficienttam_ti" in model["recognised"]
    assert "taken for Efficient MedSAM2 tiny" in done.stdout


def test_weights_of_another_model_are_refused_with_its_name(
    run: Run, image: Path, made_weights: dict[str, Path], tmp_path: Path
) -> None:
    done = run(
        image, *BOX, "--model", "medsam2", "--weights", made_weights["efficienttam_ti"], "-o", tmp_path / "o.nrrd"
    )
    assert done.returncode == 4
    assert "efficient_medsam2_tiny" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_weights_of_no_known_model_are_refused_with_the_nearest(
    run: Run, image: Path, made_weights: dict[str, Path], tmp_path: Path
) -> None:
    content = torch.load(made_weights["efficienttam_ti"], weights_only=True)["model"]
    content.pop("no_mem_embed")
    torch.save(content, tmp_path / "cut.pt")
    done = run(image, *BOX, "--weights", tmp_path / "cut.pt", "-o", tmp_path / "o.nrrd")
    assert done.returncode == 4
    assert "no known model" in done.stderr
    assert "efficienttam_ti" in done.stderr
    missing = run(image, *BOX, "--weights", tmp_path / "none.pt", "-o", tmp_path / "o.nrrd")
    assert missing.returncode == 4
    assert "cannot be read" in missing.stderr


def test_the_library_recognises_weights_as_the_command_line_does(made_weights: dict[str, Path]) -> None:
    volume = moving_discs(2)
    with open_session(None, volume, weights=made_weights["efficienttam_ti"], device="cpu", engine="torch") as session:
        assert session.model_id == "efficient_medsam2_tiny"
        assert "keys and shapes" in session.predictor.weights_note
    named = load_predictor("efficienttam_ti", weights=made_weights["efficienttam_ti"], device="cpu", engine="torch")
    assert (named.entry.id, named.weights_note) == ("efficienttam_ti", "")


def test_a_real_cine_gets_one_mask_a_frame(run: Run, made_weights: dict[str, Path], tmp_path: Path) -> None:
    cine = pydicom.examples.get_path("ybr_color")
    done = run(
        cine, "--axis", "time", "--frame", 0, "--box", 100, 60, 0, 200, 150, 0, "--range", 0, 3,
        "--weights", made_weights["efficienttam_ti"], "-o", tmp_path / "out.seg.nrrd", "--overlay", tmp_path / "o.png",
        "--report", tmp_path / "r.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (segment,) = read_segmentation(tmp_path / "out.seg.nrrd").segments
    assert segment.mask_zyx.shape == (30, 240, 320)
    facts = json.loads((tmp_path / "r.json").read_text())["objects"][0]
    assert sorted(facts["slices"]) == ["0", "1", "2", "3"]
    assert [facts["slices"][str(k)]["area"] for k in range(4)] == segment.mask_zyx[:4].sum(axis=(1, 2)).tolist()
    assert facts["slices"]["0"]["key"]
    assert "recist" not in facts


def test_a_folder_of_frames_is_followed_in_the_order_of_its_numbers(
    run: Run, made_weights: dict[str, Path], tmp_path: Path
) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number, frame in enumerate(moving_discs(3), start=9):
        Image.fromarray(frame).convert("RGB").save(frames / f"frame{number}.png")
    out = tmp_path / "out.nii.gz"
    done = run(
        frames, "--axis", "time", "--frame", 1, *BOX, "--box", 54, 22, 0, 71, 39, 0,
        "--weights", made_weights["efficienttam_ti"], "-o", out, "--report", tmp_path / "r.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "r.json").read_text())
    assert [[k for k, score in item["slices"].items() if score["key"]] for item in facts["objects"]] == [["1"], ["1"]]
    assert facts["encodes"] == 3
    assert sitk.ReadImage(str(out)).GetSize() == (80, 60, 3)
    assert (
        sum(item["voxels"] for item in facts["objects"]) == (sitk.GetArrayFromImage(sitk.ReadImage(str(out))) > 0).sum()
    )


def test_one_frame_of_a_4d_file_is_segmented_as_a_volume(
    run: Run, made_weights: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "4d.nii.gz"
    first, second = moving_discs(3), moving_discs(3)[::-1]
    sitk.WriteImage(
        sitk.JoinSeries([sitk.GetImageFromArray(np.ascontiguousarray(f)) for f in (first, second)]), str(path)
    )
    common = ("--box", 18, 14, 1, 46, 44, 1, "--range", 0, 2, "--weights", made_weights["efficienttam_ti"])
    reports = {}
    for frame in (0, 1):
        report = tmp_path / f"{frame}.json"
        done = run(path, "--frame", frame, *common, "--report", report, "-o", tmp_path / f"{frame}.nrrd")
        assert done.returncode == 0, done.stderr
        reports[frame] = json.loads(report.read_text())["objects"][0]["slices"]
    assert [sorted(slices) for slices in reports.values()] == [["0", "1", "2"]] * 2
    # The middle slices are the same; the second frame holds the outer ones the other way round.
    assert reports[0]["1"]["area"] == reports[1]["1"]["area"]
    assert reports[0]["2"]["area"] == reports[1]["0"]["area"] != reports[0]["0"]["area"]
    each = run(path, "--frame", "all", *common, "--report", tmp_path / "all.json", "-o", tmp_path / "all.nii.gz")
    assert each.returncode == 0, each.stderr
    for frame in (0, 1):
        facts = json.loads((tmp_path / f"all_{frame}.json").read_text())
        assert facts["objects"][0]["slices"] == reports[frame]
        alone, together = (sitk.ReadImage(str(tmp_path / name)) for name in (f"{frame}.nrrd", f"all_{frame}.nii.gz"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(alone), sitk.GetArrayFromImage(together))
    missing = run(path, "--frame", 2, *common, "-o", tmp_path / "o.nrrd")
    assert missing.returncode == 2
    assert "0 to 1" in missing.stderr
    through_time = run(path, "--axis", "time", "--frame", 0, *common, "-o", tmp_path / "o.nrrd")
    assert through_time.returncode == 3
    assert "--axis k --frame N" in through_time.stderr


def test_a_corrected_slice_is_written_as_it_was_painted(
    run: Run, image: Path, made_weights: dict[str, Path], tmp_path: Path
) -> None:
    painted = np.zeros(SHAPE, dtype=np.uint8)
    painted[3, 20:40, 25:45] = 1
    drawn = sitk.GetImageFromArray(painted)
    drawn.CopyInformation(sitk.ReadImage(str(image)))
    sitk.WriteImage(drawn, str(tmp_path / "painted.nii.gz"))
    done = run(
        image, *BOX, "--correct", tmp_path / "painted.nii.gz", 3, "--range", 2, 4, "--fill-holes",
        "--largest-component", "--keep-speckle",
        "--weights", made_weights["efficienttam_ti"], "-o", tmp_path / "out.seg.nrrd",
        "--report", tmp_path / "r.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    (item,) = report["objects"]
    digest = hashlib.sha256((tmp_path / "painted.nii.gz").read_bytes()).hexdigest()
    assert report["prompt_files"] == [{"option": "--correct", "file": "painted.nii.gz", "sha256": digest}]
    given = {"axis": "k", "range": [2, 4], "direction": "both", "stop": False, "fill_holes": True}
    given |= {"largest_component": True, "keep_speckle": True, "window": "auto"}
    assert {**report["options"], **given} == report["options"]
    assert [k for k, score in item["slices"].items() if score["key"]] == ["2", "3"]
    assert item["slices"]["3"]["score"] == 1.0
    too_early = run(image, "--correct", tmp_path / "painted.nii.gz", 3, "-o", tmp_path / "o.nrrd")
    assert (too_early.returncode, "before any object" in too_early.stderr) == (2, True)


def test_slices_without_an_image_are_said(run: Run, made_weights: dict[str, Path], tmp_path: Path) -> None:
    array = moving_discs(4)
    array[2:] = 0
    common = ("--box", 18, 14, 1, 46, 44, 1, "--weights", made_weights["efficienttam_ti"], "-o", tmp_path / "o.nrrd")
    for name, blanked, words in (
        ("some", array, "warning: slices without an image (one grey level): 2\n"),
        ("all", np.zeros_like(array), "warning: every slice is of one grey level"),
    ):
        sitk.WriteImage(sitk.GetImageFromArray(blanked), str(tmp_path / f"{name}.nrrd"))
        done = run(tmp_path / f"{name}.nrrd", *common, "--range", 1, 2, "--overwrite")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("warning:") == 1
        assert words in done.stdout


def test_outputs_beside_the_slices_do_not_change_what_the_report_says_was_read(
    run: Run, made_weights: dict[str, Path], tmp_path: Path
) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number, frame in enumerate(moving_discs(2)):
        Image.fromarray(frame).save(frames / f"{number}.png")
    common = ("--axis", "time", "--frame", 0, *BOX, "--range", 0, 0, "--weights", made_weights["efficienttam_ti"])
    digests = set()
    for _ in range(2):
        done = run(frames, *common, "-o", frames / "o.nrrd", "--report", frames / "r.json", "--overwrite")
        assert done.returncode == 0, done.stderr
        digests.add(json.loads((frames / "r.json").read_text())["input"]["sha256"])
    assert len(digests) == 1


def test_the_report_measures_what_was_painted(run: Run, made_weights: dict[str, Path], tmp_path: Path) -> None:
    """An ellipsoid with half axes of 12, 8 and 10 mm, given as a mask on the slice through its middle."""
    spacing = (0.5, 0.5, 2.0)
    z, y, x = np.mgrid[:11, :80, :90].astype(float)
    inside = ((x - 45) * 0.5 / 12) ** 2 + ((y - 40) * 0.5 / 8) ** 2 + ((z - 5) * 2.0 / 10) ** 2 <= 1
    for name, array in (("image", np.where(inside, 180, 40)), ("label", inside)):
        written = sitk.GetImageFromArray(array.astype(np.uint8))
        written.SetSpacing(spacing)
        sitk.WriteImage(written, str(tmp_path / f"{name}.nii.gz"))
    done = run(
        tmp_path / "image.nii.gz", "--mask", tmp_path / "label.nii.gz", 5, "--range", 5, 5,
        "--weights", made_weights["efficienttam_ti"], "--report", tmp_path / "r.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (item,) = json.loads((tmp_path / "r.json").read_text())["objects"]
    assert item["voxels"] == inside[5].sum()
    assert item["volume_ml"] == pytest.approx(np.pi * 1.2 * 0.8 * 0.2, rel=0.02)
    assert item["recist"]["slice"] == 5
    assert item["recist"]["longest"]["millimetres"] == pytest.approx(24.0, abs=0.6)
    assert item["recist"]["perpendicular"]["millimetres"] == pytest.approx(16.0, abs=0.6)
