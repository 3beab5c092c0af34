"""Several prompts on every slice, and a vote of their masks: the default for boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...results import SliceResult
from ..embedding_cache import Crop
from ..plan import KeyPrompt, ObjectPlan
from .appearance import Appearance
from .base import RunOptions, SliceSource
from .candidates import HANDOVER_MARGIN, SAME_BOX, differs, ellipse_mask, ellipsoid_box, fuse, shrunken, widened_within
from .closer_view import WholeBox, closer_part, following_part, holds, looks_better, seen
from .handover import HandoverStrategy
from .open_walk import OpenWalk, reach_beyond
from .slicewise import Chain, mask_box
from .trial import Trial


class ConsensusStrategy(HandoverStrategy):
    """Each slice of a 3D box is tried with the box itself, the ellipsoid in it, and the neighbour's mask in its bounds.

    A mask counts by the IoU the network predicts for it, by the contrast at its edge, and by how alike its grey values
    are to the key slice's (`Trial`). The masks vote; parts that look like the key slice's surroundings are removed
    first. No mask leaves the box. Three prompts a slice on one embedding, four on the key slice.

    A small object's key slice is asked in two views, whole and nearer by (`closer_view`), and the object is then seen
    in the better one: eight prompts on two embeddings there, one embedding on every other slice.

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
        self._parts: dict[tuple[int, int], Crop | None] = {}
        self._nearer: dict[int, bool] = {}
        self._whole = False
        self._walks: dict[tuple[int, int, int], OpenWalk] = {}

    def run(self, slices: SliceSource, plans: Sequence[ObjectPlan], options: RunOptions) -> Iterator[SliceResult]:
        for learnt in (self._appearances, self._qualities, self._parts, self._nearer, self._walks):
            learnt.clear()
        self._whole = options.reference
        return super().run(slices, plans, options)

    def _key_result(self, slices: SliceSource, number: int, plan: ObjectPlan, index: int) -> SliceResult:
        key = plan.keys[index]
        box = _bounds(slices, plan) or _outline(key)
        if box is None:
            return super()._key_result(slices, number, plan, index)
        if _only_box(key, box):
            trial, part = self._better_seen(slices, index, box)
            slices.decide(index, box, lambda: part is not None)
            self._nearer.setdefault(number, part is not None)
            self._see_in(slices, number, index, part)
            mask, confidence = fuse(trial.candidates, trial.shape)
            self._qualities[number, index] = trial.best_quality
            result = SliceResult(number, slices.axis, index, mask, confidence, key=True)
        elif key.mask is not None:
            result = super()._key_result(slices, number, plan, index)
        else:
            part = self._part(slices, number, plan, index)
            if part is not None and not _within(part, key):
                part = None
            result = super()._key_result(seen(slices, part), number, plan, index)
        if result.mask.any():
            self._appearances[number, index] = Appearance(slices.pixels(index), result.mask, box)
        return result

    def _step(self, slices: SliceSource, chain: Chain, index: int, options: RunOptions) -> SliceResult | None:
        appearance = self._appearances.get((chain.object_index, chain.key_index))
        if appearance is None:
            return super()._step(slices, chain, index, options)
        box = _bounds(slices, chain.plan)
        part = self._part(slices, chain.object_index, chain.plan, chain.key_index)
        correction = chain.plan.corrections.get(index)
        if correction is not None:
            part = _part_for(correction, chain, part)
            return super()._step(seen(slices, part), chain, index, options)
        if box is None:
            found = self._walk(slices, chain, appearance).step(index)
            if found is None:
                return None
            return SliceResult(chain.object_index, slices.axis, index, found.mask, found.confidence)
        trial = Trial(seen(slices, part), index, box, appearance)
        self._try_prompts(trial, chain)
        mask, confidence = fuse(trial.candidates, trial.shape)
        area, before = int(mask.sum()), int(chain.previous.sum())
        predicted_iou = max((candidate.predicted_iou for candidate in trial.candidates), default=0.0)
        if chain.stop is not None and chain.stop.holds(area, before, predicted_iou):
            chain.stopped = True
            return None
        if area:
            chain.previous = mask
        return SliceResult(chain.object_index, slices.axis, index, mask, confidence)

    def _part(self, slices: SliceSource, number: int, plan: ObjectPlan, index: int) -> Crop | None:
        """In what the object is seen from a key slice on; asked when it matters, and once for an object.

        A box drawn on a key slice was tried there. Painted slices alone do not say how an object is seen.
        """
        if (number, index) not in self._parts:
            found = _bounds(slices, plan) or _outline(plan.keys[index])
            assert found is not None, "clicks alone have no appearance"
            box: WholeBox = found
            part = self._closer_part(slices, index, box)
            if part is not None and number not in self._nearer:
                self._nearer[number] = slices.decide(
                    index, box, lambda: self._better_seen(slices, index, box)[1] is not None
                )
            self._see_in(slices, number, index, part if self._nearer.get(number) else None)
        return self._parts[number, index]

    def _see_in(self, slices: SliceSource, number: int, index: int, part: Crop | None) -> None:
        self._parts[number, index] = part
        slices.best_seen_in(part)

    def _closer_part(self, slices: SliceSource, index: int, box: WholeBox) -> Crop | None:
        rows, columns = slices.pixels(index).shape[:2]
        return None if self._whole else closer_part(box, (rows, columns))

    def _better_seen(self, slices: SliceSource, index: int, box: WholeBox) -> tuple[Trial, Crop | None]:
        """The key slice as the network tells it best: whole, or of what is around a small box that part alone."""
        whole, part = _asked_key(slices, index, box), self._closer_part(slices, index, box)
        if part is None:
            return whole, None
        closer = _asked_key(seen(slices, part), index, box)
        return (closer, part) if looks_better(closer.candidates, whole.candidates) else (whole, None)

    def _walk(self, slices: SliceSource, chain: Chain, appearance: Appearance) -> OpenWalk:
        """The one of this chain: it remembers what it saw."""
        place = (chain.object_index, chain.key_index, chain.indices.step)
        if place not in self._walks:
            box = _outline(chain.key)
            assert box is not None, "an appearance is learnt within an outline"
            quality, part = self._qualities.get(place[:2]), self._parts.get(place[:2])
            qualities = [] if quality is None else [quality]
            self._walks[place] = OpenWalk(slices, chain, appearance, box, qualities, part=part)
        return self._walks[place]

    def _try_prompts(self, trial: Trial, chain: Chain) -> None:
        assert chain.plan.box is not None
        box, longer_side = trial.bounds, trial.slices.longer_side
        trial.ask(box)
        ellipsoid = ellipsoid_box(box, chain.plan.box.along(trial.slices.axis), trial.index)
        if differs(ellipsoid, box, SAME_BOX * longer_side):
            trial.ask(ellipsoid)
        neighbour = mask_box(chain.previous)
        handed_over = widened_within(neighbour, HANDOVER_MARGIN * longer_side, box) if neighbour is not None else None
        if handed_over is not None:
            trial.ask(handed_over, chain.previous)


