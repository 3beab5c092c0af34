"""The models: which are there, and the buttons that fetch, import, remove and explain them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ...checkpoints.custom_models import is_custom
from ...errors import Cancelled, MedSAMError
from ...paths import MODEL_FOLDER_VARIABLE
from ..messages import error_html
from ..model_choice import ModelChoice, licence_text, model_choices, state_text
from ..option_widgets import link_label, push_button, row
from ..worker_settings import choose_model_folder, model_folder_is_fixed, model_store
from .job_runner import JobRunner

COLUMNS = 5


class ModelsSection:
    """`link` gets the links of error messages."""

    def __init__(self, link: Callable[[str], None]) -> None:
        self.jobs = JobRunner(self._show_progress, self._job_ended)
        self._choices: list[ModelChoice] = []
        self._importing = ""
        self.last_error: MedSAMError | None = None
        self.frame = qt.QGroupBox(_("Models"))
        layout = qt.QVBoxLayout(self.frame)
        self.table = _make_table()
        self.table.connect("itemSelectionChanged()", self._show_buttons)
        self.download = push_button(_("Download"), _("Fetch the chosen model; its hash is checked."), self._download)
        self.cancel = push_button(_("Cancel"), _("Stop; what is there is continued next time."), self.jobs.cancel)
        self.import_file = push_button(
            _("Import from file..."),
            _("Use a file that you have: published, or weights of your own."),
            self._import,
        )
        self.remove = push_button(_("Remove"), _("Delete the chosen model's file."), self._remove)
        self.licence = push_button(_("Licence..."), _("Licence, citation and purpose."), self._show_licence)
        self.change_folder = push_button(_("Folder..."), _("Keep models somewhere else."), self._choose_folder)
        self.folder = qt.QLabel()
        self.folder.wordWrap = True
        self.progress = qt.QProgressBar()
        self.status = link_label(link)
        layout.addWidget(self.table)
        layout.addLayout(row(self.download, self.cancel, self.import_file, self.remove, self.licence))
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        layout.addLayout(row(self.folder, self.change_folder))
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
                item.setToolTip(choice.entry.good_for)
                self.table.setItem(index, column, item)
        self.table.setCurrentCell(number, 0)
        self.folder.text = _folder_text(store)
        self.change_folder.enabled = not model_folder_is_fixed()
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
        """Return whether the job runs now."""
        self.status.text = ""
        try:
            self.jobs.start(*arguments)
        except MedSAMError as error:
            self._show_error(error)
            return False
        finally:
            self.progress.setRange(0, 0)
            self._show_buttons()
        return True

    def _show_licence(self) -> None:
        if self.chosen is not None:
            slicer.util.infoDisplay(licence_text(self.chosen.entry), _("Licence"))

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
            self.status.text = _("Cancelled.")
        elif error is not None:
            self._show_error(error)
        elif importing and self.jobs.model != importing:
            self.choose(self.jobs.model)
            self.status.text = _("Imported as {model}.").format(model=self.chosen.entry.title if self.chosen else "")
        else:
            self.status.text = _("Done.")

    def _show_error(self, error: MedSAMError) -> None:
        self.last_error = error
        self.status.text = error_html(error)

    def _show_buttons(self) -> None:
        choice, busy = self.chosen, self.jobs.busy
        there = choice is not None and (is_custom(choice.entry.id) or choice.state not in ("missing", "unknown"))
        fetchable = choice is not None and any(s.kind != "file" for s in choice.entry.sources)
        self.download.enabled = not busy and fetchable and (choice is None or choice.state != "ready")
        self.import_file.enabled = choice is not None and not busy
        self.remove.enabled = there and not busy
        self.cancel.enabled = busy
        self.progress.visible = busy
        self.licence.enabled = choice is not None


def _make_table() -> Any:
    table = qt.QTableWidget()
    table.setColumnCount(COLUMNS)
    table.setHorizontalHeaderLabels([_("Model"), _("State"), _("Size"), _("Licence"), _("Good for")])
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
    table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
    table.verticalHeader().setVisible(False)
    table.horizontalHeader().setStretchLastSection(True)
    return table


def _cells(choice: ModelChoice) -> tuple[str, ...]:
    entry = choice.entry
    size = f"{entry.expected_bytes / 1e6:.0f} MB"
    return (entry.title, state_text(choice), size, entry.licence, entry.good_for)


def _folder_text(store: Any) -> str:
    try:
        text = _("Folder: {folder}").format(folder=store.folder)
        if model_folder_is_fixed():
            text += " " + _("(set by the environment variable {name})").format(name=MODEL_FOLDER_VARIABLE)
        return text
    except ImportError:
        return _("Folder: known after the installation of what is missing")
