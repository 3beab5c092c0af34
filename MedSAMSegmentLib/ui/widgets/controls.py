"""Small pieces of the options frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import qt


def combo_box(choices: Iterable[tuple[str, str]], changed: Callable[[], None], tip: str) -> Any:
    """A list of (value, text) pairs."""
    box = qt.QComboBox()
    for value, text in choices:
        box.addItem(text, value)
    box.toolTip = tip
    box.connect("currentIndexChanged(int)", lambda _index: changed())
    return box


def chosen(box: Any) -> str:
    return str(box.itemData(box.currentIndex))


def choose(box: Any, value: str) -> None:
    """Show a value without telling anyone; one that is not in the list leaves the list as it is."""
    index = box.findData(value)
    if index >= 0:
        quietly(box, box.setCurrentIndex, index)


def quietly(widget: Any, action: Callable[..., Any], *arguments: Any) -> None:
    """Call a function while the widget emits nothing."""
    blocked = widget.blockSignals(True)
    try:
        action(*arguments)
    finally:
        widget.blockSignals(blocked)


def row(*widgets: Any) -> Any:
    """Widgets side by side."""
    box = qt.QHBoxLayout()
    box.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        box.addWidget(widget)
    return box


def link_label(clicked: Callable[[str], None]) -> Any:
    """Rich text whose links are ours."""
    label = qt.QLabel()
    label.wordWrap = True
    label.textFormat = qt.Qt.RichText
    label.openExternalLinks = False
    label.connect("linkActivated(QString)", clicked)
    return label


def push_button(text: str, tip: str, clicked: Callable[[], None]) -> Any:
    button = qt.QPushButton(text)
    button.toolTip = tip
    button.connect("clicked()", clicked)
    return button


def tool_button(icon: Path, text: str, tip: str, *, checkable: bool = False) -> Any:
    button = qt.QToolButton()
    button.text = text
    if icon.is_file():
        button.icon = qt.QIcon(str(icon))
    button.toolTip = tip
    button.checkable = checkable
    button.autoExclusive = checkable
    return button


def spin_box(changed: Callable[[], None], tip: str) -> Any:
    box = qt.QSpinBox()
    box.setRange(0, 0)
    box.toolTip = tip
    box.connect("valueChanged(int)", lambda _value: changed())
    return box
