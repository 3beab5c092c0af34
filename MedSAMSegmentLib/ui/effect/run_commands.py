"""Commands of the user that compute or write: Segment slice, Propagate, Cancel, and the ROI as a prompt."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from ...errors import PromptError
from ..drawing.prompt_drawing import Drawing, runnable_objects
from ..run.events import Message, RunIsOn
from ..run.preview import outlines
from .state import EffectState


class RunCommands:
    """Commands by button or key. They raise `MedSAMError`; the caller shows it."""

    def __init__(self, state: EffectState, drawing: Drawing) -> None:
        self._state = state
        self._drawing = drawing

    def segment_slice(self, view_widget: Any = None) -> None:
        """Write the preview of a slice that is shown, first of all in this view. Nothing is written unseen."""
        state = self._state
        volume = state.update_volume()
        if volume is None or state.runs.propagates:
            return
        item = state.queue.current or self._drawing.from_roi(volume)
        if item is None or item.plane is None or not outlines(item.prompts.all()):
            raise PromptError(_("There is nothing to segment yet."), _("Drag a box on a slice."))
        if self._drawing.follow_roi(item, volume):
            state.runs.drop_preview()
        shown = state.painting.shown_planes(volume, view_widget)
        plane = next((p for p in shown if outlines(item.prompts.on(p))), None)
        if plane is not None:
            state.runs.segment_slice(item, plane, volume, state.settings)
            return
        state.navigator.jump(item.prompts.all(), item.plane, volume)
        text = _("This is slice {n}, on which {name} was drawn. Press again (S) to write it.")
        state.panel.show_event(Message(text.format(n=item.plane.index, name=item.name)))

    def propagate(self) -> None:
        """Run every object that waits and the selected segment's corrections; `runnable_objects` says which."""
        state = self._state
        if state.runs.propagates or state.runs.batch is not None:
            state.panel.show_event(RunIsOn())
            return
        volume = state.update_volume()
        if volume is None:
            return
        roi_is_range = state.settings.range_rule == "roi"
        rows = runnable_objects(state.queue, state.scene, self._drawing, volume, roi_is_range=roi_is_range)
        for row in rows:
            self._drawing.follow_roi(row, volume)
        if not rows:
            raise PromptError(_("There is nothing to propagate yet."), _("Drag a box on a slice first."))
        if state.runs.may_write(rows):
            state.runs.start(rows, volume, state.settings)

    def cancel(self) -> None:
        """Stop what runs, or drop the preview."""
        self._state.runs.cancel()

    def choose_roi(self, node: Any) -> None:
        """Take another ROI; nothing is kept while there is no parameter node: the scene is closing then."""
        state = self._state
        if state.scene.parameter_node is not None:
            state.scene.set_roi_node(node)
            state.queue.options_changed()
            state.runs.run_state_changed()
            state.show_estimate()

    def new_roi(self) -> None:
        """Let the next clicks in the views place a new ROI."""
        state = self._state
        if state.scene.parameter_node is not None:
            state.scene.new_roi()
            text = _("Click two opposite corners of the object in a view, then press Propagate (P).")
            state.panel.show_event(Message(text))
