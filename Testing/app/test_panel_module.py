"""The module's panel: it always draws, and every button says what it did."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def panel(application: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The panel, opened, with an empty model folder."""
    import slicer

    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(tmp_path / "models"))
    module = application.load_module(REPO / "MedSAMSegment" / "MedSAMSegment.py")
    application.finish_startup()
    slicer.util.selectModule("MedSAMSegment")
    yield module.widgetRepresentation().self().panel
    module.widgetRepresentation().self().cleanup()


def row_of(panel: Any, model_id: str) -> int:
    panel.models.choose(model_id)
    return panel.models.table.currentRow()


def cell(panel: Any, model_id: str, column: int) -> str:
    return panel.models.table.item(row_of(panel, model_id), column).text()


def test_the_panel_lists_every_model_with_state_size_and_licence(panel):
    from MedSAMSegmentLib.registry import entries

    assert panel.models.table.rowCount == len(entries())
    assert cell(panel, "lite_medsam", 1) == "download 39 MB"
    assert cell(panel, "lite_medsam", 3) == "Apache-2.0"
    assert cell(panel, "medsam2", 3) == "CC-BY-SA-4.0"


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
    assert "is not the file of LiteMedSAM" in panel.models.status.text
    assert cell(panel, "lite_medsam", 1) == "download 39 MB"


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
    assert "There is no Python interpreter at /nowhere/python" in panel.interpreter.status.text


def test_what_is_missing_is_installed_after_one_question(panel, application, monkeypatch):
    from MedSAMSegmentLib.ui.panel import installer, interpreter_section, requirements

    present = {"torch", "platformdirs"}
    monkeypatch.setattr(installer, "missing", lambda: requirements.missing(lambda name: name in present))
    monkeypatch.setattr(interpreter_section, "missing", installer.missing)
    panel.interpreter.refresh()
    assert panel.interpreter.missing.text == "Missing: filelock, safetensors"
    application.dialogs.answer(True)
    application.packages.present = present
    application.actions.press(panel.interpreter.install)
    question = application.dialogs.texts("confirmOkCancelDisplay")
    assert len(question) == 1
    assert "filelock: 0.1 MB, licence Unlicense" in question[0]
    assert [name for call in application.packages.installed for name in call] == ["filelock>=3.12", "safetensors>=0.4"]
    panel.interpreter.cleanup()


def test_torch_without_its_extension_asks_for_the_extension(panel, application, monkeypatch):
    from MedSAMSegmentLib.ui.panel import installer, interpreter_section, requirements

    monkeypatch.setattr(installer, "missing", lambda: requirements.missing(lambda name: name != "torch"))
    monkeypatch.setattr(interpreter_section, "missing", installer.missing)
    panel.interpreter.refresh()
    application.actions.press(panel.interpreter.install)
    assert "Install the extension PyTorch" in panel.interpreter.status.text
    assert application.dialogs.messages == []
    assert application.packages.installed == []


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
    monkeypatch.setattr(installer, "missing", lambda: requirements.missing(lambda name: name != "torch"))
    monkeypatch.setattr(interpreter_section, "missing", installer.missing)
    panel.interpreter.refresh()
    application.dialogs.answer(True)
    application.actions.press(panel.interpreter.install)
    assert calls == [{"askConfirmation": False, "torchVersionRequirement": ">=2.4"}]
    panel.interpreter.cleanup()


def test_slicer_510_installs_with_its_own_function(panel, application, monkeypatch):
    from MedSAMSegmentLib.ui.panel import installer

    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    installer._pip(["filelock>=3.12", "platformdirs>=4"])
    assert application.packages.installed == [("filelock>=3.12", "platformdirs>=4")]


def test_offline_help_names_every_file_with_its_hash(panel, application):
    from MedSAMSegmentLib.registry import entries

    application.actions.press(panel.show_help)
    text = panel.help.toPlainText()
    for entry in entries():
        assert entry.file_name in text
        assert entry.sha256 is None or entry.sha256 in text
    assert "pip download" in text


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


def test_the_panel_draws_when_the_library_cannot_be_imported(application, monkeypatch):
    import slicer

    module = application.load_module(REPO / "MedSAMSegment" / "MedSAMSegment.py")
    monkeypatch.setitem(sys.modules, "MedSAMSegmentLib.ui.panel.module_panel", None)
    slicer.util.selectModule("MedSAMSegment")
    widget = module.widgetRepresentation().self()
    assert widget.panel is None
    assert "cannot be loaded" in widget.layout.itemAt(0).widget().text


def test_a_job_reports_its_end_as_json(tmp_path):
    import subprocess

    script = REPO / "MedSAMSegmentLib" / "ui" / "model_job.py"
    done = subprocess.run(
        [sys.executable, "-s", str(script), str(REPO), "remove", "no_such_model"],
        capture_output=True,
        text=True,
        check=False,
        env={"MEDSAM_MODEL_DIR": str(tmp_path)},
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 1
    assert answer["code"] == "usage"
    assert "no_such_model" in answer["error"]
