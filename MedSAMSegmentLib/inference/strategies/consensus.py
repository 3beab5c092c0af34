"""Several prompts on every slice, and a vote of their masks: the default for boxes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...results import FLAG_FIRST_LOOK, FLAG_TWO_READINGS, SliceResult
from ..embedding_cache import PLAIN_VIEW, Crop, SliceView
from ..plan import KeyPrompt, ObjectPlan, PixelBox
from .appearance import Appearance
from .base import RunOptions, SliceSource
from .candidates import (
    HANDOVER_MARGIN,
    SAME_BOX,
    ellipsoid_box,
    fuse,
    sides_differ,
    widen_box,
)
from .handover import HandoverStrategy
from .key_slice import KeyAnswer, KeySlice, key_crop, span_power
from .prompt_ensemble import PromptEnsemble
from .slicewise import Sweep, mask_box
from .unbounded import UnboundedPropagation, search_bounds
from .zoom import contains, following_crop

CLEAR_QUALITY = 0.35
"""Of the answer on the middle slice of a 3D box: from here on the run begins there."""

CLEARER = 1.3
"""Another slice takes its place where its answer's quality is so many times better."""

OTHER_KEYS = (0.25, 0.75)
"""Where the other slices lie, as shares of the box's extent."""


@dataclass
class _ObjectState:
    """One segmented object: what its key slices taught, by key slice index, and its unbounded propagations.

    `appearances` and `qualities` lack slices that taught nothing. `views` holds what the network is shown of the slices
    that a key slice serves. `preferred` is the view of the first key slice that was tried, None before.
    `propagations` are found by key slice and step, 1 or -1.
    """

    appearances: dict[int, Appearance] = field(default_factory=dict)
    qualities: dict[int, float] = field(default_factory=dict)
    views: dict[int, SliceView] = field(default_factory=dict)
    readings: dict[int, list[KeyAnswer]] = field(default_factory=dict)
    preferred: SliceView | None = None
    propagations: dict[tuple[int, int], UnboundedPropagation] = field(default_factory=dict)


