"""The JSON report of a run: what went in, what computed it, what came out."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..io.report import file_digest, volume_digest
from ..io.result_facts import object_facts, prompt_facts
from ..prompts import Prompt
from ..results import FLAG_TWO_READINGS
from ..version import __version__
from .options import RunOptions
from .prompt_options import files_of_prompts

if TYPE_CHECKING:
    from ..inference.session import VolumeSession
    from ..io.volume import Volume
    from ..results import ObjectResult, Segmentation3D

REPORTED_PACKAGES = ("torch", "numpy", "SimpleITK", "slicerio")

REPEATED_OPTIONS = (
    "axis", "frame", "range", "direction", "stop", "strategy", "reading", "window", "line_as", "mode", "model", "name",
    "largest_component", "keep_speckle", "fill_holes", "terminology", "device", "precision", "engine", "series",
    "spacing",
)  # fmt: skip
"""What decides on the result besides the files; the prompts stand with their objects."""


def input_facts(volume: Volume, options: RunOptions, notes: Sequence[str]) -> dict[str, Any]:
    """Describe the inputs: every file by its hash, and the options, so that the run can be repeated."""
    return {
        "input": {
            "file": volume.source.name,
            "sha256": volume_digest(volume),
            "notes": list(notes),
            "spacing_known_ijk": list(reversed(volume.spacing_known_zyx)),
            "filled_slices": list(volume.filled),
        },
        "prompt_files": [
            {"option": option, "file": Path(file).name, "sha256": file_digest(file)}
            for option, file in files_of_prompts(options.prompts)
        ],
        "options": {name: getattr(options, name) for name in REPEATED_OPTIONS},
    }


def run_report(
    volume: Volume,
    session: VolumeSession,
    objects: Sequence[Sequence[Prompt]],
    result: Segmentation3D,
    reading: int = 1,
) -> dict[str, Any]:
    """Describe what computed, and the results."""
    return {
        "model": {
            "id": session.model_id,
            "weights_sha256": session.predictor.weights_sha256,
            "recognised": session.predictor.weights_note or None,
            "mode": "reference" if session.reference else "default",
        },
        "window": result.window,
        "strategy": result.strategy,
        "axis": result.axis,
        "device": result.device,
        "versions": versions(),
        "seconds": round(result.seconds, 3),
        "encodes": result.encodes,
        "predictions": result.predictions,
        "objects": [
            {
                "prompts": [prompt_facts(p) for p in prompts],
                "reading_note": reading_note(item, reading) or None,
                **object_facts(item, volume),
            }
            for prompts, item in zip(objects, result.objects, strict=True)
        ],
    }


def reading_note(item: ObjectResult, reading: int) -> str:
    """Return a sentence where the boxes of an object may mean two things, or where the second was asked for in vain."""
    slices = sorted(index for index, score in item.slices.items() if FLAG_TWO_READINGS in score.flags)
    if not slices:
        return "the box has one reading; --reading 2 changed nothing." if reading == 2 else ""
    where = f"on slice {', '.join(map(str, slices))} the box may mean two things"
    return (
        f"{where}: this is the second, --reading 1 gives the first." if reading == 2 else f"{where}: try --reading 2."
    )


def versions() -> dict[str, str]:
    found = {"MedSAMSegmentLib": __version__, "python": platform.python_version(), "system": platform.platform()}
    for package in REPORTED_PACKAGES:
        found[package] = metadata.version(package)
    return found
