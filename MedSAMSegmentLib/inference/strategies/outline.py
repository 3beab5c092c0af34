"""The outline of a mask without what does not belong to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SPECKLE_SHARE = 0.2
"""Of the largest part of a slice's mask: smaller parts are speckle."""


def without_speckle(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask (rows, columns) without the parts that are small beside its largest."""
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    return np.asarray((areas >= SPECKLE_SHARE * areas.max())[labels])
