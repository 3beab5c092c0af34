"""The wheel, built from the tracked files and installed outside a checkout, does what the README says."""

from __future__ import annotations

import configparser
import email
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pytest
import slicerio
from PIL import Image

from MedSAMSegmentLib.commands.demo import ORGANS
from MedSAMSegmentLib.io.read_segmentation import read_segmentation
from MedSAMSegmentLib.io.report import file_digest
from MedSAMSegmentLib.version import __version__

REPO = Path(__file__).resolve().parents[2]
CHEST = Path(slicerio.__file__).parent / "data" / "CTChest4.nrrd"
DEMO_DICE = {"right lung": 0.967, "left lung": 0.965, "thoracic vertebral column": 0.665}
MARGIN = 0.02
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def tracked(*folders: str) -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *folders]
    listed = subprocess.run(command, cwd=REPO, capture_output=True, encoding="utf-8", check=True).stdout.split("\0")
    return sorted(name for name in listed if name and (REPO / name).is_file())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy, so that no build folder of the checkout gets into it."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in tracked("pyproject.toml", "README.md", "LICENSE", "MedSAMSegmentLib", "MedSAMSegment"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPO / name, copy / name)
    is_here = setuptools_version() >= 77
    alone = ["--no-build-isolation", "--no-index"] if is_here else []
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *alone, "--wheel-dir", str(out), str(copy)]
    done = subprocess.run(pip, capture_output=True, encoding="utf-8", check=False)
    if done.returncode and not is_here:
        pytest.skip("setuptools 77, which the build needs, is not here and cannot be fetched")
    assert done.returncode == 0, done.stderr
    (found,) = out.glob("*.whl")
    return found


def setuptools_version() -> int:
    """Return the first number of the version beside this Python; 0 where there is none."""
    try:
        return int(version("setuptools").split(".")[0])
    except PackageNotFoundError:
        return 0


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; what the wheel depends on is looked up where it is installed already."""
    root = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root)], check=True)
    python = scripts(root) / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    done = subprocess.run([*install, str(wheel)], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    where = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    packages = subprocess.run([python, "-c", where], capture_output=True, encoding="utf-8", check=True).stdout.strip()
    theirs = {sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]}
    # Folders on such a line are not searched for .pth files: a development install of this repository stays out.
    Path(packages, "outside.pth").write_text("\n".join(sorted(theirs)) + "\n", encoding="utf-8")
    return root


def scripts(root: Path) -> Path:
    return root / ("Scripts" if os.name == "nt" else "bin")


def start(
    environment: Path, folder: Path, program: str, *arguments: str, models: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment in a folder."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MEDSAM_"))}
    variables |= {"MEDSAM_MODEL_DIR": str(models or folder / "models"), "MEDSAM_ENGINE": "torch"}
    return subprocess.run(
        [str(scripts(environment) / program), *arguments],
        cwd=folder, env=variables, capture_output=True, encoding="utf-8", timeout=1800, check=False,
    )  # fmt: skip


@pytest.fixture
def run(environment: Path, tmp_path: Path) -> Run:
    """Run a program of the environment in an empty folder."""
    return partial(start, environment, tmp_path)


@pytest.fixture(scope="module")
def demo(environment: Path, lite_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The demo of all organs, with the real weights; it takes a minute or more, so it runs once."""
    folder = tmp_path_factory.mktemp("demo")
    done = start(
        environment, folder, "medsam-segment", "demo", "--output", "new", "--offline", models=lite_checkpoint.parent
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "new", done.stdout


def test_the_wheel_holds_the_library_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    page, manifest = "MedSAMSegmentLib/service/viewer/", "MedSAMSegmentLib/napari/napari.yaml"
    kept = (".py", ".json", "py.typed", manifest)
    library = {n for n in tracked("MedSAMSegmentLib") if n.endswith(kept) or n.startswith(page)}
    assert {f"{page}index.html", manifest} <= library
    assert {name for name in names if ".dist-info/" not in name} == library
    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]


