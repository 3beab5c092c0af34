"""An ROI of the Markups module as a prompt."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

import numpy as np
import slicer

from MedSAMSegmentLib.geometry import SlicePlane
from MedSAMSegmentLib.mrml.transforms import to_vtk
from MedSAMSegmentLib.ui.objects.queue import ObjectState

from . import scenario
from .phantom import Phantom
from .user import show_slice, view_widget, wait_until
from .workspace import EFFECT, Workspace


def place(node: Any, centre_ras: list[float], size: tuple[float, float, float]) -> None:
    """As after two clicks in place mode."""
    node.SetXYZ(*centre_ras)
    node.SetSize(*size)


def load(bundle: Path) -> None:
    """Load a scene bundle: it is a zip archive of the scene's file and its data."""
    with ZipFile(bundle) as archive:
        archive.extractall(bundle.parent)
    (file,) = bundle.parent.rglob("*.mrml")
    slicer.mrmlScene.SetRootDirectory(str(file.parent))
    slicer.mrmlScene.SetURL(str(file))
    assert slicer.mrmlScene.Connect(), "the scene was not read"


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
def an_roi_that_was_placed_is_shown_and_said() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    show_slice("Red", phantom.ras((24, 24, 9)))
    workspace.user.press(workspace.parts.frame.advanced.new_roi)
    roi = workspace.state.scene.roi_node()
    overlay = workspace.state.painter.overlay(view_widget("Red"))
    place(roi, phantom.ras((24, 24, 8)), (16, 16, 12))
    slicer.app.processEvents()
    assert len(workspace.state.queue) == 0, "the second click is still to come"
    mouse().SwitchToViewTransformMode()
    workspace.wait_for_preview()
    assert overlay.prompts.count == 4, "its outline"
    assert overlay.fill.count > 0, "and its preview, on the slice that is shown"
    assert workspace.runs.preview.shown is not None
    assert workspace.runs.preview.shown.plane == SlicePlane(0, 9)
    assert workspace.estimate.startswith("At most 7 slice(s)")
    assert "Press Propagate (P)" in workspace.status

    place(roi, phantom.ras((24, 24, 3)), (16, 16, 8))
    slicer.app.processEvents()
    assert workspace.runs.preview.shown.plane.index == 9, "it is still being dragged"
    roi.InvokeCustomModifiedEvent(slicer.vtkMRMLMarkupsNode.PointEndInteractionEvent)
    slicer.app.processEvents()
    assert "slices 1 to 5" in workspace.status
    assert workspace.estimate.startswith("At most 5 slice(s)")
    shown = view_widget("Red").mrmlSliceNode().GetSliceOffset()
    assert abs(shown - phantom.ras((0, 0, 3))[2]) < 1.0, "no view cut it any longer"
    workspace.wait_for_preview()
    assert workspace.runs.preview.shown.plane == SlicePlane(0, 3)
    assert len(workspace.state.queue) == 1
    place(roi, phantom.ras((24, 24, 8)), (16, 16, 12))
    roi.InvokeCustomModifiedEvent(slicer.vtkMRMLMarkupsNode.PointEndInteractionEvent)
    workspace.wait_for_preview()
    workspace.propagate()
    workspace.wait()
    assert workspace.current.state in (ObjectState.DONE, ObjectState.LOOK)
    assert workspace.mask()[8, 24, 24]

    place(roi, phantom.ras((24, 24, 7)), (16, 16, 12))
    roi.InvokeCustomModifiedEvent(slicer.vtkMRMLMarkupsNode.PointEndInteractionEvent)
    workspace.wait_for_preview()
    assert workspace.current.state is ObjectState.WAITING, "its result is that of another place"
    workspace.parts.drawing.remove_last_prompt()
    workspace.wait()


@scenario
def an_roi_that_is_given_up_or_limits_runs_is_no_object() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.user.press(workspace.parts.frame.advanced.new_roi)
    mouse().SwitchToViewTransformMode()
    slicer.app.processEvents()
    assert len(workspace.state.queue) == 0
    assert "Click two opposite corners" not in workspace.status

    roi = workspace.state.scene.roi_node()
    place(roi, phantom.ras((24, 24, 8)), (16, 16, 12))
    roi.InvokeCustomModifiedEvent(slicer.vtkMRMLMarkupsNode.PointEndInteractionEvent)
    slicer.app.processEvents()
    assert len(workspace.state.queue) == 1
    workspace.set(range_rule="roi")
    assert len(workspace.state.queue) == 0, "it is the range now"
    place(roi, phantom.ras((24, 24, 7)), (16, 16, 12))
    roi.InvokeCustomModifiedEvent(slicer.vtkMRMLMarkupsNode.PointEndInteractionEvent)
    slicer.app.processEvents()
    assert len(workspace.state.queue) == 0
    assert "Runs take slices 4 to 10" in workspace.status
    workspace.wait("preview that nobody waits for")


@scenario
def the_roi_of_a_loaded_scene_is_shown_as_chosen() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.user.press(workspace.parts.frame.advanced.new_roi)
    mouse().SwitchToViewTransformMode()
    roi = workspace.state.scene.roi_node()
    roi.SetName("Around the ball")
    place(roi, phantom.ras((24, 24, 8)), (16, 16, 12))
    with TemporaryDirectory() as folder:
        bundle = Path(folder) / "saved.mrb"
        assert slicer.mrmlScene.WriteToMRB(str(bundle))
        slicer.mrmlScene.Clear()
        slicer.app.processEvents()
        load(bundle)
    slicer.app.processEvents()
    if workspace.editor.segmentationNode() is None:
        # The application leaves that to the user.
        workspace.editor.setSegmentationNode(slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode"))
        workspace.editor.setSourceVolumeNode(slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode"))
    if workspace.editor.activeEffect() is None:
        workspace.editor.setActiveEffectByName(EFFECT)
        slicer.app.processEvents()
    chosen = workspace.state.scene.roi_node()
    assert chosen is not None
    assert chosen.GetName() == "Around the ball"
    shown = workspace.parts.frame.advanced.roi
    assert shown.currentNode() is chosen, "P would run it"

    # A list that is renewed after the effect was shown has lost what was chosen.
    blocked = shown.blockSignals(True)
    shown.setCurrentNode(None)
    shown.blockSignals(blocked)
    slicer.mrmlScene.InvokeEvent(slicer.vtkMRMLScene.EndImportEvent)
    if workspace.editor.activeEffect() is None:
        return  # the application leaves the effect at the end of an import; what it shows then was looked at above
    wait_until(lambda: shown.currentNode() is chosen, "the ROI in the list", 10)


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
    # Wider than the box that is drawn: a press on one of its handles would be Slicer's and drag that.
    place(workspace.state.scene.roi_node(), phantom.ras((24, 24, 8)), (40, 40, 12))
    workspace.set(range_rule="roi")
    for _ in range(2):
        if not workspace.service.jobs:
            workspace.draw_box(phantom)
        workspace.propagate()
        workspace.wait()
    assert [job.name for job in workspace.service.jobs] == ["Lesion", "Lesion"]
    assert len(workspace.segment_ids) == 1
    assert not workspace.mask()[:5].any()
    assert tuple(workspace.state.scene.roi_node().GetSize()) == (40, 40, 12), "drawing does not change it"


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
