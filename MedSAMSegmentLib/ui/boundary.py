"""The boundary at which errors end: every command and every answer of the worker comes through here.

Beyond it are Qt and VTK, which print an exception and go on: the user would see nothing, and wait.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from ..errors import MedSAMError
from .collaborators import RunView

P = ParamSpec("P")


def guarded(function: Callable[P, object], fail: Callable[[MedSAMError], None]) -> Callable[P, None]:
    """`function`, whose exceptions go to `fail`; what was not foreseen with its traceback as the detail."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the effect's one boundary: nobody beyond it tells the user
            _tell(fail, error if isinstance(error, MedSAMError) else _unforeseen(error))

    return call


class GuardedView:
    """A `RunView` whose methods never raise."""

    def __init__(self, view: RunView, fail: Callable[[MedSAMError], None]) -> None:
        self.run_state_changed = guarded(view.run_state_changed, fail)
        self.session_opened = guarded(view.session_opened, fail)
        self.preview_ready = guarded(view.preview_ready, fail)
        self.run_progressed = guarded(view.run_progressed, fail)
        self.slice_ready = guarded(view.slice_ready, fail)
        self.run_finished = guarded(view.run_finished, fail)
        self.run_failed = guarded(view.run_failed, fail)


def _tell(fail: Callable[[MedSAMError], None], error: MedSAMError) -> None:
    try:
        fail(error)
    except Exception:  # noqa: BLE001 - telling it failed too, as it does when the panel is gone: the log is left
        traceback.print_exc()


def _unforeseen(error: Exception) -> MedSAMError:
    from slicer.i18n import tr as _

    detail = "".join(traceback.format_exception(error))
    if isinstance(error, MemoryError):
        cure = _("Close other programs, or choose fewer slices, and try again.")
        return MedSAMError(_("There is not enough memory."), cure, detail)
    message = _("Something went wrong that was not foreseen: {error}.")
    named = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return MedSAMError(message.format(error=named), _("Try again; if it stays, copy the report and send it."), detail)
