"""The report that "copy report" copies: enough to find a fault, nothing of the image."""

from __future__ import annotations

import platform
from dataclasses import asdict

from ..errors import MedSAMError
from ..version import __version__
from .objects.settings import EffectSettings


def report_text(
    slicer_version: str,
    interpreter: str,
    *,
    settings: EffectSettings | None = None,
    error: MedSAMError | None = None,
    worker: dict[str, object] | None = None,
    worker_log: str = "",
) -> str:
    """Plain text; one fact a line, then the error's detail and the end of the worker's log."""
    facts = {
        "MedSAMSegment": __version__,
        "Slicer": slicer_version,
        "System": platform.platform(),
        "Interpreter": interpreter,
        **{f"Worker {name}": value for name, value in (worker or {}).items() if name != "models"},
        **{f"Option {name}": value for name, value in (asdict(settings) if settings is not None else {}).items()},
    }
    lines = [f"{name}: {value}" for name, value in facts.items()]
    if error is not None:
        lines += ["", f"Error ({error.code}): {error}", error.detail]
    if worker_log:
        lines += ["", "Worker log:", worker_log.rstrip()]
    return "\n".join(lines).rstrip() + "\n"
