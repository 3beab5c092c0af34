"""`medsam-segment run` on real files: what is written, and what is said when it cannot work."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import slicerio
from cli_support import Run, an_oblique_image
from PIL import Image

from MedSAMSegmentLib.io.read_segmentation import read_segmentation


@pytest.fixture(scope="module")
def finished(
    medsam_process: Run, oblique_nrrd: Path, box_arguments: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """One run with every output; other tests look at what it left."""
    folder = tmp_path_factory.mktemp("out")
    done = medsam_process(
        "run", oblique_nrrd, *box_arguments, "--name", "blob", "--terminology", "SCT:4147007:Mass",
        "-o", folder / "out.seg.nrrd", "--overlay", folder / "out.png", "--report", folder / "out.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_segment_lies_where_the_object_is(finished: tuple[Path, str]) -> None:
    segment = read_segmentation(finished[0] / "out.seg.nrrd").segments[0]
    bright = sitk.GetArrayFromImage(an_oblique_image()) > 110
    overlap = 2 * (segment.mask_zyx & bright).sum() / (segment.mask_zyx.sum() + bright.sum())
    assert segment.name == "blob"
    assert overlap > 0.9


def test_the_segmentation_keeps_the_oblique_grid(finished: tuple[Path, str], oblique_nrrd: Path) -> None:
    written, image = sitk.ReadImage(str(finished[0] / "out.seg.nrrd")), sitk.ReadImage(str(oblique_nrrd))
    assert written.GetSize() == image.GetSize()
    assert np.allclose(written.GetDirection(), image.GetDirection(), atol=1e-6)
    assert np.allclose(written.GetOrigin(), image.GetOrigin(), atol=1e-4)
    header = slicerio.read_segmentation(str(finished[0] / "out.seg.nrrd"))
    assert header["segments"][0]["terminology"]["type"] == ["SCT", "4147007", "Mass"]


def test_the_report_says_what_computed_what(finished: tuple[Path, str]) -> None:
    report = json.loads((finished[0] / "out.json").read_text())
    item = report["objects"][0]
    assert report["model"]["id"] == "lite_medsam"
    assert len(report["model"]["weights_sha256"]) == len(report["input"]["sha256"]) == 64
    assert item["prompts"] == [{"kind": "box", "i": [26, 74], "j": [16, 52], "k": [0, 2]}]
    assert item["volume_ml"] == pytest.approx(item["voxels"] * 0.8 * 0.9 * 4.0 / 1000, rel=1e-3)
    assert set(item["slices"]) == {"0", "1", "2"}
    assert report["encodes"] == 4, "three slices, and the key slice inverted"


def test_the_overlay_is_a_picture(finished: tuple[Path, str]) -> None:
    with Image.open(finished[0] / "out.png") as picture:
        assert picture.width > 200
        assert len(picture.convert("RGB").resize((64, 64)).getcolors(4096)) > 20


def test_the_run_says_window_device_and_volume(finished: tuple[Path, str]) -> None:
    assert "lite_medsam on cpu" in finished[1]
    assert "blob: " in finished[1]
    assert " mL" in finished[1]


def test_quiet_prints_nothing(
    medsam_process: Run, oblique_nrrd: Path, box_arguments: tuple[object, ...], tmp_path: Path
) -> None:
    done = medsam_process("run", oblique_nrrd, *box_arguments, "--range", 1, 1, "-q", "-o", tmp_path / "out.nii.gz")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out.nii.gz")))
    assert labels[1].any()
    assert not labels[[0, 2]].any()


def test_a_point_with_a_negative_point_and_a_line_are_prompts_too(
    medsam: Run, oblique_nrrd: Path, tmp_path: Path
) -> None:
    done = medsam(
        "run", oblique_nrrd, "--line", 27, 34, 1, 73, 34, 1, "--range", 1, 1,
        "--point", 50, 34, 1, "--negative-point", 5, 5, 1, "-o", tmp_path / "out.npz",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz", allow_pickle=False) as file:
        assert set(np.unique(file["segs"])) == {0, 1}


def test_a_challenge_file_brings_its_own_boxes(medsam: Run, tmp_path: Path) -> None:
    array = np.clip(sitk.GetArrayFromImage(an_oblique_image()), 0, 255).astype(np.uint8)
    boxes = np.array([[26, 16, 0, 74, 52, 2]])
    np.savez_compressed(tmp_path / "case.npz", imgs=array, spacing=np.array([0.8, 0.9, 4.0]), boxes=boxes)
    done = medsam("run", tmp_path / "case.npz", "-o", tmp_path / "out.npz", "--mode", "reference")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz", allow_pickle=False) as file:
        assert file["segs"][1].any()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("run", "IMAGE", "--box", 1, 1, 0, 9, 9, 2), 2, "nothing to write"),
        (("run", "IMAGE", "-o", "OUT"), 3, "no prompt"),
        (("run", "IMAGE", "--box", 200, 200, 0, 300, 300, 2, "-o", "OUT"), 3, "outside the volume"),
        (("run", "IMAGE", "--box", "nan", 1, 0, 9, 9, 2, "-o", "OUT"), 3, "nan"),
        (("run", "IMAGE", "--box", 1, 1, 0, 9, 9, 2, "--model", "lite_medsm", "-o", "OUT"), 2, "lite_medsam"),
        (("run", "IMAGE", "--box", 1, 1, 0, 9, 9, 2, "--window", "ct-lungs", "-o", "OUT"), 2, "ct-lung"),
        (("run", "IMAGE", "--box", 1, 1, 0, 9, 9, 2, "-o", "out.xyz"), 2, ".seg.nrrd"),
        (("run", "missing.nrrd", "--box", 1, 1, 0, 9, 9, 2, "-o", "OUT"), 3, "does not exist"),
        (("run", "IMAGE", "--box", 1, 1, 0, 9, 9, 2, "--strategy", "magic", "-o", "OUT"), 2, "static"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_exit_code(
    arguments: tuple[object, ...], code: int, sentence: str, *, medsam: Run, oblique_nrrd: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.seg.nrrd"
    words = [{"IMAGE": oblique_nrrd, "OUT": out}.get(str(word), word) for word in arguments]
    done = medsam(*words, "--offline")
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not out.exists()


def test_pictures_get_masks_that_are_pictures(medsam: Run, tmp_path: Path) -> None:
    """The classic use: a JPEG, a box of four numbers, a black and white PNG; then two images and objects at once."""
    seen = np.clip(sitk.GetArrayFromImage(an_oblique_image())[1], 0, 255).astype(np.uint8)
    for name in ("a.jpg", "b.png"):
        Image.fromarray(seen).save(tmp_path / name)
    box = ("--box", 26, 16, 74, 52)
    done = medsam("run", tmp_path / "a.jpg", *box, "-o", tmp_path / "mask.png", "--overlay", tmp_path / "over.png")
    assert done.returncode == 0, done.stderr
    mask = np.asarray(Image.open(tmp_path / "mask.png"))
    bright = sitk.GetArrayFromImage(an_oblique_image())[1] > 110
    assert set(np.unique(mask)) == {0, 255}
    assert 2 * ((mask > 0) & bright).sum() / ((mask > 0).sum() + bright.sum()) > 0.9
    assert (tmp_path / "over.png").exists()
    done = medsam(
        "run",
        tmp_path / "a.jpg",
        tmp_path / "b.png",
        *box,
        "--box",
        2,
        2,
        20,
        14,
        "-o",
        tmp_path / "{name}_m.tif",
        "-q",
    )
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("a_m.tif", "b_m.tif"):
        labels = Image.open(tmp_path / name)
        assert labels.mode == "P"
        assert set(np.unique(np.asarray(labels))) <= {0, 1, 2}
        assert 1 in np.asarray(labels)


def test_of_several_images_nothing_is_computed_before_each_is_known_to_be_right(medsam: Run, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    (tmp_path / "deep").mkdir()
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "deep" / "a.png")
    box = ("--box", 2, 2, 9, 9, "-o", tmp_path / "m.png")
    done = medsam("run", tmp_path / "a.png", tmp_path / "b.png", *box)
    assert done.returncode == 3
    assert "b.png cannot be read" in done.stderr
    done = medsam("run", tmp_path / "a.png", tmp_path / "deep" / "a.png", *box)
    assert done.returncode == 3
    assert "m_a.png" in done.stderr
    assert not list(tmp_path.glob("m*"))


def test_missing_weights_offline_name_the_command_that_fetches_them(
    medsam: Run, oblique_nrrd: Path, box_arguments: tuple[object, ...], tmp_path: Path
) -> None:
    done = medsam(
        "run", oblique_nrrd, *box_arguments, "--offline", "-o", tmp_path / "o.nrrd",
        models=tmp_path,
    )  # fmt: skip
    assert done.returncode == 4
    assert "medsam-segment models pull lite_medsam" in done.stderr


def test_debug_shows_the_trace(medsam_process: Run, tmp_path: Path) -> None:
    done = medsam_process("run", "missing.nrrd", "--box", 1, 1, 0, 9, 9, 2, "-o", tmp_path / "o.nrrd", "--debug")
    assert "Traceback" in done.stderr
