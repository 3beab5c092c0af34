"""The stand-in of the Segment Editor calls an effect as the real one does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slicer_harness.keys import collisions

SAMPLE = Path(__file__).with_name("sample_extension") / "SampleBox.py"


@pytest.fixture
def sample(application: Any) -> Any:
    """The sample module, loaded and registered."""
    module = application.load_module(SAMPLE)
    application.finish_startup()
    return module


@pytest.fixture
def ready(application: Any, sample: Any, editor: Any, a_chest_ct: Any) -> Any:
    """The editor with the chest CT, a segmentation and one selected segment."""
    import slicer

    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "S")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(a_chest_ct)
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(a_chest_ct)
    segment = segmentation.GetSegmentation().AddEmptySegment("one", "one")
    editor.setCurrentSegmentID(segment)
    return editor


def effect_of(editor: Any) -> Any:
    return editor.effectByName("SampleBox").self()


def mask(editor: Any) -> np.ndarray:
    import slicer

    return slicer.util.arrayFromSegmentBinaryLabelmap(
        editor.segmentationNode(), editor.currentSegmentID(), editor.sourceVolumeNode()
    )


def test_activation_updates_the_panel_before_activate_is_called(ready):
    effect = effect_of(ready)
    effect.calls.clear()
    ready.setActiveEffectByName("SampleBox")
    assert effect.calls[:2] == ["updateGUIFromMRML", "activate"]
    assert effect.calls.count("createCursor") == 6
    assert ready.activeEffect().self() is effect
    assert effect.margin.value == 3
    assert effect.scriptedEffect.optionsFrame().visible


def test_the_help_of_the_effect_is_shown_up_to_its_first_break(ready):
    ready.setActiveEffectByName("SampleBox")
    assert ready.harness_help().plainText == "Drag a box.… Show details."


def test_defaults_may_be_set_before_or_after_the_options_frame(application, sample, editor):
    assert effect_of(editor).calls[:2] == ["setupOptionsFrame", "setMRMLDefaults"]


def test_the_constructor_runs_once_for_the_factory_and_once_for_each_editor(application, sample, editor):
    import slicer

    factory_instance = slicer.qSlicerSegmentEditorEffectFactory.instance().registeredEffects()[0]
    assert factory_instance.self() is not effect_of(editor)
    assert factory_instance.self().calls == []
    other = application.new_editor()
    assert effect_of(other) is not effect_of(editor)


def test_a_drag_writes_voxels_and_one_undo_takes_them_back(application, ready):
    ready.setActiveEffectByName("SampleBox")
    view = application.view("Red")
    view.sliceLogic().SetSliceOffset(-200.0)
    offset = view.sliceLogic().GetSliceOffset()
    application.actions.drag(view, (30.0, 20.0, offset), (60.0, 50.0, offset))
    written = mask(ready)
    assert written.sum() > 100
    assert len(np.unique(np.nonzero(written)[0])) == 1
    ready.undo()
    assert mask(ready).sum() == 0
    ready.redo()
    assert (mask(ready) == written).all()
    assert application.actions.count == 1


def test_an_event_that_the_effect_takes_does_not_reach_the_view(application, ready):
    import slicer

    ready.setActiveEffectByName("SampleBox")
    view = application.view("Red")
    point = (30.0, 20.0, view.sliceLogic().GetSliceOffset())
    application.actions.click_at(view, point)
    assert "LeftButtonPressEvent" not in application.actions.left_to_slicer
    pointer = [0.0, 0.0, 0.0]
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode").GetCursorPositionRAS(pointer)
    assert pointer == pytest.approx(point, abs=1.0), "the view follows the pointer, which the effect does not take"


def test_an_answer_that_is_no_bool_is_an_error(application, ready):
    ready.setActiveEffectByName("SampleBox")
    effect_of(ready).answer = None
    view = application.view("Red")
    application.actions.click_at(view, (30.0, 20.0, view.sliceLogic().GetSliceOffset()))
    assert "must return bool" in str(application.errors[0])
    application.errors.clear()


def test_an_error_in_an_effect_is_swallowed_but_remembered(application, ready):
    effect_of(ready).fail_in = "activate"
    ready.setActiveEffectByName("SampleBox")
    assert ready.activeEffect().name == "SampleBox"
    assert [type(one.error) for one in application.errors] == [RuntimeError]
    application.errors.clear()


def test_methods_are_bound_once_after_the_constructor(ready):
    effect = effect_of(ready)
    effect.activate = lambda: pytest.fail("the host must call the method that it bound at construction")
    ready.setActiveEffectByName("SampleBox")
    assert "activate" in effect.calls


def test_selecting_another_effect_deactivates_ours(ready):
    ready.setActiveEffectByName("SampleBox")
    ready.setActiveEffectByName("Paint")
    assert effect_of(ready).calls[-1] == "deactivate"
    assert not effect_of(ready).scriptedEffect.optionsFrame().visible


def test_place_mode_deselects_an_effect_that_does_not_override_the_default(application, ready):
    ready.setActiveEffectByName("SampleBox")
    interaction = ready.interactionNode()
    interaction.SetCurrentInteractionMode(interaction.Place)
    assert ready.activeEffect() is None


def test_activation_forces_view_transform_mode(ready):
    interaction = ready.interactionNode()
    interaction.SetCurrentInteractionMode(interaction.Place)
    ready.setActiveEffectByName("SampleBox")
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform


def test_parameters_are_texts_with_six_significant_digits(ready):
    host = effect_of(ready).scriptedEffect
    host.setParameter("Level", 1234567.891)
    assert host.parameter("Level") == "1.23457e+06"
    assert ready.mrmlSegmentEditorNode().GetAttribute("SampleBox.Level") == "1.23457e+06"
    assert host.doubleParameter("Level") == 1234570.0
    with pytest.raises(TypeError, match="bool"):
        host.setParameter("On", True)


def test_a_parameter_change_reaches_the_active_effect_only(ready):
    effect = effect_of(ready)
    effect.calls.clear()
    effect.scriptedEffect.setParameter("Margin", 5)
    assert effect.calls == []
    ready.setActiveEffectByName("SampleBox")
    effect.scriptedEffect.setParameter("Margin", 7)
    assert effect.margin.value == 7


def test_scrolling_arrives_as_a_change_of_the_slice_node(application, ready):
    ready.setActiveEffectByName("SampleBox")
    application.actions.scroll(application.view("Red"), 2)
    assert "processViewNodeEvents" in effect_of(ready).calls


def test_an_effect_needs_a_segment_before_its_button_can_be_pressed(application, sample, editor, a_chest_ct):
    assert not editor.harness_effect_button("SampleBox").enabled


def test_removing_the_selected_segment_deselects_the_effect(ready):
    ready.setActiveEffectByName("SampleBox")
    ready.segmentationNode().GetSegmentation().RemoveSegment("one")
    assert ready.activeEffect() is None


def test_an_undo_that_removes_the_selected_segment_selects_none_and_leaves_the_effect(ready):
    segmentation = ready.segmentationNode().GetSegmentation()
    ready.setActiveEffectByName("SampleBox")
    effect_of(ready).scriptedEffect.saveStateForUndo()
    ready.setCurrentSegmentID(segmentation.AddEmptySegment("two", "two"))
    assert ready.activeEffect() is not None
    ready.undo()
    assert segmentation.GetNumberOfSegments() == 1
    assert ready.currentSegmentID() == ""
    assert ready.activeEffect() is None
    ready.redo()
    assert segmentation.GetNumberOfSegments() == 2
    assert ready.currentSegmentID() == "", "what Redo brings back is not selected"
    assert ready.activeEffect() is None


def test_an_undo_that_removes_the_selected_segment_keeps_an_effect_that_is_not_per_segment(ready):
    segmentation = ready.segmentationNode().GetSegmentation()
    ready.setActiveEffectByName("SampleBox")
    effect_of(ready).scriptedEffect.perSegment = False
    effect_of(ready).scriptedEffect.saveStateForUndo()
    ready.setCurrentSegmentID(segmentation.AddEmptySegment("two", "two"))
    ready.undo()
    assert ready.currentSegmentID() == ""
    assert ready.activeEffect().name == "SampleBox"
    assert ready.harness_effect_button("SampleBox").enabled
    assert not ready.harness_effect_button("Margin").enabled


def test_removing_another_segment_changes_neither_selection_nor_effect(ready):
    segmentation = ready.segmentationNode().GetSegmentation()
    segmentation.AddEmptySegment("two", "two")
    ready.setActiveEffectByName("SampleBox")
    segmentation.RemoveSegment("two")
    assert ready.currentSegmentID() == "one"
    assert ready.activeEffect().name == "SampleBox"


def test_the_button_remove_selects_the_next_segment_and_keeps_the_effect(ready):
    segmentation = ready.segmentationNode().GetSegmentation()
    segmentation.AddEmptySegment("two", "two")
    ready.setActiveEffectByName("SampleBox")
    ready.harness_remove_selected_segment()
    assert [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())] == ["two"]
    assert ready.currentSegmentID() == "two"
    assert ready.activeEffect().name == "SampleBox"


def test_an_id_that_no_segment_has_selects_none(ready):
    ready.setActiveEffectByName("SampleBox")
    ready.setCurrentSegmentID("nobody")
    assert ready.currentSegmentID() == ""
    assert ready.activeEffect() is None


def test_the_signal_of_the_selected_segment_tells_of_the_table_not_of_the_node(ready):
    seen: list[str] = []
    segmentation = ready.segmentationNode().GetSegmentation()
    segmentation.AddEmptySegment("two", "two")
    ready.connect("currentSegmentIDChanged(QString)", seen.append)
    ready.setCurrentSegmentID("two")
    assert seen == []
    segmentation.RemoveSegment("two")
    assert seen == [""]


def test_a_segmentation_is_chosen_with_its_first_segment_selected(ready):
    import slicer

    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Other")
    for name in ("a", "b"):
        other.GetSegmentation().AddEmptySegment(name, name)
    node = ready.mrmlSegmentEditorNode()
    was_modifying = node.StartModify()
    node.SetAndObserveSegmentationNode(other)
    node.SetSelectedSegmentID("b")
    node.EndModify(was_modifying)
    assert ready.currentSegmentID() == "a"


def test_the_editor_waits_for_the_end_of_a_batch(ready):
    import slicer

    ready.setActiveEffectByName("SampleBox")
    slicer.mrmlScene.StartState(slicer.mrmlScene.BatchProcessState)
    ready.setActiveEffectByName("Paint")
    assert ready.activeEffect().name == "SampleBox"
    slicer.mrmlScene.EndState(slicer.mrmlScene.BatchProcessState)
    assert ready.activeEffect().name == "Paint"


def test_closing_the_scene_leaves_the_effect_and_keeps_the_editor_usable(application, ready):
    import slicer

    ready.setActiveEffectByName("SampleBox")
    slicer.mrmlScene.Clear(0)
    assert ready.activeEffect() is None
    assert ready.mrmlSegmentEditorNode() is not None
    assert ready.segmentationNode() is None


def test_cleanup_is_called_when_the_editor_goes(application, ready):
    effect = effect_of(ready)
    ready.harness_close()
    assert effect.calls[-1] == "cleanup"


def test_masking_holds_for_the_effect(application, ready):
    segmentation = ready.segmentationNode()
    segmentation.GetSegmentation().AddEmptySegment("two", "two")
    ready.setActiveEffectByName("SampleBox")
    view = application.view("Red")
    offset = view.sliceLogic().GetSliceOffset()
    application.actions.drag(view, (30.0, 20.0, offset), (60.0, 50.0, offset))
    first = mask(ready).copy()
    ready.setCurrentSegmentID("two")
    node = ready.mrmlSegmentEditorNode()
    node.SetMaskMode(type(segmentation).EditAllowedOutsideAllSegments)
    application.actions.drag(view, (40.0, 30.0, offset), (80.0, 70.0, offset))
    second = mask(ready).copy()
    assert second.sum() > 0
    assert (second & first).sum() == 0


def test_a_key_of_the_segment_editor_is_found_as_a_collision(application, ready):
    import qt
    import slicer

    mine = qt.QShortcut(qt.QKeySequence("Q"), slicer.util.mainWindow())
    mine.connect("activated()", lambda: None)
    with pytest.raises(AssertionError, match="ambiguous"):
        application.actions.press_key(application.view("Red"), "Q")
    mine.delete()


def test_a_widget_added_to_the_options_loses_its_size_policy(ready):
    import qt

    effect = effect_of(ready).scriptedEffect
    alone, labelled, laid_out = qt.QLabel(), qt.QLabel(), qt.QLabel()
    for label in (alone, labelled, laid_out):
        label.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Fixed)
    effect.addOptionsWidget(alone)
    effect.addLabeledOptionsWidget("Text:", labelled)
    layout = qt.QHBoxLayout()
    layout.addWidget(laid_out)
    effect.addOptionsWidget(layout)
    policies = [label.sizePolicy.horizontalPolicy() for label in (alone, labelled, laid_out)]
    assert policies == [qt.QSizePolicy.Preferred, qt.QSizePolicy.Preferred, qt.QSizePolicy.Ignored]


def test_a_number_key_selects_an_effect(application, ready):
    application.actions.press_key(application.view("Red"), "2")
    assert ready.activeEffect().name == "Paint"
    application.actions.press_key(application.view("Red"), "Esc")
    assert ready.activeEffect() is None


@pytest.mark.parametrize(("key", "taker"), [("F", "slice view"), ("Ctrl+S", "menu"), ("Ctrl+Z", "shortcut of")])
def test_keys_of_views_menus_and_editor_are_known_as_taken(application, ready, key, taker):
    import qt
    import slicer

    assert collisions(slicer.util.mainWindow()) == []
    mine = qt.QShortcut(qt.QKeySequence(key), slicer.util.mainWindow())
    assert [taker in problem for problem in collisions(slicer.util.mainWindow())] == [True]
    mine.delete()


def test_a_list_of_nodes_with_blocked_signals_tells_nobody(application: Any) -> None:
    import slicer

    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes = ["vtkMRMLMarkupsROINode"]
    box.noneEnabled = True
    box.setMRMLScene(slicer.mrmlScene)
    heard: list[Any] = []
    box.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
    first, second = (slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode") for _ in range(2))
    box.setCurrentNode(first)
    assert heard == [first]
    blocked = box.blockSignals(True)
    box.setCurrentNode(second)
    box.blockSignals(blocked)
    assert heard == [first]
    assert box.currentNode() is second


def test_an_effect_that_a_loaded_scene_names_is_chosen_when_it_is_loaded_whole(ready: Any) -> None:
    import slicer

    parameters = ready.mrmlSegmentEditorNode()
    slicer.mrmlScene.StartState(slicer.vtkMRMLScene.BatchProcessState)
    disabled = parameters.GetDisableModifiedEvent()
    parameters.SetDisableModifiedEvent(1)
    parameters.SetActiveEffectName("SampleBox")
    parameters.SetDisableModifiedEvent(disabled)
    assert ready.activeEffect() is None
    slicer.mrmlScene.EndState(slicer.vtkMRMLScene.BatchProcessState)
    assert ready.activeEffect().name == "SampleBox"
