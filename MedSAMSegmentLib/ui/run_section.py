"""The lower half of the options frame: buttons, progress, what was found, and the objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import qt
from slicer.i18n import tr as _

from .lesion_queue import Lesion, LesionQueue
from .messages import diameters_text, state_title, volume_text
from .option_widgets import link_label, push_button, quietly, row
from .segmentation_run import RunState


class RunSection:
    """`actions` are the controller's commands by name; `link` gets links, `select` the row that was clicked."""

    def __init__(self, actions: Mapping[str, Any], link: Any, select: Any) -> None:
        self.segment_slice = push_button(
            _("Segment slice"), _("Write the preview of this slice into the segment (S)."), actions["segment_slice"]
        )
        self.propagate = push_button(_("Propagate"), _("Segment in 3D (P)."), actions["propagate"])
        self.cancel = push_button(_("Cancel"), _("Stop within one slice (X)."), actions["cancel"])
        self.estimate = link_label(link)
        self.estimate.visible = False
        self.progress = qt.QProgressBar()
        self.progress.visible = False
        self.status = link_label(link)
        self.results = link_label(link)
        self.table = self._make_table(select)
        self.previous = push_button(_("Previous"), _("Previous object (Shift+N)."), actions["previous_lesion"])
        self.next = push_button(_("Next"), _("Next object (N)."), actions["next_lesion"])
        self.remove = push_button(_("Remove"), _("Take the chosen row out; its segment stays."), actions["remove_row"])
        self.clear = push_button(_("Clear"), _("Empty the list; the segments stay."), actions["clear_rows"])
        self._queue_widgets = (self.table, self.previous, self.next, self.remove, self.clear)

    def add_to(self, host: Any) -> None:
        host.addOptionsWidget(row(self.segment_slice, self.propagate, self.cancel))
        for widget in (self.estimate, self.progress, self.status, self.results, self.table):
            host.addOptionsWidget(widget)
        host.addOptionsWidget(row(self.previous, self.next, self.remove, self.clear))

    def show_run(self, state: RunState, propagates: bool, waiting: int) -> None:
        self.propagate.text = _("Propagate {n} objects").format(n=waiting) if waiting > 1 else _("Propagate")
        self.propagate.enabled = not propagates
        self.segment_slice.enabled = not propagates
        self.cancel.enabled = state not in (RunState.IDLE, RunState.CANCELLING)
        self.progress.visible = state is not RunState.IDLE
        if state in (RunState.OPENING, RunState.PREVIEWING, RunState.CANCELLING):
            self.progress.setRange(0, 0)  # shows that something goes on, without a figure
            self.progress.format = {RunState.OPENING: _("loading"), RunState.PREVIEWING: _("preview")}.get(state, "")

    def show_estimate(self, html: str) -> None:
        """Show what the next run takes; "" where there is nothing to say."""
        self.estimate.text = html
        self.estimate.visible = bool(html)

    def show_progress(self, done: int, total: int, text: str) -> None:
        self.progress.setRange(0, max(total, 1))
        self.progress.setValue(done)
        self.progress.format = text

    def show_queue(self, queue: LesionQueue) -> None:
        quietly(self.table, self._fill, queue)
        for widget in self._queue_widgets:
            widget.visible = len(queue) > 1

    @property
    def current_row(self) -> int:
        return int(self.table.currentRow())

    def _fill(self, queue: LesionQueue) -> None:
        self.table.setRowCount(len(queue))
        for number, lesion in enumerate(queue.rows):
            for column, text in enumerate(_cells(lesion)):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(lesion.message)
                self.table.setItem(number, column, item)
        if queue.selected >= 0:
            self.table.setCurrentCell(queue.selected, 0)

    def _make_table(self, select: Any) -> Any:
        table = qt.QTableWidget()
        table.setColumnCount(5)
        table.setHorizontalHeaderLabels([_("Object"), _("Slice"), _("State"), _("Volume"), _("Diameters")])
        table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
        table.verticalHeader().setVisible(False)
        table.horizontalHeader().setStretchLastSection(True)
        table.setMinimumHeight(140)
        table.connect("cellClicked(int,int)", lambda number, _column: select(number))
        return table


def _cells(lesion: Lesion) -> tuple[str, str, str, str, str]:
    plane = str(lesion.plane.index) if lesion.plane is not None else ""
    result = lesion.result
    found = (volume_text(result), diameters_text(result)) if result is not None else ("", "")
    return (lesion.name, plane, state_title(lesion.state), *found)
