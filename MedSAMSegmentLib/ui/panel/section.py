"""A part of the panel, what holds it, and what stands in its place when it cannot be made."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import ctk
import qt
from slicer.i18n import tr as _

from ...errors import MedSAMError
from ...worker.failure import describe


class Section(Protocol):
    """The panel's needs of its parts."""

    frame: Any
    last_error: MedSAMError | None

    def refresh(self) -> None:
        """Show what is so now."""

    def cleanup(self) -> None:
        """End what runs: the panel goes."""

    def facts(self) -> str:
        """Return what the section adds to a report; "" for nothing."""


S = TypeVar("S", bound=Section)


class BrokenSection:
    """One sentence instead of a section."""

    def __init__(self, title: str, error: MedSAMError) -> None:
        self.last_error: MedSAMError | None = error
        text = _('"{title}" cannot be shown: {error} Press Copy report under Help and send it to the developers.')
        self.frame = named(qt.QLabel(text.format(title=title, error=error.message)), "BrokenSectionLabel")
        self.frame.wordWrap = True

    def refresh(self) -> None:
        """Do nothing: there is nothing to refresh."""

    def cleanup(self) -> None:
        """Do nothing: there is nothing to end."""

    def choose(self, model_id: str) -> None:
        """Do nothing: there is nothing to choose from."""

    def facts(self) -> str:
        return ""


def section_or_message(title: str, make: Callable[[], S]) -> S | BrokenSection:
    """Return the section, or the sentence that says why it is not there: the other sections still help."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - one broken section must not take the panel along
        traceback.print_exc()
        return BrokenSection(title, describe(error))


def collapsible(title: str, name: str) -> tuple[Any, Any]:
    """Return an open collapsible button and the layout of its contents, which has the margins of the style.

    `name` is its object name without the ending. Set `collapsed` when the contents are laid out.
    """
    button = named(ctk.ctkCollapsibleButton(), f"{name}CollapsibleButton")
    button.text = title
    return button, qt.QVBoxLayout(button)


def named(widget: Any, name: str) -> Any:
    """Give a widget its object name: scripts, tests and style sheets find it by that."""
    widget.objectName = name
    return widget


def say(label: Any, text: str) -> None:
    """Show a text in a label, which takes no room while it is empty."""
    label.text = text
    label.visible = bool(text)
