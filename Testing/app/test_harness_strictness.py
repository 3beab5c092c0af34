"""The harness is hard to fool: what the real application refuses, it refuses, and what it cannot do, it says."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from slicer_harness import stand_ins
from slicer_harness.api_index import INDEX_PATH, class_entry, load_index
from slicer_harness.api_names import is_known, unknown_names
from slicer_harness.application_api import DUMP_PATH, load_dump, members
from slicer_harness.pythonqt import PropertyAttribute, dress
from slicer_harness.recorder import HarnessGap, NobodyAnswers
from trim_index import trim
from trim_pythonqt import trim as trim_dump

REPO = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("MEDSAM_SHARED", REPO.parent / "shared"))
NEEDED_BY_PYSIDE = (".staticMetaObject", ".connectNotify", ".disconnectNotify", ".receivers")
qt = dress()


@pytest.fixture
def button(application: Any) -> Any:
    return qt.QPushButton("Run")


# PythonQt


def test_a_property_is_an_attribute_and_no_method(button):
    assert button.text == "Run"
    with pytest.raises(TypeError, match="not callable"):
        button.text()
    button.text = "Stop"
    button.setEnabled(False)
    assert (button.text, button.enabled) == ("Stop", False)


def test_a_qt_object_accepts_no_attribute_that_its_class_lacks(button):
    with pytest.raises(AttributeError, match="does not exist"):
        button.boxes = 1
    with pytest.raises(AttributeError, match="can not be overwritten"):
        button.click = print


def test_a_class_derived_in_python_accepts_attributes(application):
    class Panel(qt.QWidget):
        def __init__(self):
            super().__init__()
            self.boxes = 1
            self.accessibleIdentifier = "of Qt 6 only"

    panel = Panel()
    panel.windowTitle = "Title"
    assert (panel.boxes, panel.windowTitle, panel.className()) == (1, "Title", "QWidget")
    assert panel.accessibleIdentifier == "of Qt 6 only"


@pytest.mark.parametrize("signal", ["clikced()", "clicked(int)", "text()", "toggled()"])
def test_an_unknown_signal_raises(button, signal):
    with pytest.raises(ValueError, match="does not exist on QPushButton"):
        button.connect(signal, print)


def test_signals_give_as_many_arguments_as_the_function_takes(button):
    seen: list[Any] = []
    button.checkable = True
    button.connect("toggled(bool)", lambda: seen.append("none"))
    button.connect("toggled(bool)", lambda on: seen.append(on))  # noqa: PLW0108 - a function of one parameter
    button.connect("clicked()", lambda *everything: seen.append(everything))
    button.click()
    assert seen == ["none", True, ()]


def test_disconnect_undoes_connect_for_a_bound_method(button):
    class Receiver:
        calls = 0

        def slot(self):
            self.calls += 1

    receiver = Receiver()
    button.connect("clicked()", receiver.slot)
    button.click()
    assert button.disconnect("clicked()", receiver.slot)
    button.click()
    assert receiver.calls == 1
    assert not button.disconnect("clicked()", receiver.slot)


def test_a_destroyed_object_refuses_what_is_asked_of_it(button):
    button.delete()
    for name in ("text", "click"):
        with pytest.raises(ValueError, match="destroyed"):
            getattr(button, name)
    with pytest.raises(AttributeError, match="Trying to set property 'text' on a destroyed QPushButton object"):
        button.text = "x"


# Kinds of members: what the running application answered


def test_the_name_of_a_slot_cannot_be_assigned_though_qt_has_a_property_of_that_name(application):
    timer, seen = qt.QTimer(), []
    with pytest.raises(AttributeError, match="Slot 'singleShot' can not be overwritten on QTimer object"):
        timer.singleShot = True
    timer.setSingleShot(True)
    assert timer.isSingleShot()
    qt.QTimer.singleShot(0, lambda: seen.append(1))
    application.wait_until(lambda: seen == [1], 5)


def test_a_slot_cannot_be_assigned_by_a_class_derived_in_python_either(application):
    class Panel(qt.QWidget):
        pass

    with pytest.raises(AttributeError, match="Slot 'update' can not be overwritten on QWidget object"):
        Panel().update = print


def test_signals_and_values_of_enums_cannot_be_assigned(button):
    with pytest.raises(AttributeError, match="Signal 'clicked' can not be overwritten on QPushButton object"):
        button.clicked = print
    with pytest.raises(AttributeError, match="EnumValue 'Box' can not be overwritten on QLabel object"):
        qt.QLabel().Box = 1


@pytest.mark.parametrize(
    ("cls", "name"),
    [("QTimer", "active"), ("QLabel", "sizeHint"), ("QPushButton", "width"), ("QTimer", "remainingTime")],
)
def test_a_read_only_property_cannot_be_assigned(application, cls, name):
    with pytest.raises(AttributeError, match=f"Property '{name}' of {cls} object is not writable"):
        setattr(getattr(qt, cls)(), name, 1)


@pytest.mark.parametrize("name", ["segmentCount", "customSpinBoxesLimitsMin"])
def test_a_read_only_property_of_a_stand_in_cannot_be_assigned(application, name):
    import ctk
    import slicer

    widget = ctk.ctkRangeWidget() if name.startswith("custom") else slicer.qMRMLSegmentsTableView()
    with pytest.raises(AttributeError, match="is not writable"):
        setattr(widget, name, 1)


def test_what_is_a_method_there_is_no_property_here(application):
    layout = qt.QVBoxLayout()
    assert layout.contentsMargins().left() >= 0
    with pytest.raises(AttributeError, match="Slot 'contentsMargins' can not be overwritten on QVBoxLayout object"):
        layout.contentsMargins = qt.QMargins()


def test_what_is_a_property_there_is_no_method_of_a_stand_in(application):
    view = application.view("Red")
    assert view.sliceOrientation == "Axial"
    import slicer

    assert slicer.qMRMLNodeComboBox().currentNodeId == ""


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        ("QWidget", "accessibleIdentifier"),
        ("QTimer", "id"),
        ("QLabel", "emit"),
        ("QColor", "toTuple"),
        ("QFont", "setFeature"),
        ("QProcess", "startCommand"),
    ],
)
def test_what_only_qt_6_or_pyside_has_is_not_there(application, cls, name):
    with pytest.raises(AttributeError, match=name):
        getattr(getattr(qt, cls)(), name)


@pytest.mark.parametrize("name", ["QRhiWidget", "QKeyCombination", "QHttpHeaders"])
def test_a_class_that_only_qt_6_has_is_not_there(application, name):
    with pytest.raises(AttributeError, match=name):
        getattr(qt, name)


@pytest.mark.parametrize(("cls", "name"), [("QVBoxLayout", "margin"), ("QComboBox", "autoCompletion")])
def test_what_only_qt_5_has_is_not_there(application, cls, name):
    with pytest.raises(AttributeError, match=name):
        getattr(getattr(qt, cls)(), name)


def test_every_member_that_stays_is_of_the_kind_that_the_application_says(application):
    """Over all classes of Qt: an attribute here is a property there, and nothing stays that is unknown there."""
    wrong = []
    for name in dir(qt):
        known = members(name)
        for member, value in vars(getattr(qt, name)).items() if known is not None else ():
            kind = known.kind(member)
            if isinstance(value, PropertyAttribute) and kind != "property":
                wrong.append(f"{name}.{member}: {kind}")
            if kind is None and callable(value) and not member.startswith("_") and not isinstance(value, type):
                wrong.append(f"{name}.{member} is unknown there")
    assert [one for one in wrong if not one.split()[0].endswith(NEEDED_BY_PYSIDE)] == []


def test_an_error_in_a_slot_is_remembered(application, button):
    button.connect("clicked()", lambda: 1 / 0)
    button.click()
    assert [type(error.error) for error in application.errors] == [ZeroDivisionError]
    application.errors.clear()


@pytest.mark.parametrize("name", ["Signal", "Slot", "Property", "QEnum", "qDebug", "SIGNAL"])
def test_what_only_pyside_has_is_not_in_qt(application, name):
    with pytest.raises(AttributeError):
        getattr(qt, name)


# Stand-ins


def test_every_class_of_the_index_can_be_generated(application):
    for name in load_index()["qt_classes"]:
        assert stand_ins.stand_in_class(name).__name__ == name


@pytest.mark.parametrize(
    "name", ["setVolumes", "clone", "icon", "setCallbackSlots", "processInteractionEvents", "modifyMask"]
)
def test_the_effect_host_has_nothing_that_python_cannot_reach(application, name):
    import slicer

    host = slicer.qSlicerSegmentEditorScriptedEffect(None)
    with pytest.raises(AttributeError):
        getattr(host, name)


def test_the_effect_host_has_every_name_of_the_index(application):
    import slicer

    host = slicer.qSlicerSegmentEditorScriptedEffect(None)
    entry = class_entry("qSlicerSegmentEditorAbstractEffect")
    for name in sorted(entry.methods):
        assert callable(getattr(host, name)), name
    for name in sorted(entry.properties):
        getattr(host, name)


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("modifySelectedSegmentByLabelmap", 1),
        ("modifySelectedSegmentByLabelmap", 5),
        ("setParameter", 3),
        ("saveStateForUndo", 1),
    ],
)
def test_a_wrong_number_of_arguments_raises(application, call, arguments):
    import slicer

    host = slicer.qSlicerSegmentEditorScriptedEffect(None)
    with pytest.raises(TypeError, match="takes"):
        getattr(host, call)(*[None] * arguments)


def test_keyword_arguments_are_refused_as_in_cpp(application):
    import slicer

    with pytest.raises(TypeError):
        slicer.qSlicerSegmentEditorScriptedEffect(None).setParameter(name="a", value=1)


def test_an_extent_list_is_refused_where_cpp_wants_an_array(application):
    import slicer

    host = slicer.qSlicerSegmentEditorScriptedEffect(None)
    with pytest.raises(TypeError, match=r"int\[6\]"):
        host.modifySegmentByLabelmap(None, "a", None, 0, [0, 1, 0, 1, 0, 1])


def test_a_class_that_python_may_not_construct_raises(application):
    import slicer

    with pytest.raises(TypeError, match="can not be constructed"):
        slicer.qSlicerSegmentEditorAbstractEffect()


def test_unknown_classes_modules_and_properties_raise(application):
    import ctk
    import slicer

    for owner, name in (
        (slicer, "qSlicerMagic"),
        (ctk, "ctkMagic"),
        (ctk, "qMRMLWidget"),
        (slicer.modules, "magic"),
        (slicer, "getNode"),
    ):
        with pytest.raises(AttributeError):
            getattr(owner, name)
    with pytest.raises(AttributeError):
        ctk.ctkCollapsibleButton().magic = 1
    with pytest.raises(AttributeError, match="no property"):
        ctk.ctkCollapsibleButton(magic=1)


def test_a_method_without_behaviour_is_a_gap_and_no_made_up_answer(application):
    import ctk

    with pytest.raises(HarnessGap, match="no behaviour"):
        ctk.ctkPathLineEdit().browse()


def test_a_behaviour_cannot_invent_names(application, monkeypatch):
    class Invented:
        def flyToTheMoon(self):
            return True

    monkeypatch.setitem(stand_ins._behaviours, "ctkSearchBox", Invented)
    stand_ins.stand_in_class.cache_clear()
    try:
        with pytest.raises(HarnessGap, match="flyToTheMoon"):
            stand_ins.stand_in_class("ctkSearchBox")
    finally:
        monkeypatch.undo()
        stand_ins.stand_in_class.cache_clear()


def test_a_collapsible_text_ends_at_its_first_break_and_goes_on_without_it(application):
    import ctk

    browser = ctk.ctkFittedTextBrowser()
    browser.setCollapsibleText("<html>Draw a box.<br><b>Keys</b>: P.<br>More.</html>")
    assert browser.plainText == "Draw a box.… Show details..."
    browser.collapsed = False
    assert browser.plainText == "Draw a box.Keys: P.\nMore. Hide details."
    browser.setCollapsibleText("No break.")
    assert browser.plainText == "No break."


# slicer.util, slicer.packaging, dialogs


def test_a_question_that_nobody_answers_fails(application):
    import slicer

    with pytest.raises(NobodyAnswers):
        slicer.util.confirmYesNoDisplay("Delete?")
    application.dialogs.answer(True)
    assert slicer.util.confirmYesNoDisplay("Delete?", windowTitle="Models") is True
    assert application.dialogs.texts("confirmYesNoDisplay") == ["Delete?", "Delete?"]


def test_messages_take_the_arguments_of_the_real_functions_only(application):
    import slicer

    slicer.util.infoDisplay("Done.", windowTitle="MedSAM")
    assert application.dialogs.texts() == ["Done."]
    with pytest.raises(TypeError):
        slicer.util.infoDisplay()
    with pytest.raises(TypeError):
        slicer.util.showStatusMessage("a", 1, 2, 3)


def test_a_modal_dialog_never_waits_for_a_user(application):
    with pytest.raises(NobodyAnswers):
        qt.QDialog().exec_()
    with pytest.raises(NobodyAnswers):
        qt.QMessageBox.question(None, "Title", "Sure?")
    application.dialogs.on_dialog(lambda dialog: dialog.accept())
    assert qt.QDialog().exec_() == 1


@pytest.mark.parametrize("name", ["pip_ensure", "pip_install", "pip_check", "pip_uninstall", "load_requirements"])
def test_packaging_has_the_parameters_of_the_index(application, name):
    import slicer

    wanted = load_index()["python_modules"]["slicer.packaging"]["functions"][name]
    assert list(inspect.signature(getattr(slicer.packaging, name)).parameters) == wanted


def test_the_base_of_effects_has_the_methods_of_the_index(application):
    module = importlib.import_module("SegmentEditorEffects")
    wanted = load_index()["python_modules"]["SegmentEditorEffects"]["classes"]["AbstractScriptedSegmentEditorEffect"][
        "methods"
    ]
    own = {
        name: list(inspect.signature(function).parameters)
        for name, function in vars(module.AbstractScriptedSegmentEditorEffect).items()
        if inspect.isfunction(function)
    }
    assert own == wanted


def test_scripted_module_classes_have_only_members_of_the_index(application):
    module = importlib.import_module("slicer.ScriptedLoadableModule")
    for name, entry in load_index()["python_modules"]["slicer.ScriptedLoadableModule"]["classes"].items():
        public = {key for key in vars(getattr(module, name)) if not key.startswith("_")}
        assert public <= set(entry["methods"]) | set(entry["attributes"]), name


def test_pip_ensure_installs_nothing_in_testing_mode(application):
    import slicer

    application.packages.present = set()
    stand_ins.state(slicer.app).testing = True
    slicer.packaging.pip_ensure(["filelock"])
    assert application.packages.installed == []
    stand_ins.state(slicer.app).testing = False
    application.dialogs.answer(False)
    with pytest.raises(RuntimeError, match="declined"):
        slicer.packaging.pip_ensure(["filelock"])


# slicer.app


def test_the_startup_environment_does_not_know_what_is_set_later(application, monkeypatch):
    import slicer

    monkeypatch.setenv("SET_LATER", "yes")
    assert "SET_LATER" not in slicer.util.startupEnvironment()
    assert not slicer.app.environment().contains("SET_LATER")
    assert "PATH" in slicer.util.startupEnvironment()
    slicer.app.setEnvironmentVariable("SET_LATER", "by the application")
    assert slicer.app.environment().value("SET_LATER") == os.environ["SET_LATER"] == "by the application"
    assert "SET_LATER" not in slicer.util.startupEnvironment()


# The process


def test_torch_cannot_be_imported_in_the_slicer_process(no_torch_here):
    for name in ("torch", "torchvision", "torch.nn"):
        with pytest.raises(ImportError):
            importlib.import_module(name)
    assert no_torch_here.attempts == ["torch", "torchvision", "torch"]
    no_torch_here.attempts.clear()


def test_the_namespace_is_given_back(tmp_path):
    import slicer
    from slicer_harness.application import Application
    from slicer_harness.torch_ban import torch_banned

    before = set(vars(slicer))
    with torch_banned():
        running = Application(tmp_path)
        assert "mrmlScene" in vars(slicer)
        assert "ctk" in sys.modules
        running.close()
    assert set(vars(slicer)) == before
    assert "ctk" not in sys.modules


def test_a_crash_of_the_fixture_is_seen_in_the_exit_code():
    """The application starts and closes in a process of its own without a message from the interpreter's end."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import tempfile, pathlib\n"
        "from slicer_harness.application import Application\n"
        "application = Application(pathlib.Path(tempfile.mkdtemp()))\n"
        "application.open_segment_editor()\n"
        "application.close()\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert finished.returncode == 0, finished.stderr


