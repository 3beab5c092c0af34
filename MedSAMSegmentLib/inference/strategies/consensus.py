"""Several boxes on every slice, and a vote of their masks: the default for a 3D box."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...results import SliceResult
from ..plan import ObjectPlan
from .appearance import Appearance
from .base import RunOptions, SliceSource
from .candidates import BoxXY, Candidate, ellipsoid_box, fuse, inside_box, overlap, widened_within
from .handover import HandoverStrategy
from .slicewise import Chain, box_prompts, mask_box

HANDOVER_MARGIN = 3 / 256
"""Of the longer side of a slice: the margin of the official handover."""

KEY_MARGIN = 1 / 256
NEIGHBOUR_FLOOR = 0.1
"""A candidate that shares nothing with the neighbour keeps this share of its quality: objects may shift."""


@dataclass(frozen=True, eq=False)
class _Slice:
    """A slice on which boxes are tried: its pixels, the bounds of the 3D box, what the object looks like."""

    slices: SliceSource
    index: int
    pixels: NDArray[np.uint8]
    bounds: tuple[int, int, int, int]
    appearance: Appearance

    def candidate(self, tried: BoxXY, previous: NDArray[np.bool_] | None = None) -> Candidate | None:
        """The answer to one box, judged against the mask of the slice before; None when it is empty."""
        prediction = self.slices.predict(self.index, box_prompts(tried))
        mask = inside_box(prediction.mask, self.bounds)
        if not mask.any():
            return None
        quality = float(np.clip(prediction.score, 0.01, 1.0)) * self.appearance.likeness(self.pixels, mask) ** 2
        mask = self.appearance.without_foreign(self.pixels, mask)
        if previous is not None and previous.any():
            quality *= NEIGHBOUR_FLOOR + (1 - NEIGHBOUR_FLOOR) * overlap(mask, previous)
        return Candidate(mask, quality, prediction.stability)


class ConsensusStrategy(HandoverStrategy):
    """Each slice of a 3D box is tried with the box itself, the ellipsoid in it, and the neighbour's mask's bounds.

    A mask counts by the IoU the network predicts for it, by how alike its grey values are to the key slice's
    (`Appearance`), and by its overlap with the slice before. The masks vote; parts that look like the key slice's
    surroundings are removed first. No mask leaves the box. Three prompts a slice on one embedding.
    An object without a 3D box is handed over instead.
    """

    name = "consensus"

    def __init__(self) -> None:
        self._appearances: dict[tuple[int, int], Appearance] = {}

    def run(self, slices: SliceSource, plans: Sequence[ObjectPlan], options: RunOptions) -> Iterator[SliceResult]:
        self._appearances.clear()
        return super().run(slices, plans, options)

    def _key_result(self, slices: SliceSource, number: int, plan: ObjectPlan, index: int) -> SliceResult:
        first = super()._key_result(slices, number, plan, index)
        box = _bounds(slices, plan)
        if box is None or not first.mask.any():
            return first
        key = plan.keys[index]
        pixels = slices.pixels(index)
        result = first
        if key.mask is None and not key.points_xy and key.box == box:
            result = self._refined_key(slices, first, pixels, box)
        if result.mask.any():
            self._appearances[number, index] = Appearance(pixels, result.mask, box)
        return result

    def _refined_key(
        self, slices: SliceSource, first: SliceResult, pixels: NDArray[np.uint8], box: tuple[int, int, int, int]
    ) -> SliceResult:
        """The 3D box can be wider than the object on the key slice: ask again with the bounds of the first answer."""
        found = mask_box(inside_box(first.mask, box))
        if found is None:
            return first
        appearance = Appearance(pixels, first.mask, box)
        tighter = widened_within(found, KEY_MARGIN * max(pixels.shape[:2]), box)
        boxes = [box] if tighter is None or tighter == box else [box, tighter]
        here = _Slice(slices, first.index, pixels, box, appearance)
        candidates = [here.candidate(tried) for tried in boxes]
        mask, score = fuse([c for c in candidates if c is not None], first.mask.shape)
        return SliceResult(first.object_index, first.axis, first.index, mask, score, key=True)

    def _step(self, slices: SliceSource, chain: Chain, index: int, options: RunOptions) -> SliceResult | None:
        appearance = self._appearances.get((chain.object_index, chain.key_index))
        box = _bounds(slices, chain.plan)
        if box is None or appearance is None or index in chain.plan.corrections:
            # Where the user clicked, the click decides, not a vote.
            return super()._step(slices, chain, index, options)
        pixels = slices.pixels(index)
        here = _Slice(slices, index, pixels, box, appearance)
        boxes = self._boxes(slices, chain, index, box, pixels.shape[:2])
        candidates = [here.candidate(tried, chain.previous) for tried in boxes]
        mask, score = fuse([c for c in candidates if c is not None], chain.previous.shape)
        area, before = int(mask.sum()), int(chain.previous.sum())
        if chain.stop is not None and chain.stop.holds(area, before, score):
            chain.stopped = True
            return None
        if area:
            chain.previous = mask
        return SliceResult(chain.object_index, slices.axis, index, mask, score)

    def _boxes(
        self, slices: SliceSource, chain: Chain, index: int, box: tuple[int, int, int, int], shape: tuple[int, ...]
    ) -> Iterable[BoxXY]:
        assert chain.plan.box is not None
        boxes: list[BoxXY | None] = [box, ellipsoid_box(box, chain.plan.box.along(slices.axis), index)]
        neighbour = mask_box(chain.previous)
        if neighbour is not None:
            boxes.append(widened_within(neighbour, HANDOVER_MARGIN * max(shape), box))
        return dict.fromkeys(tried for tried in boxes if tried is not None)


def _bounds(slices: SliceSource, plan: ObjectPlan) -> tuple[int, int, int, int] | None:
    return plan.box.in_plane(slices.axis) if plan.box is not None else None
