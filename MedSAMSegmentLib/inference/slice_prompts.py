"""Prompts of one object on one slice, as a predictor takes them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import PromptError

BoxXYXY = tuple[float, float, float, float]
"""x0, y0, x1, y1; the maxima are inclusive."""


@dataclass(frozen=True, eq=False)
class SlicePrompts:
    """One object's prompts in pixels of the slice, x, y, where a pixel's centre is a whole number.

    `points_xy` (n,2) with `labels` (n,), 1 inside the object and 0 outside; `mask_logits` (h,w) are the
    `low_res_logits` of an earlier prediction. `network_box` is a box that is already in network pixels, where a
    handover rounds on the network's own grid; it replaces `box_xyxy`. `within` is a box that the answer is cut to
    anyhow: a network may leave the rest of the slice out, and the stability is that of the answer within.
    Raises `PromptError` when nothing is given or the points and labels do not match.
    """

    box_xyxy: BoxXYXY | None = None
    points_xy: NDArray[np.float64] | None = None
    labels: NDArray[np.int64] | None = None
    mask_logits: NDArray[np.float32] | None = None
    network_box: BoxXYXY | None = None
    within: BoxXYXY | None = None

    def __post_init__(self) -> None:
        if self.points_xy is not None:
            object.__setattr__(self, "points_xy", np.asarray(self.points_xy, dtype=np.float64).reshape(-1, 2))
        if self.labels is not None:
            object.__setattr__(self, "labels", np.asarray(self.labels, dtype=np.int64).reshape(-1))
        points = 0 if self.points_xy is None else len(self.points_xy)
        labels = 0 if self.labels is None else len(self.labels)
        if points != labels:
            raise PromptError(f"There are {points} points, but {labels} labels.", "Give one label a point.")
        if not points and self.box_xyxy is None and self.network_box is None and self.mask_logits is None:
            raise PromptError("There is no prompt on this slice.", "Draw a box or place a point.")

    def moved(self, x: float, y: float) -> SlicePrompts:
        """Return the same prompts in pixels of a slice whose first pixel lies at -x, -y of this one.

        What is in the network's own pixels, `network_box` and `mask_logits`, stays as it is.
        """

        def box(of: BoxXYXY | None) -> BoxXYXY | None:
            return None if of is None else (of[0] + x, of[1] + y, of[2] + x, of[3] + y)

        points = None if self.points_xy is None else self.points_xy + np.array([x, y])
        return replace(self, box_xyxy=box(self.box_xyxy), points_xy=points, within=box(self.within))
