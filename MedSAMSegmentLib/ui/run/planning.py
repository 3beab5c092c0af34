"""From a item and the settings to what is asked of the worker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from slicer.i18n import tr as _

from ...auto_window import window_of_prompts
from ...errors import PromptError
from ...prompts import Box, Prompt
from ...results import PackedMask
from ..objects.corrections import Continuation, continue_from
from ..objects.queue import QueuedObject
from ..objects.settings import AS_DISPLAYED, EffectSettings
from ..scene.editor_scene import EffectScene, SceneVolume
from .protocols import PropagateJob, SessionTarget


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """A job, and what has to be remembered until its result is written."""

    item: QueuedObject
    job: PropagateJob
    locked: frozenset[int]
    drawn: tuple[Prompt, ...]
    previous: PackedMask | None = None
    """What an earlier run left in the segment: the new result takes its place."""


def session_target(
    item: QueuedObject,
    volume: SceneVolume,
    settings: EffectSettings,
    roi: Box | None,
    *,
    axis: int,
    prompts: Iterable[Prompt],
) -> SessionTarget:
    """The session that serves this object with these settings; a fixed range sends only its slices."""
    window: str | tuple[float, float] = settings.intensity
    if settings.intensity == AS_DISPLAYED:
        window = volume.displayed_window or "auto"
    elif settings.intensity == "auto":
        window = window_of_object(item, volume.read(), volume.modality, prompts)
    return SessionTarget(
        volume.node_id,
        volume.time,
        settings.model,
        window,
        settings.device,
        volume.modality,
        volume.geometry.spacing_zyx,
        volume.read,
        sent_part(settings, roi, axis, volume.geometry.shape_zyx[axis]),
        settings.time_series,
        settings.keep_speckle,
    )


def plan_run(
    item: QueuedObject, settings: EffectSettings, scene: EffectScene, volume: SceneVolume, roi: Box | None
) -> PlannedRun:
    """Raises `PromptError` when nothing says where the object is."""
    axis = item.axis
    drawn = tuple(item.prompts.all())
    plan, previous = _continuation(item, scene, volume, drawn)
    if not plan.prompts:
        raise PromptError(
            _("{name} has no prompt.").format(name=item.name), _("Draw a box on a slice, or paint one slice.")
        )
    span = wanted_range(settings, roi, axis)
    job = PropagateJob(
        item.name,
        tuple(plan.prompts),
        axis,
        _within(plan.bounds, span, volume.geometry.shape_zyx[axis]),
        settings.direction,
        stop_early=span is None and not _is_3d(plan.prompts, axis) and not (settings.time_series and axis == 0),
        reading=item.reading,
    )
    return PlannedRun(item, job, plan.locked, drawn, previous)


def _continuation(
    item: QueuedObject, scene: EffectScene, volume: SceneVolume, drawn: tuple[Prompt, ...]
) -> tuple[Continuation, PackedMask | None]:
    """Return how the object goes on from what its segment holds, and the earlier result that the new one replaces."""
    axis = item.axis
    keys = [plane.index for plane in item.keys if plane.axis == axis]
    afresh = Continuation(list(drawn), frozenset(), (0, volume.geometry.shape_zyx[axis] - 1))
    if not item.segment_id or (item.written is None and not keys):
        return afresh, None
    current = scene.segment_mask(item.segment_id, volume.geometry, axis)
    if not current.slices:
        return afresh, None
    last = item.state_of(current)
    written = last.packed if last is not None else None
    return continue_from(current, axis, drawn, written=written, keys=keys), written


def by_window(
    rows: Sequence[QueuedObject], volume: SceneVolume, settings: EffectSettings, opened: SessionTarget | None
) -> list[QueuedObject]:
    """Objects with one automatic window together, those of the open session first: a change sends the volume anew."""
    if settings.intensity != "auto" or len(rows) < 2:
        return list(rows)
    voxels = volume.read()
    windows = [window_of_object(row, voxels, volume.modality, ()) for row in rows]
    first = [opened.window] if opened is not None and opened.window in windows else []
    order = list(dict.fromkeys([*first, *windows]))
    return [row for _, row in sorted(zip(windows, rows, strict=True), key=lambda pair: order.index(pair[0]))]


def wanted_range(settings: EffectSettings, roi: Box | None, axis: int) -> tuple[int, int] | None:
    """First and last slice that the user asked for; None lets the run find its end."""
    if settings.range_rule == "roi":
        return roi.along(axis) if roi is not None else None
    return settings.slice_range


def sent_part(settings: EffectSettings, roi: Box | None, axis: int, size: int) -> tuple[int, int, int] | None:
    """Axis, first and last slice that a fixed range sends; None for the whole volume."""
    span = wanted_range(settings, roi, axis)
    if span is None:
        return None
    first, last = max(span[0], 0), min(span[1], size - 1)
    return None if (first, last) == (0, size - 1) or first > last else (axis, first, last)


def _within(bounds: tuple[int, int], span: tuple[int, int] | None, size: int) -> tuple[int, int] | None:
    """Both limits together; None when neither says anything."""
    if span is None:
        return bounds if bounds != (0, size - 1) else None
    first, last = max(bounds[0], span[0], 0), min(bounds[1], span[1], size - 1)
    if first > last:
        raise PromptError(
            _("The range {first} to {last} holds no slice of the object.").format(first=span[0], last=span[1]),
            _("Widen the range, or let it stop by itself."),
        )
    return (first, last)


def _is_3d(prompts: list[Prompt], axis: int) -> bool:
    return any(isinstance(p, Box) and p.along(axis)[0] != p.along(axis)[1] for p in prompts)


def window_of_object(item: QueuedObject, volume: NDArray[Any], modality: str | None, prompts: Iterable[Prompt]) -> str:
    """The window of an object, found from what was drawn for it, else from `prompts`.

    Once something was written it is kept: a correction must not be computed with another window than its object.
    """
    if item.written is None or not item.window:
        item.window = window_of_prompts(volume, modality, item.prompts.all() or prompts)
    return item.window
