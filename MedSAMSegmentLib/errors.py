"""Typed errors. Each carries one sentence that says what is wrong and one that says what to do.

Libraries raise these; only the edge (effect, command line, server) shows them. `code` is stable: it travels
in the worker's frames and the web service's answers. `exit_code` is the command line's exit status.
"""

from __future__ import annotations

from typing import ClassVar


class MedSAMError(Exception):
    """Base of every error that a user can meet.

    `message` says what is wrong, `cure` what to do about it, `detail` holds what only a bug report needs.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, cure: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.message} {self.cure}".strip()


class UsageError(MedSAMError):
    """The call itself is wrong: an unknown option, model or preset."""

    code = "usage"
    exit_code = 2


class InputError(MedSAMError):
    """An image, file or array cannot be used."""

    code = "input"
    exit_code = 3


class GeometryError(InputError):
    """A volume's geometry cannot be used (singular affine, non-linear transform, foreign grid)."""

    code = "geometry"


class PromptError(InputError):
    """A box, point, line or mask prompt does not fit the volume."""

    code = "prompt"


class OutputError(InputError):
    """A result cannot be written."""

    code = "output"


class ModelError(MedSAMError):
    """A model cannot be found, fetched, read or built."""

    code = "model"
    exit_code = 4


class DownloadError(ModelError):
    """A checkpoint could not be fetched."""

    code = "download"


class CheckpointError(ModelError):
    """A checkpoint file is damaged, hostile or belongs to another model."""

    code = "checkpoint"


class MissingCheckpoint(CheckpointError):
    """A model's file is not on this machine; it can be fetched."""

    code = "checkpoint-missing"


class DamagedCheckpoint(CheckpointError):
    """A model's file is there, but not as it was published; it can be fetched again."""

    code = "checkpoint-damaged"


class DeviceError(ModelError):
    """The device is missing, lacks an operator or ran out of memory."""

    code = "device"


class WorkerError(MedSAMError):
    """The worker process could not start, died or broke the protocol."""

    code = "worker"
    exit_code = 4


class CasesFailed(MedSAMError):
    """Cases of a cohort have no result; all others have."""

    code = "cases-failed"
    exit_code = 6


class Cancelled(MedSAMError):
    """The user stopped the work. What was written before is whole."""

    code = "cancelled"
    exit_code = 5

    def __init__(self, message: str = "Cancelled.", cure: str = "", detail: str = "") -> None:
        super().__init__(message, cure, detail)


OUT_OF_MEMORY_PHRASES = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate memory",
    "bad_alloc",
)
"""How torch, its allocators and the systems put it where they raise no type of their own; in lower case."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on a device or the CPU, by its type or its text.

    torch is not imported for this: the failure may be torch's own import.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, (RuntimeError, OSError)) and any(phrase in text for phrase in OUT_OF_MEMORY_PHRASES)


def error_types() -> dict[str, type[MedSAMError]]:
    """Return every error class by its code, so that an error can cross a process boundary and keep its type.

    For this every class can be made from a message, a cure and a detail alone, in this order.
    """
    found: dict[str, type[MedSAMError]] = {}
    pending: list[type[MedSAMError]] = [MedSAMError]
    while pending:
        kind = pending.pop()
        found[kind.code] = kind
        pending.extend(kind.__subclasses__())
    return found
