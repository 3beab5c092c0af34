"""The panel, from top to bottom."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..report import report_text
from ..server_settings import chosen_server
from ..widgets.controls import link_label, push_button
from ..widgets.messages import LINK_REPORT
from ..worker_settings import chosen_interpreter, model_store
from .error_text import breakable
from .help_texts import licences_html, offline_help
from .interpreter_section import InterpreterSection
from .models_section import ModelsSection
from .section import BrokenSection, collapsible, named, say, section_or_message
from .server_section import ServerSection, place_html
from .training_section import TrainingSection

EFFECT_NAME = "MedSAM"
MAIN_BUTTON_HEIGHT = 36
HELP_HEIGHT = 200


class ModulePanel:
    """Made once when the module is first shown; `refresh` each time it is entered."""

    def __init__(self, layout: Any) -> None:
        self.models = section_or_message(_("Models"), lambda: ModelsSection(self._follow))
        self.interpreter = section_or_message(
            _("Interpreter and device"), lambda: InterpreterSection(self._follow, self.models.refresh)
        )
        self.server = section_or_message(_("Where it runs"), lambda: ServerSection(self._follow, self._show_place))
        self.training = section_or_message(_("Fine-tuning"), lambda: TrainingSection(self._follow, self._new_model))
        for section in (
            self._make_start(),
            self.models.frame,
            self.training.frame,
            self.interpreter.frame,
            self.server.frame,
            self._make_licences(),
            self._make_help(),
        ):
            layout.addWidget(section)
        layout.addStretch(1)

    def _make_start(self) -> Any:
        """Make the section that says what the module is for, with the button that most users need here."""
        frame, layout = collapsible(_("Segment Editor"), "SegmentEditor")
        self.about = named(qt.QLabel(), "AboutLabel")
        self.about.wordWrap = True
        self._show_place()
        self.open_editor = named(
            push_button(
                _("Open in Segment Editor"), _("Show the Segment Editor with the effect chosen."), self._open_editor
            ),
            "OpenSegmentEditorButton",
        )
        font = self.open_editor.font
        font.setBold(True)
        self.open_editor.setFont(font)
        self.open_editor.setMinimumHeight(MAIN_BUTTON_HEIGHT)
        self.status = named(link_label(self._follow), "OpenStatusLabel")
        for widget in (self.about, self.open_editor, self.status):
            layout.addWidget(widget)
        say(self.status, "")
        return frame

    def _show_place(self) -> None:
        """Say what the module is for, and where it computes."""
        about = _(
            "Segment an object in 3D: in the Segment Editor choose the effect <b>MedSAM</b>, drag a box around the "
            "object on one slice, press <b>Propagate</b>."
        )
        self.about.text = f"{about} {breakable(place_html(chosen_server()))}"

    def _make_licences(self) -> Any:
        self.licences_section, layout = collapsible(_("Licences and citation"), "Licences")
        self.licences = named(qt.QLabel(licences_html()), "LicencesLabel")
        self.licences.wordWrap = True
        self.licences.textInteractionFlags = qt.Qt.TextSelectableByMouse
        layout.addWidget(self.licences)
        self.licences_section.collapsed = True
        return self.licences_section

    def _make_help(self) -> Any:
        self.help_section, layout = collapsible(_("Help"), "Help")
        self.copy_report = named(
            push_button(
                _("Copy report"), _("Versions, settings and the last error, without any image data."), self._copy_report
            ),
            "CopyReportButton",
        )
        self.help_title = named(
            qt.QLabel(_("Packages and files to carry to a machine without internet:")), "OfflineHelpLabel"
        )
        self.help_title.wordWrap = True
        self.help = named(qt.QPlainTextEdit(), "OfflineHelp")
        self.help.readOnly = True
        self.help.setMinimumHeight(HELP_HEIGHT)
        for widget in (self.copy_report, self.help_title, self.help):
            layout.addWidget(widget)
        # A broken section asks for the report.
        self.help_section.collapsed = not any(
            isinstance(s, BrokenSection) for s in (self.models, self.training, self.interpreter, self.server)
        )
        self.help_section.connect("contentsCollapsed(bool)", self._show_help)
        return self.help_section

    def refresh(self) -> None:
        self.models.refresh()
        self.training.refresh()
        self.interpreter.refresh()
        self.server.refresh()
        self._show_place()

    def cleanup(self) -> None:
        self.models.cleanup()
        self.training.cleanup()
        self.interpreter.cleanup()
        self.server.cleanup()

    def _new_model(self, model_id: str) -> None:
        self.models.refresh()
        self.models.choose(model_id)

    def _open_editor(self) -> None:
        missing = _("The effect MedSAM is missing from the Segment Editor. Restart Slicer.")
        say(self.status, "" if open_segment_editor() else missing)

    def _show_help(self, collapsed: bool) -> None:
        if not collapsed:
            self.help.setPlainText(offline_help(_folder()))

    def _copy_report(self) -> None:
        sections = (self.server, self.interpreter, self.training, self.models)
        error = next((section.last_error for section in sections if section.last_error), None)
        text = report_text(slicer.app.applicationVersion, chosen_interpreter(), error=error)
        facts = self.interpreter.facts()
        if facts:
            text += f"\n{facts}\n"
        qt.QApplication.clipboard().setText(text)

    def _follow(self, link: str) -> None:
        if link == LINK_REPORT:
            self._copy_report()


def open_segment_editor() -> bool:
    """With the effect chosen, and the volume that the slice views show as source, where none is chosen yet.

    False, and the panel stays, when the effect is not there.
    """
    slicer.modules.MedSAMSegmentInstance.registerEffect()
    slicer.modules.segmenteditor.widgetRepresentation()
    editor = slicer.modules.SegmentEditorWidget.editor
    if editor.effectByName(EFFECT_NAME) is None:
        editor.updateEffectList()
    if editor.effectByName(EFFECT_NAME) is None:
        return False
    slicer.util.selectModule("SegmentEditor")
    if editor.segmentationNode() is None:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        node.CreateDefaultDisplayNodes()
        editor.setSegmentationNode(node)
    if editor.sourceVolumeNode() is None:
        volume_id = slicer.app.applicationLogic().GetSelectionNode().GetActiveVolumeID()
        volume = slicer.mrmlScene.GetNodeByID(volume_id) if volume_id else None
        volume = volume or slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
        if volume is not None:
            editor.setSourceVolumeNode(volume)
    editor.setActiveEffectByName(EFFECT_NAME)
    return True


def _folder() -> str:
    try:
        return str(model_store().folder)
    except ImportError:
        return _("the folder that the panel shows")
