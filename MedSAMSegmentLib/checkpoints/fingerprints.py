"""Compact descriptions of the networks' state dicts, by which a file of unknown origin is recognised.

`fingerprints.json` holds one for each network that the registry builds, made by
`Testing/checkpoints/make_fingerprints.py` from the networks themselves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from .key_report import Shapes

FINGERPRINTS_PATH = Path(__file__).with_name("fingerprints.json")

_SAMPLES = 12


@dataclass(frozen=True)
class Fingerprint:
    """Counts of tensors and numbers, a digest over all keys and shapes, and a few tensors to measure nearness by."""

    tensors: int
    numbers: int
    digest: str
    samples: Mapping[str, tuple[int, ...]]

    def likeness(self, shapes: Shapes) -> float:
        """Measure how near a state dict is, 0 to 1: the share of the sampled tensors that it has, half for another
        shape."""
        points = 0.0
        for key, shape in self.samples.items():
            if key in shapes:
                points += 1.0 if tuple(shapes[key]) == shape else 0.5
        return points / len(self.samples)


def fingerprint(shapes: Shapes) -> Fingerprint:
    """Return the fingerprint of a state dict's keys and shapes."""
    keys = sorted(shapes)
    lines = "".join(f"{key} {tuple(shapes[key])}\n" for key in keys)
    step = max(1, len(keys) // _SAMPLES)
    return Fingerprint(
        tensors=len(keys),
        numbers=sum(prod(shapes[key]) for key in keys),
        digest=hashlib.sha256(lines.encode()).hexdigest(),
        samples={key: tuple(shapes[key]) for key in keys[step // 2 :: step][:_SAMPLES]},
    )


def known_fingerprints() -> dict[str, Fingerprint]:
    """Return the fingerprint of each network by its builder's name."""
    table = json.loads(FINGERPRINTS_PATH.read_text(encoding="utf-8"))
    return {name: _from_json(fields) for name, fields in table.items()}


def to_json(prints: Mapping[str, Fingerprint]) -> str:
    """Return the text of `fingerprints.json`."""
    table = {
        name: {
            "tensors": item.tensors,
            "numbers": item.numbers,
            "digest": item.digest,
            "samples": {key: list(shape) for key, shape in item.samples.items()},
        }
        for name, item in prints.items()
    }
    return json.dumps(table, indent=1) + "\n"


def _from_json(fields: Mapping[str, Any]) -> Fingerprint:
    samples = {key: tuple(shape) for key, shape in fields["samples"].items()}
    return Fingerprint(fields["tensors"], fields["numbers"], fields["digest"], samples)
