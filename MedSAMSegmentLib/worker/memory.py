"""Free memory of the machine, with the standard library alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ..errors import InputError

CGROUP = Path("/sys/fs/cgroup")


def available_bytes() -> int | None:
    """Return the bytes of RAM that can be taken without swapping; None where the system does not tell."""
    if sys.platform == "win32":
        return _windows_memory()[0]
    figures = [n for n in (_linux_available(), _cgroup_available(), _posix_available()) if n is not None]
    return min(figures, default=None)


def total_bytes() -> int | None:
    """Return the bytes of RAM in the machine."""
    if sys.platform == "win32":
        return _windows_memory()[1]
    return _sysconf_pages("SC_PHYS_PAGES")


def human_bytes(count: float) -> str:
    """Format a size, "1.5 GB", as the user reads it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def volume_bytes_needed(volume_bytes: int, voxels: int, copies: int = 1) -> int:
    """Return the bytes for the volume, `copies` times, and its 8-bit form."""
    return volume_bytes * copies + voxels


def check_volume_fits(volume_bytes: int, voxels: int, available: int | None, copies: int = 1) -> None:
    """Raise `InputError` that names the bytes when the volume, `copies` times, and its 8-bit form do not fit."""
    needed = volume_bytes_needed(volume_bytes, voxels, copies)
    if available is not None and needed > available:
        raise InputError(
            f"The volume needs {human_bytes(needed)} ({needed:,} bytes) of memory, {human_bytes(available)} is free.",
            "Choose a smaller range of slices, crop the volume, or close other programs.",
        )


def forget_peak_memory() -> None:
    """Let Linux begin anew with the most memory that this process held."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_memory_mb() -> float | None:
    """Return the most memory that the process held, on Linux since `forget_peak_memory`; None if
    unknown."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024, 1)
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most / (2**20 if sys.platform == "darwin" else 1024), 1)


def _linux_available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _cgroup_available() -> int | None:
    """Return what a container's limit leaves, where there is one."""
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        if limit == "max":
            return None
        most, used = int(limit), int((CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return None
    return max(most - max(used - _cgroup_cache(), 0), 0)


def _cgroup_cache() -> int:
    """Return the bytes of files that the container holds in memory and gives back when asked; they count as used."""
    try:
        lines = (CGROUP / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    fields = dict(line.split(maxsplit=1) for line in lines if " " in line)
    return sum(int(fields.get(name, 0)) for name in ("inactive_file", "active_file"))


def _posix_available() -> int | None:
    """Free pages undercount on Linux (caches can be given back), so this serves only where nothing better exists."""
    if _linux_available() is not None:
        return None
    return _sysconf_pages("SC_AVPHYS_PAGES") or total_bytes()


def _sysconf_pages(name: str) -> int | None:
    try:
        return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _windows_memory() -> tuple[int | None, int | None]:
    """Return the available and total physical memory, by `GlobalMemoryStatusEx`."""
    import ctypes

    class MemoryStatus(ctypes.Structure):
        _fields_ = [
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "available", "page_total", "page_available")),
            *((name, ctypes.c_ulonglong) for name in ("virtual_total", "virtual_available", "extended")),
        ]

    status = MemoryStatus()
    status.length = ctypes.sizeof(MemoryStatus)
    if not getattr(ctypes, "windll").kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):  # noqa: B009
        return None, None
    return int(status.available), int(status.total)
