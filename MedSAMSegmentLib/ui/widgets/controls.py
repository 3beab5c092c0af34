"""Small pieces of the options frame. Each can be given an object name; none grows with the text that it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctk
import qt

SHOWN_CHARACTERS = 14
"""A list is at least as wide as this many; longer texts are cut with an ellipsis."""

MAIN_HEIGHT = 32
"""Pixels of the main button."""


@dataclass(frozen=True)
class Commands:
    """The effect's commands by name, and the keys of those that have one."""

    actions: Mapping[str, Callable[..., Any]]
    keys: Mapping[str, str]

    def __getitem__(self, name: str) -> Callable[..., Any]:
        return self.actions[name]

    def tip(self, text: str, name: str) -> str:
        """Return the tool tip of a command's button: what it does, without a full stop, and its key."""
        return f"{text} ({self.keys[name]})." if name in self.keys else f"{text}."


def combo_box(choices: Iterable[tuple[str, str]], changed: Callable[[], None], tip: str, name: str = "") -> Any:
    """Return a list of (value, text) pairs. Its tool tip says the choice in full, then `tip`."""
    box = ctk.ctkComboBox()
    box.objectName = name
    box.sizeAdjustPolicy = qt.QComboBox.AdjustToMinimumContentsLengthWithIcon
    box.minimumContentsLength = SHOWN_CHARACTERS
    box.elideMode = qt.Qt.ElideRight
    box.whatsThis = tip
    for value, text in choices:
        box.addItem(text, value)
    _say_choice(box)

    def chosen_by_user(_index: int) -> None:
        _say_choice(box)
        changed()

    box.connect("currentIndexChanged(int)", chosen_by_user)
    return box


def note_choice(box: Any, value: str, note: str) -> None:
    """Explain one value of a list in its tool tip."""
    box.setItemData(box.findData(value), note, qt.Qt.ToolTipRole)


def chosen(box: Any) -> str:
    return str(box.itemData(box.currentIndex))


def choose(box: Any, value: str) -> None:
    """Show a value without telling anyone; one that is not in the list leaves the list as it is."""
    index = box.findData(value)
    if index >= 0:
        quietly(box, box.setCurrentIndex, index)
    _say_choice(box)


def _say_choice(box: Any) -> None:
    note = box.itemData(box.currentIndex, qt.Qt.ToolTipRole)
    box.toolTip = "\n".join(str(part) for part in (box.currentText, note, box.whatsThis) if part)


def scroll_area_of(widget: Any) -> Any:
    """Return the scroll area that a widget lies in; None where there is none."""
    parent = widget.parentWidget()
    while parent is not None and parent.className() != "QScrollArea":
        parent = parent.parentWidget()
    return parent


def quietly(widget: Any, action: Callable[..., Any], *arguments: Any) -> None:
    """Call a function while the widget emits nothing."""
    blocked = widget.blockSignals(True)
    try:
        action(*arguments)
    finally:
        widget.blockSignals(blocked)


def row(*widgets: Any, stretch: bool = False) -> Any:
    """Return a layout of widgets side by side that share its width, or stand at the left of it with `stretch`.

    Options are added to an effect as layouts: the effect changes the size policy of a widget that is added by itself.
    """
    box = qt.QHBoxLayout()
    box.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        # A form layout gives its whole width only to what stretches.
        box.addWidget(widget, 0 if stretch else 1)
    if stretch:
        box.addStretch(1)
    return box


def stack(*rows: Any) -> Any:
    """Return a layout of rows below each other; those whose widgets are hidden take no room."""
    box = qt.QVBoxLayout()
    box.setContentsMargins(0, 0, 0, 0)
    for one in rows:
        box.addLayout(one)
    return box


def labelled(host: Any, text: str, options: Any, name: str) -> None:
    """Add a row with a label to an effect's options. `options` is a layout."""
    host.addLabeledOptionsWidget(text, options).objectName = name


def caption(text: str, name: str) -> Any:
    """Return the label at the left of a row."""
    label = qt.QLabel(text)
    label.objectName = name
    return label


def text_label(name: str) -> Any:
    """Return a label for text of any length: it wraps, and never asks for room to the side."""
    label = qt.QLabel()
    label.objectName = name
    label.wordWrap = True
    label.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Preferred)
    return label


def link_label(clicked: Callable[[str], None], name: str = "") -> Any:
    """Return a label for rich text whose links are ours."""
    label = text_label(name)
    label.textFormat = qt.Qt.RichText
    label.openExternalLinks = False
    label.connect("linkActivated(QString)", clicked)
    return label


def say(label: Any, text: str) -> None:
    """Show a text, also as the tool tip: a long word may be wider than the frame. An empty label takes no room."""
    label.text = label.toolTip = text
    label.visible = bool(text)


def push_button(text: str, tip: str, clicked: Callable[[], None], name: str = "") -> Any:
    button = qt.QPushButton(text)
    button.objectName = name
    button.toolTip = tip
    button.connect("clicked()", clicked)
    return button


def main_button(icon: Path, text: str, tip: str, clicked: Callable[[], None], name: str) -> Any:
    """Return the button of a frame's main action: as wide as the frame, higher than its neighbours, bold."""
    button = push_button(text, tip, clicked, name)
    if icon.is_file():
        button.icon = qt.QIcon(str(icon))
    font = qt.QFont(button.font)
    font.setBold(True)
    button.setFont(font)
    button.setMinimumHeight(MAIN_HEIGHT)
    button.setSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Fixed)
    return button


def tool_button(icon: Path, text: str, tip: str, name: str = "", *, checkable: bool = False) -> Any:
    button = qt.QToolButton()
    button.objectName = name
    button.text = text
    if icon.is_file():
        button.icon = qt.QIcon(str(icon))
    button.toolTip = tip
    button.checkable = checkable
    button.autoExclusive = checkable
    return button


def check_box(text: str, changed: Callable[[], None], tip: str, name: str = "") -> Any:
    box = qt.QCheckBox(text)
    box.objectName = name
    box.toolTip = tip
    box.connect("toggled(bool)", lambda _on: changed())
    return box


def spin_box(changed: Callable[[], None], tip: str, name: str = "") -> Any:
    box = qt.QSpinBox()
    box.objectName = name
    box.setRange(0, 0)
    box.toolTip = tip
    box.connect("valueChanged(int)", lambda _value: changed())
    return box
