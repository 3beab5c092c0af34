"""Differences between two sets of keys and shapes, in one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Shapes = Mapping[str, tuple[int, ...]]
"""Shape of each tensor of a state dict by its key."""

_SHOWN = 3


def key_report(wanted: Shapes, given: Shapes) -> str:
    """Describe what `given` lacks, has too much or has in another shape; empty when both agree exactly."""
    missing = [key for key in wanted if key not in given]
    unexpected = [key for key in given if key not in wanted]
    reshaped = [
        f"{key} {tuple(given[key])} for {tuple(wanted[key])}"
        for key in wanted
        if key in given and tuple(given[key]) != tuple(wanted[key])
    ]
    parts = [_part(missing, "missing"), _part(unexpected, "unexpected"), _part(reshaped, "of another shape")]
    return "; ".join(part for part in parts if part)


def _part(keys: Iterable[str], what: str) -> str:
    keys = list(keys)
    if not keys:
        return ""
    more = ", ..." if len(keys) > _SHOWN else ""
    return f"{len(keys)} {what} ({', '.join(keys[:_SHOWN])}{more})"
