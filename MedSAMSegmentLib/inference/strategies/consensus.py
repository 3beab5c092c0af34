"""Several prompts on every slice, and a vote of their masks: the default for boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...results import SliceResult
from ..plan import KeyPrompt, ObjectPlan
from .appearance import Appearance
from .base import RunOptions, SliceSource
from .candidates import HANDOVER_MARGIN, SAME_BOX, differs, ellipse_mask, ellipsoid_box, fuse, shrunken, widened_within
from .handover import HandoverStrategy
from .open_walk import OpenWalk
from .slicewise import Chain, mask_box
from .trial import Trial


class ConsensusStrategy(HandoverStrategy):
    """Each slice of a 3D box is tried with the box itself, the ellipsoid in it, and the neighbour's mask in its bounds.

    A mask counts by the IoU the network predicts for it, by the contrast at its edge, and by how alike its grey values
    are to the key slice's (`Trial`). The masks vote; parts that look like the key slice's surroundings are removed
    first. No mask leaves the box. Three prompts a slice on one embedding, four on the key slice.

    A box alone does not say whether the object in it is bright or dark: networks take the wall of the chest for a lung
    as well as the lung. So the key slice is also asked with the ellipse in the box as a mask, and every other slice
    with the mask of the slice before.

    Where a box, a line or a painted mask stands on single slices only, `OpenWalk` goes on from there, and finds the end
    of an object whose end is not known. An object of clicks alone is handed over instead.
    """

    name = "consensus"

    def __init__(self) -> None:
        self._appearances: dict[tuple[int, int], Appearance] = {}
        self._qualities: dict[tuple[int, int], float] = {}
        self._walks: dict[tuple[int, int, int], OpenWalk] = {}

    def run(self, slices: SliceSource, plans: Sequence[ObjectPlan], options: RunOptions) -> Iterator[SliceResult]:
        for learnt in (self._appearances, self._qualities, self._walks):
            learnt.clear()
        return super().run(slices, plans, options)

    def _key_result(self, slices: SliceSource, number: int, plan: ObjectPlan, index: int) -> SliceResult:
        key = plan.keys[index]
        box = _bounds(slices, plan) or _outline(key)
        if box is not None and _only_box(key, box):
            result = self._key_from_box(slices, number, index, box)
        else:
            result = super()._key_result(slices, number, plan, index)
        if box is not None and result.mask.any():
            self._appearances[number, index] = Appearance(slices.pixels(index), result.mask, box)
        return result

    def _key_from_box(
        self, slices: SliceSource, number: int, index: int, box: tuple[int, int, int, int]
    ) -> SliceResult:
        """A 3D box can be wider than the object here, and the object the darker or the brighter part of it."""
        trial = Trial(slices, index, box)
        smaller = shrunken(box)
        for tried in (box, smaller):
            trial.ask(tried)
        for tried in (box, smaller):
            trial.ask(tried, ellipse_mask(tried, trial.shape))
        mask, confidence = fuse(trial.candidates, trial.shape)
        self._qualities[number, index] = max((candidate.quality for candidate in trial.candidates), default=0.0)
        return SliceResult(number, slices.axis, index, mask, confidence, key=True)

    def _step(self, slices: SliceSource, chain: Chain, index: int, options: RunOptions) -> SliceResult | None:
        appearance = self._appearances.get((chain.object_index, chain.key_index))
        box = _bounds(slices, chain.plan)
        if appearance is None or index in chain.plan.corrections:
            return super()._step(slices, chain, index, options)
        if box is None:
            found = self._walk(slices, chain, appearance).step(index)
            if found is None:
                return None
            return SliceResult(chain.object_index, slices.axis, index, found.mask, found.confidence)
        trial = Trial(slices, index, box, appearance)
        self._try_prompts(trial, slices, chain)
        mask, confidence = fuse(trial.candidates, trial.shape)
        area, before = int(mask.sum()), int(chain.previous.sum())
        predicted_iou = max((candidate.predicted_iou for candidate in trial.candidates), default=0.0)
        if chain.stop is not None and chain.stop.holds(area, before, predicted_iou):
            chain.stopped = True
            return None
        if area:
            chain.previous = mask
        return SliceResult(chain.object_index, slices.axis, index, mask, confidence)

    def _walk(self, slices: SliceSource, chain: Chain, appearance: Appearance) -> OpenWalk:
        """The one of this chain: it remembers what it saw."""
        place = (chain.object_index, chain.key_index, chain.indices.step)
        if place not in self._walks:
            box = _outline(chain.key)
            assert box is not None, "an appearance is learnt within an outline"
            quality = self._qualities.get(place[:2])
            self._walks[place] = OpenWalk(slices, chain, appearance, box, [] if quality is None else [quality])
        return self._walks[place]

    def _try_prompts(self, trial: Trial, slices: SliceSource, chain: Chain) -> None:
        assert chain.plan.box is not None
        box, longer_side = trial.bounds, max(trial.shape)
        trial.ask(box)
        ellipsoid = ellipsoid_box(box, chain.plan.box.along(slices.axis), trial.index)
        if differs(ellipsoid, box, SAME_BOX * longer_side):
            trial.ask(ellipsoid)
        neighbour = mask_box(chain.previous)
        handed_over = widened_within(neighbour, HANDOVER_MARGIN * longer_side, box) if neighbour is not None else None
        if handed_over is not None:
            trial.ask(handed_over, chain.previous)


def _only_box(key: KeyPrompt, box: tuple[int, int, int, int]) -> bool:
    """Whether nothing but the 3D box was said on this slice."""
    return key.mask is None and not key.points_xy and key.box == box


def _bounds(slices: SliceSource, plan: ObjectPlan) -> tuple[int, int, int, int] | None:
    return plan.box.in_plane(slices.axis) if plan.box is not None else None


def _outline(key: KeyPrompt) -> tuple[int, int, int, int] | None:
    """The box drawn on a key slice, else the bounds of what was painted there."""
    if key.box is not None or key.mask is None:
        return key.box
    return mask_box(key.mask)
