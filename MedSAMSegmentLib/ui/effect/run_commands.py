"""Commands of the user that compute or write: Segment slice, Propagate, Cancel, and the ROI as a prompt."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from ...errors import PromptError
from ...geometry import SlicePlane
from ...prompts import Box
from ..drawing.prompt_drawing import Drawing, runnable_objects
from ..objects.queue import QueuedObject
from ..run.events import Message, RunIsOn
from ..run.preview import outlines
from ..scene.editor_scene import SceneVolume
from .state import EffectState


class RunCommands:
    """Commands by button or key. They raise `MedSAMError`; the caller shows it."""

    def __init__(self, state: EffectState, drawing: Drawing) -> None:
        self._state = state
        self._drawing = drawing
        self._placing = False

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
        state.scene.show_slice(item.plane, item.prompts.all(), volume.geometry)
        text = _("This is slice {n}, on which {name} was drawn. Press again (S) to write it.")
        state.panel.show_event(Message(text.format(n=item.plane.index, name=item.name)))

    def propagate(self) -> None:
        """Run every object that waits and the selected segment's corrections; `runnable_objects` says which."""
        state, volume = self._state, self._volume_without_run()
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

    def take_other_reading(self) -> None:
        """Take the other thing that the current object's box may mean, and show it; say so where there is none."""
        state, volume = self._state, self._volume_without_run()
        if volume is None:
            return
        item = state.queue.current
        known = item.readings if item is not None else None
        if item is None or known is None:
            state.panel.show_event(Message(self._no_other_reading(item)))
            return
        item.take_other_reading()
        state.runs.drop_preview()
        if known.plane not in state.painting.shown_planes(volume):
            state.scene.show_slice(known.plane, item.prompts.all(), volume.geometry)
        state.refresh()
        state.runs.ask_preview(item, known.plane, volume, state.settings)

    def _volume_without_run(self) -> SceneVolume | None:
        """Return the volume as it is now; None without one, or where a run is on, which is said."""
        state = self._state
        if state.runs.propagates or state.runs.batch is not None:
            state.panel.show_event(RunIsOn())
            return None
        return state.update_volume()

    def _no_other_reading(self, item: QueuedObject | None) -> str:
        preview = self._state.runs.preview
        if item is None or preview.item is not item:
            return _("There is no preview. Drag a box: its preview says whether there is a second reading (T).")
        if preview.shown is None:
            text = _("The preview of {name} is on its way: it says whether there is a second reading (T).")
            return text.format(name=item.name)
        text = _("The box on slice {n} of {name} has no second reading.")
        return text.format(n=preview.shown.plane.index, name=item.name)

    def cancel(self) -> None:
        """Stop what runs, or drop the preview."""
        self._state.runs.cancel()

    def choose_roi(self, node: Any) -> None:
        """Take another ROI; nothing is kept while there is no parameter node: the scene is closing then."""
        state = self._state
        if state.scene.parameter_node is not None:
            self._placing = False
            state.scene.set_roi_node(node)
            state.observe()
            state.queue.options_changed()
            state.runs.run_state_changed()
            state.show_estimate()

    def new_roi(self) -> None:
        """Let the next clicks in the views place a new ROI."""
        state = self._state
        if state.scene.parameter_node is not None:
            state.scene.new_roi()
            self._placing = True
            state.observe()
            text = _("Click two opposite corners of the object in a view, then press Propagate (P).")
            state.panel.show_event(Message(text))

    def placement_ended(self) -> None:
        """Take the new ROI once both its corners were clicked. One that was given up is no object."""
        if not self._placing or self._state.scene.placing:
            return
        self._placing = False
        if self._state.scene.has_placed_roi:
            self.take_roi()
        else:
            self._state.runs.show_hint()

    def take_roi(self) -> None:
        """Show the chosen ROI as it is now: outline, preview of a slice, estimate, and what to do next.

        It is an object that waits then. As the range of runs it is none, and the range is told.
        """
        state = self._state
        if state.runs.propagates or state.runs.batch is not None or not state.scene.has_placed_roi:
            return
        volume = state.update_volume()
        if volume is None:
            return
        box, node = state.scene.roi_box(volume.geometry), state.scene.roi_node()
        if box is None:
            return
        if state.settings.range_rule == "roi":
            first, last = box.along(state.queue.current.axis if state.queue.current is not None else 0)
            text = _("Runs take slices {first} to {last}, those of {roi}.")
            state.panel.show_event(Message(text.format(first=first, last=last, roi=node.GetName())))
            state.show_estimate()
            return
        item = state.queue.of_roi(node.GetID())
        if item is not None and not self._drawing.follow_roi(item, volume):
            return
        item = item or self._drawing.from_roi(volume)
        if item is not None:
            self._show_roi(item, box, volume)

    def _show_roi(self, item: QueuedObject, box: Box, volume: SceneVolume) -> None:
        state = self._state
        item.reopen()
        state.queue.select(item)
        state.runs.drop_preview()
        first, last = box.along(item.axis)
        shown = state.painting.shown_planes(volume)
        plane = next((p for p in shown if p.axis == item.axis and first <= p.index <= last), None)
        if plane is None:
            plane = SlicePlane(item.axis, (first + last) // 2)
            state.scene.show_slice(plane, item.prompts.all(), volume.geometry)
        text = _("The ROI marks {name}, slices {first} to {last}. Press Propagate (P).")
        state.panel.show_event(Message(text.format(name=item.name, first=first, last=last)))
        state.refresh()
        state.runs.ask_preview(item, plane, volume, state.settings)
