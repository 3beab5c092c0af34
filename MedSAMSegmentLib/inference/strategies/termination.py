"""Whether a slice still shows the object, where nobody said on which slice it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .base import StopRule


@dataclass(frozen=True)
class Least:
    """What a slice has to reach: `share` of the object's usual quality, `likeness` of its grey values to the key
    slice's, and `overlap` (Dice) with the last mask that was sure."""

    share: float
    likeness: float
    overlap: float


SURE = Least(share=0.3, likeness=0.65, overlap=0.2)
"""The object goes on here."""

BACK = Least(share=0.5, likeness=0.8, overlap=0.5)
"""The object goes on behind a slice that was not sure: more is asked than of a neighbour."""

FADING = Least(share=0.0, likeness=0.8, overlap=0.3)
"""The last slice of an object that ends in a small cap or in partial volume: faint and smaller, but in its place."""


SMALL = 0.25
"""Of the largest area on the way: two slices in a row that are smaller end the object. Where a spine or a vessel goes
on, nothing else does, and an ellipsoid has about a hundredth of its volume behind the point where it is so thin."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """One slice's vote, a mask (rows, columns), and what speaks for it. All figures are 0..1 but `area`, in pixels.

    `quality` and `predicted_iou` are those of the best candidate (`Trial`); `confidence` that of the vote (`fuse`).
    """

    mask: NDArray[np.bool_]
    confidence: float
    quality: float
    predicted_iou: float
    likeness: float
    overlap: float

    @property
    def area(self) -> int:
        return int(self.mask.sum())

    def reaches(self, least: Least, usual: float) -> bool:
        """`usual`: the object's usual quality."""
        enough = self.quality >= least.share * usual
        return enough and self.likeness >= least.likeness and self.overlap >= least.overlap


class EndJudge:
    """Knows qualities and areas of the slices that were sure, the key slice's first, and tells by them what comes next.

    Qualities depend on the object's contrast, so their own median is the measure. The limits of `stop` hold besides.
    """

    def __init__(self, stop: StopRule, qualities: Sequence[float], key_area: int) -> None:
        self._stop = stop
        self._qualities = list(qualities)
        self._areas = [key_area]

    def is_sure(self, evidence: Evidence, area_before: int) -> bool:
        return self._holds(evidence, area_before, SURE)

    def is_back(self, evidence: Evidence, area_before: int) -> bool:
        return not self._is_small(evidence.area) and self._holds(evidence, area_before, BACK)

    def is_fading(self, evidence: Evidence, area_before: int) -> bool:
        return evidence.area < area_before and self._holds(evidence, area_before, FADING)

    def has_collapsed(self, evidence: Evidence) -> bool:
        """Whether this slice and the last one that was sure are the object's pointed end, or something thin behind."""
        return self._is_small(self._areas[-1]) and self._is_small(evidence.area)

    def remember(self, evidence: Evidence) -> None:
        self._qualities.append(evidence.quality)
        self._areas.append(evidence.area)

    def _is_small(self, area: int) -> bool:
        return area < SMALL * max(self._areas)

    def _holds(self, evidence: Evidence, area_before: int, least: Least) -> bool:
        if self._stop.holds(evidence.area, area_before, evidence.predicted_iou):
            return False
        # After a painted key slice the first slice has nothing to be compared with.
        usual = float(np.median(self._qualities)) if self._qualities else evidence.quality
        return evidence.reaches(least, usual)
