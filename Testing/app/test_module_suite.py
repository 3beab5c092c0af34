"""The module's own test class, as an extension's build machine and "Reload and Test" run it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def case(application: Any) -> Any:
    application.load_module(REPO / "MedSAMSegment" / "MedSAMSegment.py")
    application.finish_startup()
    return sys.modules["MedSAMSegment"].MedSAMSegmentTest()


def use_stories(monkeypatch: pytest.MonkeyPatch, **stories: Any) -> list[str]:
    """The named stories instead of the scenarios; what ran."""
    import MedSAMSegmentScenarios as testing

    ran: list[str] = []

    def noted(name: str, story: Any) -> Any:
        def run() -> None:
            ran.append(name)
            story()

        run.needs_weights = getattr(story, "needs_weights", False)  # type: ignore[attr-defined]
        return run

    noted_stories = {name: noted(name, story) for name, story in stories.items()}
    monkeypatch.setattr(testing, "scenarios", lambda: noted_stories)
    return ran


def good() -> None:
    """Passes."""


def bad() -> None:
    raise AssertionError("this one is broken")


def test_a_failure_is_told_and_does_not_hide_the_others(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = use_stories(monkeypatch, first=good, second=bad, third=good)
    with pytest.raises(AssertionError, match=r"2 passed, 0 skipped, 1 failed\nFAILED second: .*broken"):
        case.runTest()
    assert ran == ["first", "second", "third"]


@pytest.mark.parametrize("lacks", ["torch", "weights", "platformdirs"])
def test_a_machine_without_torch_or_weights_is_green(
    case: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lacks: str
) -> None:
    from MedSAMSegmentScenarios import needs_weights, suite

    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(tmp_path))
    monkeypatch.setattr(suite, "is_installed", lambda name: lacks != "torch")
    if lacks == "platformdirs":

        def nowhere() -> Any:
            raise ImportError(name="platformdirs")

        monkeypatch.setattr(suite, "model_store", nowhere)
    ran = use_stories(monkeypatch, heavy=needs_weights(lambda: None), light=good)
    case.runTest()
    assert ran == ["light"]


def test_scenarios_that_run_the_model_are_marked(case: Any) -> None:
    from MedSAMSegmentScenarios import scenarios

    marked = {name for name, story in scenarios().items() if getattr(story, "needs_weights", False)}
    assert {"two_actions_from_ct_to_3d_lung", "cancel_stops_and_a_killed_worker_is_replaced"} <= marked


def test_the_users_interpreter_and_options_come_back(
    case: Any, application: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    from MedSAMSegmentLib.ui.worker_settings import choose_interpreter, choose_model_folder

    def changes_everything() -> None:
        choose_interpreter("")
        choose_model_folder("/elsewhere")
        node.SetAttribute("MedSAM.Direction", "up")
        node.SetAttribute("MedSAM.Extra", "1")

    slicer.util.selectModule("SegmentEditor")
    node = slicer.modules.SegmentEditorWidget.editor.mrmlSegmentEditorNode()
    choose_interpreter("/opt/cuda/bin/python")
    choose_model_folder("/models")
    node.SetAttribute("MedSAM.Direction", "down")
    use_stories(monkeypatch, changing=changes_everything)
    with pytest.raises(AssertionError, match="FAILED changing: AssertionError: left behind: settings: "):
        case.runTest()
    settings = slicer.app.userSettings()
    assert settings.value("MedSAMSegment/Interpreter") == "/opt/cuda/bin/python"
    assert settings.value("MedSAMSegment/ModelFolder") == "/models"
    node = slicer.modules.SegmentEditorWidget.editor.mrmlSegmentEditorNode()
    assert node.GetAttribute("MedSAM.Direction") == "down"
    assert node.GetAttribute("MedSAM.Extra") is None


def choose_another_folder(folder: Path) -> None:
    from MedSAMSegmentLib.ui.worker_settings import choose_model_folder

    choose_model_folder(str(folder))


def split_the_views(folder: Path) -> None:
    import slicer

    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda folder: (folder / "chosen" / "own-mine.pth").write_bytes(b"x"), "models"),
        (lambda folder: (folder / "chosen" / "lite_medsam.pth").write_bytes(b"other"), "models"),
        (lambda folder: (folder / "chosen" / "lite_medsam.pth").unlink(), "models"),
        (lambda folder: (folder / "default" / "own-mine.pth").write_bytes(b"x"), "models"),
        (lambda folder: os.environ.update(MEDSAM_ANYTHING="1"), "variables"),
        (choose_another_folder, "settings"),
        (split_the_views, "layout"),
    ],
)
def test_a_scenario_that_leaves_something_behind_fails(
    case: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, act: Callable[[Path], object], told: str
) -> None:
    from MedSAMSegmentScenarios import suite

    for name in ("chosen", "default"):
        (tmp_path / name).mkdir()
    (tmp_path / "chosen" / "lite_medsam.pth").write_bytes(b"weights")
    monkeypatch.setattr(suite, "default_model_folder", lambda: tmp_path / "default")
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(tmp_path / "chosen"))
    use_stories(monkeypatch, untidy=lambda: act(tmp_path))
    with pytest.raises(AssertionError, match=f"left behind: {told}: "):
        case.run_scenario("untidy")


def test_settings_that_were_not_there_are_gone_again(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import slicer

    use_stories(monkeypatch, untidy=lambda: choose_another_folder(Path("/elsewhere")))
    with pytest.raises(AssertionError, match="left behind"):
        case.run_scenario("untidy")
    assert not slicer.app.userSettings().contains("MedSAMSegment/ModelFolder")


def test_what_use_of_a_checkpoint_leaves_is_no_change(
    case: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(tmp_path))

    def uses() -> None:
        (tmp_path / "lite_medsam.pth.record.json").write_text("{}")
        (tmp_path / "lite_medsam.pth.lock").touch()
        (tmp_path / "engines").mkdir()

    use_stories(monkeypatch, tidy=uses)
    case.run_scenario("tidy")


def test_the_error_of_a_scenario_is_not_hidden_by_what_it_leaves(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks() -> None:
        choose_another_folder(Path("/elsewhere"))
        raise AssertionError("this one is broken")

    use_stories(monkeypatch, broken=breaks)
    with pytest.raises(AssertionError, match="this one is broken"):
        case.run_scenario("broken")


def first_of_none() -> Any:
    """What Sample Data does when a download gave no node."""
    nodes: list[Any] = []
    return nodes[0]


def sample_data(monkeypatch: pytest.MonkeyPatch, download: Any) -> None:
    """The application's Sample Data with this download of the chest CT."""
    logic = sys.modules["SampleData"].SampleDataLogic  # type: ignore[attr-defined]
    monkeypatch.setattr(logic, "downloadCTChest", lambda self: download(), raising=False)


