"""The editor's keys: digits, Esc, Space, undo and redo, previous and next segment."""

from __future__ import annotations

from typing import Any

from .pythonqt import dress
from .stand_ins import state

qt = dress()


class EditorShortcuts:
    """Part of qMRMLSegmentEditorWidget."""

    def installKeyboardShortcuts(self: Any, parent: Any = None) -> None:
        import slicer

        self.uninstallKeyboardShortcuts()
        parent = parent or slicer.util.mainWindow()
        slots = dict.fromkeys(
            [str(digit) for digit in range(10)] + [f"Shift+{digit}" for digit in range(10)], self._toggle_by_index
        )
        slots.update(
            {"Esc": self._deselect, "Space": self._toggle_last, "Z": self.undo, "Ctrl+Z": self.undo, "Y": self.redo}
        )
        slots.update(
            {
                qt.QKeySequence(qt.QKeySequence.Redo).toString(): self.redo,
                "I": self.toggleSourceVolumeIntensityMaskEnabled,
            }
        )
        slots.update(dict.fromkeys(("Q", "/", ",", ">"), self.selectPreviousSegment))
        slots.update(dict.fromkeys(("W", "*", ".", "<"), self.selectNextSegment))
        for key, slot in slots.items():
            shortcut = qt.QShortcut(qt.QKeySequence(key), parent)
            shortcut.connect(
                "activated()", (lambda k=key, s=slot: s(k)) if slot == self._toggle_by_index else (lambda s=slot: s())
            )
            state(self).shortcuts.append(shortcut)

    def uninstallKeyboardShortcuts(self: Any) -> None:
        for shortcut in state(self).shortcuts:
            shortcut.delete()
        state(self).shortcuts = []

    def _toggle_by_index(self: Any, key: str) -> None:
        digit = int(key[-1]) or 10
        effect = self.effectByIndex(digit - 1 + (10 if key.startswith("Shift") else 0))
        self.setActiveEffect(None if effect is state(self).active else effect)

    def _deselect(self: Any) -> None:
        self.setActiveEffect(None)

    def _toggle_last(self: Any) -> None:
        self.setActiveEffect(state(self).last_active)
