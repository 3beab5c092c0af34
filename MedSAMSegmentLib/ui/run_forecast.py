"""Estimates the next run from the objects that wait, what was measured and what the machine has free."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import MedSAMError
from ..prompts import Box
from ..registry import ModelEntry
from ..worker.memory import available_bytes
from .collaborators import SessionTarget
from .effect_scene import EffectScene, SceneVolume
from .job_builder import sent_part
from .lesion_queue import Lesion
from .model_choice import find_entry
from .pace import Pace
from .run_estimate import RunEstimate, model_bytes, part_bytes, slices_at_most
from .settings import EffectSettings
from .worker_settings import model_store


class RunForecast:
    """`memory` tells how many bytes are free, `entry_of` what is known of a model.

    `device` is the worker's word for where the open session computes.
    """

    def __init__(
        self,
        scene: EffectScene,
        *,
        entry_of: Callable[[str], ModelEntry] | None = None,
        memory: Callable[[], int | None] = available_bytes,
    ) -> None:
        self.pace = Pace()
        self.device = ""
        self.memory = memory
        self._scene = scene
        self._entry_of = entry_of or (lambda model_id: find_entry(model_id, model_store()))

    def of(
        self, rows: Sequence[Lesion], volume: SceneVolume, settings: EffectSettings, opened: SessionTarget | None
    ) -> RunEstimate | None:
        """The estimate for these objects; None where there is nothing to run, or the run will say what is wrong.

        `opened` is what the worker holds already.
        """
        try:
            return self._estimate(rows, volume, settings, opened)
        except MedSAMError:
            return None

    def _estimate(
        self, rows: Sequence[Lesion], volume: SceneVolume, settings: EffectSettings, opened: SessionTarget | None
    ) -> RunEstimate | None:
        entry = self._entry_of(settings.model)
        roi = self._scene.roi_box(volume.geometry) if settings.range_rule == "roi" else None
        slices = sum(slices_at_most(row, settings, roi, volume.geometry.shape_zyx) for row in rows)
        if not slices:
            return None
        loaded = opened is not None and (opened.model, opened.device) == (settings.model, settings.device)
        needed = model_bytes(entry, self.device if loaded else settings.device, loaded=loaded)
        needed += max(self._volume_bytes(row.axis, volume, settings, roi, opened) for row in rows)
        measured = self.pace.per_slice(settings.model, settings.device)
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