def test_the_metadata_is_whole(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        facts = email.message_from_bytes(archive.read(name))
    assert facts["Version"] == __version__
    assert facts["Author"] == "The MedSAMSegment contributors"
    assert facts["License-Expression"] == "Apache-2.0"
    assert facts["Requires-Python"] == ">=3.10"
    assert "promptable segmentation" in facts["Keywords"]
    assert "Programming Language :: Python :: 3.13" in facts.get_all("Classifier", [])
    assert {url.split(",")[0] for url in facts.get_all("Project-URL", [])} >= {"Homepage", "Issues", "Changelog"}
    assert facts["Description-Content-Type"] == "text/markdown"


def test_napari_finds_the_manifest_by_the_entry_point(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt")]
        points = configparser.ConfigParser()
        points.optionxform = str  # type: ignore[assignment, method-assign]
        points.read_string(archive.read(name).decode())
        module, _, file = points["napari.manifest"]["MedSAMSegmentLib"].partition(":")
        assert f"{module.replace('.', '/')}/{file}" in archive.namelist()


def test_it_runs_from_the_environment(run: Run, environment: Path) -> None:
    done = run("python", "-c", "import MedSAMSegmentLib; print(MedSAMSegmentLib.__file__)")
    assert Path(done.stdout.strip()).resolve().is_relative_to(environment.resolve()), done.stderr


def test_help_version_and_models(run: Run) -> None:
    done = run("medsam-segment", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "medsam-segment" in done.stdout
    assert run("medsam-segment", "--version").stdout.strip() == f"medsam-segment {__version__}"
    done = run("medsam-segment", "models", "list")
    assert (done.returncode, done.stderr) == (0, "")
    assert "lite_medsam" in done.stdout


def test_info(run: Run) -> None:
    done = run("medsam-segment", "info", str(CHEST))
    assert (done.returncode, done.stderr) == (0, "")
    assert "10" in done.stdout, "mm between slices"


def test_the_readme_s_first_command_gives_a_mask(run: Run, lite_checkpoint: Path, tmp_path: Path) -> None:
    rows, columns = np.mgrid[:240, :320]
    disc = (rows - 135) ** 2 + (columns - 190) ** 2 < 50**2
    Image.fromarray(np.where(disc, 220, 60).astype(np.uint8)).save(tmp_path / "input.jpg")
    (command,) = re.findall(r"^medsam-segment (run input\.jpg .+)$", readme(), flags=re.MULTILINE)
    done = run("medsam-segment", *command.split(), "--offline", "--quiet", models=lite_checkpoint.parent)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "mask.png") as picture:
        mask = np.asarray(picture) > 0
    assert 2 * (mask & disc).sum() / (mask.sum() + disc.sum()) > 0.9


def test_the_readme_s_example_in_python_reads_and_writes(run: Run, lite_checkpoint: Path, tmp_path: Path) -> None:
    shutil.copyfile(CHEST, tmp_path / "ct.nrrd")
    (example,) = re.findall(r"```python\n(.+?)```", readme(), flags=re.DOTALL)
    # Fewer slices of the lung, which is what takes the time.
    example, count = re.subn(r"k=\(7, 33\)", "k=(19, 21)", example)
    assert count == 1
    (tmp_path / "example.py").write_text(example, encoding="utf-8")
    done = run("python", "example.py", models=lite_checkpoint.parent)
    assert done.returncode == 0, done.stderr
    (segment,) = read_segmentation(tmp_path / "lung.seg.nrrd").segments
    assert segment.name == "right lung"
    assert segment.mask_zyx.any(axis=(1, 2)).nonzero()[0].tolist() == [19, 20, 21]


def test_the_demo_prints_how_well_each_organ_was_found(demo: tuple[Path, str]) -> None:
    rows = {organ.name: next(line for line in demo[1].splitlines() if organ.name in line) for organ in ORGANS}
    scores = {name: float(line.removeprefix(name).split()[0]) for name, line in rows.items()}
    assert {name: score for name, score in scores.items() if score < DEMO_DICE[name] - MARGIN} == {}
    reported = {row["organ"]: row["dice"] for row in json.loads((demo[0] / "report.json").read_text())["table"]}
    assert scores == pytest.approx(reported, abs=1e-3)


def test_the_demo_leaves_segments_a_picture_and_a_report(demo: tuple[Path, str]) -> None:
    assert {path.name for path in demo[0].iterdir()} == {"chest.seg.nrrd", "chest.png", "report.json"}
    segments = read_segmentation(demo[0] / "chest.seg.nrrd").segments
    assert [segment.name for segment in segments] == [organ.name for organ in ORGANS]
    assert [":".join(segment.terminology.type) for segment in segments] == [organ.terminology for organ in ORGANS]
    with Image.open(demo[0] / "chest.png") as picture:
        assert picture.width > 200
    assert json.loads((demo[0] / "report.json").read_text())["input"]["sha256"] == file_digest(CHEST)


def readme() -> str:
    return (REPO / "README.md").read_text(encoding="utf-8")
