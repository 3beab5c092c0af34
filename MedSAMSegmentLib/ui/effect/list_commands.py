"""Commands of the user on the list of objects, and jumps to slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..widgets.messages import SliceLink
from .state import EffectState


class ListCommands:
    """Commands by button, key, row or link."""

    def __init__(self, state: EffectState) -> None:
        self._state = state

    def select_row(self, row: int) -> None:
        """Make the object of a row the current one and show it."""
        queue = self._state.queue
        if 0 <= row < len(queue.rows) and row != queue.selected:
            queue.selected = row
            self._go_to_current()

    def step_object(self, by: int) -> None:
        """Go to the next (1) or previous (-1) object."""
        if self._state.queue.step(by) is not None:
            self._go_to_current()

    def step_flagged(self, by: int) -> None:
        """Go to the next (1) or previous (-1) slice of the current object that deserves a look."""
        state = self._state
        item, volume = state.queue.current, state.volume
        if item is None or item.result is None or volume is None:
            return
        here = state.painting.shown_index(item.result.axis, volume)
        plane = item.next_flagged(here, by)
        if plane is not None:
            state.scene.show_slice(plane, item.prompts.all(), volume.geometry)

    def follow(self, link: SliceLink) -> None:
        """Show the slice of a link."""
        state = self._state
        if state.volume is not None:
            item = state.queue.numbered(link.number)
            prompts = item.prompts.all() if item is not None else []
            state.scene.show_slice(link.plane, prompts, state.volume.geometry)

    def align_views(self, view_widgets: Sequence[Any]) -> None:
        """Turn every slice view to the volume's axes."""
        state = self._state
        state.scene.align_views([state.host.viewNode(view) for view in view_widgets])
        state.runs.show_hint()
        state.refresh()

    def remove_row(self, row: int) -> None:
        """Take a row out; its segment stays."""
        queue = self._state.queue
        if 0 <= row < len(queue.rows) and self._state.runs.batch is None:
            self._state.remove_row(queue.rows[row])
            self._drop_preview()

    def clear_rows(self) -> None:
        """Empty the list; the segments stay."""
        if self._state.runs.batch is None:
            self._state.queue.clear()
            self._drop_preview()

    def _drop_preview(self) -> None:
        self._state.runs.drop_preview()
        self._state.refresh()

    def _go_to_current(self) -> None:
        """Select the current object's segment and show the slice that it was drawn on."""
        state = self._state
        item = state.queue.current
        if state.volume is not None and item is not None:
            if item.segment_id and state.scene.has_segment(item.segment_id):
                state.scene.select_segment(item.segment_id)
            if item.plane is not None:
                state.scene.show_slice(item.plane, item.prompts.all(), state.volume.geometry)
        state.refresh()