@pytest.mark.parametrize(
    ("download", "reason"),
    [(first_of_none, "no sample data: IndexError: .*"), (lambda: None, "no sample data: the download gave no volume")],
)
def test_without_a_network_the_scenario_of_the_sample_is_skipped(
    case: Any, monkeypatch: pytest.MonkeyPatch, download: Any, reason: str
) -> None:
    from unittest import SkipTest

    from MedSAMSegmentScenarios.phantom import chest_ct

    monkeypatch.delenv("MEDSAM_CT_CHEST", raising=False)
    sample_data(monkeypatch, download)
    with pytest.raises(SkipTest, match=reason):
        chest_ct()


def test_a_named_file_stands_for_the_sample(
    case: Any, monkeypatch: pytest.MonkeyPatch, chest_ct_path: Path, tmp_path: Path
) -> None:
    from MedSAMSegmentScenarios.phantom import chest_ct

    sample_data(monkeypatch, lambda: pytest.fail("nothing is downloaded"))
    monkeypatch.setenv("MEDSAM_CT_CHEST", str(chest_ct_path))
    assert chest_ct().GetName() == chest_ct_path.stem
    monkeypatch.setenv("MEDSAM_CT_CHEST", str(tmp_path / "gone.nrrd"))
    with pytest.raises(RuntimeError):
        chest_ct()
