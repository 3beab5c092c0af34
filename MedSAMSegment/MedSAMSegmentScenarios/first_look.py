"""A preview that comes in two steps: what the first view shows, then the answer."""

from __future__ import annotations

import numpy as np

from MedSAMSegmentLib.geometry import SlicePlane
from MedSAMSegmentLib.ui.run.events import Event, FirstLook, PreviewReady

from . import needs_weights, scenario
from .phantom import Phantom
from .user import wait_until
from .workspace import Workspace

PLANE = SlicePlane(0, 8)


def after_a_first_look(phantom: Phantom) -> Workspace:
    """A box was drawn, the first look at its slice is shown, and the answer is held back."""
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.service.looks_first = True
    workspace.draw_box(phantom)
    wait_until(lambda: workspace.status.startswith("First look at slice 8"), "first look")
    return workspace


@scenario
def a_first_look_is_shown_until_the_answer_takes_its_place() -> None:
    phantom = Phantom()
    ball = phantom.ball(0)[8]
    workspace = after_a_first_look(phantom)
    np.testing.assert_array_equal(workspace.state.painter.masks[PLANE], ~ball)
    workspace.service.release()
    workspace.wait_for_preview()
    np.testing.assert_array_equal(workspace.state.painter.masks[PLANE], ball)


@scenario
def a_first_look_is_never_written() -> None:
    phantom = Phantom()
    workspace = after_a_first_look(phantom)
    workspace.user.press(workspace.parts.frame.runs.segment_slice)
    assert not workspace.mask().any()
    workspace.service.looks_first = False
    workspace.service.release()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask()[8], phantom.ball(0)[8], "but the answer to the same question")


@scenario
def cancelling_after_a_first_look_leaves_nothing_of_it() -> None:
    phantom = Phantom()
    workspace = after_a_first_look(phantom)
    workspace.user.press(workspace.parts.frame.runs.cancel)
    wait_until(lambda: not workspace.runs.busy, "the end")
    assert workspace.status == "Cancelled."
    assert not workspace.state.painter.masks
    assert not workspace.mask().any()
    workspace.service.release()


@needs_weights
@scenario
def the_network_is_asked_for_a_first_look() -> None:
    """The real worker's answers: one on the way to the other."""
    phantom = Phantom()
    workspace = Workspace(phantom.node())
    frame, seen = workspace.parts.frame, []
    show_event = frame.show_event

    def listen(event: Event) -> None:
        seen.append(type(event))
        show_event(event)

    frame.show_event = listen  # type: ignore[method-assign]
    try:
        workspace.draw_box(phantom)
        workspace.wait_for_preview()
    finally:
        del frame.show_event
    assert seen.index(FirstLook) < seen.index(PreviewReady), seen
    assert workspace.shown_mask.any()
