"""Estimates the next run from the objects that wait, what was measured and what the machine has free."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...errors import MedSAMError
from ...prompts import Box
from ...registry import ModelEntry
from ...worker.memory import volume_bytes_needed
from ..objects.queue import QueuedObject
from ..objects.settings import EffectSettings
from ..scene.editor_scene import EffectScene, SceneVolume
from ..worker_settings import free_memory, known_entry
from .events import RunEstimate
from .planning import sent_part, wanted_range
from .protocols import RunOutcome, SessionTarget, SlicePreview


class RunEstimator:
    """`memory` tells how many bytes are free, `entry_of` what is known of a model.

    `device` is the worker's word for where the open session computes.
    """

    def __init__(
        self,
        scene: EffectScene,
        *,
        entry_of: Callable[[str], ModelEntry] | None = None,
        memory: Callable[[], int | None] = free_memory,
    ) -> None:
        self.throughput = Throughput()
        self.device = ""
        self.memory = memory
        self._scene = scene
        self._entry_of = entry_of or known_entry

    def of(
        self, rows: Sequence[QueuedObject], volume: SceneVolume, settings: EffectSettings, opened: SessionTarget | None
    ) -> RunEstimate | None:
        """The estimate for these objects; None where there is nothing to run, or the run will say what is wrong.

        `opened` is what the worker holds already.
        """
        try:
            return self._estimate(rows, volume, settings, opened)
        except MedSAMError:
            return None

    def _estimate(
        self, rows: Sequence[QueuedObject], volume: SceneVolume, settings: EffectSettings, opened: SessionTarget | None
    ) -> RunEstimate | None:
        entry = self._entry_of(settings.model)
        roi = self._scene.roi_box(volume.geometry) if settings.range_rule == "roi" else None
        slices = sum(slices_at_most(row, settings, roi, volume.geometry.shape_zyx) for row in rows)
        if not slices:
            return None
        loaded = opened is not None and (opened.model, opened.device) == (settings.model, settings.device)
        needed = model_bytes(entry, self.device if loaded else settings.device, loaded=loaded)
        needed += max(self._volume_bytes(row.axis, volume, settings, roi, opened) for row in rows)
        measured = self.throughput.per_slice(settings.model, settings.device)
        return RunEstimate(
            slices,
            entry.title,
            needed,
            self.memory(),
            slices * measured.seconds if measured is not None else None,
            or_more=measured is not None and not measured.whole and entry.kind == "memory",
        )

    @staticmethod
    def _volume_bytes(
        axis: int, volume: SceneVolume, settings: EffectSettings, roi: Box | None, opened: SessionTarget | None
    ) -> int:
        part = sent_part(settings, roi, axis, volume.geometry.shape_zyx[axis])
        wanted = (volume.node_id, volume.time, part)
        if opened is not None and (opened.volume_id, opened.volume_time, opened.part) == wanted:
            return 0
        voxels = volume.read()
        return part_bytes(voxels.nbytes, voxels.size, part, volume.geometry.shape_zyx)


MOSTLY = 0.8
"""A run that took more than the rest of its slices from earlier encodings says little about new ones."""


@dataclass(frozen=True)
class PerSlice:
    """`whole` is false where only a preview was measured, which lacks what a memory costs from slice to slice."""

    seconds: float
    whole: bool


class Throughput:
    """Seconds per slice as measured last; a run says more than a preview."""

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


GPU = "cuda"
COPIES = 2
"""Of the part that is sent: Slicer's, in an order that can travel, and the worker's."""


def slices_at_most(
    item: QueuedObject, settings: EffectSettings, roi: Box | None, shape_zyx: tuple[int, int, int]
) -> int:
    """Return how many slices a run of this object can compute; 0 for an object without a prompt within the range."""
    axis, drawn = item.axis, bool(item.prompts.planes or item.keys)
    prompt = None if drawn else item.prompts.roi
    first, last = _span(settings, roi, prompt, axis, shape_zyx[axis])
    if item.written is not None and item.segment_id:
        # Slices edited since may begin anywhere; which they are is only known when the segment is read.
        return max(last - first + 1, 0)
    inside = [key for key in _keys(item, prompt, (first, last)) if first <= key <= last]
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


def _keys(item: QueuedObject, prompt: Box | None, span: tuple[int, int]) -> list[int]:
    """The slices from which the run goes out."""
    if prompt is not None:
        return [(span[0] + span[1]) // 2]
    planes = [*item.prompts.planes, *item.keys]
    return [plane.index for plane in planes if plane.axis == item.axis]
