"""Scripted modules are loaded, shown and reloaded as the application does it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

SOURCE = """
import slicer
import qt
from slicer.ScriptedLoadableModule import *


class Probe(ScriptedLoadableModule):
    def __init__(self, parent):
        super().__init__(parent)
        parent.title = "Probe"
        parent.categories = ["Examples"]


class ProbeWidget(ScriptedLoadableModuleWidget):
    log = []

    def setup(self):
        super().setup()
        self.button = qt.QPushButton("Go")
        self.layout.addWidget(self.button)
        self.log.append("setup")

    def enter(self):
        self.log.append("enter")

    def exit(self):
        self.log.append("exit")

    def cleanup(self):
        self.log.append("cleanup")


class ProbeLogic(ScriptedLoadableModuleLogic):
    pass


class ProbeTest(ScriptedLoadableModuleTest):
    ran = []

    def test_one(self):
        self.ran.append("one")

    def helper_for_test(self):
        self.ran.append("helper")
"""


@pytest.fixture
def probe(application: Any, tmp_path: Path) -> Any:
    path = tmp_path / "Probe.py"
    path.write_text(SOURCE, encoding="utf-8")
    return application.load_module(path)


def test_a_module_sits_in_the_namespace(application, probe):
    import slicer

    assert slicer.modules.probe.title == "Probe"
    assert slicer.modules.ProbeInstance.moduleName == "Probe"
    assert slicer.util.modulePath("Probe").endswith("Probe.py")
    assert str(Path(probe.path).parent) in sys.path
    assert not hasattr(slicer.modules, "ProbeWidget"), "the panel is made when it is first shown"


def test_switching_modules_enters_and_exits_the_panel(application, probe):
    import slicer

    slicer.util.selectModule("Probe")
    slicer.util.selectModule("SegmentEditor")
    assert slicer.modules.ProbeWidget.log == ["setup", "enter", "exit"]
    assert slicer.util.selectedModule() == "SegmentEditor"


def test_reloading_cleans_the_old_panel_and_builds_a_new_one(application, probe):
    import slicer

    slicer.util.selectModule("Probe")
    old = slicer.modules.ProbeWidget
    slicer.util.reloadScriptedModule("Probe")
    assert old.log[-1] == "cleanup"
    assert slicer.modules.ProbeWidget is not old
    assert slicer.modules.ProbeWidget.log == ["setup"]


def test_run_test_calls_everything_that_has_test_in_its_name(application, probe):
    case = sys.modules["Probe"].ProbeTest()
    case.runTest()
    assert case.ran == ["helper", "one"]


def test_the_parameter_node_is_a_singleton(application, probe):
    logic = sys.modules["Probe"].ProbeLogic()
    node = logic.getParameterNode()
    assert node.GetAttribute("ModuleName") == "Probe"
    assert logic.getParameterNode() is node


def test_an_error_in_setup_is_printed_and_remembered(application, tmp_path):
    path = tmp_path / "Broken.py"
    path.write_text(
        SOURCE.replace("Probe", "Broken").replace('qt.QPushButton("Go")', "qt.QPushBotton()"), encoding="utf-8"
    )
    application.load_module(path).widgetRepresentation()
    assert "QPushBotton" in str(application.errors[0])
    application.errors.clear()


def test_slots_of_one_run_are_not_called_in_the_next(tmp_path):
    import slicer
    from slicer_harness.application import Application
    from slicer_harness.torch_ban import torch_banned

    seen: list[str] = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        with torch_banned():
            running = Application(tmp_path / name)
            slicer.app.connect("aboutToQuit()", lambda name=name: seen.append(name))
            running.close()
    assert seen == ["first", "second"]
