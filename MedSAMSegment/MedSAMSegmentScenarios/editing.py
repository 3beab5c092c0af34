"""Masking, corrections and many lesions."""

from __future__ import annotations

import numpy as np
import slicer

from MedSAMSegmentLib.ui.objects.queue import ObjectState
from MedSAMSegmentLib.ui.widgets.messages import parse_slice_link

from . import scenario
from .phantom import Ball, Phantom
from .user import show_slice, view_widget
from .workspace import Workspace, another_effect

THREE_BALLS = Phantom(
    balls=(Ball((12, 12, 5), 4), Ball((34, 14, 8), 5), Ball((24, 36, 11), 4)),
)


@scenario
def masking_and_overwrite_mode_hold() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    other = str(workspace.segmentation.GetSegmentation().AddEmptySegment("", "Other"))
    half = np.zeros(phantom.shape_zyx, bool)
    half[:, :, :24] = True
    workspace.write(half, other)
    mask_mode = slicer.vtkMRMLSegmentationNode.EditAllowedOutsideAllSegments
    workspace.parameters.SetMaskMode(mask_mode)

    workspace.draw_box(phantom)
    workspace.propagate()
    workspace.wait()

    np.testing.assert_array_equal(workspace.mask(), phantom.ball(0) & ~half)
    np.testing.assert_array_equal(workspace.mask(other), half)
    assert "left out by Masking" in workspace.results

    workspace.editor.undo()
    workspace.parameters.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere)
    workspace.parameters.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
    workspace.draw_box(phantom)
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(), phantom.ball(0))
    np.testing.assert_array_equal(workspace.mask(other), half)


@scenario
def an_edited_slice_stays_and_its_neighbours_follow() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.draw_box(phantom)
    workspace.propagate()
    workspace.wait()
    first = workspace.mask()

    edited = first.copy()
    edited[10, 20:23, 40:44] = True
    edited[5] = False
    with another_effect(workspace):
        workspace.write(edited)
    workspace.propagate()
    workspace.wait()

    second = workspace.mask()
    np.testing.assert_array_equal(second[10], edited[10], "the corrected slice is as the user left it")
    assert not second[:6].any(), "an erased slice ends the object"
    np.testing.assert_array_equal(second[6:10], first[6:10])
    job = workspace.service.jobs[-1]
    assert job.slice_range == (6, 15)
    assert [type(p).__name__ for p in job.prompts] == ["Box", "MaskPrompt"]
    workspace.editor.undo()
    np.testing.assert_array_equal(workspace.mask(), edited)


@scenario
def undo_is_no_edit() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.draw_box(phantom)
    workspace.propagate()
    workspace.wait()
    workspace.editor.undo()
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(), phantom.ball(0), "after Undo the same prompts run again")

    edited = workspace.mask()
    edited[10, 20:23, 40:44] = True
    with another_effect(workspace):
        workspace.write(edited)
    workspace.propagate()
    workspace.wait()
    workspace.editor.undo()
    workspace.editor.undo()
    np.testing.assert_array_equal(workspace.mask(), phantom.ball(0))
    workspace.propagate()
    workspace.wait()
    assert [type(p).__name__ for p in workspace.service.jobs[-1].prompts] == ["Box"], "no slice counts as edited"


@scenario
def a_painted_slice_is_a_prompt() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    painted = phantom.ball(0)
    painted[np.arange(16) != 8] = False
    with another_effect(workspace):
        workspace.write(painted)
    workspace.propagate()
    workspace.wait()
    assert [type(p).__name__ for p in workspace.service.jobs[-1].prompts] == ["MaskPrompt"]
    np.testing.assert_array_equal(workspace.mask()[8], painted[8])
    assert int(workspace.mask().any(axis=(1, 2)).sum()) > 5

    show_slice("Red", phantom.ras((24, 24, 6)))
    workspace.parts.drawing.toggle_key_slice(view_widget("Red"))
    assert [key.index for key in workspace.current.keys] == [6]
    workspace.parts.drawing.toggle_key_slice(view_widget("Red"))
    assert workspace.current.keys == set()


@scenario
def many_lesions_one_after_the_other() -> None:
    phantom = THREE_BALLS
    workspace = Workspace(phantom.node(), stand_in=True)
    for number in range(3):
        workspace.draw_box(phantom, number)
        workspace.wait_for_preview()
    rows = workspace.state.queue.rows
    assert [r.state for r in rows] == [ObjectState.WAITING] * 3
    assert len({r.name for r in rows}) == 3
    assert len(workspace.segment_ids) == 1, "nothing is written yet"
    assert workspace.parts.frame.runs.propagate.text == "Propagate 3 objects"

    workspace.propagate()
    workspace.wait()
    assert workspace.user.count == 4, "one drag each and one press"
    assert len(workspace.segment_ids) == 3
    for number, segment_id in enumerate(workspace.segment_ids):
        np.testing.assert_array_equal(workspace.mask(segment_id), phantom.ball(number))
    assert all(r.state in (ObjectState.DONE, ObjectState.LOOK) for r in rows)
    assert workspace.parts.frame.objects.table.rowCount == 3

    workspace.parts.listing.step_object(1)
    assert workspace.state.queue.selected == 0
    assert workspace.editor.currentSegmentID() == workspace.segment_ids[0]
    shown = view_widget("Red").mrmlSliceNode().GetSliceOffset()
    assert abs(shown - phantom.ras((0, 0, 5))[2]) < 1.0

    workspace.editor.undo()
    assert len(workspace.segment_ids) == 1, "one undo for the whole queue"
    assert not workspace.mask().any()


@scenario
def the_next_lesion_takes_two_actions_again() -> None:
    phantom = THREE_BALLS
    workspace = Workspace(phantom.node(), stand_in=True)
    for number in range(2):
        before = workspace.user.count
        workspace.draw_box(phantom, number)
        workspace.propagate()
        workspace.wait()
        assert workspace.user.count - before == 2
    assert len(workspace.segment_ids) == 2
    np.testing.assert_array_equal(workspace.mask(workspace.segment_ids[0]), phantom.ball(0))
    np.testing.assert_array_equal(workspace.mask(workspace.segment_ids[1]), phantom.ball(1))


@scenario
def control_adds_a_box_to_the_same_object() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.draw_box(phantom, k=7)
    workspace.draw_box(phantom, k=9, control=True)
    assert len(workspace.state.queue) == 1
    workspace.wait_for_preview()
    workspace.propagate()
    workspace.wait()
    assert len(workspace.service.jobs[-1].prompts) == 2
    np.testing.assert_array_equal(workspace.mask(), phantom.ball(0))


@scenario
def links_jump_to_the_slices_that_deserve_a_look() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.draw_box(phantom)
    workspace.propagate()
    workspace.wait()
    links = [part.split('"')[0] for part in workspace.results.split('href="')[1:]]
    link = parse_slice_link(links[-1])
    assert link is not None
    show_slice("Red", phantom.ras((0, 0, 0)))
    workspace.parts.frame.runs.results.linkActivated.emit(links[-1])
    shown = view_widget("Red").mrmlSliceNode().GetSliceOffset()
    assert abs(shown - phantom.ras((0, 0, link.plane.index))[2]) < 1.0
