"""The Slicer module "MedSAM Segment": registers the Segment Editor effect and mounts the panel. All else is in the
library `MedSAMSegmentLib`, which is imported when it is needed, never while Slicer starts."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

HERE = Path(__file__).resolve().parent


def find_library() -> None:
    """Put the folder of `MedSAMSegmentLib` on the path where it is not: in a run from a source checkout."""
    if importlib.util.find_spec("MedSAMSegmentLib") is None and (HERE.parent / "MedSAMSegmentLib").is_dir():
        sys.path.append(str(HERE.parent))


class MedSAMSegment(ScriptedLoadableModule):
    """Metadata of the module."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        find_library()
        parent.title = _("MedSAM Segment")
        parent.categories = ["Segmentation"]
        parent.dependencies = ["Segmentations"]
        parent.contributors = ["The MedSAMSegment contributors (independent)"]
        # Slicer shows both texts whole, as HTML.
        parent.helpText = _(
            "Segment an object in 3D from a box drawn on one slice, with the MedSAM family of models."
            '<ul style="margin: 0">'
            "<li>Press <b>Open in Segment Editor</b>, or choose the effect <b>MedSAM</b> there.</li>"
            "<li>Drag a box around the object in a slice view.</li>"
            "<li>Press <b>Propagate</b>.</li>"
            "</ul>"
            "<p>Everything is computed on this computer; no image is sent.</p>"
        )
        parent.acknowledgementText = _(
            "The models are the work of the MedSAM, LiteMedSAM, MedSAM2, SAM, SAM 2 and EfficientTAM authors; "
            "the panel names the papers and licences."
        )
        self.effectRegistered = False
        slicer.app.connect("startupCompleted()", self.registerEffect)

    def registerEffect(self) -> None:
        """Once: when all modules are loaded, or when the panel is first shown in a session that loaded it later."""
        if self.effectRegistered:
            return
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        effect = effects.qSlicerSegmentEditorScriptedEffect(None)
        source = HERE / "MedSAMSegmentEffect" / "SegmentEditorEffect.py"
        effect.setPythonSource(str(source).replace("\\", "/"))
        effect.self().register()
        self.effectRegistered = True


class MedSAMSegmentWidget(ScriptedLoadableModuleWidget):
    """The panel."""

    panel: Any = None

    def setup(self) -> None:
        super().setup()
        try:
            # A module that is loaded while Slicer runs hears of no startup; its effect would wait for a restart.
            slicer.modules.MedSAMSegmentInstance.registerEffect()
            from MedSAMSegmentLib.ui.panel.module_panel import ModulePanel

            self.panel = ModulePanel(self.layout)
        except Exception as error:  # noqa: BLE001 - the panel always draws: whatever is broken becomes a sentence
            traceback.print_exc()
            sentence = _("The panel cannot be loaded: {error}. Install the extension again.").format(error=error)
            label = qt.QLabel(sentence)
            label.objectName = "PanelErrorLabel"
            label.wordWrap = True
            self.layout.addWidget(label)

    def enter(self) -> None:
        if self.panel is not None:
            self.panel.refresh()

    def cleanup(self) -> None:
        if self.panel is not None:
            self.panel.cleanup()


class MedSAMSegmentLogic(ScriptedLoadableModuleLogic):
    """Nothing of its own: scripts use `MedSAMSegmentLib.inference.open_session`, in a process with torch."""


class MedSAMSegmentTest(ScriptedLoadableModuleTest):
    """The scenarios of `MedSAMSegmentScenarios`, each a user's story; in Slicer and in the harness alike."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """All of them, also after a failure; those that need torch, weights or the network are skipped without."""
        from MedSAMSegmentScenarios import scenarios
        from MedSAMSegmentScenarios.suite import run_suite

        report = run_suite(scenarios(), self.run_scenario)
        print(report)
        if report.failed:
            self.fail(str(report))

    def run_scenario(self, name: str) -> None:
        """Run one scenario by its name, in an empty scene; it fails when it leaves something behind."""
        from MedSAMSegmentScenarios import scenarios
        from MedSAMSegmentScenarios.suite import nothing_left_behind, skip_unless_possible

        story = scenarios()[name]
        skip_unless_possible(story)
        self.setUp()
        self.delayDisplay(f"Scenario: {name}")
        with nothing_left_behind():
            story()
