"""Termination: where unbounded propagation ends, told by whether a slice still shows the object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...propagation import StopRule


@dataclass(frozen=True)
class TerminationThresholds:
    """Least `share` of the object's usual quality, `likeness` of grey values to the key slice's, `dice` with the last
    accepted mask, and `contrast` at the edge as a share of that on the key slice."""

    share: float
    likeness: float
    dice: float
    contrast: float


CONTINUE = TerminationThresholds(share=0.3, likeness=0.65, dice=0.2, contrast=0.09)
"""The object continues on this slice."""

RESUME = TerminationThresholds(share=0.5, likeness=0.9, dice=0.5, contrast=0.25)
"""The object resumes behind a slice that was not accepted: more is asked than of a neighbour."""

FADE_OUT = TerminationThresholds(share=0.0, likeness=0.8, dice=0.3, contrast=0.0)
"""The last slice of an object that ends in a small cap or in partial volume: faint and smaller, but in its place."""

COLLAPSED_SHARE = 0.25
"""Of the largest area on the way: two slices in a row that are smaller end the object. Where a spine or a vessel goes
on, nothing else does, and an ellipsoid has about a hundredth of its volume behind the point where it is so thin."""


COLLAPSED_QUALITY = 0.88
"""Of the object's usual quality: what is told so well has not ended, however small it is."""


@dataclass(frozen=True, eq=False)
class SliceEvidence:
    """One slice's vote, a mask (rows, columns), and how well it is supported. All figures are 0..1 but `area`, in
    pixels.

    `quality` and `predicted_iou` are those of the best candidate (`PromptEnsemble`); `confidence` is that of the vote
    (`fuse`). `contrast` at the edge of the vote is a share of that on the key slice, and may be above 1: a quality
    hardly falls where a mask has no edge at all, as on a slice of one grey value.
    """

    mask: NDArray[np.bool_]
    confidence: float
    quality: float
    predicted_iou: float
    likeness: float
    dice: float
    contrast: float

    @property
    def area(self) -> int:
        return int(self.mask.sum())

    def reaches(self, thresholds: TerminationThresholds, usual: float) -> bool:
        """Return whether all thresholds are reached; `usual` is the object's usual quality."""
        enough = self.quality >= thresholds.share * usual
        seen = self.likeness >= thresholds.likeness and self.contrast >= thresholds.contrast
        return enough and seen and self.dice >= thresholds.dice


class TerminationRule:
    """Judges slices by the qualities and areas of the accepted ones, the key slice's first.

    Qualities depend on the object's contrast, so their own median is the measure. The limits of `stop` hold besides.
    """

    def __init__(self, stop: StopRule, qualities: Sequence[float], key_area: int) -> None:
        self._stop = stop
        self._qualities = list(qualities)
        self._areas = [key_area]

    def continues(self, evidence: SliceEvidence, area_before: int) -> bool:
        return self._meets(evidence, area_before, CONTINUE)

    def resumes(self, evidence: SliceEvidence, area_before: int) -> bool:
        return not self._is_small(evidence.area) and self._meets(evidence, area_before, RESUME)

    def fades_out(self, evidence: SliceEvidence, area_before: int) -> bool:
        return evidence.area < area_before and self._meets(evidence, area_before, FADE_OUT)

    def has_collapsed(self, evidence: SliceEvidence) -> bool:
        """Return whether this slice and the last accepted one are the object's pointed end, or something thin behind.

        The tip of a lung is as small, but seen as well as all of it.
        """
        if evidence.quality >= COLLAPSED_QUALITY * self._usual_quality(evidence):
            return False
        return self._is_small(self._areas[-1]) and self._is_small(evidence.area)

    def record(self, evidence: SliceEvidence) -> None:
        self._qualities.append(evidence.quality)
        self._areas.append(evidence.area)

    def _is_small(self, area: int) -> bool:
        return area < COLLAPSED_SHARE * max(self._areas)

    def _meets(self, evidence: SliceEvidence, area_before: int, thresholds: TerminationThresholds) -> bool:
        if self._stop.is_met(evidence.area, area_before, evidence.predicted_iou):
            return False
        return evidence.reaches(thresholds, self._usual_quality(evidence))

    def _usual_quality(self, evidence: SliceEvidence) -> float:
        # After a painted key slice the first slice has nothing to be compared with.
        return float(np.median(self._qualities)) if self._qualities else evidence.quality
