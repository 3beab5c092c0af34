"""A box on a key slice: asked in several views, all of whose answers vote.

The networks were trained on bright objects in dark surroundings more than on the contrary: of a lung in a box they
outline the wall around it, and find the lung at once where black is white. What fills but a few of their 64 x 64 cells
they miss, and find it zoomed in. Which view shows an object best is told on its key slice, by the answers themselves,
and kept for all of its slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..embedding_cache import PLAIN_VIEW, Crop, SliceView
from ..plan import ObjectPlan, PixelBox
from .base import SliceSource
from .candidates import Candidate, ellipse_mask, fuse, mask_dice
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


def key_crop(slices: SliceSource, box: PixelBox, shape: tuple[int, int]) -> Crop | None:
    """Return the crop to show of a key slice (rows, columns) for a box; None where the whole slice will do."""
    crop = zoom_crop(box, shape)
    return None if crop is None else slices.key_crop(crop)


_Answer: TypeAlias = tuple[Candidate, SliceView]


class KeySlice:
    """A box (inclusive pixels) on a key slice, asked in one view after the other.

    The views are all of the slice, zoomed in around a small box, and the last of these inverted, but for colours; with
    `plainly` the first alone. `power` is that of the spanned share. Where the object is `painted` on this slice (rows,
    columns), the answers count by how well they agree with it.
    """

    def __init__(
        self,
        slices: SliceSource,
        index: int,
        box: PixelBox,
        power: float,
        painted: NDArray[np.bool_] | None = None,
        *,
        plainly: bool = False,
    ) -> None:
        pixels = slices.pixels(index)
        self._shape = (pixels.shape[0], pixels.shape[1])
        self._prompt = lambda view: _prompt(slices, index, box, view, power=power, painted=painted)
        self._clean = slices.without_speckle
        self._found: list[_Answer] = []
        crop = None if plainly else key_crop(slices, box, self._shape)
        self._waiting = [PLAIN_VIEW]
        if not plainly:
            self._waiting += [] if crop is None else [SliceView(crop)]
            self._waiting += [SliceView(crop, inverted=True)] if pixels.ndim == 2 else []

    def first_look(self) -> KeyAnswer | None:
        """Return what the slice as it is says alone, before the other views are asked; None where there are none."""
        if len(self._waiting) < 2 or self._found:
            return None
        self._found += self._prompt(self._waiting.pop(0))
        return self._vote(self._found)

    def readings(self) -> list[KeyAnswer]:
        """Return one or two readings of the box, from all views.

        All answers vote for the first reading. Those that tell of something else vote for a second one, where they are
        good enough.
        """
        while self._waiting:
            self._found += self._prompt(self._waiting.pop(0))
        first = self._vote(self._found)
        others = [
            (c, view) for c, view in self._found if first.mask.any() and mask_dice(c.mask, first.mask) < OTHER_DICE
        ]
        second = self._vote(others)
        return [first, second] if second.quality >= OTHER_SHARE * first.quality and second.mask.any() else [first]

    def _vote(self, found: Sequence[_Answer]) -> KeyAnswer:
        mask, confidence = fuse([candidate for candidate, _ in found], self._shape)
        quality, view = _best(found)
        return KeyAnswer(self._clean(mask), confidence, view, quality)


def _prompt(
    slices: SliceSource, index: int, box: PixelBox, view: SliceView, *, power: float, painted: NDArray[np.bool_] | None
) -> list[_Answer]:
    """Prompt a slice in a view with the box, alone and with the ellipse in it as a mask.

    The object may be the darker or the brighter part of the box.
    """
    ensemble = PromptEnsemble(slices.seen(view), index, box, span_power=power)
    ensemble.add(box)
    ensemble.add(box, ellipse_mask(box, ensemble.shape))
    factor = INVERTED_FACTOR if view.inverted else 1.0
    agreements = [1.0 if painted is None else mask_dice(c.mask, painted) for c in ensemble.candidates]
    return [
        (replace(candidate, quality=candidate.quality * factor * agreement), view)
        for candidate, agreement in zip(ensemble.candidates, agreements, strict=True)
    ]


def _best(found: Sequence[_Answer]) -> tuple[float, SliceView]:
    """Return the best quality and its view, the first of equals; 0 and the plain view without answers."""
    return max(((c.quality, view) for c, view in found), key=lambda best: best[0], default=(0.0, PLAIN_VIEW))


def span_power(plan: ObjectPlan) -> float:
    """Return how much it counts that a key slice's answer spans its box: less for a 3D box, wide on most slices."""
    return DRAWN_SPAN_POWER if plan.box is None else SOLID_SPAN_POWER
