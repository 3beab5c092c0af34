"""The module's panel: it always draws, and every button says what it did."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def panel(module_panel: Any) -> Any:
    """The panel with its sections open."""
    module_panel.interpreter.frame.collapsed = False
    module_panel.help_section.collapsed = False
    return module_panel


SMALL_NAMES = {"filelock", "platformdirs", "safetensors"}


def only(present: set[str]) -> Any:
    """Versions of packages where only these are there, new enough."""
    return lambda name: "99" if name in present else None


def row_of(panel: Any, model_id: str) -> int:
    panel.models.choose(model_id)
    return panel.models.table.currentRow()


def said(section: Any) -> str:
    """What the status of a section says, without the places where a long word may be broken."""
    return section.status.text.replace("\u200b", "")


def cell(panel: Any, model_id: str, column: int) -> str:
    return panel.models.table.item(row_of(panel, model_id), column).text()


def test_the_panel_lists_every_model_with_state_size_and_licence(panel):
    from MedSAMSegmentLib.registry import entries

    assert panel.models.table.rowCount == len(entries())
    assert cell(panel, "lite_medsam", 1) == "download 39 MB"
    assert cell(panel, "lite_medsam", 2) == "Apache-2.0"
    assert cell(panel, "medsam2", 2) == "CC-BY-SA-4.0"


def test_nothing_starts_and_nothing_is_asked_on_opening(panel, application):
    assert application.dialogs.messages == []
    assert application.packages.installed == []
    assert not panel.models.jobs.busy


def test_a_file_is_imported_by_a_process_of_its_own_and_a_wrong_one_is_refused(panel, application, tmp_path):
    wrong = tmp_path / "some.pth"
    wrong.write_bytes(b"x" * 1000)
    panel.models.choose("lite_medsam")
    application.dialogs.answer(str(wrong))
    application.actions.press(panel.models.import_file)
    assert panel.models.jobs.busy
    application.wait_until(lambda: not panel.models.jobs.busy, 60)
    assert "some.pth is not a checkpoint" in said(panel.models)
    assert cell(panel, "lite_medsam", 1) == "download 39 MB"


def test_weights_of_the_users_own_are_kept_listed_and_removed(panel, application, tmp_path, lite_checkpoint):
    from MedSAMSegmentScenarios.own_weights import altered_copy

    from MedSAMSegmentLib.registry import entries

    mine = altered_copy(lite_checkpoint, tmp_path / "my lungs.pth")
    panel.models.choose("medsam2")
    application.dialogs.answer(str(mine))
    application.actions.press(panel.models.import_file)
    application.wait_until(lambda: not panel.models.jobs.busy, 120)
    assert panel.models.status.text == "Imported as my_lungs (own, LiteMedSAM)."
    assert panel.models.chosen.entry.id == "own-my_lungs.pth"
    assert panel.models.table.rowCount == len(entries()) + 1
    assert cell(panel, "own-my_lungs.pth", 0) == "my_lungs (own, LiteMedSAM)"
    assert cell(panel, "own-my_lungs.pth", 1) == "ready"
    assert not panel.models.download.enabled

    (tmp_path / "models" / "own-my_lungs.pth").unlink()
    panel.models.refresh()
    assert cell(panel, "own-my_lungs.pth", 1) == "missing or damaged: import it again"
    application.dialogs.answer(True)
    application.actions.press(panel.models.remove)
    application.wait_until(lambda: not panel.models.jobs.busy, 60)
    assert panel.models.table.rowCount == len(entries())
    assert [p.name for p in (tmp_path / "models").glob("own-*") if p.suffix != ".lock"] == []


def test_weights_that_fit_no_network_are_refused_with_the_nearest(panel, application, tmp_path, lite_checkpoint):
    """Written by a process of its own: torch is not for this one."""
    import subprocess

    mine = tmp_path / "mine.pth"
    code = (
        "import sys, torch\n"
        "tensors = torch.load(sys.argv[1], weights_only=True)\n"
        "torch.save(tensors | {'more': torch.zeros(3)}, sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", code, str(lite_checkpoint), str(mine)], check=True)
    panel.models.choose("lite_medsam")
    panel.models.import_path(str(mine))
    application.wait_until(lambda: not panel.models.jobs.busy, 120)
    assert "belong to no known model" in panel.models.status.text
    assert "The nearest is LiteMedSAM" in panel.models.status.text


def test_a_published_file_chosen_for_another_model_goes_where_it_belongs(panel, application, lite_checkpoint):
    panel.models.choose("medsam2")
    panel.models.import_path(str(lite_checkpoint))
    application.wait_until(lambda: not panel.models.jobs.busy, 60)
    assert panel.models.status.text == "Imported as LiteMedSAM."
    assert cell(panel, "lite_medsam", 1) == "ready"


def test_the_right_file_is_imported_and_removed_again(panel, application, tmp_path, lite_checkpoint):
    panel.models.choose("lite_medsam")
    application.dialogs.answer(str(lite_checkpoint))
    application.actions.press(panel.models.import_file)
    application.wait_until(lambda: not panel.models.jobs.busy, 60)
    assert panel.models.status.text == "Done."
    assert cell(panel, "lite_medsam", 1) == "ready"
    application.dialogs.answer(True)
    application.actions.press(panel.models.remove)
    application.wait_until(lambda: not panel.models.jobs.busy, 60)
    assert cell(panel, "lite_medsam", 1) == "download 39 MB"
    assert not (tmp_path / "models" / "lite_medsam.pth").exists()


def test_a_licence_note_is_confirmed_before_a_download(panel, application):
    panel.models.choose("medsam2")
    application.dialogs.answer(False)
    application.actions.press(panel.models.download)
    assert "CC BY-SA 4.0" in application.dialogs.texts("confirmOkCancelDisplay")[0]
    assert not panel.models.jobs.busy


def test_a_download_without_network_ends_with_a_sentence(panel, application, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    panel.models.choose("sam_vit_b")
    application.actions.press(panel.models.download)
    application.wait_until(lambda: panel.models.jobs.busy)
    application.actions.press(panel.models.cancel)
    application.wait_until(lambda: not panel.models.jobs.busy, 60)
    assert panel.models.status.text != ""
    assert not panel.models.cancel.enabled


def test_the_self_check_shows_python_torch_and_devices(panel, application):
    application.actions.press(panel.interpreter.check)
    application.wait_until(lambda: panel.interpreter.answer is not None, 120)
    text = panel.interpreter.result.toPlainText()
    assert text.startswith("Python 3.")
    assert "PyTorch: 2." in text
    assert "cpu: works" in text


def test_an_interpreter_that_does_not_exist_is_a_sentence(panel, application):
    panel.interpreter.path.text = "/nowhere/python"
    panel.interpreter.path.editingFinished.emit()
    application.actions.press(panel.interpreter.check)
    assert "There is no Python interpreter at /nowhere/python" in said(panel.interpreter)


def test_what_is_missing_is_installed_after_one_question(panel, application, monkeypatch):
    from MedSAMSegmentLib.ui.panel import installer, interpreter_section, requirements

    present = {"torch", "platformdirs"}
    monkeypatch.setattr(installer, "missing", lambda: requirements.missing(only(present)))
    monkeypatch.setattr(interpreter_section, "missing", installer.missing)
    panel.interpreter.refresh()
    assert panel.interpreter.missing.text.startswith("Missing: filelock")
    application.dialogs.answer(True)
    application.packages.present = present
    application.actions.press(panel.interpreter.install)
    question = application.dialogs.texts("confirmOkCancelDisplay")
    assert len(question) == 1
    assert "filelock: 0.1 MB, licence Unlicense" in question[0]
    assert [name for call in application.packages.installed for name in call] == ["filelock>=3.12", "safetensors>=0.4"]
    panel.interpreter.cleanup()


def test_without_the_pytorch_extension_the_rest_is_installed_and_the_extensions_manager_opens(
    panel, application, monkeypatch
):
    from MedSAMSegmentLib.ui.panel import installer, interpreter_section, requirements

    present = {"filelock", "platformdirs"}
    monkeypatch.setattr(installer, "missing", lambda: requirements.missing(only(present)))
    monkeypatch.setattr(interpreter_section, "missing", installer.missing)
    panel.interpreter.refresh()
    application.packages.present = present
    application.dialogs.answer(True)
    application.actions.press(panel.interpreter.install)
    (question,) = application.dialogs.texts("confirmOkCancelDisplay")
    assert "safetensors: 1 MB" in question
    assert "the Extensions Manager opens" in question
    assert application.packages.installed == [("safetensors>=0.4",)]
    assert len(application.dialogs.texts("openExtensionsManagerDialog")) == 1
    assert "Install the extension PyTorch" in panel.interpreter.status.text


def test_a_refusal_installs_nothing_and_opens_nothing(panel, application, monkeypatch):
    from MedSAMSegmentLib.ui.panel import installer, interpreter_section, requirements

    monkeypatch.setattr(installer, "missing", lambda: requirements.missing(only(SMALL_NAMES)))
    monkeypatch.setattr(interpreter_section, "missing", installer.missing)
    panel.interpreter.refresh()
    application.dialogs.answer(False)
    application.actions.press(panel.interpreter.install)
    assert application.dialogs.texts("openExtensionsManagerDialog") == []
    assert application.packages.installed == []
    assert panel.interpreter.status.text == ""


def test_a_version_that_is_too_old_counts_as_missing(application):
    from MedSAMSegmentLib.ui.panel.requirements import missing, missing_text

    found = {"torch": "2.1.0+cu118", "filelock": "3.9", "platformdirs": "4.2.2", "safetensors": "1.0rc1"}
    old = missing(found.get)
    assert [r.name for r in old] == ["torch", "filelock"]
    assert missing_text(old[0], found.get) == "torch (2.1.0+cu118 is there, 2.4 is needed)"
    assert missing({**found, "torch": "2.4.0", "filelock": "3.12.0"}.get) == []
    assert "torch" in [r.name for r in missing({**found, "torch": "unknown"}.get)]


def test_torch_is_installed_by_its_extension(panel, application, monkeypatch):
    import types

    from MedSAMSegmentLib.ui.panel import installer, interpreter_section, requirements

    calls: list[dict[str, Any]] = []

    class PyTorchUtilsLogic:
        def installTorch(self, **options):
            calls.append(options)
            return object()

    utilities = types.ModuleType("PyTorchUtils")
    utilities.PyTorchUtilsLogic = PyTorchUtilsLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", utilities)
    monkeypatch.setattr(installer, "missing", lambda: requirements.missing(only(SMALL_NAMES)))
    monkeypatch.setattr(interpreter_section, "missing", installer.missing)
    panel.interpreter.refresh()
    application.dialogs.answer(True)
    application.actions.press(panel.interpreter.install)
    assert calls == [{"askConfirmation": False, "torchVersionRequirement": ">=2.4"}]
    assert "restart Slicer afterwards" in application.dialogs.texts("confirmOkCancelDisplay")[0]
    panel.interpreter.cleanup()


def test_slicer_510_installs_with_its_own_function(panel, application, monkeypatch):
    from MedSAMSegmentLib.ui.panel import installer

    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    installer._pip(["filelock>=3.12", "platformdirs>=4"])
    assert application.packages.installed == [("filelock>=3.12", "platformdirs>=4")]


def test_offline_help_names_every_file_with_its_hash(panel, application):
    from MedSAMSegmentLib.registry import entries

    text = panel.help.toPlainText()
    for entry in entries():
        assert entry.file_name in text
        assert entry.sha256 is None or entry.sha256 in text
    assert "pip download" in text


def test_offline_help_fetches_for_slicers_python_and_this_system(application):
    import platform

    from MedSAMSegmentLib.ui.panel.help_texts import offline_help
    from MedSAMSegmentLib.ui.panel.wheel_files import EVERYWHERE, SYSTEMS, wheel_system

    text = offline_help("/models", "/opt/Slicer/bin/PythonSlicer")
    (command,) = [line for line in text.splitlines() if "pip download" in line]
    assert "--python-version {}.{} ".format(*platform.python_version_tuple()) in command
    system = wheel_system()
    assert system is not None
    assert f"--platform {system.platforms[0]} " in command
    for requirement in ("torch>=2.4", "filelock>=3.12", "platformdirs>=4", "safetensors>=0.4"):
        assert f'"{requirement}"' in command
    assert '"/opt/Slicer/bin/PythonSlicer" -m pip install --no-index' in text
    for wheel in (*EVERYWHERE, *system.files):
        assert f"{wheel.name}\n       SHA-256 {wheel.sha256}" in text
    assert wheel_system("macosx-14.0-arm64") is SYSTEMS["macosx-arm64"]
    assert wheel_system("win-amd64") is SYSTEMS["win-amd64"]
    assert wheel_system("plan9-mips") is None


def test_recommended_files_are_new_enough_and_complete(application):
    from MedSAMSegmentLib.ui.panel.requirements import missing
    from MedSAMSegmentLib.ui.panel.wheel_files import EVERYWHERE, SYSTEMS

    for system in SYSTEMS.values():
        files = (*EVERYWHERE, *system.files)
        assert all(len(file.sha256) == 64 and int(file.sha256, 16) for file in files)
        versions = dict(file.name.split("-")[:2] for file in files)
        assert missing(versions.get) == []


def test_the_report_holds_versions_and_the_last_error(panel, application):
    import qt

    panel.interpreter.path.text = "/nowhere/python"
    panel.interpreter.path.editingFinished.emit()
    application.actions.press(panel.interpreter.check)
    application.actions.press(panel.copy_report)
    text = qt.QApplication.clipboard().text()
    assert "MedSAMSegment: " in text
    assert "Slicer: 5.12.3" in text
    assert "Error (worker): There is no Python interpreter" in text


def test_the_button_opens_the_segment_editor_with_the_effect(panel, application, a_chest_ct):
    import slicer

    application.actions.press(panel.open_editor)
    editor = slicer.modules.SegmentEditorWidget.editor
    assert editor.activeEffect().name == "MedSAM"
    assert editor.sourceVolumeNode() is a_chest_ct
    assert editor.segmentationNode() is not None


def test_a_module_loaded_into_a_running_session_brings_its_effect(application, monkeypatch, tmp_path, a_chest_ct):
    import slicer

    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(tmp_path))
    application.finish_startup()
    editor = application.open_segment_editor()
    assert editor.effectByName("MedSAM") is None
    module = application.load_module(REPO / "MedSAMSegment" / "MedSAMSegment.py")
    slicer.util.selectModule("MedSAMSegment")
    assert editor.effectByName("MedSAM") is not None
    panel = module.widgetRepresentation().self().panel
    application.actions.press(panel.open_editor)
    assert editor.activeEffect().name == "MedSAM"
    module.widgetRepresentation().self().cleanup()


def test_an_effect_that_is_missing_all_the_same_is_a_sentence(panel, application, monkeypatch):
    import slicer

    application.open_segment_editor()
    editor = type(slicer.modules.SegmentEditorWidget.editor)
    slicer.util.selectModule("MedSAMSegment")
    monkeypatch.setattr(editor, "effectByName", lambda self, name: None)
    monkeypatch.setattr(editor, "updateEffectList", lambda self: None)
    application.actions.press(panel.open_editor)
    assert "missing from the Segment Editor. Restart Slicer" in panel.status.text
    assert slicer.util.selectedModule() == "MedSAMSegment"


def open_panel(application: Any) -> Any:
    import slicer

    module = application.load_module(REPO / "MedSAMSegment" / "MedSAMSegment.py")
    slicer.util.selectModule("MedSAMSegment")
    return module.widgetRepresentation().self()


def test_the_panel_draws_when_the_library_cannot_be_imported(application, monkeypatch):
    application.load_module(REPO / "MedSAMSegment" / "MedSAMSegment.py")
    monkeypatch.setitem(sys.modules, "MedSAMSegmentLib.ui.panel.module_panel", None)
    widget = open_panel(application)
    assert widget.panel is None
    assert "cannot be loaded" in widget.layout.itemAt(0).widget().text


def test_the_panel_draws_when_it_cannot_be_built(application, monkeypatch):
    from MedSAMSegmentLib.ui.panel import module_panel

    monkeypatch.setattr(module_panel.qt, "QPlainTextEdit", None)
    widget = open_panel(application)
    assert widget.panel is None
    assert "cannot be loaded" in widget.layout.itemAt(widget.layout.count() - 1).widget().text


@pytest.mark.parametrize(
    ("broken", "title"), [("ModelsSection", "Models"), ("InterpreterSection", "Interpreter and device")]
)
def test_a_section_that_fails_leaves_the_others(application, monkeypatch, tmp_path, broken, title):
    import qt

    from MedSAMSegmentLib.ui.panel import module_panel

    def fails(*arguments: Any) -> Any:
        raise RuntimeError("no such thing")

    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(tmp_path))
    monkeypatch.setattr(module_panel, broken, fails)
    widget = open_panel(application)
    panel = widget.panel
    sections = {"ModelsSection": panel.models, "InterpreterSection": panel.interpreter}
    text = sections.pop(broken).frame.text
    assert text.startswith(f'"{title}" cannot be shown: ')
    assert "no such thing" in text
    (other,) = sections.values()
    assert other.frame.className() == "ctkCollapsibleButton"
    widget.enter()
    application.actions.press(panel.copy_report)
    assert "no such thing" in qt.QApplication.clipboard().text()
    widget.cleanup()


def test_a_folder_that_the_environment_names_is_not_changed_in_vain(panel, monkeypatch):
    assert not panel.models.change_folder.enabled
    assert "MEDSAM_MODEL_DIR" in panel.models.folder_note.text
    monkeypatch.delenv("MEDSAM_MODEL_DIR")
    panel.refresh()
    assert panel.models.change_folder.enabled
    assert panel.models.folder_note.text == ""


def test_a_job_reports_its_end_as_json(tmp_path):
    import subprocess

    script = REPO / "MedSAMSegmentLib" / "ui" / "model_job.py"
    done = subprocess.run(
        [sys.executable, "-s", str(script), str(REPO), "remove", "no_such_model"],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env={"MEDSAM_MODEL_DIR": str(tmp_path)},
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 1
    assert answer["code"] == "usage"
    assert "no_such_model" in answer["error"]
