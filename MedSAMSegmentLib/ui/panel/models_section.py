"""The models: which are there, and the buttons that fetch, import and remove them."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ...checkpoints.custom_models import is_custom
from ...checkpoints.store import CheckpointStore
from ...errors import Cancelled, MedSAMError
from ...paths import MODEL_FOLDER_VARIABLE
from ...registry import ModelEntry
from ..widgets.controls import link_label, push_button, row
from ..widgets.model_choice import LINK_LICENCE, ModelChoice, licence_text, model_choices, state_text
from ..worker_settings import choose_model_folder, model_folder_is_fixed, model_store
from .error_text import breakable, error_text
from .job_runner import JobRunner
from .section import collapsible, named, say

TABLE_HEIGHT = 230
CELL_MARGINS = 10
USUAL_STATE = "download 2565 MB"
"""The column of states is as wide as this; longer ones wrap."""


class ModelsSection:
    """The collapsible section `frame`; `link` gets the links of error messages."""

    def __init__(self, link: Callable[[str], None]) -> None:
        self.jobs = JobRunner(self._show_progress, self._job_ended)
        self._choices: list[ModelChoice] = []
        self._importing = ""
        self.last_error: MedSAMError | None = None
        self.frame, layout = collapsible(_("Models"), "Models")
        self.table = named(_make_table(), "ModelsTable")
        self.table.connect("itemSelectionChanged()", self._show_buttons)
        self.details = named(link_label(self._follow), "ModelDetailsLabel")
        self.download = named(
            push_button(_("Download"), _("Fetch the chosen model; its hash is checked."), self._download),
            "DownloadButton",
        )
        self.import_file = named(
            push_button(
                _("Import from file..."),
                _("Use a file that you have: published, or weights of your own."),
                self._import,
            ),
            "ImportButton",
        )
        self.remove = named(
            push_button(_("Remove"), _("Delete the chosen model's file."), self._remove), "RemoveButton"
        )
        self.progress = named(qt.QProgressBar(), "ModelProgressBar")
        self.cancel = named(
            push_button(_("Cancel"), _("Stop; what is there is continued next time."), self.jobs.cancel),
            "CancelModelJobButton",
        )
        self.status = named(link_label(link), "ModelStatusLabel")
        self.folder = named(qt.QLineEdit(), "ModelFolderLineEdit")
        self.folder.readOnly = True
        self.change_folder = named(
            push_button(_("Change..."), _("Keep models somewhere else."), self._choose_folder),
            "ChangeModelFolderButton",
        )
        self.folder_note = named(qt.QLabel(), "ModelFolderNoteLabel")
        self.folder_note.wordWrap = True
        layout.addWidget(self.table)
        layout.addWidget(self.details)
        layout.addLayout(row(self.download, self.import_file, self.remove))
        layout.addLayout(row(self.progress, self.cancel))
        layout.addWidget(self.status)
        layout.addLayout(row(named(qt.QLabel(_("Folder:")), "ModelFolderLabel"), self.folder, self.change_folder))
        layout.addWidget(self.folder_note)
        say(self.status, "")
        self.refresh()

    @property
    def chosen(self) -> ModelChoice | None:
        number = self.table.currentRow()
        return self._choices[number] if 0 <= number < len(self._choices) else None

    def refresh(self) -> None:
        store = model_store()
        self._choices = model_choices(store)
        number = max(self.table.currentRow(), 0)
        self.table.setRowCount(len(self._choices))
        for index, choice in enumerate(self._choices):
            for column, text in enumerate(_cells(choice)):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(_tool_tip(choice))
                self.table.setItem(index, column, item)
        self.table.setCurrentCell(number, 0)
        self._show_folder(store)
        self._show_buttons()

    def choose(self, model_id: str) -> None:
        """Select a model's row."""
        for number, choice in enumerate(self._choices):
            if choice.entry.id == model_id:
                self.table.setCurrentCell(number, 0)

    def cleanup(self) -> None:
        self.jobs.close()

    def facts(self) -> str:
        return ""

    def _download(self) -> None:
        choice = self.chosen
        if choice is None:
            return
        note = choice.entry.licence_note
        if note and not slicer.util.confirmOkCancelDisplay(licence_text(choice.entry), _("Licence of the weights")):
            return
        self._start("pull", choice.entry.id)

    def _import(self) -> None:
        choice = self.chosen
        if choice is None:
            return
        path = qt.QFileDialog.getOpenFileName(
            self.frame, _("File of {model}").format(model=choice.entry.title), "", "*.pth *.pt *.safetensors;;*"
        )
        if path:
            self.import_path(str(path))

    def import_path(self, path: str) -> None:
        """Import a file: as the published one that it is, else as a model of its own."""
        if self.chosen is not None:
            model = self.chosen.entry.id
            if self._start("import", model, path):
                self._importing = model

    def _remove(self) -> None:
        choice = self.chosen
        if choice is None:
            return
        question = _("Delete the file of {model}?").format(model=choice.entry.title)
        if slicer.util.confirmOkCancelDisplay(question, _("Remove a model")):
            self._start("remove", choice.entry.id)

    def _start(self, *arguments: str) -> bool:
        """Start a job and tell whether it runs now."""
        say(self.status, "")
        try:
            self.jobs.start(*arguments)
        except MedSAMError as error:
            self._show_error(error)
            return False
        finally:
            self.progress.setRange(0, 0)
            self._show_buttons()
        return True

    def _follow(self, link: str) -> None:
        if link == LINK_LICENCE and self.chosen is not None:
            slicer.util.infoDisplay(licence_text(self.chosen.entry), _("Licence and citation"))

    def _show_folder(self, store: CheckpointStore) -> None:
        fixed = model_folder_is_fixed()
        try:
            self.folder.text = str(store.folder)
        except ImportError:
            self.folder.text = _("known after the installation of what is missing")
        self.folder.toolTip = self.folder.text
        self.change_folder.enabled = not fixed
        note = _("The environment variable {name} sets it.").format(name=MODEL_FOLDER_VARIABLE)
        say(self.folder_note, note if fixed else "")

    def _choose_folder(self) -> None:
        path = qt.QFileDialog.getExistingDirectory(self.frame, _("Folder for models"))
        if path:
            choose_model_folder(str(path))
            self.refresh()

    def _show_progress(self, done: int, total: int) -> None:
        # Qt's bars count in 32 bits; a checkpoint has more bytes than that.
        self.progress.setRange(0, max(total // 1000, 1) if total else 0)
        self.progress.setValue(done // 1000)
        self.progress.format = f"{done / 1e6:.1f} / {total / 1e6:.1f} MB"

    def _job_ended(self, error: MedSAMError | None) -> None:
        self.refresh()
        importing, self._importing = self._importing, ""
        if isinstance(error, Cancelled):
            say(self.status, _("Cancelled."))
        elif error is not None:
            self._show_error(error)
        elif importing and self.jobs.model != importing:
            self.choose(self.jobs.model)
            say(self.status, _("Imported as {model}.").format(model=self.chosen.entry.title if self.chosen else ""))
        else:
            say(self.status, _("Done."))

    def _show_error(self, error: MedSAMError) -> None:
        self.last_error = error
        say(self.status, error_text(error, _("Python is chosen under Interpreter and device.")))

    def _show_buttons(self) -> None:
        choice, busy = self.chosen, self.jobs.busy
        there = choice is not None and (is_custom(choice.entry.id) or choice.state not in ("missing", "unknown"))
        fetchable = choice is not None and any(s.kind != "file" for s in choice.entry.sources)
        self.download.enabled = not busy and fetchable and (choice is None or choice.state != "ready")
        self.import_file.enabled = choice is not None and not busy
        self.remove.enabled = there and not busy
        self.cancel.enabled = busy
        self.cancel.visible = busy
        self.progress.visible = busy
        self.details.text = _details(choice) if choice is not None else ""


def _make_table() -> Any:
    """A table in which the models take the width that is left; texts that are too long wrap."""
    columns = (
        (_("Model"), _("The network and its weights; your own are called by the name of their file.")),
        (_("State"), _("Whether the weights are on this computer and can be used.")),
        (_("Licence"), _("Licence of the weights.")),
    )
    table = qt.QTableWidget()
    table.setColumnCount(len(columns))
    for number, (title, tip) in enumerate(columns):
        item = qt.QTableWidgetItem(title)
        item.setToolTip(tip)
        table.setHorizontalHeaderItem(number, item)
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
    table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
    table.setHorizontalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)
    table.setVerticalScrollMode(qt.QAbstractItemView.ScrollPerPixel)
    table.setMinimumHeight(TABLE_HEIGHT)
    table.wordWrap = True
    table.verticalHeader().setVisible(False)
    table.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
    header = table.horizontalHeader()
    header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
    header.setSectionResizeMode(1, qt.QHeaderView.Fixed)
    table.setColumnWidth(1, qt.QFontMetrics(table.font).horizontalAdvance(USUAL_STATE) + CELL_MARGINS)
    header.setSectionResizeMode(2, qt.QHeaderView.ResizeToContents)
    return table


def _cells(choice: ModelChoice) -> tuple[str, ...]:
    return (choice.entry.title, state_text(choice), choice.entry.licence)


def _size(entry: ModelEntry) -> str:
    return _("{size} MB").format(size=round(entry.expected_bytes / 1e6))


def _tool_tip(choice: ModelChoice) -> str:
    """All of a row, also what the width of the panel cuts off."""
    entry = choice.entry
    return "\n".join((entry.title, f"{state_text(choice)}, {_size(entry)}, {entry.licence}", entry.good_for))


def _details(choice: ModelChoice) -> str:
    entry = choice.entry
    link = f'<a href="{LINK_LICENCE}">{escape(_("Licence and citation"))}</a>'
    return breakable(f"<b>{escape(entry.title)}</b>, {_size(entry)}: {escape(entry.good_for)} {link}")
