"""Our sources use the application's objects as it allows, also in code that no scenario runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from slicer_harness.api_uses import check

REPO = Path(__file__).resolve().parents[2]
TREES = ("MedSAMSegment", "MedSAMSegmentLib/ui", "MedSAMSegmentLib/mrml", "MedSAMSegmentLib/worker")


def sources() -> list[Path]:
    """Files that run in the Slicer process."""
    return [path for tree in TREES for path in (REPO / tree).rglob("*.py")]


def test_our_sources_use_no_object_otherwise_than_the_application_allows(application):
    found = check(REPO, sources())
    assert [str(violation) for violation in found.violations] == []
    assert found.looked_at > 300, "so few uses were recognised that the check says nothing"


def test_the_timers_of_our_sources_would_be_found_if_they_were_assigned(application, tmp_path):
    files = [path for path in sources() if ".setSingleShot(True)" in path.read_text(encoding="utf-8")]
    assert files, "no timer is left to try it with"
    for number, path in enumerate(files):
        copy = tmp_path / f"copy_{number}.py"
        text = path.read_text(encoding="utf-8").replace(".setSingleShot(True)", ".singleShot = True")
        copy.write_text(text, encoding="utf-8")
        found = check(tmp_path, [copy]).violations
        assert [(one.cls, one.member, one.why) for one in found] == [
            ("QTimer", "singleShot", "slot cannot be assigned")
        ]


def violations(folder: Path, **files: str) -> list[str]:
    """What is found in small sources, given as texts by the names of their modules."""
    paths = []
    for name, text in files.items():
        paths.append(folder / f"{name}.py")
        paths[-1].write_text(text, encoding="utf-8")
    return [str(violation) for violation in check(folder, paths).violations]


IMPORTS = "import ctk\nimport qt\nimport slicer\n"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("qt.QTimer().singleShot = True", "QTimer.singleShot: slot cannot be assigned"),
        ("qt.QVBoxLayout().contentsMargins = 3", "QVBoxLayout.contentsMargins: slot cannot be assigned"),
        ("qt.QPushButton().clicked = print", "QPushButton.clicked: signal cannot be assigned"),
        ("qt.QTimer().active = True", "QTimer.active: read-only property cannot be assigned"),
        ("qt.QLabel().boxes = 1", "QLabel.boxes: there is no such member"),
        ("print(qt.QLabel().txt)", "QLabel.txt: there is no such member"),
        ("print(qt.QWidget().accessibleIdentifier)", "QWidget.accessibleIdentifier: there is no such member"),
        ("print(qt.QLabel().text())", "QLabel.text: is a property and cannot be called"),
        ("print(qt.QVBoxLayout().margin)", "QVBoxLayout.margin: is a property of Qt 5 that Qt 6 has not"),
        ("print(1 if qt.QTimer().isActive else 2)", "QTimer.isActive: is a method and is not called"),
        ("print(qt.QProcess().state == 0)", "QProcess.state: is a method and is not called"),
        ("qt.QWidget().layout.addWidget(None)", "QWidget.layout.addWidget: is a method, its result has the member"),
        ("qt.QPushButton().connect('clikced()', print)", "QPushButton.clikced(): there is no such signal"),
        ("qt.QPushButton().connect('clicked(int)', print)", "QPushButton.clicked(int): there is no such signal"),
        ("qt.QTimer().disconnect('timeOut()', print)", "QTimer.timeOut(): there is no such signal"),
        ("qt.QTimer().timeout.bind(print)", "QTimer.timeout.bind: a signal has no such member"),
        ("qt.QTimer().setSingleShot(True, 1)", "QTimer.setSingleShot: takes at most 1 arguments"),
        ("qt.QTimer().start(msec=3)", "QTimer.start: methods of C++ take no keyword arguments"),
        ("qt.QLabel(txt='a')", "QLabel.txt: there is no such member"),
        ("print(qt.QSizePolicy.Wide)", "QSizePolicy.Wide: there is no such member"),
        (
            "print(qt.QSizePolicy.Policy.Expanding)",
            "QSizePolicy.Policy.Expanding: values of an enum are looked up on the class, not on the enum",
        ),
        ("print(qt.Qt.Crimson)", "Qt.Crimson: there is no such member"),
        ("print(qt.QPushBotton)", "qt.QPushBotton: there is no such class"),
        ("print(ctk.ctkMagic)", "ctk.ctkMagic: there is no such class"),
        ("ctk.ctkRangeWidget().minimumValue()", "ctkRangeWidget.minimumValue: is a property and cannot be called"),
        ("slicer.qMRMLNodeComboBox().setMagic(1)", "qMRMLNodeComboBox.setMagic: there is no such member"),
        (
            "slicer.qMRMLNodeComboBox().currentNodeId()",
            "qMRMLNodeComboBox.currentNodeId: is a property and cannot be called",
        ),
        ("slicer.app.layoutManager().sliceWidgets()", "qSlicerLayoutManager.sliceWidgets: there is no such member"),
        ("slicer.app.startup()", "qSlicerApplication.startup: there is no such member"),
        (
            "slicer.modules.SegmentEditorWidget.editor.setCurrentSegment('a')",
            "qMRMLSegmentEditorWidget.setCurrentSegment: there is no such member",
        ),
    ],
)
def test_a_wrong_use_is_found_with_file_line_class_member_and_reason(application, tmp_path, line, wanted):
    assert violations(tmp_path, panel=f"{IMPORTS}{line}\n") == [f"panel.py:4: {wanted}"]


def test_the_right_uses_are_not_found(application, tmp_path):
    text = f"""{IMPORTS}
