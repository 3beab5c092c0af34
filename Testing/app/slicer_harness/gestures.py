"""What a user does with mouse and keyboard in a slice view, and how many actions that was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .keys import active_shortcuts, collisions, menus_with
from .pythonqt import dress

qt = dress()
Point = Sequence[float]


@dataclass
class UserActions:
    """Performs user actions and counts them: one gesture, click, key or choice is one action.

    `left_to_slicer` lists the interactor events that no effect took; `unclaimed` those of them that Slicer's own mouse
    had no use for either.
    """

    log: list[str] = field(default_factory=list)
    left_to_slicer: list[str] = field(default_factory=list)
    unclaimed: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many actions the user needed so far."""
        return len(self.log)

    def drag(
        self, view: Any, from_ras: Point, to_ras: Point, *, button: str = "Left", steps: int = 5, modifiers: str = ""
    ) -> None:
        """Press at one point of the slice, move, release at another. Points are RAS mm in the view's slice plane."""
        self.log.append(f"drag in {view.sliceViewName}")
        start, end = _on_slice(view, from_ras), _on_slice(view, to_ras)
        self._send(view, "EnterEvent", start, modifiers)
        self._send(view, "MouseMoveEvent", start, modifiers)
        self._send(view, f"{button}ButtonPressEvent", start, modifiers)
        for step in range(1, steps + 1):
            share = step / steps
            position = (start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1]))
            self._send(view, "MouseMoveEvent", position, modifiers)
        self._send(view, f"{button}ButtonReleaseEvent", end, modifiers)

    def click_at(self, view: Any, ras: Point, *, button: str = "Left", modifiers: str = "") -> None:
        """Click on a point of the slice."""
        self.log.append(f"click in {view.sliceViewName}")
        position = _on_slice(view, ras)
        self._send(view, "MouseMoveEvent", position, modifiers)
        self._send(view, f"{button}ButtonPressEvent", position, modifiers)
        self._send(view, f"{button}ButtonReleaseEvent", position, modifiers)

    def double_click_at(self, view: Any, ras: Point) -> None:
        """Click twice on a point of the slice: the second press arrives as a double click, as Qt sends it."""
        self.click_at(view, ras)
        position = _on_slice(view, ras)
        self._send(view, "LeftButtonDoubleClickEvent", position, "")
        self._send(view, "LeftButtonReleaseEvent", position, "")

    def move_to(self, view: Any, ras: Point) -> None:
        """Move the pointer to a point of the slice; no action of its own."""
        self._send(view, "MouseMoveEvent", _on_slice(view, ras), "")

    def scroll(self, view: Any, steps: int) -> None:
        """Turn the wheel over a view; unless the effect takes the event, the slice moves by one spacing a step."""
        self.log.append(f"scroll in {view.sliceViewName}")
        for _ in range(abs(steps)):
            self._send(view, "MouseWheelForwardEvent" if steps > 0 else "MouseWheelBackwardEvent", _centre(view), "")

    def press_key(self, view: Any, key: str, modifiers: str = "") -> None:
        """Press a key with the pointer over a view: shortcuts come first, as in Qt, then the view's interactor."""
        import slicer

        self.log.append(f"key {modifiers + '+' if modifiers else ''}{key}")
        sequence = qt.QKeySequence(f"{modifiers}+{key}" if modifiers else key)
        window = slicer.util.mainWindow()
        matching = [shortcut for shortcut in active_shortcuts(window) if shortcut.key == sequence]
        if len(matching) > 1 or (matching and menus_with(sequence, window)):
            raise AssertionError(f"key {sequence.toString()!r} is ambiguous, Qt calls nobody: {collisions(window)}")
        if matching:
            matching[0].activated.emit()
            return
        self._send(view, "KeyPressEvent", _centre(view), modifiers, key)
        self._send(view, "KeyReleaseEvent", _centre(view), modifiers, key)

    def press(self, button: Any) -> None:
        """Click a button that is visible and enabled."""
        assert button.isVisibleTo(button.window()), f"the user sees no button {button.text!r}"
        assert button.isEnabled(), f"the button {button.text!r} is disabled"
        self.log.append(f"press {button.text!r}")
        button.click()

    def choose(self, combo: Any, text: str) -> None:
        """Choose an entry of a combo box by its text."""
        index = combo.findText(text)
        assert index >= 0, f"{text!r} is not one of {[combo.itemText(i) for i in range(combo.count)]}"
        assert combo.isEnabled(), "the list is disabled"
        self.log.append(f"choose {text!r}")
        combo.setCurrentIndex(index)
        combo.activated.emit(index)

    def _send(self, view: Any, event: str, position: tuple[float, float], modifiers: str, key: str = "") -> bool:
        """Invoke one interactor event. True when an observer took it (abort flag)."""
        interactor = view.sliceView().interactor()
        shift, control, alt = ("Shift" in modifiers), ("Ctrl" in modifiers), ("Alt" in modifiers)
        interactor.SetEventInformation(
            round(position[0]), round(position[1]), int(control), int(shift), key[:1] or "\0", 0, key
        )
        interactor.SetAltKey(int(alt))
        passed: list[str] = []
        # The editor observes with priority 1, Slicer's mouse with 0.
        after_editor = interactor.AddObserver(event, lambda *_: self.left_to_slicer.append(event), 0.5)
        after_all = interactor.AddObserver(event, lambda *_: passed.append(event), -1.0)
        interactor.InvokeEvent(event)
        for tag in (after_editor, after_all):
            interactor.RemoveObserver(tag)
        self.unclaimed += passed
        return not passed


def _on_slice(view: Any, ras: Point) -> tuple[float, float]:
    x, y, depth = view.harness_ras_to_xy(tuple(ras))
    assert abs(depth) < 0.5001, f"{tuple(ras)} is not on the slice that {view.sliceViewName} shows"
    return x, y


def _centre(view: Any) -> tuple[float, float]:
    width, height = view.mrmlSliceNode().GetDimensions()[:2]
    return width / 2, height / 2
