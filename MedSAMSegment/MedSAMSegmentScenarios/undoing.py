"""Undo and Redo: the list of objects says what the segments hold."""

from __future__ import annotations

import numpy as np
import slicer

from MedSAMSegmentLib.ui.objects.queue import ObjectState

from . import scenario
from .phantom import Ball, Phantom
from .user import show_slice, view_widget, wait_until
from .workspace import EFFECT, Workspace, another_effect

TWO_BALLS = Phantom(balls=(Ball((12, 24, 8), 6), Ball((36, 24, 10), 5)))
FINISHED = (ObjectState.DONE, ObjectState.LOOK)


def two_done() -> Workspace:
    workspace = Workspace(TWO_BALLS.node(), stand_in=True)
    for number in (0, 1):
        workspace.draw_box(TWO_BALLS, number)
        workspace.wait_for_preview()
    workspace.propagate()
    workspace.wait()
    return workspace


def undo(workspace: Workspace) -> None:
    workspace.editor.undo()
    slicer.app.processEvents()


def redo(workspace: Workspace) -> None:
    workspace.editor.redo()
    slicer.app.processEvents()


def active_effect(workspace: Workspace) -> str:
    """Return the name of the editor's active effect; "" for none."""
    effect = workspace.editor.activeEffect()
    return str(effect.name) if effect is not None else ""


@scenario
def a_renamed_segment_is_called_so_everywhere() -> None:
    workspace = two_done()
    first, second = workspace.state.queue.rows
    rename(workspace, 1, "Right <upper> lobe")
    assert [first.name, second.name] == ["Lesion", "Right <upper> lobe"]
    assert workspace.parts.frame.objects.table.item(1, 0).text() == "Right <upper> lobe"
    assert "<b>Right &lt;upper&gt; lobe</b>: " in workspace.results
    undo(workspace)
    redo(workspace)
    assert second.name == workspace.segmentation.GetSegmentation().GetSegment(second.segment_id).GetName()

    with another_effect(workspace):
        rename(workspace, 0, "Left lobe")
    slicer.app.processEvents()
    assert first.name == "Left lobe", "also when another effect was active"


@scenario
def a_drawn_object_is_called_as_the_segment_that_it_goes_to() -> None:
    workspace = Workspace(TWO_BALLS.node(), stand_in=True)
    workspace.draw_box(TWO_BALLS)
    assert workspace.current.segment_id == workspace.segment_id
    rename(workspace, 0, "Nodule")
    assert workspace.current.name == "Nodule"
    workspace.propagate()
    workspace.wait()
    assert [job.name for job in workspace.service.jobs] == ["Nodule"]


def rename(workspace: Workspace, number: int, name: str) -> None:
    """Rename a segment as the editor's table does."""
    workspace.segmentation.GetSegmentation().GetNthSegment(number).SetName(name)
    slicer.app.processEvents()


@scenario
def the_rows_follow_undo_and_redo() -> None:
    workspace = two_done()
    rows = workspace.state.queue.rows
    results = workspace.results
    masks = [workspace.mask(segment_id) for segment_id in workspace.segment_ids]
    undo(workspace)
    assert workspace.segment_ids == [workspace.segment_id]
    assert [r.state for r in rows] == [ObjectState.UNDONE, ObjectState.UNDONE]
    assert workspace.results == ""
    assert [r.result for r in rows] == [None, None]
    assert active_effect(workspace) == EFFECT, "the selected segment is gone, the effect stays"
    redo(workspace)
    assert active_effect(workspace) == EFFECT
    assert workspace.parameters.GetSelectedSegmentID() in workspace.segment_ids
    assert all(r.state in FINISHED for r in rows)
    assert workspace.results == results
    assert [r.segment_id for r in rows] == workspace.segment_ids
    undo(workspace)
    workspace.propagate()
    workspace.wait()
    for segment_id, mask in zip(workspace.segment_ids, masks, strict=True):
        np.testing.assert_array_equal(workspace.mask(segment_id), mask)
    assert len(rows) == 2, "no row twice"


@scenario
def undo_goes_back_to_the_result_before() -> None:
    workspace = Workspace(TWO_BALLS.node(), stand_in=True)
    workspace.draw_box(TWO_BALLS)
    workspace.propagate()
    workspace.wait()
    first, mask = workspace.results, workspace.mask()
    mask[5] = False
    with another_effect(workspace):
        workspace.write(mask)
    workspace.propagate()
    workspace.wait()
    second = workspace.results
    assert second != first
    undo(workspace)
    undo(workspace)
    assert workspace.results == first
    redo(workspace)
    redo(workspace)
    assert workspace.results == second


@scenario
def a_link_finds_its_object_after_another_row_was_removed() -> None:
    workspace = two_done()
    links = [part.split('"')[0] for part in workspace.results.split('href="')[1:]]
    second = workspace.state.queue.rows[1].number
    link = next(link for link in links if link.startswith(f"slice:{second}:"))
    workspace.parts.listing.remove_row(0)
    show_slice("Yellow", TWO_BALLS.ras((1, 24, 8)))
    workspace.parts.frame.runs.results.linkActivated.emit(link)
    shown = view_widget("Yellow").mrmlSliceNode().GetSliceToRAS().GetElement(0, 3)
    assert abs(shown - TWO_BALLS.ras((36, 24, 10))[0]) < 1.0, "its box tells where to look"


@scenario
def results_are_shown_before_they_are_measured() -> None:
    workspace = Workspace(TWO_BALLS.node(), stand_in=True)
    for number in (0, 1):
        workspace.draw_box(TWO_BALLS, number)
        workspace.wait_for_preview()
    workspace.propagate()
    wait_until(lambda: workspace.runs.batch is None, "end of the run")
    assert workspace.runs.measuring.busy
    assert len(workspace.segment_ids) == 2, "the segments are there"
    assert workspace.results.count("measuring") == 2
    undo(workspace)
    workspace.wait()
    assert workspace.results == ""
    redo(workspace)
    assert workspace.results.count("mL") == 2, "what was measured belongs to its run"
