"""A box that may mean two things: the preview says so, T takes the other, and the run follows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.ui.objects.queue import ObjectState

from . import scenario
from .phantom import Ball, Phantom
from .user import show_slice, view_widget
from .workspace import Workspace

TWO_BALLS = Phantom(balls=(Ball((12, 24, 8), 6), Ball((36, 24, 8), 6)))
FINISHED = (ObjectState.DONE, ObjectState.LOOK)
SAID_FIRST = "Preview of slice 8, confidence 0.90; two readings: press T for the other. Press Propagate (P)"
SAID_SECOND = "Preview of slice 8, confidence 0.90; second reading, press T for the first. Press Propagate (P)"


def a_workspace(phantom: Phantom) -> Workspace:
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.service.two_readings = True
    workspace.set(range_rule="slices", first=6, last=10)
    return workspace


def press_t(workspace: Workspace) -> None:
    """The command of the key."""
    workspace.parts.running.take_other_reading()


def rest_of_the_box(workspace: Workspace, phantom: Phantom) -> NDArray[np.bool_]:
    """Return the mask (z,y,x) of the current object's box without the ball, on the slices of the range."""
    (box,) = workspace.current.prompts.all()
    assert isinstance(box, Box)
    x0, y0, x1, y1 = box.in_plane(0)
    inside = np.zeros(phantom.shape_zyx, bool)
    inside[6:11, y0 : y1 + 1, x0 : x1 + 1] = True
    return inside & ~phantom.ball(0)


@scenario
def t_takes_the_other_reading_and_the_run_follows() -> None:
    phantom = Phantom()
    workspace = a_workspace(phantom)
    workspace.draw_box(phantom)
    workspace.wait_for_preview()
    assert workspace.status.startswith(SAID_FIRST), workspace.status
    rest = rest_of_the_box(workspace, phantom)
    press_t(workspace)
    workspace.wait_for_preview()
    assert workspace.status.startswith(SAID_SECOND), workspace.status
    np.testing.assert_array_equal(workspace.shown_mask, rest[8])
    workspace.propagate()
    workspace.wait()
    assert [job.reading for job in workspace.service.jobs] == [2]
    np.testing.assert_array_equal(workspace.mask(), rest)
    assert "two readings of the box, press T for the other: " in workspace.results
    assert len(workspace.service.opened) == 1, "only prompts travel"


@scenario
def t_goes_there_and_back() -> None:
    phantom = Phantom()
    workspace = a_workspace(phantom)
    workspace.draw_box(phantom)
    workspace.wait_for_preview()
    first = workspace.shown_mask
    press_t(workspace)
    press_t(workspace)
    workspace.wait_for_preview()
    assert workspace.status.startswith(SAID_FIRST), "also when the preview between was not waited for"
    np.testing.assert_array_equal(workspace.shown_mask, first)
    press_t(workspace)
    workspace.wait_for_preview()
    workspace.user.press(workspace.parts.frame.runs.segment_slice)
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask()[8], rest_of_the_box(workspace, phantom)[8], "S writes what is shown")


@scenario
def other_prompts_begin_with_the_first_reading() -> None:
    phantom = Phantom()
    workspace = a_workspace(phantom)
    workspace.draw_box(phantom)
    workspace.wait_for_preview()
    press_t(workspace)
    workspace.wait_for_preview()
    assert workspace.current.reading == 2
    workspace.set(tool="include")
    workspace.user.click("Red", phantom.ras((24, 24, 8)))
    assert workspace.current.reading == 1
    workspace.wait_for_preview()
    assert "reading" not in workspace.status, "with a click on it the box means one thing"
    workspace.parts.drawing.remove_last_prompt()
    workspace.wait_for_preview()
    assert workspace.status.startswith(SAID_SECOND), "what was drawn before has the reading that it had"
    workspace.set(tool="box")
    workspace.user.drag("Red", *phantom.box_corners(0, 8, margin=3.5))
    assert workspace.current.reading == 1
    workspace.wait_for_preview()
    assert workspace.status.startswith(f"The box on slice 8 of Lesion was replaced. {SAID_FIRST}")
    press_t(workspace)
    assert workspace.current.reading == 2
    workspace.draw_box(phantom, k=10, control=True)
    assert workspace.current.reading == 1
    workspace.propagate()
    workspace.wait()
    assert [job.reading for job in workspace.service.jobs] == [1]


@scenario
def each_object_has_a_reading_of_its_own() -> None:
    workspace = a_workspace(TWO_BALLS)
    workspace.draw_box(TWO_BALLS, 0)
    workspace.wait_for_preview()
    press_t(workspace)
    workspace.wait_for_preview()
    workspace.draw_box(TWO_BALLS, 1)
    workspace.wait_for_preview()
    assert workspace.status.startswith(SAID_FIRST)
    workspace.propagate()
    workspace.wait()
    assert [job.reading for job in workspace.service.jobs] == [2, 1]


@scenario
def a_finished_object_runs_again_in_its_other_reading() -> None:
    phantom = Phantom()
    workspace = a_workspace(phantom)
    workspace.draw_box(phantom)
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask()[6:11], phantom.ball(0)[6:11])
    item = workspace.current
    assert item.state in FINISHED
    show_slice("Red", phantom.ras((24, 24, 3)))
    press_t(workspace)
    assert item.state is ObjectState.WAITING
    workspace.wait_for_preview()
    shown = view_widget("Red").mrmlSliceNode().GetSliceOffset()
    assert abs(shown - phantom.ras((0, 0, 8))[2]) < 1.0, "the slice is shown that has two"
    press_t(workspace)
    assert item.state in FINISHED, "its segment is the first reading"
    workspace.wait_for_preview()
    press_t(workspace)
    workspace.wait_for_preview()
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(
        workspace.mask(), rest_of_the_box(workspace, phantom), "it takes the first one's place"
    )
    workspace.editor.undo()
    np.testing.assert_array_equal(workspace.mask()[6:11], phantom.ball(0)[6:11])


@scenario
def t_says_why_there_is_no_other_reading() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    press_t(workspace)
    assert workspace.status.startswith("There is no preview.")
    workspace.draw_box(phantom)
    press_t(workspace)
    assert workspace.status.startswith("The preview of Lesion is on its way")
    workspace.wait_for_preview()
    before = workspace.shown_mask
    press_t(workspace)
    assert workspace.status == "The box on slice 8 of Lesion has no second reading."
    np.testing.assert_array_equal(workspace.shown_mask, before, "the preview stays")
    workspace.hold_a_run(phantom)
    press_t(workspace)
    assert workspace.status.startswith("A run is on.")
    workspace.service.release()
    workspace.wait()
    assert [job.reading for job in workspace.service.jobs] == [1]
    press_t(workspace)
    assert workspace.status.startswith("There is no preview.")
