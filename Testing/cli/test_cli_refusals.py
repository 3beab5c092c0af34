"""What `medsam-segment run` takes and refuses before it loads a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_support import an_oblique_image

from MedSAMSegmentLib.cli import main
from MedSAMSegmentLib.commands import run
from MedSAMSegmentLib.commands.prompt_options import objects_from_options
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.io.segments import SegmentToWrite
from MedSAMSegmentLib.io.volume import Volume
from MedSAMSegmentLib.io.write_segmentation import write_segmentation
from MedSAMSegmentLib.prompts import MaskPrompt

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
        (("--mask", "CT", "1", "-o", "out.nrrd"), 3, "is not a label map"),
        (("--mask", "MIRRORED", "1", "-o", "out.nrrd"), 3, "elsewhere in space"),
        (("--mask", "MASK", "9", "-o", "out.nrrd"), 3, "outside 0 to 2"),
        ((*BOX, "-o", "out.png"), 2, "Use one of .seg.nrrd"),
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
