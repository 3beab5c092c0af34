"""Seconds per slice as measured in this session, by model and device."""

from __future__ import annotations

from dataclasses import dataclass

from .collaborators import RunOutcome, SessionTarget, SlicePreview

MOSTLY = 0.8
"""A run that took more than the rest of its slices from earlier encodings says little about new ones."""


@dataclass(frozen=True)
class PerSlice:
    """`whole` is false where only a preview was measured, which lacks what a memory costs from slice to slice."""

    seconds: float
    whole: bool


class Pace:
    """The throughput measured last; a run says more than a preview."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, str], float] = {}
        self._previews: dict[tuple[str, str], float] = {}

    def note_preview(self, target: SessionTarget, preview: SlicePreview) -> None:
        if preview.seconds is not None:
            self._previews[target.model, target.device] = preview.seconds

    def note_run(self, target: SessionTarget, outcome: RunOutcome) -> None:
        slices = len(outcome.result.slices)
        if slices and outcome.seconds > 0 and outcome.encodes >= MOSTLY * slices:
            self._runs[target.model, target.device] = outcome.seconds / slices

    def per_slice(self, model: str, device: str) -> PerSlice | None:
        """None until something was measured."""
        key = (model, device)
        if key in self._runs:
            return PerSlice(self._runs[key], True)
        return PerSlice(self._previews[key], False) if key in self._previews else None
