"""The effect's options frame, keys and life cycle in the editor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def loaded(application: Any) -> Any:
    """The module loaded and the application started."""
    return application.load_module(REPO / "MedSAMSegment" / "MedSAMSegment.py")


@pytest.fixture
def workspace(application: Any, loaded: Any) -> Any:
    from MedSAMSegmentScenarios.phantom import Phantom
    from MedSAMSegmentScenarios.workspace import Workspace

    application.finish_startup()
    return Workspace(Phantom().node(), stand_in=True)


@pytest.fixture
def phantom() -> Any:
    from MedSAMSegmentScenarios.phantom import Phantom

    return Phantom()


@pytest.mark.parametrize("there", [True, False])
def test_choosing_the_effect_readies_the_worker_where_the_model_is_at_hand(
    application: Any, loaded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    from MedSAMSegmentScenarios.phantom import Phantom
    from MedSAMSegmentScenarios.workspace import Workspace

    from MedSAMSegmentLib import registry
    from MedSAMSegmentLib.checkpoints.records import new_record, write_record
    from MedSAMSegmentLib.checkpoints.transfer import FileDigest

    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(tmp_path / "models"))
    entry = registry.get("lite_medsam")
    if there:
        # What is in the file is not looked at here: its record tells that it was verified as it is.
        path = tmp_path / "models" / entry.file_name
        path.parent.mkdir()
        digest = FileDigest(entry.size_bytes or entry.expected_bytes, str(entry.sha256), str(entry.md5))
        with path.open("wb") as stream:
            stream.truncate(digest.size)
        write_record(path, new_record(path.stat().st_mtime_ns, digest, "a test", False))
    application.finish_startup()
    workspace = Workspace(Phantom().node(), stand_in=True)
    application.app.processEvents()
    assert workspace.service.prepared is there
    workspace.service.prepared = False
    workspace.editor.setActiveEffect(None)
    application.app.processEvents()
    assert not workspace.service.prepared


STARTUP = """
import sys
from pathlib import Path

sys.path[:0] = [{app!r}, {repo!r}]
from slicer_harness.application import Application

