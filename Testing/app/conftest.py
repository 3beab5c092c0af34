"""Fixtures of the harness: `application`, `editor`, `module_panel`, `a_chest_ct`, `no_torch_here`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
sys.path[:0] = [str(HERE), str(REPO / "MedSAMSegment")]


def _untranslated() -> ModuleType:
    """What of Slicer's translations the tests without an application need: their texts are the English ones."""
    module = ModuleType("slicer.i18n")
    module.__dict__["tr"] = lambda text: text
    return module


MISSING = [name for name in ("slicer", "PySide6", "psutil") if importlib.util.find_spec(name) is None]
if MISSING:
    collect_ignore_glob = ["test_*.py"]
else:
    sys.modules.setdefault("slicer.i18n", _untranslated())
    import psutil
    from slicer_harness.application import Application
    from slicer_harness.torch_ban import TorchBan, torch_banned


def pytest_report_header() -> list[str]:
    """Say why this area is left out, where it is."""
    return [f"Testing/app is left out: {', '.join(MISSING)} not installed"] if MISSING else []


@contextmanager
def no_torch() -> Iterator[TorchBan]:
    """The process is Slicer's: an import of torch or torchvision fails, and no one may even have tried."""
    with torch_banned() as ban:
        yield ban
    assert ban.attempts == [], f"torch was imported in the Slicer process: {ban.attempts}"


@contextmanager
def running_application(folder: Path) -> Iterator[Application]:
    """A running application with an empty scene. It fails at its end when the host had to swallow an error of ours."""
    processes_before = set(psutil.Process().children(recursive=True))
    running = Application(folder)
    try:
        yield running
    finally:
        running.close()
    assert [str(error) for error in running.errors] == [], "the application printed and swallowed errors"
    left = set(psutil.Process().children(recursive=True)) - processes_before
    _, alive = psutil.wait_procs(left, timeout=10)
    assert [process.cmdline() for process in alive] == [], "a process outlives the application"


@pytest.fixture
def no_torch_here() -> Iterator[TorchBan]:
    with no_torch() as ban:
        yield ban


@pytest.fixture
def application(no_torch_here: TorchBan, tmp_path: Path) -> Iterator[Application]:
    """An application of the test's own."""
    with running_application(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def shared_application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """One application for all tests of a file, one after the other."""
    with no_torch(), running_application(tmp_path_factory.mktemp("application")) as running:
        yield running


@pytest.fixture
def editor(application: Application) -> Any:
    """The Segment Editor's widget, with the module opened."""
    return application.open_segment_editor()


@pytest.fixture
def module_panel(application: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module's panel, shown with an empty model folder."""
    import slicer

    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(tmp_path / "models"))
    module = application.load_module(REPO / "MedSAMSegment" / "MedSAMSegment.py")
    application.finish_startup()
    slicer.util.selectModule("MedSAMSegment")
    yield module.widgetRepresentation().self().panel
    module.widgetRepresentation().self().cleanup()


@pytest.fixture(scope="session")
def chest_ct_path() -> Path:
    """The real chest CT that slicerio brings (CTChest4.nrrd, 4 mm slices)."""
    slicerio = pytest.importorskip("slicerio", reason="slicerio is not installed")
    path = Path(slicerio.__file__).parent / "data" / "CTChest4.nrrd"
    if not path.is_file():
        pytest.skip(f"{path} is missing")
    return path


@pytest.fixture
def a_chest_ct(application: Application, chest_ct_path: Path) -> Any:
    """The chest CT as a volume node, shown in all slice views."""
    import slicer

    node = slicer.util.loadVolume(str(chest_ct_path))
    for name in application.layout_manager.sliceViewNames():
        view = application.view(name)
        view.mrmlSliceCompositeNode().SetBackgroundVolumeID(node.GetID())
        view.fitSliceToBackground()
    return node
