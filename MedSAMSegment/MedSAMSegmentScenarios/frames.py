"""Time: slices that are frames of a cine, and a volume that is one frame of a sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from . import scenario
from .phantom import Ball, Phantom, show
from .re_entrancy import ended_clean
from .workspace import Workspace

FIRST = Phantom()
SECOND = Phantom(balls=(Ball((18, 30, 7), 6),))


def a_sequence() -> tuple[Any, Any]:
    """A browser of two volumes that differ, and its proxy in the scene, which shows the first."""
    frames = [phantom.node() for phantom in (FIRST, SECOND)]
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode")
    sequence.SetIndexName("time")
    for number, frame in enumerate(frames):
        sequence.SetDataNodeAtValue(frame, str(number))
        slicer.mrmlScene.RemoveNode(frame)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.SetSelectedItemNumber(0)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    proxy = browser.GetProxyNode(sequence)
    show(proxy)
    return browser, proxy


@scenario
def frames_in_time_are_followed_as_a_video() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    check = workspace.parts.frame.advanced.time_series
    assert not check.checked
    workspace.user.press(check)
    assert workspace.parameters.GetAttribute("MedSAM.TimeSeries") == "1", "kept with the scene"
    workspace.draw_box(phantom)
    workspace.propagate()
    workspace.wait()
    assert workspace.service.opened[-1].time_series
    assert not workspace.service.jobs[-1].stop_early, "what leaves may come back"
    workspace.set(time_series=False)
    assert not check.checked
    workspace.draw_box(phantom, k=6)
    workspace.wait_for_preview()
    assert not workspace.service.opened[-1].time_series, "another session"


@scenario
def one_frame_of_a_sequence_is_a_volume() -> None:
    browser, proxy = a_sequence()
    workspace = Workspace(proxy, stand_in=True)
    workspace.draw_box(FIRST)
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(), FIRST.ball(0))

    browser.SetSelectedItemNumber(1)
    assert len(workspace.state.queue) == 0, "what was drawn belongs to the other frame"
    workspace.draw_box(SECOND)
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(workspace.segment_ids[-1]), SECOND.ball(0))


@scenario
def the_browser_moves_to_another_frame_during_a_run() -> None:
    browser, proxy = a_sequence()
    workspace = Workspace(proxy, stand_in=True)
    workspace.hold_a_run(FIRST)
    browser.SetSelectedItemNumber(1)
    ended_clean(workspace)
    assert "volume changed" in workspace.status
    workspace.draw_box(SECOND)
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(), SECOND.ball(0))
    assert workspace.service.opened[-1].volume_time != workspace.service.opened[0].volume_time, "sent anew"
