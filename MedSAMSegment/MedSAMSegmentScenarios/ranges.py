"""The slices that a run takes: ranges and key slices."""

from __future__ import annotations

import numpy as np

from MedSAMSegmentLib.ui.objects.queue import ObjectState

from . import scenario
from .phantom import Phantom
from .user import show_slice, view_widget
from .workspace import Workspace, another_effect


def slices_of(workspace: Workspace) -> list[int]:
    return [int(n) for n in np.flatnonzero(workspace.mask().any(axis=(1, 2)))]


@scenario
def a_range_from_slice_to_slice_begins_as_the_whole_volume() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.set(range_rule="slices")
    advanced = workspace.parts.frame.advanced
    assert (advanced.range.first.value, advanced.range.last.value) == (0, 15)
    workspace.draw_box(phantom)
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(), phantom.ball(0))
    assert workspace.service.opened[-1].part is None


@scenario
def the_slice_that_is_shown_limits_the_range() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.draw_box(phantom)
    workspace.set(range_rule="slices")
    advanced = workspace.parts.frame.advanced
    show_slice("Red", phantom.ras((24, 24, 6)))
    workspace.user.press(advanced.range.from_here)
    assert (advanced.range.first.value, advanced.range.last.value) == (6, 15)
    assert workspace.status == "The range is slices 6 to 15; slice 6, at 12.0 mm, is shown here."
    show_slice("Red", phantom.ras((24, 24, 9)))
    workspace.user.press(advanced.range.to_here)
    assert workspace.state.settings.slice_range == (6, 9)
    workspace.propagate()
    workspace.wait()
    assert slices_of(workspace) == [6, 7, 8, 9]

    workspace.set(range_rule="stop", tool="line")
    assert workspace.state.settings.first == 6, "kept while it is not shown"
    workspace.parts.drawing.limit_range("last", view_widget("Red"))
    assert workspace.state.settings.slice_range == (6, 9), "the key turns the rule on"


@scenario
def a_range_across_another_axis_than_the_object_is_refused() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.draw_box(phantom)
    workspace.parts.interaction.view = view_widget("Green")
    workspace.set(range_rule="slices")
    workspace.user.press(workspace.parts.frame.advanced.range.from_here)
    assert "another axis" in workspace.status
    assert workspace.state.settings.first == 0


@scenario
def a_key_slice_is_said_and_drawn_and_never_empty() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    painted = phantom.ball(0)
    painted[np.arange(16) != 6] = False
    with another_effect(workspace):
        workspace.write(painted)
    view = view_widget("Red")
    overlay = workspace.state.painter.overlay(view)
    show_slice("Red", phantom.ras((24, 24, 8)))
    workspace.parts.drawing.toggle_key_slice(view)
    assert "Lesion is empty on slice 8" in workspace.status
    assert len(workspace.state.queue) == 0

    show_slice("Red", phantom.ras((24, 24, 6)))
    workspace.parts.drawing.toggle_key_slice(view)
    assert workspace.status.startswith("Slice 6 of Lesion is a key slice")
    assert overlay.prompts.count > 10, "its outline"
    show_slice("Red", phantom.ras((24, 24, 8)))
    assert overlay.prompts.count == 0
    show_slice("Red", phantom.ras((24, 24, 6)))
    workspace.parts.drawing.toggle_key_slice(view)
    assert workspace.status == "Slice 6 of Lesion is no longer a key slice."
    assert overlay.prompts.count == 0


@scenario
def segment_slice_writes_what_is_shown() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    button = workspace.parts.frame.runs.segment_slice
    workspace.draw_box(phantom, k=6)
    workspace.draw_box(phantom, k=9, control=True)
    workspace.wait_for_preview()
    show_slice("Red", phantom.ras((24, 24, 6)))
    workspace.user.press(button)
    workspace.wait()
    assert slices_of(workspace) == [6], "not the slice drawn on last"

    show_slice("Red", phantom.ras((24, 24, 12)))
    workspace.user.press(button)
    workspace.wait()
    assert slices_of(workspace) == [6], "nothing is written unseen"
    assert "This is slice 9" in workspace.status
    shown = view_widget("Red").mrmlSliceNode().GetSliceOffset()
    assert abs(shown - phantom.ras((0, 0, 9))[2]) < 1.0
    workspace.user.press(button)
    workspace.wait()
    assert slices_of(workspace) == [6, 9]
    assert workspace.current.state is ObjectState.WAITING


@scenario
def a_range_beyond_the_volume_is_kept_when_another_option_changes() -> None:
    workspace = Workspace(Phantom().node(), stand_in=True)
    workspace.set(range_rule="slices", first=100, last=150)
    advanced = workspace.parts.frame.advanced
    assert (advanced.range.first.value, advanced.range.last.value) == (15, 15), "cut to this volume"
    assert advanced.range.values() == {"range_rule": "slices", "direction": "both", "first": 100, "last": 150}
    advanced.range.last.value = 9
    assert advanced.range.values()["last"] == 9
