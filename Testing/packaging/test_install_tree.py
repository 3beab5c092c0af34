"""The extension configures, builds and installs with CMake; all of it is there and imports from the installed tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from update_cmake_lists import FOLDERS, tracked_files

REPO = Path(__file__).resolve().parents[2]
CONFIG = Path(__file__).with_name("slicer_config")
SCRIPTED_MODULES = Path("lib/Slicer-5.12/qt-scripted-modules")
CMAKE = shutil.which("cmake")

pytestmark = pytest.mark.skipif(
    CMAKE is None or (shutil.which("cc") or shutil.which("cl")) is None, reason="cmake or a C compiler is not installed"
)


def run_cmake(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(CMAKE), *arguments], capture_output=True, encoding="utf-8", check=False)


def configure(source: Path, build: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run_cmake("-S", str(source), "-B", str(build), f"-DSlicer_DIR={CONFIG}", *options)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The build tree and the install tree of the extension."""
    build, install = tmp_path_factory.mktemp("build"), tmp_path_factory.mktemp("install")
    for step in (
        configure(REPO, build, "-DBUILD_TESTING=ON"),
        run_cmake("--build", str(build)),
        run_cmake("--install", str(build), "--prefix", str(install)),
    ):
        assert step.returncode == 0, step.stdout + step.stderr
    return build, install


def expected_files() -> set[str]:
    """Where each file of the repository must be, below qt-scripted-modules."""
    module = set(tracked_files("MedSAMSegment"))
    return module | {f"MedSAMSegmentLib/{name}" for name in tracked_files("MedSAMSegmentLib")}


@pytest.mark.parametrize("which", [0, 1], ids=["build tree", "install tree"])
def test_every_script_and_resource_is_in_the_tree(trees: tuple[Path, Path], which: int) -> None:
    root = trees[which] / SCRIPTED_MODULES
    present = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert present == expected_files()


def test_installed_files_have_the_content_of_the_repository(trees: tuple[Path, Path]) -> None:
    root = trees[1] / SCRIPTED_MODULES
    for folder in FOLDERS:
        for name in tracked_files(folder):
            installed = root / (name if folder == "MedSAMSegment" else f"{folder}/{name}")
            assert installed.read_bytes() == (REPO / folder / name).read_bytes()


WITHOUT_EDITABLE_INSTALL = """
import sys
from pathlib import Path

sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
sys.path[:] = [entry for entry in sys.path if entry in {kept!r} or not (Path(entry) / "MedSAMSegmentLib").is_dir()]
"""


