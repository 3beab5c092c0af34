"""The left button in slice views: what is ours, and what stays Slicer's."""

from __future__ import annotations

from typing import Any

import slicer

from . import scenario
from .phantom import Phantom
from .user import view_widget
from .workspace import Workspace

PRESSES = ("LeftButtonPressEvent", "LeftButtonDoubleClickEvent")


class Passed:
    """Counts the presses in the red view that no one took: what markups and window/level get."""

    def __init__(self) -> None:
        self.count = 0
        self._interactor: Any = view_widget("Red").sliceView().interactor()
        self._tags: list[int] = []

    def __enter__(self) -> Passed:
        self._tags = [self._interactor.AddObserver(event, self._saw, -1.0) for event in PRESSES]
        return self

    def __exit__(self, *_error: object) -> None:
        for tag in self._tags:
            self._interactor.RemoveObserver(tag)

    def _saw(self, *_event: object) -> None:
        self.count += 1


@scenario
def placing_a_markup_and_window_level_keep_the_left_button() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    mouse = slicer.app.applicationLogic().GetInteractionNode()
    try:
        for mode in (mouse.Place, mouse.AdjustWindowLevel):
            mouse.SetCurrentInteractionMode(mode)
            with Passed() as passed:
                workspace.draw_box(phantom)
            assert passed.count == 1
            assert len(workspace.state.queue) == 0, "nothing was drawn"
    finally:
        mouse.SetCurrentInteractionMode(mouse.ViewTransform)
    with Passed() as passed:
        workspace.draw_box(phantom)
    assert passed.count == 0
    assert len(workspace.state.queue) == 1


@scenario
def handles_of_a_markup_can_be_grabbed() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    roi.CreateDefaultDisplayNodes()
    display = roi.GetDisplayNode()
    display.SetActiveComponent(display.ComponentScaleHandle, 0)
    with Passed() as passed:
        workspace.draw_box(phantom)
    assert passed.count == 1
    assert len(workspace.state.queue) == 0
    display.SetActiveComponent(display.ComponentNone, -1)
    workspace.draw_box(phantom)
    assert len(workspace.state.queue) == 1


@scenario
def a_double_click_is_slicers() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.set(tool="include")
    with Passed() as passed:
        workspace.user.double_click("Red", phantom.ras((24, 24, 8)))
    assert passed.count == 1, "the view is enlarged"
    assert len(workspace.current.prompts.all()) == 1
