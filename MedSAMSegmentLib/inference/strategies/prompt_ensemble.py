"""Several prompts on one slice, and how good each answer seems."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...measurements import roughness
from ..plan import PixelBox
from ..slice_prompts import BoxXYXY, SlicePrompts
from .appearance import EDGE, Appearance, edge_contrast
from .base import EnsembleSlices
from .candidates import Candidate, inside_box, pixels_of
from .slicewise import mask_box

MASK_PROMPT_LOGIT = 8.0
"""Logit inside a prompted mask, and minus this outside: about as sure as the networks' own answers are."""

CONTRAST_POWER = 0.2
LEAST_CONTRAST = 0.05
"""Below this, contrasts do not tell outlines apart: in an ultrasound image all are low."""

SMOOTHNESS_POWER = 0.5

STABILITY_POWER = 0.25

MINIMUM_FACTOR = 0.01
"""No single doubt makes a quality smaller than this factor does, so that one candidate alone still counts."""


class PromptEnsemble:
    """One slice (rows, columns) that is prompted several times; no answer leaves `bounds`, the 3D box in the plane.

    A quality is the IoU that the network predicts, times powers of the contrast at the mask's edge, of the smoothness
    of its outline and of its stability. Where the object's `appearance` is known the likeness to the key slice's object
    counts, squared. The share of the bounds that the mask spans counts to the power `span_power`: a box is drawn to
    touch what is in it.
    """

    def __init__(
        self,
        slices: EnsembleSlices,
        index: int,
        bounds: PixelBox,
        appearance: Appearance | None = None,
        *,
        span_power: float = 0.0,
    ) -> None:
        self.index = index
        self.pixels = slices.pixels(index)
        self.bounds = bounds
        self.appearance = appearance
        self.span_power = span_power
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
        rough = roughness(inside_box(prediction.mask, self.bounds)[self._near])
        mask = inside_box(self.slices.smoothed_mask(prediction), self.bounds)
        self._add_candidate(mask, prediction.score, prediction.stability, rough)

    def _logits(self, mask: NDArray[np.bool_] | None) -> NDArray[np.float32] | None:
        if mask is None:
            return None
        assert self._plane is not None, "the first answer tells the size of a mask prompt"
        return np.where(self.slices.mask_to_low_res(mask, self._plane), MASK_PROMPT_LOGIT, -MASK_PROMPT_LOGIT).astype(
            np.float32
        )

    def _add_candidate(self, mask: NDArray[np.bool_], predicted_iou: float, stability: float, rough: float) -> None:
        # All that is looked at lies within the bounds or just around them.
        pixels, part = self.pixels[self._near], self.slices.without_speckle(mask[self._near])
        if not part.any():
            return
        iou = float(np.clip(predicted_iou, MINIMUM_FACTOR, 1.0))
        quality = iou * max(edge_contrast(pixels, part), LEAST_CONTRAST) ** CONTRAST_POWER
        quality *= max(1.0 - rough, MINIMUM_FACTOR) ** SMOOTHNESS_POWER * stability**STABILITY_POWER
        quality *= spanned_share(part, self.bounds) ** self.span_power
        if self.appearance is not None:
            quality *= self.appearance.likeness(pixels, part) ** 2
            part = self.appearance.without_foreign(pixels, part)
        if part.any():
            mask[self._near] = part
            self.candidates.append(Candidate(mask, quality, stability, iou))


def spanned_share(mask: NDArray[np.bool_], box: PixelBox) -> float:
    """Return the share of the box's width, or of its height where that is less, that a mask, not empty, spans."""
    found = mask_box(mask)
    assert found is not None, "the mask is not empty"
    across, down = ((found[n + 2] - found[n] + 1) / (box[n + 2] - box[n] + 1) for n in (0, 1))
    return min(1.0, across, down)
