"""`medsam-segment info IMAGE`."""

from __future__ import annotations

import argparse
import json
from typing import Any


def run(options: argparse.Namespace) -> None:
    from ..intensity import to_uint8
    from ..io.read_volume import read_volume

    volume = read_volume(options.image)
    array = volume.array_zyx
    facts: dict[str, Any] = {
        "image": str(options.image),
        "kind": volume.kind,
        "modality": volume.modality,
        "size_ijk": list(reversed(array.shape[:3])),
        "channels": array.shape[3] if array.ndim == 4 else 1,
        "type": str(array.dtype),
        "spacing_mm_ijk": [round(s, 6) for s in reversed(volume.geometry.spacing_zyx)],
        "range": [float(array.min()), float(array.max())],
        "time_series": volume.is_time_series,
        "window": to_uint8(array, "auto", modality=volume.modality).description,
        "ijk_to_lps": volume.geometry.ijk_to_lps.tolist(),
        "notes": list(volume.notes),
    }
    if options.json:
        print(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        print(f"{name + ':':17s} {_matrix(value) if name == 'ijk_to_lps' else value}")


def _matrix(rows: list[list[float]]) -> str:
    lines = ["  ".join(f"{number:9.3f}" for number in row) for row in rows[:3]]
    return ("\n" + " " * 18).join(lines)
