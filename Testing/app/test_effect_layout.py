"""The options frame as it is seen: its width, what stands on top, and what the collapsed section says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[2]
WIDTH = 430
NAME_WIDTH = 60
ARROW = 30
FOLD = 215
"""Of the 720 pixels of a small screen the menu, the editor's own lists and the effects leave the frame as many."""

LONG_NAME = "weights_of_the_second_training_with_all_lesions_2025-01-31 (own, Efficient MedSAM2 small)"
LONG_WORD = "a_segment_with_a_name_of_one_word_that_is_wider_than_any_frame_could_ever_be_2025-01-31"


@pytest.fixture
def frame(application: Any) -> Iterator[Any]:
    """The frame of the active effect, as wide as may be, in a font as wide as any usual one."""
    import qt
    from MedSAMSegmentScenarios.phantom import Ball, Phantom
    from MedSAMSegmentScenarios.workspace import Workspace

    font, style = qt.QApplication.font(), qt.QApplication.style().objectName
    qt.QApplication.setFont(qt.QFont("DejaVu Sans", 9))
    qt.QApplication.setStyle("Fusion")
    application.load_module(REPO / "MedSAMSegment" / "MedSAMSegment.py")
    application.finish_startup()
    phantom = Phantom(balls=(Ball((12, 24, 8), 6), Ball((36, 24, 10), 5)))
    workspace = Workspace(phantom.node(), stand_in=True)
    widget = workspace.editor.effectByName("MedSAM").optionsFrame()
    widget.setParent(None)
    show(widget)
    yield Shown(workspace, widget, phantom)
    qt.QApplication.setFont(font)
    qt.QApplication.setStyle(style)


class Shown:
    """The frame's widget, its sections, and the workspace that it belongs to."""

    def __init__(self, workspace: Any, widget: Any, phantom: Any) -> None:
        self.workspace = workspace
        self.widget = widget
        self.phantom = phantom
        self.parts = workspace.parts.frame

    @property
    def named(self) -> list[Any]:
        import qt

        return [widget for widget in self.widget.findChildren(qt.QWidget) if widget.objectName]

    def left(self, widget: Any) -> int:
        import qt

        return int(widget.mapTo(self.widget, qt.QPoint(0, 0)).x())

    def top(self, widget: Any) -> int:
        import qt

        return int(widget.mapTo(self.widget, qt.QPoint(0, 0)).y())

    def bottom(self, widget: Any) -> int:
        return self.top(widget) + int(widget.height)


def show(widget: Any) -> None:
    import slicer

    widget.show()
    slicer.app.processEvents()
    widget.resize(WIDTH, max(widget.heightForWidth(WIDTH), widget.minimumSizeHint.height()))
    slicer.app.processEvents()