# The index


def test_the_index_says_where_it_comes_from():
    about = load_index()["about"]
    assert about["slicer"]["ref"] == "v5.12.3"
    assert len(about["slicer"]["commit"]) == 40
    assert about["trimmed_from"]["kept_classes"] == len(load_index()["qt_classes"])
    assert INDEX_PATH.stat().st_size < 200_000


def test_the_index_is_what_the_trimming_script_makes_of_the_full_one():
    path = SHARED / "reference" / "slicer_api_index.json"
    if not path.is_file():
        pytest.skip(f"the full index is not at {path}")
    content = path.read_bytes()
    assert load_index() == trim(json.loads(content), hashlib.sha256(content).hexdigest())


def test_the_dump_of_the_application_says_where_it_comes_from():
    about = load_dump()["about"]
    assert about["application"] == "3D Slicer 5.12.3"
    assert about["trimmed_from"]["kept_classes"] == len(load_dump()["classes"])
    assert DUMP_PATH.stat().st_size < 1_000_000


def test_the_dump_of_the_application_is_what_the_trimming_script_makes_of_the_full_one():
    path = SHARED / "reference" / "pythonqt_api.json"
    if not path.is_file():
        pytest.skip(f"the full dump is not at {path}")
    content = path.read_bytes()
    assert load_dump() == trim_dump(json.loads(content), hashlib.sha256(content).hexdigest())


