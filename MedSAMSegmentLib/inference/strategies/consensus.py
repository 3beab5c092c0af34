"""Several prompts on every slice, and a vote of their masks: the default for boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ...results import SliceResult
from ..embedding_cache import Crop
from ..plan import KeyPrompt, ObjectPlan, PixelBox
from .appearance import Appearance
from .base import EnsembleSlices, RunOptions, SliceSource
from .candidates import (
    HANDOVER_MARGIN,
    SAME_BOX,
    ellipse_mask,
    ellipsoid_box,
    fuse,
    shrink_box,
    sides_differ,
    widen_box,
)
from .handover import HandoverStrategy
from .prompt_ensemble import PromptEnsemble
from .slicewise import Sweep, mask_box
from .unbounded import UnboundedPropagation, search_bounds
from .zoom import contains, following_crop, zoom_crop, zoom_is_better, zoomed


@dataclass
class _ObjectState:
    """One segmented object: what its key slices taught, by key slice index, and its unbounded propagations.

    `appearances` and `qualities` lack slices that taught nothing. `crops` holds what the network is shown of the
    slices that a key slice serves, None for all of a slice. `prefers_zoom` is None until it was tried.
    `propagations` are found by key slice and step, 1 or -1.
    """

    appearances: dict[int, Appearance] = field(default_factory=dict)
    qualities: dict[int, float] = field(default_factory=dict)
    crops: dict[int, Crop | None] = field(default_factory=dict)
    prefers_zoom: bool | None = None
    propagations: dict[tuple[int, int], UnboundedPropagation] = field(default_factory=dict)


class ConsensusStrategy(HandoverStrategy):
    """Each slice of a 3D box is tried with the box itself, the ellipsoid in it, and the neighbour's mask in its bounds.

    A mask counts by the IoU the network predicts for it, by the contrast at its edge, and by how alike its grey values
    are to the key slice's (`PromptEnsemble`). The masks vote; parts that look like the key slice's surroundings are
    removed first. No mask leaves the box. Three prompts a slice on one embedding, four on the key slice.

    A small object's key slice is asked in two views, whole and zoomed in (`zoom`), and the object is then seen in the
    better one: eight prompts on two embeddings there, one embedding on every other slice.

    A box alone does not say whether the object in it is bright or dark: networks take the wall of the chest for a lung
    as well as the lung. So the key slice is also asked with the ellipse in the box as a mask, and every other slice
    with the mask of the slice before.

    Where a box, a line or a painted mask stands on single slices only, `UnboundedPropagation` goes on from there, and
    finds the end of an object whose end is not known. An object of clicks alone is handed over instead.
    """

    name = "consensus"

    def __init__(self) -> None:
        self._objects: dict[int, _ObjectState] = {}
        self._zooms = True

    def run(self, slices: SliceSource, plans: Sequence[ObjectPlan], options: RunOptions) -> Iterator[SliceResult]:
        self._objects = {number: _ObjectState() for number in range(len(plans))}
        self._zooms = not options.reference
        return super().run(slices, plans, options)

    def _key_result(self, slices: SliceSource, number: int, plan: ObjectPlan, index: int) -> SliceResult:
        key, state = plan.keys[index], self._objects[number]
        box = _bounds(slices, plan) or _outline(key)
        if box is None:
            return super()._key_result(slices, number, plan, index)
        if _is_only_box(key, box):
            ensemble, crop = self._better_view(slices, index, box)
            slices.cached_decision(index, box, lambda: crop is not None)
            if state.prefers_zoom is None:
                state.prefers_zoom = crop is not None
            self._set_crop(slices, state, index, crop)
            mask, confidence = fuse(ensemble.candidates, ensemble.shape)
            state.qualities[index] = ensemble.best_quality
            result = SliceResult(number, slices.axis, index, mask, confidence, key=True)
        elif key.mask is not None:
            result = super()._key_result(slices, number, plan, index)
        else:
            crop = self._crop(slices, state, plan, index)
            if crop is not None and not _holds_prompts(crop, key):
                crop = None
            result = super()._key_result(zoomed(slices, crop), number, plan, index)
        if result.mask.any():
            state.appearances[index] = Appearance(slices.pixels(index), result.mask, box)
        return result

    def _step(self, slices: SliceSource, sweep: Sweep, index: int, options: RunOptions) -> SliceResult | None:
        state = self._objects[sweep.object_index]
        appearance = state.appearances.get(sweep.key_index)
        if appearance is None:
            return super()._step(slices, sweep, index, options)
        box = _bounds(slices, sweep.plan)
        crop = self._crop(slices, state, sweep.plan, sweep.key_index)
        correction = sweep.plan.corrections.get(index)
        if correction is not None:
            crop = _crop_for_clicks(correction, sweep, crop)
            return super()._step(zoomed(slices, crop), sweep, index, options)
        if box is None:
            found = _propagation(slices, state, sweep, appearance).step(index)
            if found is None:
                return None
            return SliceResult(sweep.object_index, slices.axis, index, found.mask, found.confidence)
        ensemble = PromptEnsemble(zoomed(slices, crop), index, box, appearance)
        _add_prompts(ensemble, sweep, slices.axis)
        mask, confidence = fuse(ensemble.candidates, ensemble.shape)
        area, before = int(mask.sum()), int(sweep.previous.sum())
        predicted_iou = max((candidate.predicted_iou for candidate in ensemble.candidates), default=0.0)
        if sweep.stop is not None and sweep.stop.is_met(area, before, predicted_iou):
            sweep.stopped = True
            return None
        if area:
            sweep.previous = mask
        return SliceResult(sweep.object_index, slices.axis, index, mask, confidence)

    def _crop(self, slices: SliceSource, state: _ObjectState, plan: ObjectPlan, index: int) -> Crop | None:
        """Return what the object is seen in from key slice `index` on; decided when it matters, once for an object.

        A box drawn on a key slice was tried there. Painted slices alone do not say how an object is seen.
        """
        if index not in state.crops:
            found = _bounds(slices, plan) or _outline(plan.keys[index])
            assert found is not None, "clicks alone have no appearance"
            box: PixelBox = found
            crop = self._zoom_crop(slices, index, box)
            if crop is not None and state.prefers_zoom is None:
                state.prefers_zoom = slices.cached_decision(
                    index, box, lambda: self._better_view(slices, index, box)[1] is not None
                )
            self._set_crop(slices, state, index, crop if state.prefers_zoom else None)
        return state.crops[index]

    @staticmethod
    def _set_crop(slices: SliceSource, state: _ObjectState, index: int, crop: Crop | None) -> None:
        state.crops[index] = crop
        slices.set_preferred_crop(crop)

    def _zoom_crop(self, slices: SliceSource, index: int, box: PixelBox) -> Crop | None:
        rows, columns = slices.pixels(index).shape[:2]
        return zoom_crop(box, (rows, columns)) if self._zooms else None

    def _better_view(self, slices: SliceSource, index: int, box: PixelBox) -> tuple[PromptEnsemble, Crop | None]:
        """Prompt the key slice whole and, around a small box, zoomed in; return the better answers and their crop."""
        whole, crop = _prompt_key_slice(slices, index, box), self._zoom_crop(slices, index, box)
        if crop is None:
            return whole, None
        closer = _prompt_key_slice(zoomed(slices, crop), index, box)
        return (closer, crop) if zoom_is_better(closer.candidates, whole.candidates) else (whole, None)


def _propagation(
    slices: SliceSource, state: _ObjectState, sweep: Sweep, appearance: Appearance
) -> UnboundedPropagation:
    """Return the propagation of this sweep, which remembers the slices it has tried."""
    place = (sweep.key_index, sweep.indices.step)
    if place not in state.propagations:
        box = _outline(sweep.key)
        assert box is not None, "an appearance is learnt within an outline"
        quality, crop = state.qualities.get(sweep.key_index), state.crops.get(sweep.key_index)
        qualities = [] if quality is None else [quality]
        state.propagations[place] = UnboundedPropagation(slices, sweep, appearance, box, qualities, crop=crop)
    return state.propagations[place]


def _add_prompts(ensemble: PromptEnsemble, sweep: Sweep, axis: int) -> None:
    """Prompt a slice of the 3D box with the box, the ellipsoid in it and the mask of the slice before."""
    assert sweep.plan.box is not None
    box, longer_side = ensemble.bounds, ensemble.slices.longer_side
    ensemble.add(box)
    ellipsoid = ellipsoid_box(box, sweep.plan.box.along(axis), ensemble.index)
    if sides_differ(ellipsoid, box, SAME_BOX * longer_side):
        ensemble.add(ellipsoid)
    neighbour = mask_box(sweep.previous)
    handed_over = widen_box(neighbour, HANDOVER_MARGIN * longer_side, box) if neighbour is not None else None
    if handed_over is not None:
        ensemble.add(handed_over, sweep.previous)


def _prompt_key_slice(slices: EnsembleSlices, index: int, box: PixelBox) -> PromptEnsemble:
    """Prompt a key slice with its box and a smaller one, each alone and with the ellipse in it as a mask.

    A 3D box can be wider than the object here, and the object the darker or the brighter part of it.
    """
    ensemble, smaller = PromptEnsemble(slices, index, box), shrink_box(box)
    for tried in (box, smaller):
        ensemble.add(tried)
    for tried in (box, smaller):
        ensemble.add(tried, ellipse_mask(tried, ensemble.shape))
    return ensemble


def _crop_for_clicks(correction: KeyPrompt, sweep: Sweep, crop: Crop | None) -> Crop | None:
    """Return the crop for a slice with clicks: it must hold them, and the mask that is handed over with room around
    it."""
    handed_over = mask_box(sweep.previous)
    if crop is None or handed_over is None:
        return None
    rows, columns = sweep.previous.shape
    if sweep.plan.box is None:
        whole = (0, 0, columns - 1, rows - 1)
        crop = following_crop(crop, search_bounds(handed_over, whole), (rows, columns))
    return crop if crop is not None and _holds_prompts(crop, correction) else None


def _holds_prompts(crop: Crop, key: KeyPrompt) -> bool:
    """Return whether the crop holds the clicks and the box of a slice."""
    clicks = all(crop[0] <= x <= crop[2] and crop[1] <= y <= crop[3] for x, y in key.points_xy)
    return clicks and (key.box is None or contains(crop, key.box))


def _is_only_box(key: KeyPrompt, box: PixelBox) -> bool:
    """Return whether the 3D box is the only prompt on this slice."""
    return key.mask is None and not key.points_xy and key.box == box


def _bounds(slices: SliceSource, plan: ObjectPlan) -> PixelBox | None:
    return plan.box.in_plane(slices.axis) if plan.box is not None else None


def _outline(key: KeyPrompt) -> PixelBox | None:
    """Return the box drawn on a key slice, else the bounds of the painted mask there."""
    if key.box is not None or key.mask is None:
        return key.box
    return mask_box(key.mask)
