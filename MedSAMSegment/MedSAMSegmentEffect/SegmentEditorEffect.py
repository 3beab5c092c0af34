"""The Segment Editor effect "MedSAM": what Slicer calls, handed on to `MedSAMSegmentLib.ui`.

The constructor runs once for the factory and once for each editor, so nothing is made there. Parts are made in
`setupOptionsFrame` and ended in `cleanup`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _

if TYPE_CHECKING:
    from MedSAMSegmentLib.ui.effect.effect import Effect

HERE = Path(__file__).parent
ICONS = HERE.parent / "Resources" / "Icons"


class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):
    """Segments an object in 3D from a box drawn on one slice."""

    def __init__(self, scriptedEffect: Any) -> None:
        scriptedEffect.name = "MedSAM"
        scriptedEffect.title = _("MedSAM")
        # The first box makes a segment where there is none, and the editor leaves an effect that is "per segment" when
        # Undo removes the selected one. The flag says nothing else to an effect that does not require segments.
        scriptedEffect.perSegment = False
        scriptedEffect.requireSegments = False
        self.parts: Effect | None = None
        super().__init__(scriptedEffect)

    def clone(self) -> Any:
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        cloned = effects.qSlicerSegmentEditorScriptedEffect(None)
        cloned.setPythonSource(__file__.replace("\\", "/"))
        return cloned

    def icon(self) -> Any:
        path = HERE / "SegmentEditorEffect.png"
        return qt.QIcon(str(path)) if path.is_file() else qt.QIcon()

    def helpText(self) -> str:
        # The browser that shows it ends the collapsed text at the first <br>, and leaves that one out of the whole.
        return "<html>" + _(
            "Drag a box around an object on a slice and press <b>Propagate</b> to segment it in 3D<br>.<p>"
            "Hold Ctrl while dragging to add a box to the current object. Edit slices with Paint or Erase and press "
            "Propagate again: they stay as they are, the slices between follow.</p>"
            "<p>Keys:</p>"
            '<ul style="margin: 0">'
            "<li><b>P</b> propagate, <b>S</b> write this slice, <b>X</b> cancel</li>"
            "<li><b>D</b> box, <b>A</b> point inside, <b>E</b> point outside, <b>L</b> line, "
            "<b>K</b> this slice's mask as a prompt</li>"
            "<li><b>U</b> take the last prompt back, <b>T</b> take the other thing that the box may mean</li>"
            "<li><b>N</b>, <b>Shift+N</b> next and previous object</li>"
            "<li><b>J</b>, <b>Shift+J</b> next and previous slice to look at</li>"
            "<li><b>Home</b>, <b>End</b> let the range begin, end at this slice</li>"
            "</ul></html>"
        )

    def setMRMLDefaults(self) -> None:
        from MedSAMSegmentLib.ui.objects.settings import set_defaults

        set_defaults(self.scriptedEffect)

    def setupOptionsFrame(self) -> None:
        from MedSAMSegmentLib.ui.effect.effect import Effect

        self.parts = Effect(self.scriptedEffect, ICONS)

    def activate(self) -> None:
        if self.parts is not None:
            self.parts.activate()

    def deactivate(self) -> None:
        if self.parts is not None:
            self.parts.deactivate()

    def cleanup(self) -> None:
        if self.parts is not None:
            self.parts.cleanup()
            self.parts = None

    def createCursor(self, viewWidget: Any) -> Any:
        return qt.QCursor(qt.Qt.CrossCursor)

    def processInteractionEvents(self, callerInteractor: Any, eventId: int, viewWidget: Any) -> bool:
        return self.parts is not None and self.parts.interaction.handle(callerInteractor, eventId, viewWidget)

    def processViewNodeEvents(self, callerViewNode: Any, eventId: int, viewWidget: Any) -> None:
        """The view scrolled, zoomed or turned: what is drawn in it moves along."""
        if self.parts is not None and viewWidget.className() == "qMRMLSliceWidget":
            self.parts.state.paint_view(viewWidget)

    def updateGUIFromMRML(self) -> None:
        if self.parts is not None:
            self.parts.show_settings()

    def sourceVolumeNodeChanged(self) -> None:
        if self.parts is not None:
            self.parts.controller.volume_changed()

    def layoutChanged(self) -> None:
        if self.parts is not None and self.scriptedEffect.active():
            self.parts.state.refresh()

    def interactionNodeModified(self, interactionNode: Any) -> None:
        """Placing a markup elsewhere does not end the effect: an ROI may be placed while it is active."""
