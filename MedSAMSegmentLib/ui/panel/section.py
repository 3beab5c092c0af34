"""A part of the panel, and what stands in its place when it cannot be made."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

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
        """The panel goes."""

    def facts(self) -> str:
        """Return what the section adds to a report; "" for nothing."""


S = TypeVar("S", bound=Section)


class BrokenSection:
    """One sentence instead of a section."""

    def __init__(self, title: str, error: MedSAMError) -> None:
        self.last_error: MedSAMError | None = error
        self.frame = qt.QLabel(
            _('"{title}" cannot be shown: {error} Press Copy report and send it to the developers.').format(
                title=title, error=error.message
            )
        )
        self.frame.wordWrap = True

    def refresh(self) -> None:
        """There is nothing to refresh."""

    def cleanup(self) -> None:
        """There is nothing to end."""

    def choose(self, model_id: str) -> None:
        """There is nothing to choose from."""

    def facts(self) -> str:
        return ""


def guarded(title: str, make: Callable[[], S]) -> S | BrokenSection:
    """The section, or the sentence that says why it is not there: the other sections still help."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - one broken section must not take the panel along
        traceback.print_exc()
        return BrokenSection(title, describe(error))
