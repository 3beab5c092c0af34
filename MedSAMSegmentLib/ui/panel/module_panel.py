"""The panel, from top to bottom."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..report import report_text
from ..widgets.controls import link_label, push_button, row
from ..widgets.messages import LINK_PANEL, LINK_REPORT
from ..worker_settings import chosen_interpreter, model_store
from .help_texts import offline_help
from .interpreter_section import InterpreterSection
from .models_section import ModelsSection
from .section import guarded

EFFECT_NAME = "MedSAM"


class ModulePanel:
    """Made once when the module is first shown; `refresh` each time it is entered."""

    def __init__(self, layout: Any) -> None:
        self.about = qt.QLabel(
            _(
                "Segment an object in 3D: in the Segment Editor choose the effect <b>MedSAM</b>, drag a box around the "
                "object on one slice, press <b>Propagate</b>. Everything is computed on this computer; nothing is sent."
            )
        )
        self.about.wordWrap = True
        self.open_editor = push_button(
            _("Open in Segment Editor"), _("Show the Segment Editor with the effect chosen."), self._open_editor
        )
        self.status = link_label(self._follow)
        self.models = guarded(_("Models"), lambda: ModelsSection(self._follow))
        self.interpreter = guarded(
            _("Interpreter and device"), lambda: InterpreterSection(self._follow, self.models.refresh)
        )
        self.help = qt.QPlainTextEdit()
        self.help.readOnly = True
        self.help.visible = False
        self.show_help = push_button(
            _("Offline help"), _("Packages and files to carry to a machine without internet."), self._toggle_help
        )
        self.copy_report = push_button(
            _("Copy report"), _("Versions, settings and the last error, without any image data."), self._copy_report
        )
        for widget in (self.about, self.open_editor, self.status, self.models.frame, self.interpreter.frame):
            layout.addWidget(widget)
        layout.addLayout(row(self.show_help, self.copy_report))
        layout.addWidget(self.help)
        layout.addStretch(1)

    def refresh(self) -> None:
        self.models.refresh()
        self.interpreter.refresh()

    def cleanup(self) -> None:
        self.models.cleanup()
        self.interpreter.cleanup()

    def _open_editor(self) -> None:
        missing = _("The effect MedSAM is missing from the Segment Editor. Restart Slicer.")
        self.status.text = "" if open_segment_editor() else missing

    def _toggle_help(self) -> None:
        self.help.setPlainText(offline_help(_folder()))
        self.help.visible = not self.help.visible

    def _copy_report(self) -> None:
        error = self.interpreter.last_error or self.models.last_error
        text = report_text(slicer.app.applicationVersion, chosen_interpreter(), error=error)
        facts = self.interpreter.facts()
        if facts:
            text += f"\n{facts}\n"
        qt.QApplication.clipboard().setText(text)

    def _follow(self, link: str) -> None:
        if link == LINK_REPORT:
            self._copy_report()
        elif link == LINK_PANEL:
            self.refresh()


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
