"""What `medsam-segment run` refuses before it loads a model."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_support import an_oblique_image

from MedSAMSegmentLib.cli import main
from MedSAMSegmentLib.commands import run

BOX = ("--box", "26", "16", "0", "74", "52", "2")


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the model was asked for")

    monkeypatch.setattr(run, "open_image", fail)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ((*BOX, "-o", "IMAGE"), 3, "is one of the inputs"),
        ((*BOX, "--report", "r.json", "-o", "./IMAGE"), 3, "is one of the inputs"),
        (("--mask", "MASK", "1", "-o", "MASK"), 3, "is one of the inputs"),
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
    before = Path("image.nrrd").read_bytes()
    words = [word.replace("IMAGE", "image.nrrd").replace("MASK", "mask.nrrd") for word in arguments]
    assert main(["run", "image.nrrd", *words]) == code
    assert sentence in capsys.readouterr().err
    assert Path("image.nrrd").read_bytes() == before
    assert {path.name for path in Path().iterdir()} == {"image.nrrd", "mask.nrrd"}