def long_texts(frame: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything that the frame shows be as long as it can be."""
    import slicer
    from MedSAMSegmentScenarios.user import show_slice

    from MedSAMSegmentLib.errors import WorkerError
    from MedSAMSegmentLib.results import FLAG_AREA_JUMP, FLAG_EMPTY, FLAG_LOW_SCORE, SliceScore
    from MedSAMSegmentLib.ui.objects.queue import ObjectState
    from MedSAMSegmentLib.ui.run.events import Failed, RunEstimate, RunProgress
    from MedSAMSegmentLib.ui.server_settings import Server
    from MedSAMSegmentLib.ui.widgets import choice_section, run_section

    parts, workspace = frame.parts, frame.workspace
    known = choice_section.offered_choices()
    longest = [replace(c, state="damaged", entry=replace(c.entry, title=LONG_NAME)) for c in known]
    monkeypatch.setattr(choice_section, "offered_choices", lambda: longest)
    parts.choices.update_models()
    for number in (0, 1):
        workspace.draw_box(frame.phantom, number)
        workspace.wait_for_preview()
    workspace.propagate()
    workspace.wait()
    for number in range(2):
        workspace.segmentation.GetSegmentation().GetNthSegment(number).SetName(f"{LONG_WORD}_{number}")
    slicer.app.processEvents()
    flagged = {n: SliceScore(0.1, 0, (FLAG_LOW_SCORE, FLAG_AREA_JUMP, FLAG_EMPTY)) for n in range(1000, 1100)}
    for row in workspace.state.queue.rows:
        assert row.result is not None
        assert row.result.measurement is not None
        large = replace(row.result.measurement, volume_ml=123456.7)
        row.result = replace(row.result, flagged=flagged, measurement=large, masked_voxels=10**9, interpolated=True)
        row.message, row.state = LONG_WORD, ObjectState.LOOK
    parts.show_results(workspace.state.queue.rows)
    parts.show_queue(workspace.state.queue)
    parts.show_event(Failed(WorkerError(f"There is no Python at /{LONG_WORD}/{LONG_WORD}.", "Choose another.")))
    parts.show_estimate(RunEstimate(10**6, LONG_NAME, 10**12, 10**9, 10**6, or_more=True))
    parts.runs.progress.visible = True
    parts.show_progress(RunProgress(10**5, 10**6, 10**5, 100, 1000))
    parts.show_device(f"cuda ({LONG_NAME})")
    monkeypatch.setattr(run_section, "chosen_server", lambda: Server(f"https://{LONG_WORD}.example.org:8000", ""))
    parts.runs.show_place()
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", LONG_WORD)
    parts.advanced.roi.setCurrentNode(roi)
    workspace.parts.running.choose_roi(roi)
    workspace.set(
        device="cuda",
        range_rule="slices",
        first=3,
        last=10**5,
        direction="down",
        time_series=True,
        keep_speckle=True,
        each_box_new_segment=False,
        keep_partial=True,
    )
    show_slice("Red", (0, 0, 0))


@pytest.mark.parametrize("opened", [False, True])
def test_the_frame_is_no_wider_than_a_module_panel(frame: Any, monkeypatch: pytest.MonkeyPatch, opened: bool) -> None:
    frame.parts.advanced.frame.collapsed = not opened
    assert frame.widget.minimumSizeHint.width() <= WIDTH
    assert frame.widget.sizeHint.width() <= WIDTH
    long_texts(frame, monkeypatch)
    show(frame.widget)
    assert frame.widget.minimumSizeHint.width() <= WIDTH
    too_far = [
        widget.objectName
        for widget in frame.named
        if widget.isVisible() and frame.left(widget) + widget.width > frame.widget.width
    ]
    assert too_far == [], "every row fits, not the frame alone"
    table = frame.parts.objects.table
    widths = [table.columnWidth(column) for column in range(table.columnCount)]
    assert sum(widths) <= table.viewport().width, "all columns are seen"
    assert widths[0] > NAME_WIDTH, "names among them"


def test_each_intensity_can_be_read_in_the_list(frame: Any) -> None:
    import qt

    box = frame.parts.choices.intensity
    assert box.count == 12
    for choice in range(box.count):
        text = box.itemText(choice)
        assert qt.QFontMetrics(box.font).horizontalAdvance(text) < box.width - ARROW
        box.setCurrentIndex(choice)
        assert box.toolTip.startswith(text)
        assert "grey levels" in box.toolTip
    box.setCurrentIndex(box.findData("mr"))
    assert "0.5 to 99.5 percentile" in box.toolTip


def test_the_common_controls_stand_above_the_fold(frame: Any) -> None:
    parts = frame.parts
    choices, runs = parts.choices, parts.runs
    in_order = [choices.model, choices.intensity, choices.tools["box"], runs.propagate, runs.segment_slice, runs.status]
    tops = [frame.top(widget) for widget in in_order]
    assert tops == sorted(tops)
    assert len({frame.top(tool) for tool in (*choices.tools.values(), choices.key_slice)}) == 1
    assert frame.top(runs.cancel) == frame.top(runs.segment_slice)
    assert all(widget.isVisible() for widget in in_order)
    assert frame.bottom(runs.cancel) <= FOLD
    assert frame.top(parts.advanced.frame) > frame.bottom(runs.status)
    assert min(runs.status.width, parts.advanced.frame.width) > 0.9 * WIDTH


def test_the_main_action_stands_out(frame: Any) -> None:
    import qt

    runs = frame.parts.runs
    others = [button for button in frame.widget.findChildren(qt.QPushButton) if button is not runs.propagate]
    assert runs.propagate.font.bold()
    assert not runs.propagate.icon.isNull()
    assert not any(button.font.bold() for button in others)
    assert runs.propagate.height > max(runs.segment_slice.height, runs.cancel.height)
    assert runs.propagate.width > 0.9 * frame.widget.width


def test_rare_options_are_collapsed_and_stay_as_the_user_leaves_them(frame: Any) -> None:
    advanced, workspace = frame.parts.advanced, frame.workspace
    rare = (
        advanced.device,
        advanced.roi,
        advanced.new_roi,
        advanced.range.rule,
        advanced.range.direction,
        advanced.time_series,
        advanced.keep_speckle,
        advanced.keep_partial,
        advanced.new_segments,
    )
    assert advanced.frame.collapsed
    assert not any(widget.isVisible() for widget in rare)
    advanced.frame.collapsed = False
    assert all(widget.isVisible() for widget in rare)
    assert not advanced.range.first.isVisible(), "there is no range from slice to slice"
    workspace.editor.setActiveEffect(None)
    workspace.editor.setActiveEffectByName("MedSAM")
    assert not advanced.frame.collapsed


def test_a_rare_option_never_acts_hidden(frame: Any) -> None:
    """Each of the effect's options is in sight, or said while it differs from its default."""
    import slicer

    from MedSAMSegmentLib.ui.objects.settings import EffectSettings

    advanced, workspace = frame.parts.advanced, frame.workspace
    assert advanced.differing.isHidden()
    for option, value, said in (
        ("device", "cpu", "CPU"),
        ("range_rule", "roi", "range as the ROI"),
        ("direction", "up", "only up"),
        ("direction", "down", "only down"),
        ("time_series", True, "slices are frames in time"),
        ("keep_speckle", True, "small parts are kept"),
        ("each_box_new_segment", False, "boxes add to the current object"),
        ("keep_partial", True, "what is done is kept on cancel"),
    ):
        workspace.set(**{option: value})
        assert advanced.differing.isVisible(), option
        assert advanced.differing.text == f"Set: {said}"
        workspace.set(**{option: getattr(EffectSettings(), option)})
        assert advanced.differing.isHidden(), option
    workspace.set(range_rule="slices", first=9, last=3)
    assert advanced.differing.text == "Set: range 3 to 9"
    workspace.set(last=40)
    assert advanced.differing.text == "Set: range 9 to the end", "the volume has fewer slices"
    workspace.set(first=5, last=EffectSettings().last, direction="up")
    assert advanced.differing.text == "Set: range 5 to the end; only up"
    workspace.set(range_rule="stop", direction="both")
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Liver")
    advanced.roi.setCurrentNode(roi)
    assert advanced.differing.text == "Set: ROI Liver"
    shown = {"model", "intensity", "tool"} | {"device", "range_rule", "first", "last", "direction", "time_series"}
    assert {*vars(EffectSettings())} == shown | {"each_box_new_segment", "keep_partial", "keep_speckle"}


def test_every_widget_has_an_object_name_of_its_own(frame: Any) -> None:
    import ctk
    import qt
    import slicer

    kinds = (qt.QAbstractButton, qt.QLabel, qt.QTableWidget, qt.QProgressBar, qt.QSpinBox)
    kinds += (ctk.ctkComboBox, slicer.qMRMLNodeComboBox)
    found = {widget for kind in kinds for widget in frame.widget.findChildren(kind)}
    ours = [w for w in found if w.parent() is not frame.parts.advanced.roi and not inside(w, frame.parts.objects.table)]
    assert [(w.className(), w.text if hasattr(w, "text") else "") for w in ours if not w.objectName] == []
    names = [widget.objectName for widget in ours]
    assert len(set(names)) == len(names)
    assert {"PropagateButton", "ModelComboBox", "AdvancedCollapsibleButton", "ObjectsTable", "StatusLabel"} <= {*names}
    without_tip = [w.objectName for w in ours if isinstance(w, (qt.QPushButton, qt.QToolButton)) and not w.toolTip]
    assert without_tip == []


def inside(widget: Any, ancestor: Any) -> bool:
    return widget is not ancestor and ancestor.isAncestorOf(widget)


def test_header_and_cells_of_the_list_have_tool_tips(frame: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    long_texts(frame, monkeypatch)
    table = frame.parts.objects.table
    assert all(table.horizontalHeaderItem(column).toolTip() for column in range(table.columnCount))
    tips = [table.item(1, column).toolTip().split("\n") for column in range(table.columnCount)]
    assert [tip[-1] for tip in tips] == [LONG_WORD] * 5, "what is to be said of the object"
    assert [tip[0] for tip in tips] == [
        f"{LONG_WORD}_1",
        "Drawn on slice 10, counted from 0.",
        "done, review",
        "123456.7 mL",
        tips[4][0],
    ]
    assert tips[4][0].startswith("Longest diameter × perpendicular on slice 10: ")


def test_tool_tips_name_the_keys_of_the_effect(frame: Any) -> None:
    import qt

    from MedSAMSegmentLib.ui.effect.shortcuts import KEYS

    tips = {button.toolTip for button in frame.widget.findChildren(qt.QAbstractButton)}
    without_button = {"remove_last", "other_reading", "next_flagged", "previous_flagged"}
    for key in KEYS:
        if key.action not in without_button:
            assert sum(f"({key.sequence})." in tip for tip in tips) == 1, key


def test_keys_that_texts_name_exist(application: Any) -> None:
    """Sentences such as "Press Propagate (P)." are not made from the table of keys."""
    import re

    from MedSAMSegmentLib.ui.effect.shortcuts import KEYS

    ui = REPO / "MedSAMSegmentLib" / "ui"
    source = "\n".join(path.read_text(encoding="utf-8") for path in sorted(ui.rglob("*.py")))
    named = re.findall(r"\(((?:Shift\+)?[A-Z]|Home|End)\)", source)
    assert len(named) >= 5
    assert set(named) <= {key.sequence for key in KEYS}