def run_python(code: str, *path: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a Python that sees only the given folders besides its packages.

    The repository may be installed in development mode in this interpreter: that is taken out again, or it would hide
    that a file is missing.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment.update(PYTHONPATH=os.pathsep.join(map(str, path)), PYTHONDONTWRITEBYTECODE="1")
    prelude = WITHOUT_EDITABLE_INSTALL.format(kept=[str(folder) for folder in path])
    command = [sys.executable, "-c", prelude + textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, cwd=path[0], check=False)


def test_the_library_imports_from_the_installed_tree_without_torch(trees: tuple[Path, Path]) -> None:
    root = trees[1] / SCRIPTED_MODULES
    code = """
        import sys
        import MedSAMSegmentLib, MedSAMSegmentLib.registry, MedSAMSegmentLib.prompts, MedSAMSegmentLib.intensity
        print(MedSAMSegmentLib.__file__)
        assert "torch" not in sys.modules
    """
    finished = run_python(code, root)
    assert finished.returncode == 0, finished.stderr
    assert Path(finished.stdout.strip()).is_relative_to(root)


IMPORT_IN_THE_APPLICATION = """
    import sys
    from pathlib import Path

    sys.path.insert(0, {harness!r})
    from slicer_harness.application import Application
    from slicer_harness.torch_ban import torch_banned

    with torch_banned() as ban:
        application = Application(Path({folder!r}))
        module = application.load_module(Path({module!r}))
        application.finish_startup()
        import MedSAMSegmentLib
        import slicer

        names = [effect.name for effect in slicer.qSlicerSegmentEditorEffectFactory.instance().registeredEffects()]
        print("LIBRARY", MedSAMSegmentLib.__file__)
        print("EFFECTS", names)

        slicer.util.selectModule("MedSAMSegment")
        panel = module.widgetRepresentation().self().panel
        panel.interpreter.self_check()
        application.wait_until(lambda: panel.interpreter.answer or panel.interpreter.last_error, 300)
        print("PANEL", type(panel.models).__name__, type(panel.interpreter).__name__)
        print("WORKER", (panel.interpreter.answer or {{}}).get("kind"), panel.interpreter.last_error)
        module.widgetRepresentation().self().cleanup()

        from MedSAMSegmentScenarios.phantom import Phantom
        from MedSAMSegmentScenarios.workspace import Workspace

        phantom = Phantom()
        workspace = Workspace(phantom.node(), stand_in=True)
        workspace.draw_box(phantom)
        workspace.propagate()
        workspace.wait()
        print("SEGMENT", bool((workspace.mask() == phantom.ball(0)).all()))
        print("ERRORS", [str(error) for error in application.errors])
        application.close()
    print("TORCH", ban.attempts)
"""


@pytest.mark.parametrize("tree", ["installed", "source checkout"])
def test_effect_panel_and_worker_run_from_the_tree(trees: tuple[Path, Path], tmp_path: Path, tree: str) -> None:
    """From the installed tree, and in a development run with only MedSAMSegment/ on the path."""
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    pytest.importorskip("PySide6", reason="PySide6 is not installed")
    root = trees[1] / SCRIPTED_MODULES if tree == "installed" else REPO / "MedSAMSegment"
    if not (REPO / "MedSAMSegment" / "MedSAMSegment.py").is_file():
        pytest.fail("the repository has no MedSAMSegment/MedSAMSegment.py")
    code = IMPORT_IN_THE_APPLICATION.format(
        harness=str(REPO / "Testing" / "app"), folder=str(tmp_path), module=str(root / "MedSAMSegment.py")
    )
    empty = tmp_path / "empty"
    empty.mkdir()
    finished = run_python(code, empty)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    lines = dict(line.split(" ", 1) for line in finished.stdout.splitlines() if line.split(" ")[0].isupper())
    library = root if tree == "installed" else REPO
    assert Path(lines["LIBRARY"]).is_relative_to(library / "MedSAMSegmentLib")
    assert "'MedSAM'" in lines["EFFECTS"]
    assert lines["PANEL"] == "ModelsSection InterpreterSection"
    assert lines["WORKER"] == "done None"
    assert lines["SEGMENT"] == "True"
    assert lines["ERRORS"] == "[]"
    assert lines["TORCH"] == "[]"


@pytest.fixture
def copy_of_the_repository(tmp_path: Path) -> Path:
    """A copy that a test may break."""
    copy = tmp_path / "repo"
    for folder in FOLDERS:
        for name in [*tracked_files(folder), "CMakeLists.txt"]:
            target = copy / folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPO / folder / name, target)
    for name in ("CMakeLists.txt", "LICENSE"):
        shutil.copyfile(REPO / name, copy / name)
    return copy


def test_a_listed_file_that_does_not_exist_stops_the_configuration(
    copy_of_the_repository: Path, tmp_path: Path
) -> None:
    (copy_of_the_repository / "MedSAMSegmentLib" / "errors.py").unlink()
    finished = configure(copy_of_the_repository, tmp_path / "build")
    assert finished.returncode != 0
    assert "errors.py" in finished.stderr


def test_missing_metadata_stops_the_configuration(copy_of_the_repository: Path, tmp_path: Path) -> None:
    path = copy_of_the_repository / "CMakeLists.txt"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if "EXTENSION_DEPENDS" not in line]
    path.write_text("\n".join(lines), encoding="utf-8")
    finished = configure(copy_of_the_repository, tmp_path / "build")
    assert finished.returncode != 0
    assert "EXTENSION_DEPENDS" in finished.stderr
