"""Which object a prompt belongs to, and what taking it back leaves."""

from __future__ import annotations

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
