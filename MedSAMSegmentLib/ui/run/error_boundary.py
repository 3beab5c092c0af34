"""The boundary at which errors end: every command and every answer of the worker comes through here.

Beyond it are Qt and VTK, which print an exception and go on: the user would see nothing, and wait.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from ...errors import MedSAMError, PromptError

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


def nothing_found(name: str) -> PromptError:
    """Return the error of a run that found no voxel of the object called `name`."""
    from slicer.i18n import tr as _

    message = _("Nothing was found for {name}.").format(name=name)
    return PromptError(message, _("Draw a larger box, or choose another intensity preset."))
