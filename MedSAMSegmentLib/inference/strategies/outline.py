"""The outline of a mask: how rough it is, and without what does not belong to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SPECKLE_SHARE = 0.2
"""Of the largest part of a slice's mask: smaller parts are speckle."""


def roughness(mask: NDArray[np.bool_]) -> float:
    """Return the pixels that a 3 x 3 opening or closing of a mask (rows, columns) changes, per pixel of its rim.

    0 for smooth outlines and for an empty mask, above 1 for a checkerboard. The rim are the pixels of the mask with a
    neighbour, of four, outside.
    """
    from scipy import ndimage

    if not mask.any():
        return 0.0
    square = np.ones((3, 3), dtype=bool)
    padded = np.pad(mask, 2)
    opened, closed = ndimage.binary_opening(padded, square), ndimage.binary_closing(padded, square)
    rim = padded & ~ndimage.binary_erosion(padded)
    return float(((padded & ~opened) | (closed & ~padded)).sum() / rim.sum())


def without_speckle(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask (rows, columns) without the parts that are small beside its largest."""
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    return np.asarray((areas >= SPECKLE_SHARE * areas.max())[labels])