timer = qt.QTimer()
timer.setSingleShot(True)
timer.connect("timeout()", print)
timer.timeout.connect(print)
qt.QTimer.singleShot(0, timer.start)
label = qt.QLabel("a", alignment=qt.Qt.AlignCenter)
label.text = label.text.upper()
label.font.bold()
table = qt.QTableWidget()
table.horizontalHeader().setStretchLastSection(True)
table.connect("cellChanged(int, int)", print)
dialog = qt.QDialog()
dialog.exec_()
dialog.raise_()
selector = slicer.qMRMLNodeComboBox()
selector.connect("currentNodeChanged(vtkMRMLNode*)", print)
button = ctk.ctkCollapsibleButton()
button.collapsed = True
print(qt.QSizePolicy.Expanding, slicer.qSlicerSegmentEditorAbstractEffect.ModificationModeSet)
"""
    assert violations(tmp_path, panel=text) == []


def test_types_are_followed_through_attributes_functions_arguments_and_files(application, tmp_path):
    widgets = """
import qt


def make_timer():
    timer = qt.QTimer()
    return timer


def paint(label):
    label.colour = "red"


class Row:
    def __init__(self):
        self.labels = {"first": qt.QLabel()}
        self.boxes = []
        self.boxes.append(qt.QSpinBox())

    @property
    def first(self):
        return self.labels["first"]
"""
    panel = """
import qt
from widgets import Row, make_timer, paint


class Panel:
    def __init__(self):
        self.timer = make_timer()
        self.row = Row()

    def stop(self):
        self.timer.halt()
        paint(self.row.first)
        self.row.first.txt = ""
        for box in self.row.boxes:
            box.setMagic(1)
        for name, label in self.row.labels.items():
            label.setMagic(name)


class Area(qt.QWidget):
    def grow(self):
        self.enlarge()
        self.update = 1
        self.own = 2
"""
    assert violations(tmp_path, widgets=widgets, panel=panel) == [
        "panel.py:12: QTimer.halt: there is no such member",
        "panel.py:14: QLabel.txt: there is no such member",
        "panel.py:16: QSpinBox.setMagic: there is no such member",
        "panel.py:18: QLabel.setMagic: there is no such member",
        "panel.py:23: QWidget.enlarge: there is no such member",
        "panel.py:24: QWidget.update: slot cannot be assigned",
        "widgets.py:11: QLabel.colour: there is no such member",
    ]


def test_nothing_is_claimed_of_what_is_not_known(application, tmp_path):
    text = f"""{IMPORTS}

def show(widget, other):
    widget.magic()
    either = other if other else qt.QLabel()
    either.magic()
    both = qt.QLabel() if other else qt.QSpinBox()
    both.setMaximum(3)
    both.neither()
"""
    assert violations(tmp_path, panel=text) == ["panel.py:12: QLabel.neither: there is no such member"]
