"""Explanations of the exit status of a worker that ended without being asked to."""

from __future__ import annotations

from ..errors import WorkerError
from .launcher import LAUNCHER_WORDS

SIGNALS: dict[int, tuple[str, str]] = {
    4: ("used an instruction that this processor lacks", "Install a PyTorch that was built for this processor."),
    6: ("aborted", "Run the self-check in the settings; PyTorch may be broken."),
    7: ("crashed", "Run the self-check in the settings; PyTorch may be broken."),
    8: ("crashed", "Run the self-check in the settings; PyTorch may be broken."),
    9: (
        "was ended by the system, most likely because the memory was not enough",
        "Close other programs, choose a smaller range of slices or a smaller model.",
    ),
    11: ("crashed", "Run the self-check in the settings; PyTorch may be broken."),
}
"""What the signals that end a computation mean for the user, by their POSIX numbers."""

WINDOWS_STATUSES = {0xC000001D: 4, 0xC0000005: 11, 0xC0000017: 9, 0xC00000FD: 11, 0xC0000409: 6}
"""The same ends as Windows names them: illegal instruction, access violation, no memory, stack overflow, abort."""

FAULT_TEXTS = {
    "Fatal Python error: Segmentation fault": 11,
    "Fatal Python error: Bus error": 7,
    "Fatal Python error: Illegal instruction": 4,
    "Fatal Python error: Aborted": 6,
    "Fatal Python error: Floating": 8,
    "Windows fatal exception: access violation": 11,
    "Windows fatal exception: stack overflow": 11,
}
"""What Python's faulthandler, which the worker turns on, writes to stderr before a signal ends it."""

SHELL_OFFSET = 128


def explain_exit(status: int | None, was_ready: bool, detail: str) -> WorkerError:
    """Return the sentence about a child that ended without being asked to; `detail` has the end of its stderr."""
    if not was_ready:
        return WorkerError(
            f"The worker ended before it was ready ({_status_text(status)}).",
            "Run the self-check, or choose another Python interpreter in the settings.",
            detail,
        )
    signal = signal_of(status, detail)
    if signal in SIGNALS:
        what, cure = SIGNALS[signal]
        return WorkerError(f"The worker {what} ({_status_text(status)}).", cure, detail)
    return WorkerError(
        f"The worker ended unexpectedly ({_status_text(status)}).",
        "Try again; if it repeats, copy the report and send it to the developers.",
        detail,
    )


def signal_of(status: int | None, error_text: str) -> int:
    """Return the POSIX number of the signal that ended the interpreter, as far as status and stderr tell; 0 for none.

    A launcher or a shell script between us and the interpreter changes the status; what was written to stderr stays.
    """
    if not status:
        return 0
    if status < 0:
        return -status
    if status in WINDOWS_STATUSES:
        return WINDOWS_STATUSES[status]
    written = next((number for text, number in FAULT_TEXTS.items() if text in error_text), 0)
    if written:
        return written
    if LAUNCHER_WORDS in error_text:
        # Of the signals that end a computation only the kill leaves no word of faulthandler.
        return 9
    return status - SHELL_OFFSET if status - SHELL_OFFSET in SIGNALS else 0


def _status_text(status: int | None) -> str:
    if status is None:
        return "it closed its output"
    return f"signal {-status}" if status < 0 else f"exit code {status}"
