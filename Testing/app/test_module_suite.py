"""The module's own test class, as an extension's build machine and "Reload and Test" run it."""

from __future__ import annotations

import sys
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
    case.runTest()
    settings = slicer.app.userSettings()
    assert settings.value("MedSAMSegment/Interpreter") == "/opt/cuda/bin/python"
    assert settings.value("MedSAMSegment/ModelFolder") == "/models"
    node = slicer.modules.SegmentEditorWidget.editor.mrmlSegmentEditorNode()
    assert node.GetAttribute("MedSAM.Direction") == "down"
    assert node.GetAttribute("MedSAM.Extra") is None
