"""The left button in slice views: what is ours, and what stays Slicer's."""

from __future__ import annotations

from typing import Any

import slicer

from . import scenario
from .phantom import Phantom
from .user import view_widget
from .workspace import Workspace

PRESSES = ("LeftButtonPressEvent", "LeftButtonDoubleClickEvent")


PRIORITY = 0.5
"""After the Segment Editor, which asks the effect first (1), and before the application's own handlers (0), which take
the presses that they use."""


class Passed:
    """Counts the presses in the red view that the effect left to the application."""

    def __init__(self) -> None:
        self.count = 0
        self._interactor: Any = view_widget("Red").sliceView().interactor()
        self._tags: list[int] = []

    def __enter__(self) -> Passed:
        self._tags = [self._interactor.AddObserver(event, self._saw, PRIORITY) for event in PRESSES]
        return self

    def __exit__(self, *_error: object) -> None:
        for tag in self._tags:
            self._interactor.RemoveObserver(tag)

    def _saw(self, *_event: object) -> None:
        self.count += 1


def application_handles_the_mouse() -> bool:
    """Tell whether the views have the application's interaction, which a stand-in of the application lacks."""
    return view_widget("Red").sliceView().interactorStyle() is not None


def window_of(node: Any) -> tuple[float, float]:
    display = node.GetDisplayNode()
    return (display.GetWindow(), display.GetLevel())


@scenario
def placing_a_markup_and_window_level_keep_the_left_button() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    mouse = slicer.app.applicationLogic().GetInteractionNode()
    window = window_of(workspace.volume)
    try:
        for mode in (mouse.Place, mouse.AdjustWindowLevel):
            mouse.SetCurrentInteractionMode(mode)
            with Passed() as passed:
                workspace.draw_box(phantom)
            assert passed.count == 1, "it is left to Slicer"
            assert len(workspace.state.queue) == 0, "nothing was drawn"
        if application_handles_the_mouse():
            assert window_of(workspace.volume) != window, "the drag changed the window"
    finally:
        mouse.SetCurrentInteractionMode(mouse.ViewTransform)
    with Passed() as passed:
        workspace.draw_box(phantom)
    assert passed.count == 0
    assert len(workspace.state.queue) == 1, "the same drag draws"


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
    layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    try:
        with Passed() as passed:
            workspace.user.double_click("Red", phantom.ras((24, 24, 8)))
        assert passed.count == 1, "it is left to Slicer"
        if application_handles_the_mouse():
            red = view_widget("Red").mrmlSliceNode()
            assert layout.IsMaximizedViewNode(red), "the view is enlarged"
        assert len(workspace.current.prompts.all()) == 1, "the first press is a click of the tool"
    finally:
        if application_handles_the_mouse():
            layout.RemoveAllMaximizedViewNodes()
            slicer.app.processEvents()
