"""`medsam-segment gui`: what is refused before a window opens, and the whole program with the real model."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import slicerio
import yaml

from MedSAMSegmentLib.cli import main
from MedSAMSegmentLib.io.read_segmentation import read_segmentation

REPO = Path(__file__).resolve().parents[2]
CHEST = Path(slicerio.__file__).parent / "data" / "CTChest4.nrrd"


def without(monkeypatch: pytest.MonkeyPatch, *missing: str, present: tuple[str, ...] = ()) -> None:
    """Let packages be there, or not, whatever is installed."""
    find, something = importlib.util.find_spec, importlib.util.find_spec("numpy")

    def found(name: str, *more: str) -> object:
        if name in missing:
            return None
        return something if name in present else find(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", found)


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (("napari", "qtpy", "PySide6", "PyQt6", "PyQt5"), "(napari, qtpy, PySide6)"),
        (("PySide6", "PyQt6", "PyQt5"), "(PySide6)"),
    ],
)
def test_without_the_extra_one_sentence_says_how_to_get_it(
    missing: tuple[str, ...], named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without(monkeypatch, *missing, present=tuple({"napari", "qtpy"} - set(missing)))
    assert main(["gui"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert named in line
    assert 'pip install "MedSAMSegmentLib[napari]"' in line


@pytest.mark.parametrize(
    ("arguments", "exit_code", "reason"),
    [
        (("nothing.nrrd",), 3, "nothing.nrrd does not exist"),
        (("note.txt",), 3, "note.txt"),
        (("--model", "nothing"), 2, "no model named"),
        ((), 2, "There is no screen here."),
    ],
)
def test_a_window_that_cannot_be_is_refused(
    *,
    arguments: tuple[str, ...],
    exit_code: int,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    without(monkeypatch, present=("napari", "qtpy", "PySide6"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    Path("note.txt").write_text("no image", encoding="utf-8")
    assert main(["gui", "--offline", *arguments]) == exit_code
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert reason in line


def test_the_manifest_names_what_is_there() -> None:
    manifest = yaml.safe_load((REPO / "MedSAMSegmentLib" / "napari" / "napari.yaml").read_text(encoding="utf-8"))
    project = (REPO / "pyproject.toml").read_text(encoding="utf-8")
    assert f'{manifest["name"]} = "MedSAMSegmentLib.napari:napari.yaml"' in project
    commands = {command["id"]: command["python_name"] for command in manifest["contributions"]["commands"]}
    for kind in ("widgets", "readers"):
        for one in manifest["contributions"][kind]:
            module, _, name = commands[one["command"]].partition(":")
            file = REPO.joinpath(*module.split(".")).with_suffix(".py")
            assert any(f"{word} {name}" in file.read_text(encoding="utf-8") for word in ("def", "class"))


def test_npe2_takes_the_manifest() -> None:
    npe2 = pytest.importorskip("npe2", reason="npe2 is not installed: pip install 'MedSAMSegmentLib[napari]'")
    manifest = npe2.PluginManifest.from_file(REPO / "MedSAMSegmentLib" / "napari" / "napari.yaml")
    manifest.validate_imports()


STORY = """
    import sys

    sys.modules["torch"] = None  # an attempt to import it fails

    import napari
    import numpy as np
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

    from MedSAMSegmentLib.cli import main
    from MedSAMSegmentLib.napari.widget import SegmentWidget

    OUT = sys.argv[1]
    steps = []


    def widget():
        (found,) = [one for one in QApplication.allWidgets() if isinstance(one, SegmentWidget)]
        return found


    def draw():
        here = widget()
        assert here.objects.shapes.mode == "add_rectangle"
        here.viewer.dims.set_point(0, here.image_layer.data_to_world((20, 0, 0))[0])
        here.objects.shapes.add([[20, 38, 56], [20, 38, 104], [20, 96, 104], [20, 96, 56]], shape_type="rectangle")
        steps.append("drawn")


    def run():
        here = widget()
        if not here.status.text().startswith("Preview of"):
            return
        here.first_box.setValue(19)
        here.last_box.setValue(21)
        here.run_button.click()
        assert here.cancel_button.isEnabled()
        steps.append("run")


    def save():
        here = widget()
        if here.computation.running:
            return
        print("RUN", here.status.text())
        print("PID", here.computation.process_id)
        here.save(OUT)
        steps.append("saved")


    def leave():
        here = widget()
        if here.status.text().startswith("Saved"):
            steps.append("left")
            here.viewer.close()


    ORDER = [draw, run, save, leave]


    def tick():
        if len(steps) < len(ORDER):
            ORDER[len(steps)]()


    napari_run = napari.run


    def driven():
        timer = QTimer()
        timer.timeout.connect(tick)
        timer.start(50)
        napari_run()
        timer.stop()


    napari.run = driven
    code = main(["gui", sys.argv[2], "--offline", "--quiet"])
    print("STEPS", *steps)
    print("TORCH", sorted(name for name in sys.modules if name.split(".")[0] == "torch"))
    sys.exit(code)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes of Linux")
def test_the_whole_program_gives_the_mask_of_the_command_line(
    request: pytest.FixtureRequest, lite_checkpoint: Path, tmp_path: Path
) -> None:
    pytest.importorskip("napari.layers", reason="napari is not installed: pip install 'MedSAMSegmentLib[napari]'")
    request.getfixturevalue("screen")
    from napari_support import is_running

    here = {"MEDSAM_MODEL_DIR": str(lite_checkpoint.parent), "PYTHONPATH": str(REPO)}
    environment = {**os.environ, **here}
    story = [sys.executable, "-c", textwrap.dedent(STORY), str(tmp_path / "gui.seg.nrrd"), str(CHEST)]
    done = subprocess.run(story, env=environment, capture_output=True, encoding="utf-8", timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    assert lines["STEPS"] == "drawn run saved left"
    assert lines["TORCH"] == "['torch']", "the ban alone"
    assert "Traceback" not in done.stderr
    assert not is_running(int(lines["PID"]))
    box = ["56", "38", "20", "104", "96", "20"]
    command = [sys.executable, "-m", "MedSAMSegmentLib", "run", str(CHEST), "--box", *box, "--range", "19", "21"]
    subprocess.run(
        [*command, "--stop", "--offline", "--quiet", "-o", str(tmp_path / "run.seg.nrrd")], env=environment, check=True
    )
    (drawn,), (typed,) = (read_segmentation(tmp_path / f"{name}.seg.nrrd").segments for name in ("gui", "run"))
    assert drawn.mask_zyx.sum() > 2000
    assert drawn.mask_zyx.any(axis=(1, 2)).nonzero()[0].tolist() == list(range(19, 22))
    assert np.array_equal(drawn.mask_zyx, typed.mask_zyx)
