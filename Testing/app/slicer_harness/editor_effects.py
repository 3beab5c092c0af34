"""The editor's list of effects: clones, buttons, option frames, cursors."""

from __future__ import annotations

from typing import Any

from .effect_host import native_effect
from .pythonqt import dress
from .stand_ins import state

qt = dress()
BUILT_IN_EFFECTS = (
    "Threshold",
    "Paint",
    "Draw",
    "Erase",
    "Level tracing",
    "Grow from seeds",
    "Fill between slices",
    "Margin",
    "Hollow",
    "Smoothing",
    "Scissors",
    "Islands",
    "Logical operators",
    "Mask volume",
)


class EditorEffects:
    """Part of qMRMLSegmentEditorWidget."""

    def updateEffectList(self: Any) -> None:
        import slicer

        memory = state(self)
        registered = slicer.app.harness_effect_factory.registeredEffects()
        for name in BUILT_IN_EFFECTS:
            if self.effectByName(name) is None:
                self._add_effect(native_effect(name))
        for effect in registered:
            if self.effectByName(effect.name) is None:
                clone = effect.harness_clone()
                if clone is not None:
                    self._add_effect(clone)
        if memory.node is not None:
            self.updateWidgetFromMRML()

    def _add_effect(self: Any, effect: Any) -> None:
        memory = state(self)
        state(effect).editor = self
        memory.effects.append(effect)
        button = qt.QToolButton(self)
        button.checkable = True
        button.text = effect.title
        button.toolTip = effect.title
        button.icon = effect.harness_icon()
        button.objectName = effect.name
        button.connect("clicked()", lambda: self.setActiveEffect(effect))
        memory.buttons[effect.name] = button
        memory.buttons_layout.addWidget(button, (len(memory.effects) - 1) // 4, (len(memory.effects) - 1) % 4)
        effect.harness_notify("setupOptionsFrame")
        effect.optionsFrame().setVisible(False)
        memory.options_layout.addWidget(effect.optionsFrame())
        if memory.node is not None:
            effect.setParameterSetNode(memory.node)
            effect.harness_notify("setMRMLDefaults")

    def harness_effect_button(self: Any, name: str) -> Any:
        """The button that a user presses to select an effect."""
        return state(self).buttons[name]

    def activeEffect(self: Any) -> Any:
        return state(self).active

    def setActiveEffect(self: Any, effect: Any) -> None:
        if state(self).node is not None:
            state(self).node.SetActiveEffectName(effect.name if effect is not None else "")

    def setActiveEffectByName(self: Any, name: str) -> None:
        self.setActiveEffect(self.effectByName(name))

    def effectByName(self: Any, name: str) -> Any:
        return next((effect for effect in state(self).effects if effect.name == name), None)

    def effectByIndex(self: Any, index: int) -> Any:
        return state(self).effects[index] if 0 <= index < len(state(self).effects) else None

    def effectCount(self: Any) -> int:
        return len(state(self).effects)

    def availableEffectNames(self: Any) -> tuple[str, ...]:
        return tuple(effect.name for effect in state(self).effects)

    def setEffectCursor(self: Any, effect: Any) -> None:
        import slicer

        manager = slicer.app.layoutManager()
        for name in manager.sliceViewNames():
            widget = manager.sliceWidget(name)
            if effect is not None and effect.showEffectCursorInSliceView:
                effect.harness_cursor(widget)
                widget.sliceView().setViewCursor(effect.harness_cursor(widget))
            else:
                widget.sliceView().unsetViewCursor()