def _asked_key(slices: SliceSource, index: int, box: WholeBox) -> Trial:
    """A 3D box can be wider than the object here, and the object the darker or the brighter part of it."""
    trial, smaller = Trial(slices, index, box), shrunken(box)
    for tried in (box, smaller):
        trial.ask(tried)
    for tried in (box, smaller):
        trial.ask(tried, ellipse_mask(tried, trial.shape))
    return trial


def _part_for(correction: KeyPrompt, chain: Chain, part: Crop | None) -> Crop | None:
    """What a slice with clicks is seen in: it must hold them, and the mask that is handed over with room around it."""
    handed_over = mask_box(chain.previous)
    if part is None or handed_over is None:
        return None
    rows, columns = chain.previous.shape
    if chain.plan.box is None:
        whole = (0, 0, columns - 1, rows - 1)
        part = following_part(part, reach_beyond(handed_over, whole), (rows, columns))
    return part if part is not None and _within(part, correction) else None


def _within(part: Crop, key: KeyPrompt) -> bool:
    """Whether the part holds the clicks and the box of a slice."""
    clicks = all(part[0] <= x <= part[2] and part[1] <= y <= part[3] for x, y in key.points_xy)
    return clicks and (key.box is None or holds(part, key.box))


def _only_box(key: KeyPrompt, box: WholeBox) -> bool:
    """Whether nothing but the 3D box was said on this slice."""
    return key.mask is None and not key.points_xy and key.box == box


def _bounds(slices: SliceSource, plan: ObjectPlan) -> WholeBox | None:
    return plan.box.in_plane(slices.axis) if plan.box is not None else None


def _outline(key: KeyPrompt) -> WholeBox | None:
    """The box drawn on a key slice, else the bounds of what was painted there."""
    if key.box is not None or key.mask is None:
        return key.box
    return mask_box(key.mask)
