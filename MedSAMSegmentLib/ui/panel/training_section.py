"""Fine-tuning in the panel: a segment's name, and a model that is taught all segments of that name in the scene."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from ...errors import Cancelled, InputError, MedSAMError
from ..training_data import named_segments, segment_names, write_training_data
from ..widgets.controls import link_label, push_button, row
from .error_text import error_text
from .job_runner import JobRunner
from .section import collapsible, named, say

MODEL = "lite_medsam"


class TrainingSection:
    """The collapsible section `frame`; `link` gets the links of error messages, `made` hears of a new model."""

    def __init__(self, link: Callable[[str], None], made: Callable[[str], None]) -> None:
        self.jobs = JobRunner(self._show_progress, self._job_ended)
        self.last_error: MedSAMError | None = None
        self._made = made
        self._folder: Path | None = None
        self.frame, layout = collapsible(_("Fine-tuning"), "Training")
        self.about = named(
            qt.QLabel(
                _(
                    "Teach LiteMedSAM an object by segments that you have corrected. All segments of the chosen name "
                    "count, each segmentation as a patient; with two or more one is kept to test with. It takes "
                    "minutes and uses the processor; images stay on this computer."
                )
            ),
            "TrainingAboutLabel",
        )
        self.about.wordWrap = True
        self.segment = named(qt.QComboBox(), "TrainingSegmentComboBox")
        self.segment.toolTip = _("The name of the segments to learn.")
        self.segment.sizeAdjustPolicy = qt.QComboBox.AdjustToMinimumContentsLengthWithIcon
        self.segment.connect("currentIndexChanged(int)", self._choose)
        self.start = named(
            push_button(
                _("Fine-tune on these segments"),
                _("Make a model of your own, in a process beside Slicer."),
                self._start,
            ),
            "TrainButton",
        )
        self.progress = named(qt.QProgressBar(), "TrainingProgressBar")
        self.cancel = named(
            push_button(_("Cancel"), _("Stop; nothing is changed."), self.jobs.cancel), "CancelTrainingButton"
        )
        self.status = named(link_label(link), "TrainingStatusLabel")
        layout.addWidget(self.about)
        layout.addLayout(row(named(qt.QLabel(_("Segments:")), "TrainingSegmentLabel"), self.segment))
        layout.addWidget(self.start)
        layout.addLayout(row(self.progress, self.cancel))
        layout.addWidget(self.status)
        self.frame.collapsed = True
        self.frame.connect("contentsCollapsed(bool)", self._opened)
        say(self.status, "")
        self.refresh()

    def refresh(self) -> None:
        """List the names of the segments in the scene."""
        chosen, names = self.segment.currentText, segment_names(slicer.mrmlScene)
        blocked = self.segment.blockSignals(True)
        self.segment.clear()
        for name in names:
            self.segment.addItem(name)
        self.segment.setCurrentIndex(max(self.segment.findText(chosen), 0) if names else -1)
        self.segment.blockSignals(blocked)
        self._show_buttons()

    def cleanup(self) -> None:
        self.jobs.close()
        self._forget_data()

    def facts(self) -> str:
        return ""

    def _opened(self, collapsed: bool) -> None:
        if not collapsed:
            self.refresh()

    def _choose(self, _index: int) -> None:
        self._show_buttons()

    def _start(self) -> None:
        say(self.status, "")
        name = self.segment.currentText
        try:
            found = named_segments(slicer.mrmlScene, name)
            if not found:
                self.refresh()
                raise InputError(_("There is no segment of that name any more."), _("Choose another one."))
            self._folder = Path(tempfile.mkdtemp(prefix="medsam-training-"))
            manifest = write_training_data(self._folder, found)
            self.jobs.start("train", MODEL, str(manifest), name)
        except MedSAMError as error:
            self._forget_data()
            self._show_error(error)
        finally:
            self.progress.setRange(0, 0)
            self.progress.format = _("reading")
            self._show_buttons()

    def _show_progress(self, done: int, total: int) -> None:
        self.progress.setRange(0, total)
        self.progress.setValue(done)
        self.progress.format = f"{self.jobs.stage}: {done} / {total}"

    def _job_ended(self, error: MedSAMError | None) -> None:
        self._forget_data()
        if isinstance(error, Cancelled):
            say(self.status, _("Cancelled."))
        elif error is not None:
            self._show_error(error)
        else:
            said = _("{model} is in the list of models. {note}")
            say(self.status, said.format(model=self.jobs.model, note=self.jobs.note))
            self._made(self.jobs.model)
        self._show_buttons()

    def _show_error(self, error: MedSAMError) -> None:
        self.last_error = error
        say(self.status, error_text(error, _("Python is chosen under Interpreter and device.")))

    def _forget_data(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _show_buttons(self) -> None:
        busy = self.jobs.busy
        self.start.enabled = not busy and bool(self.segment.currentText)
        self.segment.enabled = not busy
        self.cancel.enabled = busy
        self.cancel.visible = busy
        self.progress.visible = busy
