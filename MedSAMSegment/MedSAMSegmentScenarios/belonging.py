"""The object that a prompt belongs to, and what taking it back leaves."""

from __future__ import annotations

import slicer

from MedSAMSegmentLib.ui.objects.queue import ObjectState

from . import scenario
from .phantom import Ball, Phantom
from .user import show_slice
from .workspace import Workspace

TWO_BALLS = Phantom(balls=(Ball((12, 24, 8), 6), Ball((36, 24, 8), 6)))
FINISHED = (ObjectState.DONE, ObjectState.LOOK)


def one_finished() -> Workspace:
    """One object finished, its segment selected."""
    workspace = Workspace(TWO_BALLS.node(), stand_in=True)
    workspace.draw_box(TWO_BALLS)
    workspace.propagate()
    workspace.wait()
    assert workspace.editor.currentSegmentID() == workspace.segment_id
    return workspace


@scenario
def a_prompt_belongs_to_the_object_that_is_drawn_not_to_the_finished_one() -> None:
    workspace = one_finished()
    workspace.draw_box(TWO_BALLS, 1)
    workspace.set(tool="include")
    workspace.parameters.Modified()  # as Masking settings and other options of the editor do
    workspace.user.click("Red", TWO_BALLS.ras((36, 24, 8)))
    workspace.set(tool="box")
    workspace.draw_box(TWO_BALLS, 1, k=10, control=True)
    workspace.wait_for_preview()
    finished, drawn = workspace.state.queue.rows
    assert workspace.current is drawn
    assert finished.state in FINISHED, "it is not reopened"
    assert [type(p).__name__ for p in finished.prompts.all()] == ["Box"]
    assert [type(p).__name__ for p in drawn.prompts.all()] == ["Box", "Point", "Box"]
    before = workspace.mask()
    workspace.propagate()
    workspace.wait()
    assert [job.name for job in workspace.service.jobs] == ["Lesion", "Segment_1"]
    assert (workspace.mask() == before).all()


@scenario
def the_segment_that_the_user_selects_takes_the_next_prompt() -> None:
    workspace = one_finished()
    workspace.draw_box(TWO_BALLS, 1)
    finished, drawn = workspace.state.queue.rows
    other = str(workspace.segmentation.GetSegmentation().AddEmptySegment("", "Other"))
    workspace.set(tool="include")
    workspace.editor.setCurrentSegmentID(other)
    workspace.user.click("Red", TWO_BALLS.ras((24, 24, 8)))
    assert (workspace.current.name, workspace.current.segment_id) == ("Other", other)
    workspace.editor.setCurrentSegmentID(workspace.segment_id)
    assert workspace.current is finished
    workspace.user.click("Red", TWO_BALLS.ras((12, 26, 8)))
    assert finished.state is ObjectState.WAITING, "it was asked for"
    assert [len(row.prompts.all()) for row in workspace.state.queue.rows] == [2, 1, 1]
    assert drawn.segment_id == ""


@scenario
def after_an_object_is_taken_back_the_selected_segments_is_current() -> None:
    workspace = one_finished()
    workspace.draw_box(TWO_BALLS, 1)
    workspace.draw_box(TWO_BALLS, 1, k=11)
    finished, second, third = workspace.state.queue.rows
    workspace.parts.drawing.remove_last_prompt()
    assert workspace.state.queue.rows == [finished, second]
    assert workspace.current is finished
    show_slice("Red", TWO_BALLS.ras((36, 24, 8)))
    workspace.parts.listing.select_row(1)
    assert workspace.current is second
    workspace.parts.listing.remove_row(0)
    assert workspace.current is second
    assert third not in workspace.state.queue.rows


@scenario
def a_finished_object_is_finished_again_when_its_new_prompt_is_taken_back() -> None:
    workspace = one_finished()
    finished = workspace.current
    state, segment = finished.state, workspace.mask()
    workspace.set(tool="include")
    workspace.user.click("Red", TWO_BALLS.ras((12, 26, 8)))
    assert finished.state is ObjectState.WAITING
    workspace.wait_for_preview()
    workspace.parts.drawing.remove_last_prompt()
    assert finished.state is state
    assert "The last prompt of Lesion was taken back" in workspace.status
    assert "Preview" not in workspace.status
    assert workspace.runs.preview.shown is None
    assert workspace.parts.frame.runs.propagate.text == "Propagate"
    assert (workspace.mask() == segment).all()

    workspace.user.click("Red", TWO_BALLS.ras((12, 26, 8)))
    workspace.wait_for_preview()
    workspace.editor.undo()
    slicer.app.processEvents()
    workspace.parts.drawing.remove_last_prompt()
    assert finished.state is ObjectState.UNDONE, "its segment was emptied meanwhile"


@scenario
def taking_a_prompt_back_brings_the_preview_of_those_before() -> None:
    workspace = Workspace(TWO_BALLS.node(), stand_in=True)
    workspace.draw_box(TWO_BALLS)
    workspace.wait_for_preview()
    before = workspace.shown_mask
    workspace.set(tool="exclude")
    workspace.user.click("Red", TWO_BALLS.ras((12, 26, 8)))
    workspace.parts.drawing.remove_last_prompt()
    assert workspace.status == "The last prompt of Lesion was taken back."
    workspace.wait_for_preview()
    assert (workspace.shown_mask == before).all()
    assert workspace.status.startswith("Preview of slice 8")

    workspace.set(tool="box")
    workspace.draw_box(TWO_BALLS, 1)
    workspace.parts.drawing.remove_last_prompt()
    workspace.wait("preview that nobody waits for")
    assert [row.name for row in workspace.state.queue.rows] == ["Lesion"]
    assert workspace.runs.preview.shown is None, "what it was asked for is gone"
    assert workspace.status == "The last prompt of Segment_1 was taken back; the object is no longer in the list."


@scenario
def a_box_that_replaces_another_is_said_and_comes_back() -> None:
    workspace = Workspace(TWO_BALLS.node(), stand_in=True)
    workspace.draw_box(TWO_BALLS)
    (first,) = workspace.current.prompts.all()
    assert "replaced" not in workspace.status
    workspace.draw_box(TWO_BALLS, 1, control=True)
    said = "The box on slice 8 of Lesion was replaced."
    assert workspace.status == said
    workspace.wait_for_preview()
    assert workspace.status.startswith(f"{said} Preview of slice 8")
    workspace.draw_box(TWO_BALLS, k=10, control=True)
    workspace.wait_for_preview()
    assert "replaced" not in workspace.status, "another slice"
    for _ in range(2):
        workspace.parts.drawing.remove_last_prompt()
    assert workspace.current.prompts.all() == [first]
