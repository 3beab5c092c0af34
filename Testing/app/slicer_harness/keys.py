"""Keys that are taken: by the main window's menus and by the slice views (Slicer's user guide, "Mouse & Keyboard
Shortcuts"). Those of the Segment Editor are real shortcuts that its widget installs."""

from __future__ import annotations

from typing import Any

from .pythonqt import dress

qt = dress()
MAIN_WINDOW_KEYS = ("F", "O", "S", "W", "0", "1", "2", "3", "`", "4", "5", "H")
MAIN_WINDOW_SEQUENCES = tuple(f"Ctrl+{key}" for key in MAIN_WINDOW_KEYS)
SLICE_VIEW_SEQUENCES = ("Left", "Right", "B", "F", "V", "R", "G", "T", "[", "]", "{", "}")


def install_main_window_actions(window: Any) -> None:
    """The menu entries with their shortcuts: a shortcut of an extension with the same key makes both ambiguous."""
    for sequence in MAIN_WINDOW_SEQUENCES:
        action = qt.QAction(sequence, window)
        action.setShortcut(qt.QKeySequence(sequence))
        window.addAction(action)


def menus_with(sequence: Any, window: Any) -> list[str]:
    """The menu entries with a key sequence: Qt calls neither them nor a shortcut that has it too."""
    return [f"menu {action.text!r}" for action in window.actions() if action.shortcut == sequence]


def taken_by(sequence: Any, window: Any) -> list[str]:
    """Who else reacts to a key sequence: menus of the main window, the slice views, which lose it to a shortcut."""
    views = [f"slice view {key!r}" for key in SLICE_VIEW_SEQUENCES if qt.QKeySequence(key) == sequence]
    return menus_with(sequence, window) + views


def active_shortcuts(window: Any) -> list[Any]:
    """The shortcuts that a key press over a slice view can reach: enabled, of a visible and enabled parent."""
    return [shortcut for shortcut in window.findChildren(qt.QShortcut) if shortcut.enabled and _reaches_views(shortcut)]


def collisions(window: Any) -> list[str]:
    """`key: takers` for each key that more than one of the active shortcuts, the menus and the slice views react to."""
    problems, shortcuts = [], active_shortcuts(window)
    for sequence in {shortcut.key.toString(): shortcut.key for shortcut in shortcuts}.values():
        takers = [f"shortcut of {shortcut.parent().className()}" for shortcut in shortcuts if shortcut.key == sequence]
        takers += taken_by(sequence, window)
        if len(takers) > 1:
            problems.append(f"{sequence.toString()}: {', '.join(takers)}")
    return sorted(problems)


def _reaches_views(shortcut: Any) -> bool:
    parent = shortcut.parent()
    if not isinstance(parent, qt.QWidget) or not parent.isEnabled() or not parent.isVisible():
        return False
    if shortcut.context in (qt.Qt.WindowShortcut, qt.Qt.ApplicationShortcut):
        return True
    return parent.inherits("QMainWindow") or parent.className() in (
        "qMRMLSliceWidget",
        "qMRMLSliceView",
        "qMRMLLayoutWidget",
    )