class ConsensusStrategy(HandoverStrategy):
    """Each slice of a 3D box is tried with the box itself, the ellipsoid in it, and the neighbour's mask in its bounds.

    A mask counts by the IoU the network predicts for it, by the contrast at its edge, by its shape, and by how alike
    its grey values are to the key slice's (`PromptEnsemble`). The masks vote; parts that look like the key slice's
    surroundings are removed first. No mask leaves the box. Three prompts a slice on one embedding.

    A box on a key slice is asked in several views (`key_slice`), and the object is then seen in the best one: up to
    six prompts on three embeddings there, one embedding on every other slice.

    Where a box, a line or a painted mask stands on single slices only, `UnboundedPropagation` goes on from there, and
    finds the end of an object whose end is not known. An object of clicks alone is handed over instead.
    """

    name = "consensus"

    def __init__(self) -> None:
        self._objects: dict[int, _ObjectState] = {}
        self._tries_views = True
        self._reading = 1

    def run(self, slices: SliceSource, plans: Sequence[ObjectPlan], options: RunOptions) -> Iterator[SliceResult]:
        self._objects = {number: _ObjectState() for number in range(len(plans))}
        self._tries_views = not options.reference
        self._reading = options.reading
        return super().run(slices, plans, options)

    def _run_group(
        self, slices: SliceSource, plans: Mapping[int, ObjectPlan], options: RunOptions
    ) -> Iterator[SliceResult]:
        begun = {number: self._begun_clearly(slices, number, plan, options) for number, plan in plans.items()}
        yield from super()._run_group(slices, begun, options)

    def _begun_clearly(self, slices: SliceSource, number: int, plan: ObjectPlan, options: RunOptions) -> ObjectPlan:
        """Return the plan of a 3D box with another key slice, where its middle is doubtful and another one is clearer.

        What is wrong on the key slice is wrong on all slices.
        """
        box = _bounds(slices, plan)
        if box is None or plan.box is None or len(plan.keys) != 1 or options.direction != "both":
            return plan
        ((middle, key),) = plan.keys.items()
        if not self._tries_views or not _is_only_box(key, box) or plan.first == plan.last:
            return plan
        state = self._objects[number]
        quality = self._readings(slices, state, plan, middle, box)[0].quality
        if quality >= CLEAR_QUALITY:
            return plan
        first, last = plan.box.along(slices.axis)
        for index in sorted({first + round(share * (last - first)) for share in OTHER_KEYS} - {middle}):
            if not plan.first <= index <= plan.last:
                continue
            moved = replace(plan, keys={index: key})
            found = self._readings(slices, state, moved, index, box)[0].quality
            if found > CLEARER * quality:
                plan, quality = moved, found / CLEARER  # the second one has to be better than the first alone
        return plan

    def _key_results(
        self, slices: SliceSource, number: int, plan: ObjectPlan, index: int, options: RunOptions
    ) -> Iterator[SliceResult]:
        key = plan.keys[index]
        box = _bounds(slices, plan) or _outline(key)
        if options.first_look and options.reading == 1 and box is not None and _is_only_box(key, box):
            question = self._question(slices, plan, index, box)
            look = question.first_look()
            if look is not None:
                flags = (FLAG_FIRST_LOOK,)
                yield SliceResult(number, slices.axis, index, look.mask, look.confidence, flags=flags, key=True)
            self._objects[number].readings[index] = question.readings()
        yield self._key_result(slices, number, plan, index)

    def _key_result(self, slices: SliceSource, number: int, plan: ObjectPlan, index: int) -> SliceResult:
        key, state = plan.keys[index], self._objects[number]
        box = _bounds(slices, plan) or _outline(key)
        if box is None:
            return super()._key_result(slices, number, plan, index)
        if _is_only_box(key, box):
            answer = self._answer(slices, state, plan, index, box)
            slices.cached_decision(index, (box, self._reading, False), lambda: answer.view)
            if state.preferred is None:
                state.preferred = answer.view
            self._set_view(slices, state, index, answer.view)
            mask, confidence = answer.mask, answer.confidence
            state.qualities[index] = answer.quality
            flags = (FLAG_TWO_READINGS,) if len(state.readings[index]) > 1 else ()
            result = SliceResult(number, slices.axis, index, mask, confidence, flags=flags, key=True)
        elif key.mask is not None:
            result = super()._key_result(slices, number, plan, index)
        else:
            view = self._view(slices, state, plan, index)
            if view.crop is not None and not _holds_prompts(view.crop, key):
                view = replace(view, crop=None)
            result = super()._key_result(slices.seen(view), number, plan, index)
        if result.mask.any():
            state.appearances[index] = Appearance(slices.pixels(index), result.mask, box)
        return result

    def _step(self, slices: SliceSource, sweep: Sweep, index: int, options: RunOptions) -> SliceResult | None:
        state = self._objects[sweep.object_index]
        appearance = state.appearances.get(sweep.key_index)
        if appearance is None:
            return super()._step(slices, sweep, index, options)
        box = _bounds(slices, sweep.plan)
        view = self._view(slices, state, sweep.plan, sweep.key_index)
        correction = sweep.plan.corrections.get(index)
        if correction is not None:
            crop = _crop_for_clicks(correction, sweep, view.crop)
            return super()._step(slices.seen(replace(view, crop=crop)), sweep, index, options)
        if box is None:
            found = _propagation(slices, state, sweep, appearance).step(index)
            if found is None:
                return None
            return SliceResult(sweep.object_index, slices.axis, index, found.mask, found.confidence)
        ensemble = PromptEnsemble(slices.seen(view), index, box, appearance)
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

    def _view(self, slices: SliceSource, state: _ObjectState, plan: ObjectPlan, index: int) -> SliceView:
        """Return the view of the object from key slice `index` on; decided when it matters, once for an object.

        A box drawn on a key slice was tried there. Painted slices alone do not say how an object is seen.
        """
        if index not in state.views:
            found = _bounds(slices, plan) or _outline(plan.keys[index])
            assert found is not None, "clicks alone have no appearance"
            box: PixelBox = found
            if self._tries_views and state.preferred is None:
                about = (box, self._reading, plan.keys[index].mask is not None)
                state.preferred = slices.cached_decision(
                    index, about, lambda: self._answer(slices, state, plan, index, box).view
                )
            preferred = state.preferred or PLAIN_VIEW
            rows, columns = slices.pixels(index).shape[:2]
            crop = None if preferred.crop is None else key_crop(slices, box, (rows, columns))
            self._set_view(slices, state, index, replace(preferred, crop=crop))
        return state.views[index]

    @staticmethod
    def _set_view(slices: SliceSource, state: _ObjectState, index: int, view: SliceView) -> None:
        state.views[index] = view
        slices.set_preferred_view(view)

    def _question(self, slices: SliceSource, plan: ObjectPlan, index: int, box: PixelBox) -> KeySlice:
        painted = plan.keys[index].mask
        return KeySlice(slices, index, box, span_power(plan), painted, plainly=not self._tries_views)

    def _answer(
        self, slices: SliceSource, state: _ObjectState, plan: ObjectPlan, index: int, box: PixelBox
    ) -> KeyAnswer:
        """Return the wanted reading of a box on a slice, the only one where there are no two."""
        readings = self._readings(slices, state, plan, index, box)
        return readings[min(self._reading, len(readings)) - 1]

    def _readings(
        self, slices: SliceSource, state: _ObjectState, plan: ObjectPlan, index: int, box: PixelBox
    ) -> list[KeyAnswer]:
        """Return the readings of a box on a slice; it is asked once."""
        if index not in state.readings:
            state.readings[index] = self._question(slices, plan, index, box).readings()
        return state.readings[index]


def _propagation(
    slices: SliceSource, state: _ObjectState, sweep: Sweep, appearance: Appearance
) -> UnboundedPropagation:
    """Return the propagation of this sweep, which remembers the slices it has tried."""
    place = (sweep.key_index, sweep.indices.step)
    if place not in state.propagations:
        box = _outline(sweep.key)
        assert box is not None, "an appearance is learnt within an outline"
        quality, view = state.qualities.get(sweep.key_index), state.views.get(sweep.key_index, PLAIN_VIEW)
        qualities = [] if quality is None else [quality]
        state.propagations[place] = UnboundedPropagation(slices, sweep, appearance, box, qualities, view=view)
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
