"""The list of objects: one row each, with what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import qt
from slicer.i18n import tr as _

from ..objects.queue import ObjectQueue, QueuedObject
from .controls import Commands, push_button, quietly, row, stack
from .messages import diameters_text, diameters_tip, state_title, volume_text

HEIGHT = 140
ROW_HEIGHT = 22
LONGEST_NAME = 110
"""Width of the column of names in pixels; longer names are elided. Diameters get what is left."""


class ObjectTable:
    """Shown from two objects on, with buttons below. `commands` has "select_row", which gets the row clicked."""

    def __init__(self, commands: Commands) -> None:
        self.table = _make_table(commands["select_row"])
        self.previous = push_button(
            _("Previous"),
            commands.tip(_("Previous object"), "previous_object"),
            commands["previous_object"],
            "PreviousObjectButton",
        )
        self.next = push_button(
            _("Next"), commands.tip(_("Next object"), "next_object"), commands["next_object"], "NextObjectButton"
        )
        self.remove = push_button(
            _("Remove"),
            commands.tip(_("Take the chosen row out; its segment stays"), "remove_row"),
            commands["remove_row"],
            "RemoveObjectButton",
        )
        self.clear = push_button(
            _("Clear"),
            commands.tip(_("Empty the list; the segments stay"), "clear_rows"),
            commands["clear_rows"],
            "ClearObjectsButton",
        )
        self._buttons = (self.previous, self.next, self.remove, self.clear)

    def add_to(self, host: Any) -> None:
        host.addOptionsWidget(stack(row(self.table), row(*self._buttons)))

    def show(self, queue: ObjectQueue) -> None:
        quietly(self.table, self._fill, queue)
        for widget in (self.table, *self._buttons):
            widget.visible = len(queue) > 1

    @property
    def current_row(self) -> int:
        return int(self.table.currentRow())

    def _fill(self, queue: ObjectQueue) -> None:
        self.table.setRowCount(len(queue))
        for number, item in enumerate(queue.rows):
            for column, (text, tip) in enumerate(_cells(item)):
                cell = qt.QTableWidgetItem(text)
                cell.setToolTip("\n".join(line for line in (tip, item.message) if line))
                self.table.setItem(number, column, cell)
        self.table.resizeColumnToContents(0)
        self.table.setColumnWidth(0, min(self.table.columnWidth(0), LONGEST_NAME))
        if queue.selected >= 0:
            self.table.setCurrentCell(queue.selected, 0)


def _cells(item: QueuedObject) -> Iterator[tuple[str, str]]:
    """Yield text and tool tip of each column."""
    result = item.result
    yield item.name, item.name
    slice_number = str(item.plane.index) if item.plane is not None else ""
    yield slice_number, _("Drawn on slice {n}, counted from 0.").format(n=slice_number) if slice_number else ""
    state = state_title(item.state)
    yield state, state
    volume = volume_text(result) if result is not None else ""
    yield volume, volume
    yield (diameters_text(result), diameters_tip(result)) if result is not None else ("", "")


def _columns() -> list[tuple[str, str]]:
    """Return title and tool tip of each column."""
    return [
        (_("Object"), _("The segment, or what it will be called.")),
        (_("Slice"), _("The slice drawn on last, counted from 0.")),
        (_("State"), _("Whether the object waits, runs, is done, or deserves a look.")),
        (_("Volume"), _("Volume of the segment in mL.")),
        (_("Diameters"), _("Longest diameter × perpendicular, on the slice where it is longest, in mm.")),
    ]


def _make_table(select: Callable[[int], None]) -> Any:
    table = qt.QTableWidget()
    table.objectName = "ObjectsTable"
    columns = _columns()
    table.setColumnCount(len(columns))
    table.setHorizontalHeaderLabels([title for title, _tip in columns])
    header = table.horizontalHeader()
    modes = {0: qt.QHeaderView.Interactive, len(columns) - 1: qt.QHeaderView.Stretch}
    for column, (_title, tip) in enumerate(columns):
        table.horizontalHeaderItem(column).setToolTip(tip)
        header.setSectionResizeMode(column, modes.get(column, qt.QHeaderView.ResizeToContents))
    table.verticalHeader().setVisible(False)
    table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
    table.textElideMode = qt.Qt.ElideMiddle
    table.wordWrap = False
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
    table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
    table.setMinimumHeight(HEIGHT)
    table.connect("cellClicked(int,int)", lambda number, _column: select(number))
    return table
