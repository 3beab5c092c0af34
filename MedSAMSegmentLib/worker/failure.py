"""Any exception as one sentence with a cure: what a crash in the worker looks like to the user."""

from __future__ import annotations

import sys
import traceback

from ..errors import DeviceError, MedSAMError, ModelError, WorkerError, is_out_of_memory

OUR_PACKAGE = __name__.partition(".")[0]
MEMORY_CURE = "Close other programs, choose a smaller range of slices or a smaller model, or use another device."


def describe(error: BaseException) -> MedSAMError:
    """Return the `MedSAMError` that tells the user about `error`; the traceback goes to `detail`."""
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if isinstance(error, MedSAMError):
        error.detail = error.detail or trace
        return error
    if is_out_of_memory(error):
        return DeviceError("The memory is not enough for this run.", MEMORY_CURE, trace)
    if isinstance(error, ImportError) and not (error.name or "").startswith(OUR_PACKAGE):
        missing = (
            f"the package {error.name!r}" if isinstance(error, ModuleNotFoundError) and error.name else "a package"
        )
        return ModelError(
            f"{sys.executable} cannot load {missing}: {error}.",
            "Install what is missing into this interpreter, or choose another one.",
            trace,
        )
    return WorkerError(
        f"The run failed: {type(error).__name__}: {error}",
        "Try again; if it repeats, copy the report and send it to the developers.",
        trace,
    )
