"""What becomes of real processes."""

from __future__ import annotations

import time

import psutil


def is_gone(process: psutil.Process, seconds: float = 20.0) -> bool:
    """Whether a process ends within `seconds`; one that nobody reaped has ended too."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False