def test_the_trimmed_dump_gives_every_member_of_the_full_one_back():
    path = SHARED / "reference" / "pythonqt_api.json"
    if not path.is_file():
        pytest.skip(f"the full dump is not at {path}")
    for module in json.loads(path.read_bytes())["modules"].values():
        for name, entry in module.items():
            known = members(name)
            if known is None:
                continue
            assert set(entry.get("m", ())) == set(known.methods), name
            assert set(entry.get("p", ())) <= set(known.properties), name
            assert {signal.partition("(")[0] for signal in entry.get("s", ())} == known.signals, name
            tried = {one: access for one, access in entry.get("p", {}).items() if access != "?"}
            assert tried.items() <= known.properties.items(), name


# Names in our sources


def sources() -> list[Path]:
    """Files that run in the Slicer process."""
    library = REPO / "MedSAMSegmentLib"
    files = [
        *(REPO / "MedSAMSegment").rglob("*.py"),
        *(library / "ui").rglob("*.py"),
        *(library / "mrml").rglob("*.py"),
    ]
    return [*files, *(library / "worker").rglob("*.py")]


def test_our_sources_use_no_name_that_the_application_lacks(application):
    problems = [problem for path in sources() for problem in unknown_names(path)]
    assert problems == []


def test_an_invented_name_in_a_source_file_is_found_with_its_line(application, tmp_path):
    path = tmp_path / "panel.py"
    path.write_text("import qt\nfrom PySide6 import QtCore\n\nbutton = qt.QPushButtton()\n", encoding="utf-8")
    assert unknown_names(path) == ["panel.py:2: import of PySide6", "panel.py:4: qt.QPushButtton"]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("qt.QPushButton", True),
        ("qt.QSizePolicy.Expanding", True),
        ("qt.QSizePolicy.Policy.Expanding", False),
        ("qt.Signal", False),
        ("ctk.ctkCollapsibleButton", True),
        ("ctk.ctkMagic", False),
        ("slicer.util.getNode", True),
        ("slicer.util.getMagic", False),
        ("slicer.packaging.pip_ensure", True),
        ("slicer.vtkMRMLSegmentationNode", True),
        ("slicer.vtkMagic", False),
        ("slicer.qSlicerSegmentEditorAbstractEffect.ModificationModeSet", True),
        ("slicer.qSlicerSegmentEditorAbstractEffect.ModificationModeFlip", False),
        ("slicer.getNode", False),
    ],
)
def test_the_check_of_names_tells_real_from_invented(application, name, known):
    assert is_known(name.split(".")) is known
