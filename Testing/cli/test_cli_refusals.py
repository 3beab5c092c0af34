"""What `medsam-segment run` takes and refuses before it loads a model."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_support import an_oblique_image
from PIL import Image

from MedSAMSegmentLib.cli import build_parser, main
from MedSAMSegmentLib.commands import run
from MedSAMSegmentLib.commands.overwriting import check_all
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.io.segments import SegmentToWrite
from MedSAMSegmentLib.io.volume import Volume
from MedSAMSegmentLib.io.write_segmentation import write_segmentation
from MedSAMSegmentLib.prompts import MaskPrompt
from MedSAMSegmentLib.runs.outputs import Outputs
from MedSAMSegmentLib.runs.prompt_options import objects_from_options

BOX = ("--box", "26", "16", "0", "74", "52", "2")


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the model was asked for")

    monkeypatch.setattr(run, "load_model", fail)


@pytest.mark.parametrize("name", ["drawn.seg.nrrd", "drawn.nii.gz", "drawn.npz"])
def test_a_slice_of_any_segmentation_that_we_write_is_a_prompt(tmp_path: Path, name: str) -> None:
    geometry = VolumeGeometry((3, 8, 9), np.diag([0.7, 0.8, 3.0, 1.0]))
    volume = Volume(np.zeros((3, 8, 9), np.int16), geometry, tmp_path / "image.nrrd", "nrrd")
    one, two = np.zeros((2, 3, 8, 9), bool)
    one[1, 2:4, 2:5] = two[1, 3:6, 4:7] = two[2, :, 0] = True
    write_segmentation(tmp_path / name, [SegmentToWrite("one", one), SegmentToWrite("two", two)], geometry)
    ((prompt,),) = objects_from_options([("mask", (str(tmp_path / name), "1"))], volume, axis=0)
    assert isinstance(prompt, MaskPrompt)
    assert prompt.index == 1
    np.testing.assert_array_equal(prompt.mask, (one | two)[1])


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ((*BOX, "-o", "IMAGE"), 3, "is one of the inputs"),
        ((*BOX, "--report", "r.json", "-o", "./IMAGE"), 3, "is one of the inputs"),
        (("--mask", "MASK", "1", "-o", "MASK"), 3, "is one of the inputs"),
        # The list of labels that would be written beside an output is another file's.
        (("--mask", "MASK", "1", "-o", "mask.nii.gz"), 3, "is one of the inputs"),
        ((*BOX, "-o", "r.nii.gz", "--report", "r.labels.json"), 3, "the one file r.labels.json"),
        (("--mask", "CT", "1", "-o", "out.nrrd"), 3, "is not a label map"),
        (("--mask", "MIRRORED", "1", "-o", "out.nrrd"), 3, "elsewhere in space"),
        (("--mask", "MASK", "9", "-o", "out.nrrd"), 3, "outside 0 to 2"),
        ((*BOX, "-o", "out.jpg"), 2, "Use one of .seg.nrrd"),
        ((*BOX, "-o", "out.png"), 3, "out.png holds a single slice, the image has 3"),
        ((*BOX, "--overlay", "out.nrrd"), 2, "Use one of .png"),
        ((*BOX, "--report", "out.png"), 2, "Use one of .json"),
        ((*BOX, "-o", "out.nrrd", "--window", "ct-lungs"), 2, "ct-lung"),
        ((*BOX, "-o", "out.nrrd", "--terminology", "liver"), 2, "SCHEME:CODE:MEANING"),
        ((*BOX, "-o", "out.nrrd", *["--terminology", "SCT:10200004:Liver"] * 2), 2, "2 codes for 1 segments"),
        ((*BOX, "-o", "out.nrrd", "--name", "a", "--name", "b"), 2, "2 names for 1 objects"),
        (("--point", "5", "5", "99", "-o", "out.nrrd"), 3, "outside the volume"),
        (("--line", "1", "1", "0", "1", "1", "0", "-o", "out.nrrd"), 3, "no length"),
    ],
)
def test_what_cannot_end_well_is_refused_before_the_model_is_loaded(
    arguments: tuple[str, ...],
    code: int,
    sentence: str,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import SimpleITK as sitk

    monkeypatch.chdir(tmp_path)
    image = an_oblique_image()
    sitk.WriteImage(image, "image.nrrd")
    sitk.WriteImage(image > 100, "mask.nrrd")
    sitk.WriteImage(image - 1000, "ct.nrrd")
    sitk.WriteImage(sitk.Flip(image > 100, [True, False, False]), "mirrored.nrrd")
    before = Path("image.nrrd").read_bytes()
    files = {name: f"{name.removeprefix('./').lower()}.nrrd" for name in ("IMAGE", "./IMAGE", "MASK", "MIRRORED", "CT")}
    words = [files.get(word, word) for word in arguments]
    assert main(["run", "image.nrrd", *words]) == code
    assert sentence in capsys.readouterr().err
    assert Path("image.nrrd").read_bytes() == before
    assert {path.name for path in Path().iterdir()} == {"image.nrrd", "mask.nrrd", "ct.nrrd", "mirrored.nrrd"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import SimpleITK as sitk

    monkeypatch.chdir(tmp_path)
    sitk.WriteImage(an_oblique_image(), "image.nrrd")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["f1.png", "new.png", "../frames/F0.png"])
def test_no_picture_is_written_among_the_frames_that_are_read(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "frames").mkdir()
    for number in range(2):
        Image.fromarray(np.full((60, 80), 90 * number, np.uint8)).save(folder / "frames" / f"f{number}.png")
    before = contents(folder)
    words = ["frames", "--box", "2", "2", "0", "9", "9", "0", "--range", "0", "0", "--overlay", f"frames/{name}"]
    assert main(["run", *words, "--overwrite"]) == 3
    assert contents(folder) == before
    assert "frames" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["symlink_to", "hardlink_to"])
def test_an_input_under_another_name_is_an_input(folder: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    getattr(Path("other.nrrd"), kind)(folder / "image.nrrd")
    before = contents(folder)
    assert main(["run", "image.nrrd", *BOX, "-o", "other.nrrd", "--overwrite"]) == 3
    assert contents(folder) == before
    assert "other.nrrd is one of the inputs" in capsys.readouterr().err


def test_the_voxels_of_a_header_are_an_input_too(folder: Path) -> None:
    import SimpleITK as sitk

    sitk.WriteImage(an_oblique_image(), "image.mhd")
    Path("image.raw").rename("image.nii")
    Path("image.mhd").write_text(
        Path("image.mhd").read_text(encoding="utf-8").replace("image.raw", "image.nii"), encoding="utf-8"
    )
    before = contents(folder)
    assert main(["run", "image.mhd", *BOX, "-o", "image.nii", "--overwrite"]) == 3
    assert contents(folder) == before


def test_a_dicom_slice_of_the_folder_is_an_input(folder: Path) -> None:
    import SimpleITK as sitk

    (folder / "series").mkdir()
    sitk.WriteImage(an_oblique_image()[:, :, 0], "series/a.dcm")
    Path("series/a.dcm").rename("series/a.json")
    before = contents(folder)
    words = ["series", "--box", "26", "16", "0", "74", "52", "0", "--report", "series/a.json"]
    assert main(["run", *words, "--overwrite"]) == 3
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["out.nrrd", "out.labels.json", "out.png", "report.json"])
def test_what_is_there_is_kept_unless_told_otherwise(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(name).write_text("the user's own", encoding="utf-8")
    words = ["-o", "out.nrrd", "--overlay", "out.png", "--report", "report.json"]
    assert main(["run", "image.nrrd", *BOX, *words]) == 3
    said = capsys.readouterr().err
    assert f"{name} is there already" in said
    assert "--overwrite" in said
    with pytest.raises(AssertionError, match="the model was asked for"):
        raise_through(["run", "image.nrrd", *BOX, *words, "--overwrite"])
    assert Path(name).read_text(encoding="utf-8") == "the user's own"


def raise_through(words: list[str]) -> None:
    """Run a command without the net that makes sentences of exceptions."""
    options = build_parser().parse_args(words)
    run.run(options)


@pytest.mark.skipif(os.name != "posix", reason="terminals of POSIX")
@pytest.mark.parametrize(("answer", "code"), [("n", 5), ("", 5), ("y", 4)])
def test_on_a_terminal_the_user_is_asked(folder: Path, answer: str, code: int) -> None:
    """With "y" the run goes on to the model, which is not there."""
    import pty

    Path("out.nrrd").write_text("the user's own", encoding="utf-8")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "MedSAMSegmentLib", "run", "image.nrrd", *BOX, "-o", "out.nrrd", "--offline"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs,
        env={**os.environ, "MEDSAM_MODEL_DIR": str(folder / "none"), "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:  # fmt: skip
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        said = b""
        with contextlib.suppress(OSError):
            while piece := os.read(ours, 4096):
                said += piece
    os.close(ours)
    assert process.returncode == code, said
    assert b"Replace out.nrrd? [y/N]" in said
    assert Path("out.nrrd").read_text(encoding="utf-8") == "the user's own"


def test_a_file_that_appeared_during_the_run_is_kept(folder: Path) -> None:
    Path("old.png").touch()
    asked = [Outputs("out.nii.gz", "old.png", None)]
    (outputs,) = check_all(asked, overwrite=True)
    assert outputs.beside_what_appeared() == outputs
    Path("out.labels.json").touch()
    Path("out_2.nii.gz").touch()
    chosen = outputs.beside_what_appeared()
    assert (chosen.segmentation, chosen.overlay) == ("out_3.nii.gz", "old_3.png")