heavy = ("torch", "requests", "SimpleITK", "scipy", "filelock", "platformdirs")
before = set(sys.modules)
application = Application(Path({folder!r}))
application.load_module(Path({repo!r}) / "MedSAMSegment" / "MedSAMSegment.py")
application.finish_startup()
new = set(sys.modules) - before
print("LIBRARY", sorted(name for name in new if name.startswith("MedSAMSegmentLib")))
print("HEAVY", sorted(name for name in new if name in heavy))
effects = [effect.name for effect in application.app.harness_effect_factory.registeredEffects()]
print("EFFECT", "MedSAM" in effects)
application.close()
"""


def test_nothing_of_the_library_is_imported_by_startup(tmp_path):
    """In a process of its own: here, other tests have imported it already."""
    import subprocess
    import sys

    code = STARTUP.format(app=str(REPO / "Testing" / "app"), repo=str(REPO), folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines() if line.split(" ")[0].isupper())
    assert lines == {"LIBRARY": "[]", "HEAVY": "[]", "EFFECT": "True"}


def test_the_effect_is_registered_once_with_name_icon_and_help(application, loaded):
    import slicer

    application.finish_startup()
    effects = slicer.qSlicerSegmentEditorEffectFactory.instance().registeredEffects()
    assert [effect.name for effect in effects if effect.name == "MedSAM"] == ["MedSAM"]
    effect = effects[[e.name for e in effects].index("MedSAM")]
    assert effect.self().parts is None, "the factory's own instance makes nothing"
    assert not effect.self().icon().isNull()
    assert "Propagate" in effect.self().helpText()
    loaded_again = slicer.modules.MedSAMSegmentInstance
    loaded_again.registerEffect()
    assert len(slicer.qSlicerSegmentEditorEffectFactory.instance().registeredEffects()) == len(effects)


def test_two_editors_have_parts_of_their_own(application, workspace):
    other = application.new_editor()
    assert other.effectByName("MedSAM").self().parts is not workspace.parts


def test_options_are_kept_as_parameters_and_come_back(application, workspace):
    frame = workspace.parts.frame
    application.actions.choose(frame.choices.intensity, "CT lung -600/1500")
    application.actions.choose(frame.advanced.range.direction, "Up")
    application.actions.choose(frame.advanced.range.rule, "From slice to slice")
    assert workspace.parameters.GetAttribute("MedSAM.Intensity") == "ct-lung"
    assert workspace.state.settings.direction == "up"
    assert frame.advanced.range.first.isVisibleTo(frame.advanced.range.first.parent())
    workspace.parameters.SetAttribute("MedSAM.Device", "cpu")
    workspace.parameters.InvokeCustomModifiedEvent(workspace.parameters.EffectParameterModified)
    assert frame.advanced.device.currentText == "CPU"


def test_each_model_says_its_state_and_licence_in_one_line(workspace):
    choices = workspace.parts.frame.choices
    for model, licence in (("lite_medsam", "Apache-2.0"), ("medsam2", "CC-BY-SA-4.0")):
        workspace.set(model=model)
        assert licence in choices.model_state.text


def test_the_licence_is_one_click_away(application, workspace):
    workspace.set(model="medsam2")
    workspace.parts.frame.choices.model_state.linkActivated.emit("licence:medsam2")
    assert "CC BY-SA 4.0" in application.dialogs.texts("infoDisplay")[0]


def test_no_key_collides_with_the_editors_or_the_views(application, workspace):
    from slicer_harness.gestures import active_shortcuts
    from slicer_harness.keys import collisions

    from MedSAMSegmentLib.ui.effect.shortcuts import KEYS

    ours = [key.sequence for key in KEYS]
    all_keys = [shortcut.key.toString() for shortcut in active_shortcuts(application.main_window)]
    for key in ours:
        assert all_keys.count(key) == 1, f"{key} is taken twice"
    assert not {"F", "B", "R", "G", "V", "Left", "Right", "Up", "Down"} & set(ours)
    # The one exception: T fades the foreground volume in a view, and is the effect's while that is active.
    assert collisions(application.main_window) == ["T: shortcut of qSlicerAppMainWindow, slice view 'T'"]
    workspace.editor.setActiveEffect(None)
    application.app.processEvents()
    assert not set(ours) & {shortcut.key.toString() for shortcut in active_shortcuts(application.main_window)}


def test_the_key_of_the_other_reading_takes_it(application, workspace, phantom):
    workspace.service.two_readings = True
    workspace.draw_box(phantom)
    workspace.wait_for_preview()
    assert "two readings: press T for the other" in workspace.status
    application.actions.press_key(application.view("Red"), "T")
    assert workspace.current.reading == 2
    workspace.wait_for_preview()
    assert "second reading, press T for the first" in workspace.status


def test_keys_do_what_the_buttons_do(application, workspace, phantom):
    view = application.view("Red")
    workspace.draw_box(phantom)
    workspace.wait_for_preview()
    application.actions.press_key(view, "P")
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(), phantom.ball(0))
    application.actions.press_key(view, "L")
    assert workspace.state.settings.tool == "line"
    assert workspace.parts.frame.choices.tools["line"].checked
    application.actions.press_key(view, "K")
    assert len(workspace.current.keys) == 1
    application.actions.press_key(view, "Z")
    assert not workspace.mask().any()


def test_the_rubber_band_follows_the_mouse_and_goes(application, workspace, phantom):
    from MedSAMSegmentScenarios.user import show_slice

    view = application.view("Red")
    start, end = phantom.box_corners(0, 8)
    show_slice("Red", start)
    interactor = view.sliceView().interactor()
    overlay = workspace.state.painter.overlay(view)
    x, y, _ = view.harness_ras_to_xy(start)
    interactor.SetEventInformation(round(x), round(y), 0, 0, "\0", 0, "")
    interactor.InvokeEvent("LeftButtonPressEvent")
    interactor.SetEventInformation(round(x) + 40, round(y) + 30, 0, 0, "\0", 0, "")
    interactor.InvokeEvent("MouseMoveEvent")
    assert overlay.band.count == 4
    workspace.editor.setActiveEffect(None)
    assert workspace.state.painter.views() == []
    assert end is not None


def test_events_that_are_not_ours_reach_slicer(application, workspace, phantom):
    view = application.view("Red")
    point = (*phantom.ras((24, 24, 8))[:2], view.sliceLogic().GetSliceOffset())
    application.actions.click_at(view, point, button="Right")
    application.actions.drag(view, point, (point[0] + 9, point[1] + 9, point[2]), modifiers="Shift")
    assert "RightButtonPressEvent" in application.actions.left_to_slicer
    assert "LeftButtonPressEvent" in application.actions.left_to_slicer
    assert len(workspace.state.queue) == 0


def test_scrolling_moves_the_preview_off_the_screen_and_back(application, workspace, phantom):
    workspace.draw_box(phantom)
    workspace.wait_for_preview()
    view = application.view("Red")
    overlay = workspace.state.painter.overlay(view)
    shown = overlay.fill.count
    application.actions.scroll(view, 1)
    assert overlay.fill.count == 0
    application.actions.scroll(view, -1)
    assert overlay.fill.count == shown > 0


def test_no_node_is_left_in_the_scene_by_drawing(application, workspace, phantom):
    import slicer

    before = slicer.mrmlScene.GetNumberOfNodes()
    workspace.draw_box(phantom)
    workspace.wait_for_preview()
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_the_source_volume_is_never_changed(application, workspace, phantom):
    import slicer

    before = slicer.util.arrayFromVolume(workspace.volume).copy()
    time = workspace.volume.GetImageData().GetMTime()
    workspace.draw_box(phantom)
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(workspace.volume), before)
    assert workspace.volume.GetImageData().GetMTime() == time


def test_closing_the_application_ends_the_worker_and_leaves_no_connection(application, workspace):
    parts = workspace.parts
    workspace.editor.effectByName("MedSAM").self().cleanup()
    assert workspace.service.ended
    assert workspace.editor.effectByName("MedSAM").self().parts is None
    parts.cleanup()


def test_the_report_names_versions_options_and_the_error(application, workspace):
    import qt

    workspace.propagate()
    assert "nothing to propagate" in workspace.status
    workspace.parts.follow_link("report:")
    text = qt.QApplication.clipboard().text()
    assert "Option model: lite_medsam" in text
    assert "There is nothing to propagate yet." in text


def test_lung_in_the_box_means_the_lung_window():
    from MedSAMSegmentLib.auto_window import window_of_prompts
    from MedSAMSegmentLib.prompts import Box, Line

    volume = np.full((4, 40, 40), 40, np.int16)
    volume[:, :3] = -1000
    volume[:, 10:30, 10:30] = -850
    lung, liver = Box(k=(2, 2), j=(9, 31), i=(9, 31)), Box(k=(2, 2), j=(32, 38), i=(5, 35))
    assert window_of_prompts(volume, None, [lung]) == "ct-lung"
    assert window_of_prompts(volume, "CT", [Line((12, 12, 2), (28, 28, 2))]) == "ct-lung"
    assert window_of_prompts(volume, "CT", [Line((12, 20, 2), (28, 20, 2))]) == "ct-lung", "a level line too"
    assert window_of_prompts(volume, "CT", [Line((12, 20, 9), (28, 20, 9))]) == "auto", "outside the volume"
    assert window_of_prompts(volume, None, [liver]) == "auto"
    assert window_of_prompts(volume, "MR", [lung]) == "auto"
    assert window_of_prompts(volume + 2000, None, [lung]) == "auto"
    assert window_of_prompts(np.repeat(volume[..., None], 3, 3), None, [lung]) == "auto"
    assert window_of_prompts(volume, None, []) == "auto"


def test_paint_on_lung_means_the_lung_window():
    from MedSAMSegmentLib.auto_window import window_of_prompts
    from MedSAMSegmentLib.prompts import MaskPrompt

    volume = np.full((4, 40, 40), 40, np.int16)
    volume[:, :3] = -1000
    volume[:, 10:30, 10:30] = -850
    for axis in (0, 1, 2):
        mask = np.take(volume, 12 if axis else 2, axis) == -850
        painted = MaskPrompt(axis, 12 if axis else 2, mask)
        assert window_of_prompts(volume, "CT", [painted]) == "ct-lung"
        assert window_of_prompts(volume, "CT", [MaskPrompt(axis, painted.index, ~mask)]) == "auto"


def test_the_time_left_is_said_when_it_can_be_known(application):
    from MedSAMSegmentLib.ui.widgets.messages import parse_slice_link, time_left_text

    assert time_left_text(1, 10, 3.0) == "1 of 10 slices"
    assert time_left_text(5, 10, 10.0) == "5 of 10 slices, 10 s left"
    assert time_left_text(2, 100, 60.0) == "2 of 100 slices, 49 min left"
    assert parse_slice_link("slice:1:x:3") is None
    assert parse_slice_link("panel:") is None


def test_the_view_shows_box_and_preview_over_the_image(application, workspace, phantom, tmp_path):
    from slicer_harness.rendering import render_slice_view

    view = application.view("Red")
    workspace.draw_box(phantom)
    workspace.wait_for_preview()
    picture = render_slice_view(view, tmp_path / "preview.png").astype(int)
    inside = pixel(picture, view, phantom.ras((24, 24, 8)))
    red, green, blue = (round(255 * c) for c in workspace.state.painter.color)
    # The fill covers 35 percent; under it the bright ball is grey, so the tint alone tells the channels apart.
    assert inside[0] - inside[2] == pytest.approx(0.35 * (red - blue), abs=6)
    assert inside[1] - inside[2] == pytest.approx(0.35 * (green - blue), abs=6)
    beside = pixel(picture, view, phantom.ras((4, 4, 8)))
    assert beside[0] == beside[1] == beside[2]
    yellow = (picture[..., 0] > 200) & (picture[..., 1] > 140) & (picture[..., 2] < 90)
    assert yellow.sum() > 100, "the box"


def pixel(picture: np.ndarray, view: Any, ras: Any) -> np.ndarray:
    """The colour of a picture (first row on top) at a world point."""
    x, y, _ = view.harness_ras_to_xy(ras)
    return picture[picture.shape[0] - 1 - round(y), round(x)]


def test_the_time_left_counts_slices_not_the_opening_of_the_volume(application, workspace):
    from MedSAMSegmentLib.ui.run.protocols import SessionInfo

    now = [0.0]
    runs = workspace.runs
    runs._clock = lambda: now[0]
    now[0] = 300.0
    runs.session_opened(SessionInfo("cpu"))
    now[0] = 310.0
    runs.run_progressed(5, 10)
    assert workspace.parts.frame.runs.progress.format == "5 of 10 slices, 10 s left"


def test_the_state_of_a_model_leads_to_its_row(application, workspace):
    import slicer

    workspace.set(model="sam2.1_tiny")
    link = workspace.parts.frame.choices.model_state.text.split('href="')[1].split('"')[0]
    workspace.parts.frame.choices.model_state.linkActivated.emit(link)
    panel = slicer.util.getModuleWidget("MedSAMSegment").panel
    assert panel.models.chosen.entry.id == "sam2.1_tiny"


def test_taking_a_prompt_back_leaves_the_key_of_the_markups_alone(application, workspace, phantom):
    from slicer_harness.gestures import active_shortcuts

    keys = [shortcut.key.toString() for shortcut in active_shortcuts(application.main_window)]
    assert not {"Backspace", "Del", "Delete"} & set(keys)
    workspace.draw_box(phantom)
    assert len(workspace.state.queue) == 1
    application.actions.press_key(application.view("Red"), "U")
    assert len(workspace.state.queue) == 0


@pytest.mark.parametrize("kind", ["MedSAMError", "InputError", "OutputError", "ModelError", "WorkerError"])
def test_a_report_is_behind_every_failure_but_a_prompts_own(application, kind):
    from MedSAMSegmentLib import errors
    from MedSAMSegmentLib.ui.widgets.messages import LINK_REPORT, error_html

    assert LINK_REPORT in error_html(getattr(errors, kind)("Wrong.", "Right it."))
    assert LINK_REPORT not in error_html(errors.PromptError("Wrong.", "Right it."))


def test_without_spacing_a_result_has_neither_millilitres_nor_diameters(application):
    from MedSAMSegmentLib.geometry import VolumeGeometry
    from MedSAMSegmentLib.measurements import measure
    from MedSAMSegmentLib.ui.objects.queue import QueuedObject, WrittenResult
    from MedSAMSegmentLib.ui.widgets.messages import diameters_text, results_html, volume_text

    mask = np.zeros((1, 8, 9), bool)
    mask[0, 2:5, 3:7] = True
    measured = measure(mask, VolumeGeometry.from_spacing(mask.shape))
    item = QueuedObject("Spot")
    item.complete(WrittenResult(0, {}, measurement=measured, spacing_known=False))
    assert (volume_text(item.result), diameters_text(item.result)) == ("12 voxels", "")
    line = without_tags(results_html([item]))
    assert line.startswith("Spot: 12 voxels; no spacing: mm and mL mean nothing")
    item.complete(WrittenResult(0, {}, measurement=measured))
    assert "mL" in volume_text(item.result)
    assert "no spacing" not in results_html([item])


def test_a_doubtful_answer_is_called_so(application):
    from MedSAMSegmentLib.ui.objects.queue import QueuedObject, WrittenResult
    from MedSAMSegmentLib.ui.widgets.messages import results_html

    item = QueuedObject("Spot")
    item.complete(WrittenResult(0, {}, assessment="doubtful"))
    assert without_tags(results_html([item])) == "Spot: measuring ...; doubtful, check every slice"
    item.complete(WrittenResult(0, {}, assessment="look"))
    assert "doubtful" not in results_html([item])


def test_slices_to_look_at_are_listed_by_their_reason(application):
    from MedSAMSegmentLib.results import FLAG_AREA_JUMP, FLAG_EMPTY, FLAG_LOW_SCORE, SliceScore
    from MedSAMSegmentLib.ui.objects.queue import QueuedObject, WrittenResult
    from MedSAMSegmentLib.ui.widgets.messages import LISTED_SLICES, results_html

    unsure, empty = SliceScore(0.1, 9, (FLAG_LOW_SCORE,)), SliceScore(0.0, 0, (FLAG_EMPTY,))
    item = QueuedObject("Left & right")
    item.complete(WrittenResult(0, {9: unsure, 3: unsure, 12: empty, 5: unsure}))
    line = without_tags(results_html([item]))
    assert line == "Left &amp; right: measuring ...|Slices to look at (low confidence: 3, 5, 9; empty: 12)"
    both = SliceScore(0.1, 9, (FLAG_LOW_SCORE, FLAG_AREA_JUMP))
    item.complete(WrittenResult(0, dict.fromkeys(range(100), both)))
    html = results_html([item])
    assert html.count("href") == 2 * LISTED_SLICES
    assert html.count(f"{100 - LISTED_SLICES} more") == 2
    assert html.count("low confidence") == html.count("sudden change of area") == 1


def without_tags(html: str) -> str:
    import re

    return re.sub(r"<[^>]+>", "", html.replace("<br>", "|"))


def test_every_preset_can_be_chosen_by_its_title(workspace):
    from MedSAMSegmentLib.intensity import PRESETS

    box = workspace.parts.frame.choices.intensity
    titles = {box.itemData(n): box.itemText(n) for n in range(box.count)}
    assert {preset.id: preset.title for preset in PRESETS.values()}.items() <= titles.items()
