"""The scene changes while a run is on: each ends clean."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import qt
import slicer

from MedSAMSegmentLib.ui.run.request import RunState

from . import scenario
from .phantom import Phantom
from .user import wait_until
from .workspace import EFFECT, Workspace

PHANTOM = Phantom()


def held() -> Workspace:
    """A run that stands still after two slices."""
    workspace = Workspace(PHANTOM.node(), stand_in=True)
    workspace.hold_a_run(PHANTOM)
    return workspace


def ended_clean(workspace: Workspace) -> None:
    """The run is over, nothing of it was written, and the next run works."""
    workspace.service.release()
    wait_until(lambda: not workspace.runs.busy, "end")
    assert workspace.runs.requests.state is RunState.IDLE
    assert workspace.runs.batch is None
    assert not any(workspace.mask(segment_id).any() for segment_id in workspace.segment_ids)


@scenario
def the_segment_is_deleted_during_a_run() -> None:
    workspace = held()
    workspace.segmentation.GetSegmentation().RemoveSegment(workspace.segment_id)
    ended_clean(workspace)
    assert workspace.current.segment_id == "", "what was drawn stays"
    workspace.editor.setActiveEffectByName(EFFECT)
    workspace.draw_box(PHANTOM)
    assert len(workspace.state.queue) == 1
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(), PHANTOM.ball(0))


@scenario
def another_segment_is_selected_during_a_run() -> None:
    workspace = held()
    other = str(workspace.segmentation.GetSegmentation().AddEmptySegment("", "Other"))
    workspace.editor.setCurrentSegmentID(other)
    workspace.service.release()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(workspace.segment_id), PHANTOM.ball(0))
    assert not workspace.mask(other).any(), "the result goes where it was asked for"


@scenario
def another_segmentation_is_chosen_during_a_run() -> None:
    workspace = held()
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    other.CreateDefaultDisplayNodes()
    workspace.editor.setSegmentationNode(other)
    ended_clean(workspace)
    assert other.GetSegmentation().GetNumberOfSegments() == 0


@scenario
def the_segmentation_is_deleted_during_a_run() -> None:
    workspace = held()
    slicer.mrmlScene.RemoveNode(workspace.segmentation)
    workspace.service.release()
    wait_until(lambda: not workspace.runs.busy, "end")
    assert workspace.runs.batch is None


@scenario
def another_volume_is_chosen_during_a_run() -> None:
    workspace = held()
    assert workspace.service.holds_volume
    workspace.editor.setSourceVolumeNode(PHANTOM.node("Another"))
    assert not workspace.service.holds_volume, "its memory is free again"
    ended_clean(workspace)
    assert len(workspace.state.queue) == 0


@scenario
def the_volume_is_deleted_during_a_run() -> None:
    workspace = held()
    volume, workspace.volume = workspace.volume, PHANTOM.node("Spare")
    slicer.mrmlScene.RemoveNode(volume)
    ended_clean(workspace)


@scenario
def the_voxels_change_during_a_run() -> None:
    workspace = held()
    slicer.util.arrayFromVolume(workspace.volume)[0, 0, 0] = 7
    slicer.util.arrayFromVolumeModified(workspace.volume)
    ended_clean(workspace)
    assert "volume changed" in workspace.status


@scenario
def the_scene_is_closed_during_a_run() -> None:
    workspace = held()
    state = workspace.state
    slicer.mrmlScene.Clear()
    workspace.service.release()
    wait_until(lambda: not state.runs.busy, "end")
    assert state.runs.batch is None
    assert len(state.queue) == 0
    assert not workspace.service.holds_volume
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


@scenario
def another_effect_is_chosen_during_a_run() -> None:
    workspace = held()
    workspace.editor.setActiveEffect(None)
    ended_clean(workspace)
    assert workspace.state.painter.views() == [], "no actor is left in the views"
    workspace.editor.setActiveEffectByName(EFFECT)
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(), PHANTOM.ball(0))


@scenario
def a_second_propagate_is_refused_while_one_runs() -> None:
    workspace = held()
    assert not workspace.parts.frame.runs.propagate.enabled
    workspace.parts.running.propagate()
    assert "A run is on" in workspace.status
    workspace.draw_box(PHANTOM, k=9)
    assert len(workspace.state.queue) == 1, "nothing is drawn during a run"
    workspace.service.release()
    workspace.wait()
    assert len(workspace.service.jobs) == 1
    np.testing.assert_array_equal(workspace.mask(), PHANTOM.ball(0))


@scenario
def undo_during_a_run_does_not_confuse_it() -> None:
    workspace = Workspace(PHANTOM.node(), stand_in=True)
    painted = np.zeros(PHANTOM.shape_zyx, bool)
    painted[0, 2:6, 2:6] = True
    workspace.write(painted)
    workspace.set(each_box_new_segment=False)
    workspace.hold_a_run(PHANTOM)
    workspace.editor.undo()
    workspace.service.release()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(), PHANTOM.ball(0))
    assert not workspace.mask()[0].any(), "what was undone stays undone"


@scenario
def the_module_is_reloaded_during_a_run() -> None:
    workspace = held()
    slicer.util.reloadScriptedModule("MedSAMSegment")
    workspace.service.release()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(), PHANTOM.ball(0))


def ended_after(action: Callable[[Workspace], Any]) -> Workspace:
    """A run over an empty segment, and what happens when the event loop has its turn while the result is written."""
    workspace = Workspace(PHANTOM.node(), stand_in=True)
    workspace.draw_box(PHANTOM)
    workspace.wait_for_preview()
    scene, done = workspace.state.scene, []
    write = scene.write

    def act() -> None:
        done.append(workspace.runs.writing)
        action(workspace)

    def interrupted(*arguments: Any) -> Generator[None, None, Any]:
        steps = write(*arguments)
        try:
            for _ in range(3):
                yield next(steps)
            qt.QTimer.singleShot(0, act)
            while not done:
                yield
            return (yield from steps)
        finally:
            steps.close()

    scene.write = interrupted  # type: ignore[assignment, method-assign]
    try:
        workspace.propagate()
        wait_until(lambda: not workspace.runs.busy and workspace.runs.batch is None, "end")
        workspace.wait()
    finally:
        del scene.write
    assert done == [False], "what happens in between is news"
    return workspace


@scenario
def nothing_else_begins_while_a_result_is_written() -> None:
    enabled: list[bool] = []
    said: list[str] = []

    def look(workspace: Workspace) -> None:
        enabled.append(workspace.parts.frame.runs.propagate.enabled)
        workspace.parts.running.propagate()
        said.append(workspace.status)
        workspace.parts.listing.clear_rows()

    workspace = ended_after(look)
    np.testing.assert_array_equal(workspace.mask(), PHANTOM.ball(0))
    assert len(workspace.service.jobs) == 1
    assert len(workspace.state.queue) == 1
    assert enabled == [False]
    assert "A run is on" in said[0]


@scenario
def undo_while_a_result_is_written_does_not_lose_it() -> None:
    workspace = ended_after(lambda workspace: workspace.editor.undo())
    np.testing.assert_array_equal(workspace.mask(), PHANTOM.ball(0))
    workspace.editor.undo()
    assert not workspace.mask().any()


@scenario
def another_effect_is_chosen_while_a_result_is_written() -> None:
    workspace = ended_after(lambda workspace: workspace.editor.setActiveEffectByName("Paint"))
    np.testing.assert_array_equal(workspace.mask(), PHANTOM.ball(0))
    workspace.editor.setActiveEffectByName(EFFECT)
    workspace.editor.undo()
    assert not workspace.mask().any()


@scenario
def the_segment_is_deleted_while_a_result_is_written() -> None:
    def delete(workspace: Workspace) -> None:
        workspace.segmentation.GetSegmentation().RemoveSegment(workspace.segment_id)

    workspace = ended_after(delete)
    assert workspace.segment_ids == []
    assert "deleted" in workspace.status


@scenario
def the_segmentation_is_deleted_while_a_result_is_written() -> None:
    workspace = ended_after(lambda workspace: slicer.mrmlScene.RemoveNode(workspace.segmentation))
    assert len(workspace.state.queue) == 0


@scenario
def the_scene_is_closed_while_a_result_is_written() -> None:
    workspace = ended_after(lambda _workspace: slicer.mrmlScene.Clear())
    assert len(workspace.state.queue) == 0
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
