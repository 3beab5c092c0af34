"""Unbounded propagation: slice by slice away from a key slice, for an object without a 3D box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...propagation import StopRule
from ..embedding_cache import PLAIN_VIEW, SliceView
from ..plan import PixelBox
from ..slice_prompts import BoxXYXY
from .appearance import EDGE, Appearance, edge_contrast
from .base import SliceSource
from .candidates import HANDOVER_MARGIN, SAME_BOX, fuse, mask_dice, pixels_of, sides_differ, widen_box
from .prompt_ensemble import PromptEnsemble
from .slicewise import Sweep, mask_box
from .termination import SliceEvidence, TerminationRule
from .zoom import following_crop

GROWTH_SHARE = 0.25
"""Of the neighbour's width and height: how far a mask may reach beyond its neighbour's bounds."""

MINIMUM_GROWTH = 4 / 256
"""Of the longer side of a slice: small masks may reach so far beyond."""

LOOKAHEAD_SLICES = 2
"""Slices that are tried behind one that is not accepted, before the object is taken to have ended."""


class UnboundedPropagation:
    """Tries each slice with the last accepted mask's bounds, the same with that mask, and the box of the key slice.

    The key slice's box keeps a mask from shrinking from slice to slice, the mask keeps it from changing to something
    else; answers are judged and vote as in a 3D box (`PromptEnsemble`, `fuse`). No mask reaches far beyond its
    neighbour.

    Where the run may stop, one slice that is not accepted does not end it: the next ones are tried from the last
    accepted mask, and when the object resumes on one of them the slice belongs to it. Their answers are kept, so
    nothing is asked twice.
    """

    def __init__(
        self,
        slices: SliceSource,
        sweep: Sweep,
        appearance: Appearance,
        key_box: PixelBox,
        qualities: Sequence[float],
        *,
        view: SliceView = PLAIN_VIEW,
    ) -> None:
        """`key_box` x0, y0, x1, y1 on the key slice; `qualities` of its answer, none where the user painted it.

        `view` of the key slice is what the network is shown; its crop moves along.
        """
        self._slices = slices
        self._view = view
        self._sweep = sweep
        self._appearance = appearance
        self._key_box = key_box
        self._termination = TerminationRule(sweep.stop or StopRule(), qualities, int(sweep.key_mask.sum()))
        self._key_contrast = _contrast(slices.pixels(sweep.key_index), sweep.key_mask)
        self._last_accepted = sweep.previous
        self._known: dict[int, SliceEvidence] = {}

    def step(self, index: int) -> SliceEvidence | None:
        """Return what slice `index` shows; None, and the sweep stopped, where the object has ended before it."""
        sweep = self._sweep
        if sweep.previous is not self._last_accepted:
            # The slice before is new; an empty one, which clicks can make, tells nothing about the next.
            self._last_accepted = sweep.previous if sweep.previous.any() else sweep.key_mask
            self._known.clear()
        found, before = self._evidence(index), int(self._last_accepted.sum())
        ended = sweep.stop is not None and self._termination.has_collapsed(found)
        if self._termination.continues(found, before) and not ended:
            self._termination.record(found)
            sweep.previous = found.mask
            return found
        if sweep.stop is None or any(
            self._termination.resumes(self._evidence(later), before) for later in self._lookahead(index)
        ):
            return found
        sweep.stopped = True
        return found if self._termination.fades_out(found, before) else None

    def _lookahead(self, index: int) -> range:
        place = self._sweep.indices.index(index) + 1
        return self._sweep.indices[place : place + LOOKAHEAD_SLICES]

    def _evidence(self, index: int) -> SliceEvidence:
        if index not in self._known:
            self._known[index] = self._evaluate(index)
        return self._known[index]

    def _evaluate(self, index: int) -> SliceEvidence:
        previous = self._last_accepted
        neighbour = mask_box(previous)
        assert neighbour is not None, "an accepted mask is not empty"
        rows, columns = previous.shape
        whole = (0, 0, columns - 1, rows - 1)
        bounds = search_bounds(neighbour, whole)
        crop = None if self._view.crop is None else following_crop(self._view.crop, bounds, (rows, columns))
        slices = self._slices.seen(replace(self._view, crop=crop))
        longer_side = slices.longer_side
        ensemble = PromptEnsemble(slices, index, bounds, self._appearance)
        handed_over = widen_box(neighbour, HANDOVER_MARGIN * longer_side, whole)
        assert handed_over is not None
        ensemble.add(handed_over)
        ensemble.add(handed_over, previous)
        as_drawn = widen_box(self._key_box, 0, ensemble.bounds)
        if as_drawn is not None and _has_area(as_drawn) and sides_differ(as_drawn, handed_over, SAME_BOX * longer_side):
            ensemble.add(as_drawn)
        mask, confidence = fuse(ensemble.candidates, ensemble.shape)
        return SliceEvidence(
            mask,
            confidence,
            quality=ensemble.best_quality,
            predicted_iou=max((candidate.predicted_iou for candidate in ensemble.candidates), default=0.0),
            likeness=self._appearance.likeness(ensemble.pixels, mask) if mask.any() else 0.0,
            dice=mask_dice(mask, previous),
            contrast=_contrast(ensemble.pixels, mask) / self._key_contrast if self._key_contrast else 1.0,
        )


def search_bounds(neighbour: PixelBox, whole: PixelBox) -> PixelBox:
    """Return the bounds that a mask may fill next to one with the bounds `neighbour`, on a slice with the bounds
    `whole`."""
    longer_side = max(whole[2], whole[3]) + 1
    across = max(MINIMUM_GROWTH * longer_side, GROWTH_SHARE * (neighbour[2] - neighbour[0]))
    down = max(MINIMUM_GROWTH * longer_side, GROWTH_SHARE * (neighbour[3] - neighbour[1]))
    return (
        max(whole[0], math.floor(neighbour[0] - across)),
        max(whole[1], math.floor(neighbour[1] - down)),
        min(whole[2], math.ceil(neighbour[2] + across)),
        min(whole[3], math.ceil(neighbour[3] + down)),
    )


def _contrast(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    """Return the contrast at the edge of a mask (rows, columns), 0 where it is empty."""
    bounds = mask_box(mask)
    if bounds is None:
        return 0.0
    near = pixels_of(bounds, EDGE)
    return edge_contrast(pixels[near], mask[near])


def _has_area(box: BoxXYXY) -> bool:
    return box[0] < box[2] and box[1] < box[3]
