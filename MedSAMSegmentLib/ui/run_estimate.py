"""The estimate of what a run takes at most: slices, seconds, bytes. No Qt, no MRML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..prompts import Box
from ..registry import ModelEntry
from ..worker.memory import volume_bytes_needed
from .job_builder import wanted_range
from .lesion_queue import Lesion
from .settings import EffectSettings

GPU = "cuda"
COPIES = 2
"""Of the part that is sent: Slicer's, in an order that can travel, and the worker's."""


@dataclass(frozen=True)
class RunEstimate:
    """`slices` is the most that can be computed, all objects together.

    `seconds` is None until a slice was measured, and a lower bound with `or_more`. `needed_bytes` of memory come on
    top of what is in use, `free_bytes` is what the system can give, None where it does not tell.
    """

    slices: int
    model: str
    needed_bytes: int
    free_bytes: int | None
    seconds: float | None = None
    or_more: bool = False

    @property
    def memory_is_short(self) -> bool:
        return self.free_bytes is not None and self.free_bytes < self.needed_bytes


def slices_at_most(lesion: Lesion, settings: EffectSettings, roi: Box | None, shape_zyx: tuple[int, int, int]) -> int:
    """Count the slices that a run of this object can compute; 0 for an object without a prompt within the range."""
    axis, drawn = lesion.axis, bool(lesion.prompts.planes or lesion.keys)
    prompt = None if drawn else lesion.prompts.roi
    first, last = _span(settings, roi, prompt, axis, shape_zyx[axis])
    if lesion.written is not None and lesion.segment_id:
        # Slices edited since may begin anywhere; which they are is only known when the segment is read.
        return max(last - first + 1, 0)
    inside = [key for key in _keys(lesion, prompt, (first, last)) if first <= key <= last]
    if not inside:
        return 0
    first = min(inside) if settings.direction == "up" else first
    last = max(inside) if settings.direction == "down" else last
    return last - first + 1


def part_bytes(nbytes: int, voxels: int, part: tuple[int, int, int] | None, shape_zyx: Sequence[int]) -> int:
    """Memory for the slices that are sent: `part` is axis, first, last; None sends all `nbytes` of the volume."""
    share = 1.0
    if part is not None:
        axis, first, last = part
        size = shape_zyx[axis]
        share = max(min(last, size - 1) - max(first, 0) + 1, 0) / size
    return round(share * volume_bytes_needed(nbytes, voxels, COPIES))


def model_bytes(entry: ModelEntry, device: str, *, loaded: bool) -> int:
    """Main memory that the model asks for beyond what it holds already. `device` begins with its kind."""
    whole, weights = entry.minimum_memory_mb * 10**6, 2 * entry.expected_bytes
    if device.startswith(GPU):
        # The network computes in the card's memory; its weights pass through here.
        return 0 if loaded else weights
    return max(whole - weights, 0) if loaded else whole


def _span(settings: EffectSettings, roi: Box | None, prompt: Box | None, axis: int, size: int) -> tuple[int, int]:
    wanted = wanted_range(settings, roi, axis) or (prompt.along(axis) if prompt is not None else (0, size - 1))
    return max(wanted[0], 0), min(wanted[1], size - 1)


def _keys(lesion: Lesion, prompt: Box | None, span: tuple[int, int]) -> list[int]:
    """The slices from which the run goes out."""
    if prompt is not None:
        return [(span[0] + span[1]) // 2]
    planes = [*lesion.prompts.planes, *lesion.keys]
    return [plane.index for plane in planes if plane.axis == lesion.axis]
