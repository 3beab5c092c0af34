"""What went wrong while the host called the extension: Slicer prints such errors and goes on; a test must see them."""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass, field
from types import TracebackType


class HarnessGap(AssertionError):
    """The real API has this name, but the harness gives it no behaviour yet: add it, do not work around it."""


class NobodyAnswers(AssertionError):
    """A modal dialog opened and the test has not said how the user answers it."""


@dataclass(frozen=True)
class SwallowedError:
    """An exception that the application would print and forget."""

    where: str
    error: BaseException

    def __str__(self) -> str:
        return f"{self.where}: {type(self.error).__name__}: {self.error}"


@dataclass
class ErrorRecorder:
    """Collects swallowed errors. `errors` is empty when nothing went wrong."""

    errors: list[SwallowedError] = field(default_factory=list)

    def record(self, where: str, error: BaseException) -> None:
        """Print the error as PythonQt does, and keep it."""
        traceback.print_exception(type(error), error, error.__traceback__)
        self.errors.append(SwallowedError(where, error))

    def excepthook(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """For `sys.excepthook`: slots and virtual methods called by Qt end here."""
        traceback.print_exception(kind, error, trace, file=sys.stderr)
        self.errors.append(SwallowedError("called by Qt", error))


RECORDER = ErrorRecorder()
