"""Going on after a run: what another Propagate takes up again, and with what."""

from __future__ import annotations

import numpy as np
import slicer

from MedSAMSegmentLib.ui.objects.queue import ObjectState

from . import scenario
from .phantom import Ball, Phantom
from .user import show_slice
from .workspace import Workspace, another_effect

LUNG = Phantom(inside=-700, outside=-950)


@scenario
def a_corrected_slice_keeps_the_window_of_its_object() -> None:
    workspace = Workspace(LUNG.node(), stand_in=True)
    workspace.service.threshold = -800
    workspace.draw_box(LUNG)
    workspace.propagate()
    workspace.wait()
    assert workspace.service.opened[-1].window == "ct-lung"
    edited = workspace.mask()
    edited[8, 20:23, 40:44] = True
    with another_effect(workspace):
        workspace.write(edited)
    workspace.propagate()
    workspace.wait()
    assert [type(p).__name__ for p in workspace.service.jobs[-1].prompts] == ["MaskPrompt"]
    assert [target.window for target in workspace.service.opened] == ["ct-lung"], "one session, one window"


@scenario
def a_painted_slice_tells_the_window_too() -> None:
    workspace = Workspace(LUNG.node(), stand_in=True)
    workspace.service.threshold = -800
    painted = LUNG.ball(0)
    painted[np.arange(16) != 8] = False
    with another_effect(workspace):
        workspace.write(painted)
    workspace.propagate()
    workspace.wait()
    assert workspace.service.opened[-1].window == "ct-lung"


@scenario
def a_click_after_a_run_is_shown_on_what_the_segment_holds() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.draw_box(phantom)
    workspace.propagate()
    workspace.wait()
    show_slice("Red", phantom.ras((24, 24, 10)))
    workspace.set(tool="exclude")
    workspace.user.click("Red", phantom.ras((24, 24, 10)))
    workspace.wait_for_preview()
    np.testing.assert_array_equal(workspace.shown_mask, workspace.mask()[10])


def with_a_failed_row() -> Workspace:
    """One object done, and a second one in whose box nothing is."""
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.draw_box(phantom)
    workspace.propagate()
    workspace.wait()
    workspace.user.drag("Red", phantom.ras((2, 2, 8)), phantom.ras((10, 10, 8)))
    workspace.propagate()
    workspace.wait()
    states = [row.state for row in workspace.state.queue.rows]
    assert states == [ObjectState.DONE, ObjectState.FAILED]
    assert "Nothing was found" in workspace.status
    return workspace


@scenario
def a_failed_row_does_not_stand_in_the_way_of_a_correction() -> None:
    workspace = with_a_failed_row()
    edited = workspace.mask()
    edited[10, 20:23, 40:44] = True
    with another_effect(workspace):
        workspace.write(edited)
    before = len(workspace.service.jobs)
    workspace.propagate()
    workspace.wait()
    assert [job.name for job in workspace.service.jobs[before:]] == ["Lesion"]
    assert "MaskPrompt" in {type(p).__name__ for p in workspace.service.jobs[-1].prompts}


@scenario
def what_failed_runs_again_with_other_prompts_or_options() -> None:
    workspace = with_a_failed_row()
    button = workspace.parts.frame.runs.propagate
    workspace.draw_box(Phantom(), k=5)
    assert button.text == "Propagate", "the failed object does not come along"
    workspace.set(tool="line")
    assert button.text == "Propagate"
    workspace.set(direction="up")
    assert button.text == "Propagate 2 objects"


@scenario
def a_correction_runs_along_with_a_new_box() -> None:
    phantom = Phantom(balls=(Ball((12, 24, 8), 6), Ball((36, 24, 8), 6)))
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.draw_box(phantom)
    workspace.propagate()
    workspace.wait()
    edited = workspace.mask()
    edited[10, 20:23, 12:16] = False
    with another_effect(workspace):
        workspace.write(edited)
    workspace.draw_box(phantom, 1)
    workspace.propagate()
    workspace.wait()
    assert {job.name for job in workspace.service.jobs[1:]} == {"Lesion", "Segment_1"}


@scenario
def a_queue_sends_the_volume_once_for_each_window() -> None:
    phantom = Phantom(
        balls=(Ball((12, 12, 8), 6), Ball((36, 12, 8), 6), Ball((12, 36, 8), 6)), inside=-700, outside=-950
    )
    node = phantom.node()
    slicer.util.arrayFromVolume(node)[:, :24, 24:] = 40
    slicer.util.arrayFromVolumeModified(node)
    workspace = Workspace(node, stand_in=True)
    workspace.service.threshold = -800
    for number in range(3):
        workspace.draw_box(phantom, number)
        workspace.wait_for_preview()
    assert [target.window for target in workspace.service.opened] == ["ct-lung", "auto", "ct-lung"]
    workspace.propagate()
    workspace.wait()
    assert [target.window for target in workspace.service.opened[3:]] == ["auto"]
    assert [job.name for job in workspace.service.jobs] == ["Lesion", "Segment_2", "Segment_1"]
    names = [workspace.segmentation.GetSegmentation().GetSegment(s).GetName() for s in workspace.segment_ids]
    assert names == ["Lesion", "Segment_1", "Segment_2"], "the segments stand in the order of drawing"
