"""A box on a key slice: asked in several views, all of whose answers vote.

The networks were trained on bright objects in dark surroundings more than on the contrary: of a lung in a box they
outline the wall around it, and find the lung at once where black is white. What fills but a few of their 64 x 64 cells
they miss, and find it zoomed in. Which view shows an object best is told on its key slice, by the answers themselves,
and kept for all of its slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..embedding_cache import PLAIN_VIEW, SliceView
from ..plan import ObjectPlan, PixelBox
from .base import SliceSource
from .candidates import Candidate, ellipse_mask, fuse, mask_dice
from .outline import without_speckle
from .prompt_ensemble import PromptEnsemble
from .zoom import zoom_crop

INVERTED_FACTOR = 0.92
"""Of a quality: where both readings are as good, the image as it is has the answer."""

DRAWN_SPAN_POWER = 1.0
SOLID_SPAN_POWER = 0.5
"""Powers of the spanned share in a quality (`PromptEnsemble`), for a box on a slice and for a 3D box."""

OTHER_DICE = 0.5
"""Answers that agree less with the vote tell of something else."""

OTHER_SHARE = 0.7
"""Of the best quality: less makes no second reading."""


@dataclass(frozen=True, eq=False)
class KeyAnswer:
    """The mask (rows, columns) of a key slice, the confidence in it, and the view and quality of the best answer."""

    mask: NDArray[np.bool_]
    confidence: float
    view: SliceView
    quality: float


def views_of(pixels: NDArray[np.uint8], box: PixelBox) -> list[SliceView]:
    """Return the views to try for a box on a slice (rows, columns[, 3]), the plain one first.

    A small box is tried zoomed in as well, and a grey slice inverted as well.
    """
    crop = zoom_crop(box, (pixels.shape[0], pixels.shape[1]))
    crops = [None] if crop is None else [None, crop]
    readings = [False, True] if pixels.ndim == 2 else [False]
    return [SliceView(crop, inverted) for inverted in readings for crop in crops]


def answer_key_slice(
    slices: SliceSource, index: int, box: PixelBox, views: Sequence[SliceView], power: float
) -> list[KeyAnswer]:
    """Prompt a key slice in each view with its box, alone and with the ellipse in it as a mask; return its readings.

    All answers vote for the first. Those that tell of something else vote for a second one, where they are good enough:
    the object may be the darker or the brighter part of the box. `power` is that of the spanned share.
    """
    candidates: list[tuple[Candidate, SliceView]] = []
    for view in views:
        ensemble = PromptEnsemble(slices.seen(view), index, box, span_power=power)
        ensemble.add(box)
        ensemble.add(box, ellipse_mask(box, ensemble.shape))
        for candidate in ensemble.candidates:
            quality = candidate.quality * (INVERTED_FACTOR if view.inverted else 1.0)
            candidates.append((replace(candidate, quality=quality), view))
    rows, columns = slices.pixels(index).shape[:2]
    first = _vote(candidates, (rows, columns))
    others = [(c, view) for c, view in candidates if first.mask.any() and mask_dice(c.mask, first.mask) < OTHER_DICE]
    second = _vote(others, (rows, columns))
    return [first, second] if second.quality >= OTHER_SHARE * first.quality and second.mask.any() else [first]


def _vote(candidates: Sequence[tuple[Candidate, SliceView]], shape: tuple[int, int]) -> KeyAnswer:
    mask, confidence = fuse([candidate for candidate, _ in candidates], shape)
    quality, view = max(
        ((c.quality, view) for c, view in candidates), key=lambda found: found[0], default=(0.0, PLAIN_VIEW)
    )
    return KeyAnswer(without_speckle(mask), confidence, view, quality)


def span_power(plan: ObjectPlan) -> float:
    """Return how much it counts that a key slice's answer spans its box: less for a 3D box, wide on most slices."""
    solid = plan.box is not None and plan.last > plan.first
    return SOLID_SPAN_POWER if solid else DRAWN_SPAN_POWER
