"""Self-check of this interpreter: Python, memory, torch, and each device with a 2x2 product.

A broken torch must become a sentence. What raises is caught here; what kills the process is named by the client from
the stage that was reported last.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .memory import available_bytes, total_bytes

IMPORT_FAILURES = (ImportError, OSError, AttributeError, RuntimeError, ValueError, TypeError, NameError, SyntaxError)
DEVICE_FAILURES = (RuntimeError, AssertionError, NotImplementedError, OSError, ValueError)

Report = Callable[[str], None]


def self_check(report: Report) -> dict[str, Any]:
    """Return JSON fields: `python`, `memory`, `torch` (None when it cannot be used), `devices`, `problems`
    (sentences)."""
    problems: list[str] = []
    report("import torch")
    torch = _import_torch(problems)
    return {
        "python": {
            "version": platform.python_version(),
            "executable": sys.executable,
            "platform": platform.platform(),
            "machine": platform.machine(),
        },
        "memory": {"available": available_bytes(), "total": total_bytes()},
        "torch": None if torch is None else _describe_torch(torch),
        "devices": [] if torch is None else _check_devices(torch, report, problems),
        "problems": problems,
    }


def _import_torch(problems: list[str]) -> ModuleType | None:
    try:
        import torch
    except ModuleNotFoundError as error:
        problems.append(f"{_subject(error)} is not installed in {sys.executable}. Install PyTorch into it.")
        return None
    except IMPORT_FAILURES as error:
        problems.append(f"PyTorch cannot be loaded: {_one_line(error)}. Install it again.")
        return None
    # What an interrupted install or uninstall leaves behind imports as an empty package.
    if not all(hasattr(torch, name) for name in ("__version__", "ones", "cuda")):
        problems.append(f"PyTorch is only half installed in {sys.executable}. Install it again.")
        return None
    return torch


def _subject(error: ModuleNotFoundError) -> str:
    return "PyTorch" if error.name == "torch" else f"The package {error.name!r}, which PyTorch needs,"


def _describe_torch(torch: ModuleType) -> dict[str, Any]:
    version = getattr(torch, "version", None)
    return {
        "version": str(torch.__version__),
        "cuda": getattr(version, "cuda", None),
        "hip": getattr(version, "hip", None),
        "threads": int(torch.get_num_threads()),
    }


def _check_devices(torch: ModuleType, report: Report, problems: list[str]) -> list[dict[str, Any]]:
    devices = []
    for name in _device_names(torch, problems):
        report(f"check {name}")
        device: dict[str, Any] = {"name": name, "title": _one_line(name), "capability": None, "free_bytes": None}
        try:
            device.update(_describe_device(torch, name))
            product = (torch.ones(2, 2, device=name) @ torch.ones(2, 2, device=name)).tolist()
            problem = None if product == [[2.0, 2.0], [2.0, 2.0]] else f"a 2x2 product is wrong: {product}"
        except DEVICE_FAILURES as error:
            problem = _one_line(error)
        if problem is not None:
            cure = "The processor is used instead." if name != "cpu" else "Install PyTorch again."
            kind = f"capability {device['capability']}, " if device["capability"] else ""
            problems.append(f"{device['title']} ({kind}PyTorch {torch.__version__}) does not work: {problem}. {cure}")
        devices.append({**device, "works": problem is None, "problem": problem})
    return devices


def _device_names(torch: ModuleType, problems: list[str]) -> list[str]:
    names = ["cpu"]
    try:
        if torch.cuda.is_available():
            names.extend(f"cuda:{number}" for number in range(torch.cuda.device_count()))
        mps = getattr(torch.backends, "mps", None)
        if mps is not None and mps.is_available():
            names.append("mps")
    except DEVICE_FAILURES as error:
        problems.append(f"PyTorch cannot list the graphics devices: {_one_line(error)}. The processor is used instead.")
    return names


def _describe_device(torch: ModuleType, name: str) -> dict[str, Any]:
    if name == "cpu":
        return {"title": platform.processor() or "Processor", "free_bytes": available_bytes()}
    if name == "mps":
        return {"title": "Apple GPU (MPS)", "free_bytes": available_bytes()}
    major, minor = torch.cuda.get_device_capability(name)
    free, _total = torch.cuda.mem_get_info(name)
    return {"title": torch.cuda.get_device_name(name), "capability": f"{major}.{minor}", "free_bytes": int(free)}


def _one_line(value: object) -> str:
    """Return the first line of a message, without the full stop that the sentence around it brings."""
    lines = str(value).strip().splitlines() or [type(value).__name__]
    return lines[0].strip().rstrip(".")
