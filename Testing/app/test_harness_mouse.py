"""In slice views of the harness Slicer does with the mouse what it does in the application."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def red(application: Any, a_chest_ct: Any) -> Any:
    """The red view with the chest CT, and no effect."""
    return application.view("Red")


def middle(view: Any) -> tuple[float, float, float]:
    """A point in the middle of the slice that a view shows, RAS mm."""
    return tuple(view.harness_xyz_to_ras((200.0, 200.0, 0.0)))


def beside(view: Any, right: float, up: float) -> tuple[float, float, float]:
    """A point of the slice some pixels beside the middle."""
    return tuple(view.harness_xyz_to_ras((200.0 + right, 200.0 + up, 0.0)))


def presses_that_nobody_took(application: Any) -> int:
    return sum(event.startswith("LeftButton") and "Press" in event for event in application.actions.unclaimed)


def test_in_window_level_mode_the_press_is_consumed_and_the_window_changes(application, red, a_chest_ct):
    interaction = application.logic.GetInteractionNode()
    display = a_chest_ct.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevel(400.0, 40.0)
    interaction.SetCurrentInteractionMode(interaction.AdjustWindowLevel)
    application.actions.drag(red, middle(red), beside(red, 40, 30))
    assert presses_that_nobody_took(application) == 0
    assert (display.GetWindow(), display.GetLevel()) != (400.0, 40.0)


def test_in_view_mode_the_press_is_left_and_the_window_stays(application, red, a_chest_ct):
    display = a_chest_ct.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevel(400.0, 40.0)
    application.actions.drag(red, middle(red), beside(red, 40, 30))
    assert presses_that_nobody_took(application) == 1
    assert (display.GetWindow(), display.GetLevel()) == (400.0, 40.0)


def test_a_double_click_is_consumed_and_maximises_the_view(application, red):
    import slicer

    layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    application.actions.double_click_at(red, middle(red))
    assert "LeftButtonDoubleClickEvent" not in application.actions.unclaimed
    assert layout.IsMaximizedViewNode(red.mrmlSliceNode())
    application.actions.double_click_at(red, middle(red))
    assert not layout.IsMaximizedViewNode(red.mrmlSliceNode())


@pytest.fixture
def roi(red: Any) -> Any:
    """An ROI of 60 mm around the middle of the red slice."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    node.CreateDefaultDisplayNodes()
    node.SetXYZ(*middle(red))
    node.SetSize(60.0, 60.0, 60.0)
    return node


def corner(roi: Any, view: Any) -> tuple[float, float, float]:
    x, y, z = roi.GetCenter()
    return (x + 30.0, y + 30.0, z)


def test_the_pointer_on_a_handle_of_an_roi_makes_it_active(application, red, roi):
    display = roi.GetDisplayNode()
    application.actions.move_to(red, corner(roi, red))
    assert display.GetActiveComponentType() != display.ComponentNone
    application.actions.move_to(red, beside(red, 180, 0))
    assert display.GetActiveComponentType() == display.ComponentNone


def test_a_drag_from_the_corner_of_an_roi_grabs_its_handle_and_changes_its_size(application, red, roi):
    application.actions.drag(red, corner(roi, red), middle(red))
    assert presses_that_nobody_took(application) == 0
    assert roi.GetSize()[0] == pytest.approx(30.0, abs=4.0)
    assert roi.GetSize()[1] == pytest.approx(30.0, abs=4.0)
    assert roi.GetSize()[2] == pytest.approx(60.0)


def test_two_clicks_in_place_mode_place_an_roi(application, red):
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    node.CreateDefaultDisplayNodes()
    selection = slicer.mrmlScene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    selection.SetReferenceActivePlaceNodeClassName(node.GetClassName())
    selection.SetActivePlaceNodeID(node.GetID())
    interaction = application.logic.GetInteractionNode()
    interaction.SetCurrentInteractionMode(interaction.Place)
    application.actions.click_at(red, middle(red))
    application.actions.click_at(red, beside(red, 50, 40))
    assert "LeftButtonReleaseEvent" not in application.actions.unclaimed, "the release places, the press does not"
    assert min(node.GetSize()[:2]) > 10.0
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform


def test_the_wheel_moves_the_slice_by_itself(application, red):
    before = red.sliceLogic().GetSliceOffset()
    application.actions.scroll(red, 2)
    spacing = red.sliceLogic().GetLowestVolumeSliceSpacing()[2]
    assert red.sliceLogic().GetSliceOffset() == pytest.approx(before + 2 * spacing)
    assert "MouseWheelForwardEvent" not in application.actions.unclaimed
