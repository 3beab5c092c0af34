"""The editor's observation of slice views: interactor events and slice nodes to the active effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .pythonqt import dress
from .stand_ins import state

qt = dress()
OBSERVED_EVENTS = (
    "LeftButtonPressEvent",
    "LeftButtonReleaseEvent",
    "LeftButtonDoubleClickEvent",
    "RightButtonPressEvent",
    "RightButtonReleaseEvent",
    "RightButtonDoubleClickEvent",
    "MiddleButtonPressEvent",
    "MiddleButtonReleaseEvent",
    "MiddleButtonDoubleClickEvent",
    "MouseMoveEvent",
    "MouseWheelForwardEvent",
    "MouseWheelBackwardEvent",
    "MouseWheelLeftEvent",
    "MouseWheelRightEvent",
    "KeyPressEvent",
    "KeyReleaseEvent",
    "EnterEvent",
    "LeaveEvent",
)


class EditorViews:
    """Part of qMRMLSegmentEditorWidget."""

    def setupViewObservations(self: Any) -> None:
        import slicer

        if state(self).view_observations:
            return
        manager = slicer.app.layoutManager()
        for name in manager.sliceViewNames():
            widget = manager.sliceWidget(name)
            if not state(self).logic.IsSegmentationDisplayableInView(widget.mrmlSliceNode()):
                continue
            interactor = widget.sliceView().interactor()
            for event in OBSERVED_EVENTS:
                self._observe_interactor(interactor, event, widget)
            tag = widget.mrmlSliceNode().AddObserver("ModifiedEvent", self._view_node_callback(widget))
            state(self).view_observations.append((widget.mrmlSliceNode(), tag))

    def _observe_interactor(self: Any, interactor: Any, event: str, widget: Any) -> None:
        import vtk

        event_id = getattr(vtk.vtkCommand, event)
        tags: list[int] = []

        def call(caller: Any, _event: str) -> None:
            effect = state(self).active
            if effect is not None and effect.harness_process_interaction_events(caller, event_id, widget):
                caller.GetCommand(tags[0]).SetAbortFlag(1)

        tags.append(interactor.AddObserver(event, call, 1.0))
        state(self).view_observations.append((interactor, tags[0]))

    def _view_node_callback(self: Any, widget: Any) -> Callable[[Any, str], None]:
        import vtk

        def call(caller: Any, _event: str) -> None:
            if state(self).active is not None:
                state(self).active.harness_notify(
                    "processViewNodeEvents", caller, int(vtk.vtkCommand.ModifiedEvent), widget
                )

        return call

    def removeViewObservations(self: Any) -> None:
        for target, tag in state(self).view_observations:
            target.RemoveObserver(tag)
        state(self).view_observations = []

    def _on_layout_changed(self: Any, _layout: int) -> None:
        if state(self).active is None:
            return
        self.removeViewObservations()
        self.setupViewObservations()
        for effect in state(self).effects:
            effect.harness_notify("layoutChanged")
