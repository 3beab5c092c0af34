"""Commands of the user in the slice views: drawings, key slices, and the range from or to a slice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from slicer.i18n import tr as _

from ...errors import PromptError
from ...geometry import SlicePlane
from ..drawing.prompt_drawing import XY, Drawing, Placed
from ..objects import settings as settings_module
from ..objects.queue import ObjectState, QueuedObject
from ..run.error_boundary import guarded
from ..run.events import Message, RunIsOn
from ..scene.editor_scene import SceneVolume
from ..scene.view_geometry import ViewGeometry
from .state import EffectState

End = Literal["first", "last"]
Place = Callable[[ViewGeometry, SceneVolume], Placed]
Say = Callable[[QueuedObject, SlicePlane], str]


class DrawingCommands:
    """The target of `drawing.interaction.SliceInteraction`. Errors end in the status line."""

    def __init__(self, state: EffectState, drawing: Drawing) -> None:
        self._state = state
        self._drawing = drawing

    def drawing_begins(self) -> None:
        """Start the worker while the user draws: the preview need not wait for that."""
        if self._state.volume is not None:
            self._state.runs.prepare(self._state.settings)

    def draw_box(self, view_widget: Any, corners_xy: Sequence[XY], extend: bool = False) -> None:
        """Take a rectangle dragged in a view; with `extend` it belongs to the current object."""
        new = self._state.settings.each_box_new_segment
        self._draw(
            view_widget,
            lambda g, _v: self._drawing.box(g, corners_xy, new_segments=new, extend=extend),
            _replaced_text,
        )

    def draw_line(self, view_widget: Any, start_xy: XY, end_xy: XY, extend: bool = False) -> None:
        """Take a longest diameter dragged in a view."""
        new = self._state.settings.each_box_new_segment
        self._draw(
            view_widget,
            lambda g, v: self._drawing.line(g, v, start_xy, end_xy, new_segments=new, extend=extend),
            _replaced_text,
        )

    def draw_point(self, view_widget: Any, position_xy: XY, positive: bool) -> None:
        """Take a click on what belongs to the object, or does not."""
        self._draw(view_widget, lambda g, v: self._drawing.point(g, v, position_xy, positive))

    def toggle_key_slice(self, view_widget: Any) -> None:
        """Let the painted mask of the shown slice be a prompt, or no longer."""
        self._draw(view_widget, self._drawing.key_slice, _key_text)

    def remove_last_prompt(self) -> None:
        """Take back what was drawn last for the current object; a finished one that it reopened is finished again."""
        state = self._state
        item = state.queue.current
        if item is None or state.runs.propagates:
            return
        if not item.prompts:
            state.panel.show_event(Message(_("{name} has no prompt to take back.").format(name=item.name)))
            return
        if item.state in (ObjectState.DONE, ObjectState.LOOK):
            text = _("{name} is finished; Undo of the Segment Editor takes its run back.")
            state.panel.show_event(Message(text.format(name=item.name)))
            return
        item.prompts.remove_last()
        text = _("The last prompt of {name} was taken back.")
        if not item.prompts and not item.keys and item.written is None:
            state.remove_row(item)
            text = _("The last prompt of {name} was taken back; the object is no longer in the list.")
        elif item.state is not ObjectState.UNDONE:
            item.reopen()
            if item.finished:
                # Undo may have emptied the segment since.
                known = state.scene.has_segment(item.segment_id)
                item.settle(state.scene.voxels_of_segment(item.segment_id) if known else 0)
                text = _("The last prompt of {name} was taken back; its segment stays as it is.")
        state.runs.drop_preview()
        state.panel.show_event(Message(text.format(name=item.name)))
        state.refresh()
        if state.volume is not None and item.state is ObjectState.WAITING and item.prompts.latest is not None:
            state.runs.ask_preview(item, item.prompts.latest, state.volume, state.settings)

    def limit_range(self, end: End, view_widget: Any) -> None:
        """Let the range begin or end at the slice that the view shows.

        Raises `PromptError` where the object at hand was drawn across another axis.
        """
        state = self._state
        volume = state.update_volume()
        if volume is None:
            return
        plane = state.painting.geometry(view_widget, volume).plane()
        item = state.queue.current
        if item is not None and item.axis != plane.axis:
            message = _("This view shows slices across another axis than those that {name} was drawn on.")
            cure = _("Put the pointer over the view in which it was drawn.")
            raise PromptError(message.format(name=item.name), cure)
        limits: dict[str, Any] = {"range_rule": "slices", end: plane.index}
        settings_module.save(state.host, state.settings.changed(**limits))
        size = volume.geometry.shape_zyx[plane.axis]
        state.panel.show_range_limits(size)
        offset = float(state.host.viewNode(view_widget).GetSliceOffset())
        state.panel.show_event(Message(_range_text(state.settings, plane, size, offset)))

    def _draw(self, view_widget: Any, place: Place, say: Say | None = None) -> None:
        guarded(self._place, self._state.runs.fail)(view_widget, place, say)

    def _place(self, view_widget: Any, place: Place, say: Say | None) -> None:
        state = self._state
        if state.runs.propagates:
            state.panel.show_event(RunIsOn())
            return
        volume = state.update_volume()
        if volume is None:
            return
        item, plane = place(state.painting.geometry(view_widget, volume), volume)
        item.reopen()
        state.runs.drop_preview()
        state.runs.show_hint()
        text = say(item, plane) if say is not None else ""
        if text:
            state.panel.show_event(Message(text))
        state.refresh()
        state.runs.ask_preview(item, plane, volume, state.settings, remark=text)


def _range_text(settings: settings_module.EffectSettings, plane: SlicePlane, size: int, offset_mm: float) -> str:
    """Return which slices these are, and which one the view shows: a view itself says millimetres only."""
    first, last = settings.slice_range or (0, size - 1)
    text = _("The range is slices {first} to {last}; slice {n}, at {offset} mm, is shown here.")
    return text.format(first=first, last=min(last, size - 1), n=plane.index, offset=f"{offset_mm:.1f}")


def _replaced_text(item: QueuedObject, plane: SlicePlane) -> str:
    """Return what to say of a box or line that took the place of another on its slice; "" for a new one."""
    text = _("The box on slice {n} of {name} was replaced.")
    return text.format(n=plane.index, name=item.name) if item.prompts.replaced else ""


def _key_text(item: QueuedObject, plane: SlicePlane) -> str:
    now = _("Slice {n} of {name} is a key slice: it stays as it is, the others follow it. Press Propagate (P).")
    no_longer = _("Slice {n} of {name} is no longer a key slice.")
    return (now if plane in item.keys else no_longer).format(n=plane.index, name=item.name)
