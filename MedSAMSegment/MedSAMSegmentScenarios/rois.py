"""An ROI of the Markups module as a prompt."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from MedSAMSegmentLib.mrml.transforms import to_vtk
from MedSAMSegmentLib.ui.objects.slice_plane import SlicePlane

from . import scenario
from .phantom import Phantom
from .user import show_slice, view_widget
from .workspace import Workspace


def place(node: Any, centre_ras: list[float], size: tuple[float, float, float]) -> None:
    """As after two clicks in place mode."""
    node.SetXYZ(*centre_ras)
    node.SetSize(*size)


def mouse() -> Any:
    return slicer.app.applicationLogic().GetInteractionNode()


@scenario
def a_new_roi_is_segmented_where_there_is_no_segment() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True, segment=None)
    workspace.user.press(workspace.parts.frame.advanced.new_roi)
    roi = workspace.state.scene.roi_node()
    try:
        assert mouse().GetCurrentInteractionMode() == mouse().Place, "the next clicks place it"
        assert "Click two opposite corners" in workspace.status
        workspace.propagate()
        assert "not placed yet" in workspace.status
        place(roi, phantom.ras((24, 24, 8)), (16, 16, 12))
    finally:
        mouse().SwitchToViewTransformMode()
    assert workspace.parts.frame.advanced.roi.currentNode() is roi
    workspace.propagate()
    workspace.wait()
    assert len(workspace.segment_ids) == 1
    assert workspace.mask()[8, 24, 24]
    assert not workspace.mask()[:5].any(), "it ends with the ROI"

    place(roi, phantom.ras((24, 24, 7)), (16, 16, 12))
    workspace.propagate()
    workspace.wait()
    assert len(workspace.segment_ids) == 1, "the same object again"
    assert workspace.mask()[4].any(), "the ROI was moved"


@scenario
def a_slice_of_an_roi_is_previewed_and_written() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.user.press(workspace.parts.frame.advanced.new_roi)
    mouse().SwitchToViewTransformMode()
    place(workspace.state.scene.roi_node(), phantom.ras((24, 24, 8)), (16, 16, 12))
    show_slice("Red", phantom.ras((24, 24, 6)))
    workspace.user.press(workspace.parts.frame.runs.segment_slice)
    workspace.wait()
    expected = phantom.ball(0)
    expected[np.arange(16) != 6] = False
    np.testing.assert_array_equal(workspace.mask(), expected)
    assert workspace.state.painter.overlay(view_widget("Red")).prompts.count == 4, "its cross-section"


@scenario
def a_rotated_roi_is_the_smallest_box_around_it() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.user.press(workspace.parts.frame.advanced.new_roi)
    mouse().SwitchToViewTransformMode()
    roi = workspace.state.scene.roi_node()
    place(roi, [0.0, 0.0, 0.0], (10, 10, 12))
    turn = np.eye(4)
    half = np.sqrt(0.5)
    turn[:2, :2] = [[half, -half], [half, half]]
    turn[:3, 3] = phantom.ras((24, 24, 8))
    roi.SetAndObserveObjectToNodeMatrix(to_vtk(turn))
    workspace.propagate()
    workspace.wait()
    (box,) = workspace.service.jobs[-1].prompts
    assert (box.i, box.j, box.k) == ((17, 31), (17, 31), (5, 11))  # type: ignore[union-attr]
    np.testing.assert_array_equal(workspace.mask()[5:12], phantom.ball(0)[5:12])


@scenario
def an_roi_of_another_module_is_no_prompt() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    assert not workspace.parts.frame.advanced.roi.selectNodeUponCreation
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    place(roi, phantom.ras((24, 24, 8)), (16, 16, 12))
    workspace.propagate()
    assert "nothing to propagate" in workspace.status


@scenario
def an_roi_that_limits_runs_is_no_object_of_its_own() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.user.press(workspace.parts.frame.advanced.new_roi)
    mouse().SwitchToViewTransformMode()
    place(workspace.state.scene.roi_node(), phantom.ras((24, 24, 8)), (16, 16, 12))
    workspace.set(range_rule="roi")
    for _ in range(2):
        if not workspace.service.jobs:
            workspace.draw_box(phantom)
        workspace.propagate()
        workspace.wait()
    assert [job.name for job in workspace.service.jobs] == ["Lesion", "Lesion"]
    assert len(workspace.segment_ids) == 1
    assert not workspace.mask()[:5].any()


@scenario
def a_preview_of_where_an_roi_was_is_not_written() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.user.press(workspace.parts.frame.advanced.new_roi)
    mouse().SwitchToViewTransformMode()
    roi = workspace.state.scene.roi_node()
    place(roi, phantom.ras((24, 24, 8)), (6, 6, 12))
    show_slice("Red", phantom.ras((24, 24, 8)))
    workspace.user.press(workspace.parts.frame.runs.segment_slice)
    workspace.wait()
    small = int(workspace.mask().sum())
    state = workspace.state
    shown = state.scene.volume()
    state.runs.ask_preview(workspace.current, SlicePlane(0, 8), shown, state.settings)
    workspace.wait_for_preview()
    place(roi, phantom.ras((24, 24, 8)), (16, 16, 12))
    workspace.user.press(workspace.parts.frame.runs.segment_slice)
    workspace.wait()
    assert int(workspace.mask().sum()) > small, "the slice of the ROI as it is now"
