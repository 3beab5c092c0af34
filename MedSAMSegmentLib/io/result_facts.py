"""A run's prompts and objects as the JSON of reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..geometry import IN_PLANE_AXES
from ..measurements import measure
from ..prompts import MaskPrompt, Prompt
from ..results import ObjectResult
from .volume import Volume


def prompt_facts(prompt: Prompt) -> dict[str, Any]:
    """Return a prompt as JSON; a mask prompt by its slice and area only."""
    kind = type(prompt).__name__.lower()
    if isinstance(prompt, MaskPrompt):
        return {"kind": "mask", "axis": prompt.axis, "slice": prompt.index, "pixels": int(prompt.mask.sum())}
    return {"kind": kind, **vars(prompt)}


def object_facts(item: ObjectResult, volume: Volume) -> dict[str, Any]:
    """Return name, size, RECIST 1.1 diameters (of images, not of time series) and what each slice scored.

    Where the voxel size is not known, there are neither millilitres (null) nor diameters.
    """
    measurement = measure(item.mask, volume.geometry, item.packed.axis)
    facts: dict[str, Any] = {
        "name": item.name,
        "voxels": measurement.voxels,
        "volume_ml": round(measurement.volume_ml, 4) if all(volume.spacing_known_zyx) else None,
        "confidence": round(item.confidence, 4),
        "assessment": item.assessment,
        "flagged_slices": item.flagged,
        "slices": {str(index): _slice_facts(vars(score)) for index, score in sorted(item.slices.items())},
    }
    in_plane = [volume.spacing_known_zyx[axis] for axis in IN_PLANE_AXES[item.packed.axis]]
    if not volume.is_time_series and all(in_plane):
        facts["recist"] = {
            "slice": measurement.index,
            "longest": measurement.longest,
            "perpendicular": measurement.perpendicular,
        }
    return facts


def _slice_facts(score: Mapping[str, Any]) -> dict[str, Any]:
    return {**score, "score": round(float(score["score"]), 4), "flags": list(score["flags"])}
