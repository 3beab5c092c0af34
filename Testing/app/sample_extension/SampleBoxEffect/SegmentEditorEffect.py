"""Fills the voxels between press and release of a drag in a slice view; logs what the host calls."""

import os

import numpy as np
import qt
import slicer
import vtk
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from vtk.util.numpy_support import vtk_to_numpy


class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):
    def __init__(self, scriptedEffect):
        scriptedEffect.name = "SampleBox"
        scriptedEffect.title = "Sample box"
        super().__init__(scriptedEffect)
        self.calls = []
        self.start = None
        self.fail_in = ""
        self.answer = True

    def _log(self, name):
        self.calls.append(name)
        if self.fail_in == name:
            raise RuntimeError(f"asked to fail in {name}")

    def clone(self):
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        clone = effects.qSlicerSegmentEditorScriptedEffect(None)
        clone.setPythonSource(__file__.replace("\\", "/"))
        return clone

    def icon(self):
        return qt.QIcon(os.path.join(os.path.dirname(__file__), "none.png"))

    def helpText(self):
        return "<html>Drag a <b>box</b>.<br>It is filled.</html>"

    def setMRMLDefaults(self):
        self._log("setMRMLDefaults")
        self.scriptedEffect.setParameterDefault("Margin", 3)

    def setupOptionsFrame(self):
        self._log("setupOptionsFrame")
        self.margin = qt.QSpinBox()
        self.margin.connect("valueChanged(int)", self.onMarginChanged)
        self.scriptedEffect.addLabeledOptionsWidget("Margin:", self.margin)
        self.run = qt.QPushButton("Run")
        self.scriptedEffect.addOptionsWidget(self.run)

    def onMarginChanged(self, value):
        self.scriptedEffect.setParameter("Margin", value)

    def activate(self):
        self._log("activate")

    def deactivate(self):
        self._log("deactivate")

    def createCursor(self, viewWidget):
        self._log("createCursor")
        return slicer.util.mainWindow().cursor

    def updateGUIFromMRML(self):
        self._log("updateGUIFromMRML")
        blocked = self.margin.blockSignals(True)
        self.margin.value = self.scriptedEffect.integerParameter("Margin")
        self.margin.blockSignals(blocked)

    def sourceVolumeNodeChanged(self):
        self._log("sourceVolumeNodeChanged")

    def cleanup(self):
        self._log("cleanup")

    def processViewNodeEvents(self, viewNode, eventId, viewWidget):
        self._log("processViewNodeEvents")

    def processInteractionEvents(self, interactor, eventId, viewWidget):
        if viewWidget.className() != "qMRMLSliceWidget":
            return False
        if eventId == vtk.vtkCommand.LeftButtonPressEvent:
            self.start = self._ijk(interactor, viewWidget)
            return self.answer
        if eventId == vtk.vtkCommand.LeftButtonReleaseEvent and self.start is not None:
            self.fill(self.start, self._ijk(interactor, viewWidget))
            self.start = None
            return True
        return False

    def _ijk(self, interactor, viewWidget):
        image = self.scriptedEffect.defaultModifierLabelmap()
        return self.xyToIjk(interactor.GetEventPosition(), viewWidget, image)

    def fill(self, one, other):
        self.scriptedEffect.saveStateForUndo()
        labelmap = self.scriptedEffect.defaultModifierLabelmap()
        i0, i1, j0, j1, k0, k1 = labelmap.GetExtent()
        array = vtk_to_numpy(labelmap.GetPointData().GetScalars()).reshape(k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
        low, high = np.minimum(one, other), np.maximum(one, other) + 1
        array[low[2] - k0 : high[2] - k0, low[1] - j0 : high[1] - j0, low[0] - i0 : high[0] - i0] = 1
        labelmap.Modified()
        self.scriptedEffect.modifySelectedSegmentByLabelmap(
            labelmap, slicer.qSlicerSegmentEditorAbstractEffect.ModificationModeAdd
        )
