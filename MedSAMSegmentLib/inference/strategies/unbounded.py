"""Slice by slice away from a key slice, for an object without a 3D box."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..embedding_cache import Crop
from .appearance import Appearance
from .base import SliceSource, StopRule
from .candidates import HANDOVER_MARGIN, SAME_BOX, BoxXY, differs, fuse, overlap, widened_within
from .closer_view import WholeBox, following_part, seen
from .object_end import EndJudge, Evidence
from .slicewise import Chain, mask_box
from .trial import Trial

GROWTH = 0.25
"""Of the neighbour's width and height: how far a mask may reach beyond its neighbour's bounds."""

LEAST_GROWTH = 4 / 256
"""Of the longer side of a slice: small masks may reach so far beyond."""

LOOK_AHEAD = 2
"""Slices that are tried behind one that is not sure, before the object is taken to have ended."""


class OpenWalk:
    """Tries each slice with the last sure mask's bounds, the same with that mask, and the box of the key slice.

    The key slice's box keeps a mask from shrinking from slice to slice, the mask keeps it from changing to something
    else; answers are judged and vote as in a 3D box (`Trial`, `fuse`). No mask reaches far beyond its neighbour.

    Where the run may stop, one slice that is not sure does not end it: the next ones are tried from the last sure mask,
    and when one of them is back the slice belongs to the object. Their answers are kept, so nothing is asked twice.
    """

    def __init__(
        self,
        slices: SliceSource,
        chain: Chain,
        appearance: Appearance,
        key_box: WholeBox,
        qualities: Sequence[float],
        *,
        part: Crop | None = None,
    ) -> None:
        """`key_box` x0, y0, x1, y1 on the key slice; `qualities` of its answer, none where the user painted it.

        `part` of the key slice is what the network is shown, and moves along; None is all of a slice.
        """
        self._slices = slices
        self._part = part
        self._chain = chain
        self._appearance = appearance
        self._key_box = key_box
        self._judge = EndJudge(chain.stop or StopRule(), qualities, int(chain.key_mask.sum()))
        self._last_sure = chain.previous
        self._tried: dict[int, Evidence] = {}

    def step(self, index: int) -> Evidence | None:
        """What slice `index` shows; None, and the chain stopped, where the object has ended before it."""
        chain = self._chain
        if chain.previous is not self._last_sure:
            # The slice before is new; an empty one, which clicks can make, tells nothing about the next.
            self._last_sure = chain.previous if chain.previous.any() else chain.key_mask
            self._tried.clear()
        found, before = self._try(index), int(self._last_sure.sum())
        ended = chain.stop is not None and self._judge.has_collapsed(found)
        if self._judge.is_sure(found, before) and not ended:
            self._judge.remember(found)
            chain.previous = found.mask
            return found
        if chain.stop is None or any(self._judge.is_back(self._try(later), before) for later in self._ahead(index)):
            return found
        chain.stopped = True
        return found if self._judge.is_fading(found, before) else None

    def _ahead(self, index: int) -> range:
        place = self._chain.indices.index(index) + 1
        return self._chain.indices[place : place + LOOK_AHEAD]

    def _try(self, index: int) -> Evidence:
        if index not in self._tried:
            self._tried[index] = self._ask(index)
        return self._tried[index]

    def _ask(self, index: int) -> Evidence:
        previous = self._last_sure
        neighbour = mask_box(previous)
        assert neighbour is not None, "a mask that is sure is not empty"
        rows, columns = previous.shape
        whole = (0, 0, columns - 1, rows - 1)
        bounds = reach_beyond(neighbour, whole)
        part = None if self._part is None else following_part(self._part, bounds, (rows, columns))
        slices = seen(self._slices, part)
        longer_side = slices.longer_side
        trial = Trial(slices, index, bounds, self._appearance)
        handed_over = widened_within(neighbour, HANDOVER_MARGIN * longer_side, whole)
        assert handed_over is not None
        trial.ask(handed_over)
        trial.ask(handed_over, previous)
        as_drawn = widened_within(self._key_box, 0, trial.bounds)
        if as_drawn is not None and _has_area(as_drawn) and differs(as_drawn, handed_over, SAME_BOX * longer_side):
            trial.ask(as_drawn)
        mask, confidence = fuse(trial.candidates, trial.shape)
        return Evidence(
            mask,
            confidence,
            quality=trial.best_quality,
            predicted_iou=max((candidate.predicted_iou for candidate in trial.candidates), default=0.0),
            likeness=self._appearance.likeness(trial.pixels, mask) if mask.any() else 0.0,
            overlap=overlap(mask, previous),
        )


def reach_beyond(neighbour: WholeBox, whole: WholeBox) -> WholeBox:
    """The bounds that a mask may fill next to one with the bounds `neighbour`, on a slice with the bounds `whole`."""
    longer_side = max(whole[2], whole[3]) + 1
    across = max(LEAST_GROWTH * longer_side, GROWTH * (neighbour[2] - neighbour[0]))
    down = max(LEAST_GROWTH * longer_side, GROWTH * (neighbour[3] - neighbour[1]))
    return (
        max(whole[0], math.floor(neighbour[0] - across)),
        max(whole[1], math.floor(neighbour[1] - down)),
        min(whole[2], math.ceil(neighbour[2] + across)),
        min(whole[3], math.ceil(neighbour[3] + down)),
    )


def _has_area(box: BoxXY) -> bool:
    return box[0] < box[2] and box[1] < box[3]
