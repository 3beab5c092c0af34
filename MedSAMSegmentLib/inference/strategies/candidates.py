"""Boxes and masks that a slice of a 3D box is tried with, and the vote of the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..plan import PixelBox
from ..slice_prompts import BoxXYXY
from .slicewise import mask_box

HANDOVER_MARGIN = 3 / 256
"""Of the longer side of a slice: the margin of the official handover."""

SAME_BOX = 1 / 256
"""Of the longer side of a slice: boxes that differ less get the same answer."""

SHARPNESS = 4
"""Power of the qualities that gives the votes' weights: a clearly better candidate outvotes two worse ones."""

SMALLEST_SHARE = 0.3
"""The ellipsoid's box never shrinks below this share of the 3D box: objects end bluntly."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One answer: mask (rows, columns), how good it seems all in all, how little it depends on the threshold, and the
    IoU that the network alone predicts for it; all 0..1.
    """

    mask: NDArray[np.bool_]
    quality: float
    stability: float
    predicted_iou: float = 1.0


def ellipsoid_box(box: BoxXYXY, extent: tuple[int, int], index: int) -> BoxXYXY:
    """Return the in-plane bounds, on slice `index`, of the ellipsoid that fills the 3D box `box` x `extent`
    (slices)."""
    centre, half = (extent[0] + extent[1]) / 2, (extent[1] - extent[0] + 1) / 2
    share = max(float(np.sqrt(max(0.0, 1 - ((index - centre) / half) ** 2))), SMALLEST_SHARE)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half_width, half_height = share * (box[2] - box[0]) / 2, share * (box[3] - box[1]) / 2
    return (x - half_width, y - half_height, x + half_width, y + half_height)


def ellipse_mask(box: BoxXYXY, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the ellipse that fills a box, on a slice of `shape` rows and columns."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    half_width, half_height = (box[2] - box[0] + 1) / 2, (box[3] - box[1] + 1) / 2
    across, down = (x - (box[0] + box[2]) / 2) / half_width, (y - (box[1] + box[3]) / 2) / half_height
    return np.asarray(across**2 + down**2 <= 1)


def sides_differ(first: BoxXYXY, second: BoxXYXY, by: float) -> bool:
    """Return whether a side of the first box lies at least `by` pixels away from that of the second."""
    return any(abs(a - b) >= by for a, b in zip(first, second, strict=True))


def widen_box(box: BoxXYXY, margin: float, bounds: BoxXYXY) -> BoxXYXY | None:
    """Return the box with a margin, cut to the bounds; None when they do not meet."""
    x0, y0 = max(box[0] - margin, bounds[0]), max(box[1] - margin, bounds[1])
    x1, y1 = min(box[2] + margin, bounds[2]), min(box[3] + margin, bounds[3])
    return (x0, y0, x1, y1) if x0 <= x1 and y0 <= y1 else None


def inside_box(mask: NDArray[np.bool_], box: PixelBox) -> NDArray[np.bool_]:
    """Return the part of a mask within a box of whole pixels, inclusive."""
    part = pixels_of(box)
    cut = np.zeros_like(mask)
    cut[part] = mask[part]
    return cut


def pixels_of(box: PixelBox, margin: int = 0) -> tuple[slice, slice]:
    """Return the rows and columns of a box of whole pixels, inclusive, with a margin as far as the slice goes."""
    x0, y0, x1, y1 = box
    return slice(max(y0 - margin, 0), y1 + margin + 1), slice(max(x0 - margin, 0), x1 + margin + 1)


def mask_dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return the Dice coefficient of two masks, not both empty."""
    return 2.0 * float((first & second).sum()) / float(first.sum() + second.sum())


def fuse(candidates: Sequence[Candidate], shape: tuple[int, int]) -> tuple[NDArray[np.bool_], float]:
    """Return the vote of the candidates, weighted by `quality ** SHARPNESS`, and the confidence in it, 0..1.

    A pixel belongs to the mask when at least half of the weight says so. The confidence is the best quality, less
    where the candidates disagree with the vote or their masks depend on the threshold. Each has the same say in the
    disagreement: by weight, one that was outvoted would not be heard. It ranks the slices of one object; its level
    depends on the object's contrast.
    """
    weights = np.array([candidate.quality**SHARPNESS for candidate in candidates])
    vote = np.zeros(shape, dtype=bool)
    bounds = mask_box(np.logical_or.reduce([vote, *(candidate.mask for candidate in candidates)]))
    if bounds is None or weights.sum() == 0:
        return vote, 0.0
    weights = weights / weights.sum()
    near = pixels_of(bounds)
    parts = [candidate.mask[near] for candidate in candidates]
    voted = sum(weight * part for weight, part in zip(weights, parts, strict=True)) >= 0.5
    vote[near] = voted
    if not voted.any():
        return vote, 0.0
    agreement = np.mean([mask_dice(part, voted) for part in parts])
    stability = sum(weight * candidate.stability for weight, candidate in zip(weights, candidates, strict=True))
    best = max(candidate.quality for candidate in candidates)
    return vote, float(np.clip((best * agreement * stability) ** (1 / 3), 0.0, 1.0))
