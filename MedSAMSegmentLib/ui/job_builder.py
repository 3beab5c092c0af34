"""From a lesion and the settings to what is asked of the worker."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import PromptError
from ..prompts import Box, Prompt
from .box_window import window_of_prompts
from .collaborators import PropagateJob, SessionTarget
from .corrections import Continuation, Written, continue_from
from .effect_scene import EffectScene, SceneVolume
from .lesion_queue import Lesion
from .settings import AS_DISPLAYED, EffectSettings


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """A job, and what has to be remembered until its result is written."""

    lesion: Lesion
    job: PropagateJob
    locked: frozenset[int]
    drawn: tuple[Prompt, ...]
    previous: Written | None = None
    """What an earlier run left in the segment: the new result takes its place."""


def session_target(
    volume: SceneVolume, settings: EffectSettings, roi: Box | None, axis: int, prompts: Iterable[Prompt]
) -> SessionTarget:
    """The session that serves these settings and prompts; a fixed range sends only its slices."""
    window: str | tuple[float, float] = settings.intensity
    if settings.intensity == AS_DISPLAYED:
        window = volume.displayed_window or "auto"
    elif settings.intensity == "auto":
        window = window_of_prompts(volume.read(), volume.modality, prompts)
    span = _range(settings, roi, axis)
    return SessionTarget(
        volume.node_id,
        volume.time,
        settings.model,
        window,
        settings.device,
        volume.modality,
        volume.geometry.spacing_zyx,
        volume.read,
        (axis, *span) if span is not None else None,
    )


def plan_run(
    lesion: Lesion, settings: EffectSettings, scene: EffectScene, volume: SceneVolume, roi: Box | None
) -> PlannedRun:
    """Raises `PromptError` when nothing says where the object is."""
    axis = lesion.axis
    drawn = tuple(lesion.prompts.all())
    plan, previous = _continuation(lesion, scene, volume, drawn)
    if not plan.prompts and roi is not None:
        plan = Continuation([roi], plan.locked, plan.bounds)
    if not plan.prompts:
        raise PromptError(f"{lesion.name} has no prompt.", "Draw a box on a slice, or paint one slice.")
    span = _range(settings, roi, axis)
    job = PropagateJob(
        lesion.name,
        tuple(plan.prompts),
        axis,
        _within(plan.bounds, span, volume.geometry.shape_zyx[axis]),
        settings.direction,
        stop_early=span is None and not _is_3d(plan.prompts, axis),
    )
    return PlannedRun(lesion, job, plan.locked, drawn, previous)


def _continuation(
    lesion: Lesion, scene: EffectScene, volume: SceneVolume, drawn: tuple[Prompt, ...]
) -> tuple[Continuation, Written | None]:
    """How the object goes on from what its segment holds, and the earlier result that the new one replaces."""
    axis = lesion.axis
    keys = [plane.index for plane in lesion.keys if plane.axis == axis]
    afresh = Continuation(list(drawn), frozenset(), (0, volume.geometry.shape_zyx[axis] - 1))
    if not lesion.segment_id or (lesion.written is None and not keys):
        return afresh, None
    current = scene.segment_mask(lesion.segment_id, volume.geometry)
    if not current.any():
        return afresh, None
    written = lesion.state_of(current)
    return continue_from(current, axis, drawn, written=written, keys=keys), written


def _range(settings: EffectSettings, roi: Box | None, axis: int) -> tuple[int, int] | None:
    if settings.range_rule == "roi":
        return roi.along(axis) if roi is not None else None
    return settings.slice_range


def _within(bounds: tuple[int, int], span: tuple[int, int] | None, size: int) -> tuple[int, int] | None:
    """Both limits together; None when neither says anything."""
    if span is None:
        return bounds if bounds != (0, size - 1) else None
    first, last = max(bounds[0], span[0], 0), min(bounds[1], span[1], size - 1)
    if first > last:
        raise PromptError(
            f"The range {span[0]} to {span[1]} holds no slice of the object.",
            "Widen the range, or let it stop by itself.",
        )
    return (first, last)


def _is_3d(prompts: list[Prompt], axis: int) -> bool:
    return any(isinstance(p, Box) and p.along(axis)[0] != p.along(axis)[1] for p in prompts)
