"""The Python module `SegmentEditorEffects`: the base class that scripted effects derive from."""

from __future__ import annotations

import logging
import types
from typing import Any

from .pythonqt import dress


class AbstractScriptedSegmentEditorEffect:
    """Base of scripted effects: registration, and the list-based versions of the host's coordinate functions."""

    def __init__(self, scriptedEffect: Any):
        self.scriptedEffect = scriptedEffect

    def register(self) -> None:
        """Register the effect with the application's factory; a second registration of the name is ignored."""
        import slicer

        factory = slicer.qSlicerSegmentEditorEffectFactory.instance()
        if not factory.registerEffect(self.scriptedEffect):
            logging.debug("Effect %s is registered already", self.scriptedEffect.name)

    def cleanup(self) -> None:
        """Called before the effect is deleted."""

    def rasToXy(self, ras: Any, viewWidget: Any) -> list[int]:
        point = self.scriptedEffect.rasToXy(dress().QVector3D(*ras), viewWidget)
        return [point.x(), point.y()]

    def xyToRas(self, xy: Any, viewWidget: Any) -> list[float]:
        point = self.scriptedEffect.xyToRas(dress().QPoint(int(xy[0]), int(xy[1])), viewWidget)
        return [point.x(), point.y(), point.z()]

    def xyzToRas(self, xyz: Any, viewWidget: Any) -> list[float]:
        point = self.scriptedEffect.xyzToRas(dress().QVector3D(*xyz), viewWidget)
        return [point.x(), point.y(), point.z()]

    def xyToIjk(self, xy: Any, viewWidget: Any, image: Any, parentTransformNode: Any = None) -> list[int]:
        point = self.scriptedEffect.xyToIjk(
            dress().QPoint(int(xy[0]), int(xy[1])), viewWidget, image, parentTransformNode
        )
        return [int(point.x()), int(point.y()), int(point.z())]

    def xyzToIjk(self, xyz: Any, viewWidget: Any, image: Any, parentTransformNode: Any = None) -> list[int]:
        point = self.scriptedEffect.xyzToIjk(dress().QVector3D(*xyz), viewWidget, image, parentTransformNode)
        return [int(point.x()), int(point.y()), int(point.z())]

    def setWidgetMinMaxStepFromImageSpacing(self, spinbox: Any, imageData: Any) -> None:
        """Range and step of a spin box for lengths in the image."""
        if imageData is None:
            return
        smallest = min(imageData.GetSpacing())
        spinbox.minimum = smallest / 10.0
        spinbox.maximum = smallest * 1000.0
        spinbox.singleStep = smallest


def make_module() -> types.ModuleType:
    """The module as effects import it: `from SegmentEditorEffects import *`."""
    module = types.ModuleType("SegmentEditorEffects")
    module.AbstractScriptedSegmentEditorEffect = AbstractScriptedSegmentEditorEffect
    return module
