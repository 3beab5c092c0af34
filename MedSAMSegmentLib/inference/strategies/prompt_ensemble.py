"""Several prompts on one slice, and how good each answer seems."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..plan import PixelBox
from ..slice_prompts import BoxXYXY, SlicePrompts
from .appearance import EDGE, Appearance, edge_contrast
from .base import EnsembleSlices
from .candidates import Candidate, inside_box, pixels_of

MASK_PROMPT_LOGIT = 8.0
"""Logit inside a prompted mask, and minus this outside: about as sure as the networks' own answers are."""

MINIMUM_FACTOR = 0.01
"""No single doubt makes a quality smaller than this factor does, so that one candidate alone still counts."""


class PromptEnsemble:
    """One slice (rows, columns) that is prompted several times; no answer leaves `bounds`, the 3D box in the plane.

    A quality is the IoU that the network predicts, times the square root of the contrast at the mask's edge, times
    the square of the likeness to the key slice's object where its `appearance` is known.
    """

    def __init__(
        self,
        slices: EnsembleSlices,
        index: int,
        bounds: PixelBox,
        appearance: Appearance | None = None,
    ) -> None:
        self.index = index
        self.pixels = slices.pixels(index)
        self.bounds = bounds
        self.appearance = appearance
        self.candidates: list[Candidate] = []
        self._near = pixels_of(bounds, EDGE)
        self.slices = slices
        self._plane: tuple[int, int] | None = None

    @property
    def best_quality(self) -> float:
        """0 without an answer."""
        return max((candidate.quality for candidate in self.candidates), default=0.0)

    @property
    def shape(self) -> tuple[int, int]:
        return (self.pixels.shape[0], self.pixels.shape[1])

    def add(self, box: BoxXYXY, mask: NDArray[np.bool_] | None = None) -> None:
        """Add the answer to a box, or to a box with a mask (rows, columns); the first time it is a box alone."""
        prompts = SlicePrompts(box_xyxy=box, mask_logits=self._logits(mask), within=self.bounds)
        prediction = self.slices.predict(self.index, prompts)
        rows, columns = prediction.low_res_logits.shape
        self._plane = (rows, columns)
        self._add_candidate(inside_box(prediction.mask, self.bounds), prediction.score, prediction.stability)

    def _logits(self, mask: NDArray[np.bool_] | None) -> NDArray[np.float32] | None:
        if mask is None:
            return None
        assert self._plane is not None, "the first answer tells the size of a mask prompt"
        return np.where(self.slices.mask_to_low_res(mask, self._plane), MASK_PROMPT_LOGIT, -MASK_PROMPT_LOGIT).astype(
            np.float32
        )

    def _add_candidate(self, mask: NDArray[np.bool_], predicted_iou: float, stability: float) -> None:
        # All that is looked at lies within the bounds or just around them.
        pixels, part = self.pixels[self._near], mask[self._near]
        if not part.any():
            return
        iou = float(np.clip(predicted_iou, MINIMUM_FACTOR, 1.0))
        quality = iou * max(edge_contrast(pixels, part), MINIMUM_FACTOR) ** 0.5
        if self.appearance is not None:
            quality *= self.appearance.likeness(pixels, part) ** 2
            mask[self._near] = part = self.appearance.without_foreign(pixels, part)
        if part.any():
            self.candidates.append(Candidate(mask, quality, stability, iou))
