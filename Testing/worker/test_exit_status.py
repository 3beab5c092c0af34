"""What the end of a worker means, told by its exit status and the last that it wrote."""

from __future__ import annotations

import pytest

from MedSAMSegmentLib.worker.exit_status import explain_exit, signal_of
from MedSAMSegmentLib.worker.launcher import LAUNCHER_WORDS

FAULT = "Fatal Python error: Segmentation fault\n\nThread 0x1:"


@pytest.mark.parametrize(
    ("status", "text", "signal"),
    [
        (None, "", 0),
        (0, FAULT, 0),
        (-9, "", 9),
        (-11, "", 11),
        (-15, "", 15),
        (0xC0000005, "", 11),
        (0xC000001D, "", 4),
        (0xC0000017, "", 9),
        (0xC0000409, FAULT, 6),
        (1, FAULT, 11),
        (1, "Fatal Python error: Bus error", 7),
        (1, "Fatal Python error: Aborted", 6),
        (1, f"... {LAUNCHER_WORDS} ...", 9),
        (1, f"{FAULT} {LAUNCHER_WORDS}", 11),
        (137, "", 9),
        (139, "", 11),
        (128, "", 0),
        (143, "", 0),
        (1, "", 0),
    ],
)
def test_the_signal_is_told_by_status_and_last_words(status: int | None, text: str, signal: int) -> None:
    assert signal_of(status, text) == signal


@pytest.mark.parametrize(
    ("status", "ready", "message"),
    [
        (7, False, "The worker ended before it was ready (exit code 7)."),
        (-9, False, "The worker ended before it was ready (signal 9)."),
        (None, True, "The worker ended unexpectedly (it closed its output)."),
        (0, True, "The worker ended unexpectedly (exit code 0)."),
        (-11, True, "The worker crashed (signal 11)."),
        (-9, True, "The worker was ended by the system, most likely because the memory was not enough (signal 9)."),
        (-4, True, "The worker used an instruction that this processor lacks (signal 4)."),
        (-6, True, "The worker aborted (signal 6)."),
        (-7, True, "The worker crashed (signal 7)."),
        (-8, True, "The worker crashed (signal 8)."),
        (-15, True, "The worker ended unexpectedly (signal 15)."),
    ],
)
def test_each_end_has_its_sentence(status: int | None, ready: bool, message: str) -> None:
    found = explain_exit(status, ready, "last words")
    assert found.message == message
    assert found.detail == "last words"
    assert found.cure
