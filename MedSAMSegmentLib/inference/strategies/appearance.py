"""Appearance of an object, learnt from the key slice: how alike other masks are, and which of their parts are not.

Grey values of the windowed slices in 16 bins. The key slice gives two distributions: inside its mask, and around it
within the user's box. Nothing else is learnt, so it needs no training data and works for any window.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 16
FLOOR = 1e-3
"""Count of a bin that nothing fell into: keeps logarithms finite."""

FOREIGN_RATIO = 1.0
"""Grey values this much likelier around the key mask than in it (natural logarithm) do not belong to the object."""

FOREIGN_SIDE = 5
"""Only regions that hold a square of so many pixels are removed: partial volume at the rim looks foreign, too."""

RIM = 3
"""Pixels around the box that count as surroundings as well."""

MINIMUM_SURROUNDINGS = 20

EDGE = 3
"""Width in pixels of the band outside a mask whose grey values are compared with those in it."""


class Appearance:
    """Grey values of the object on its key slice and of what surrounds it."""

    def __init__(self, pixels: NDArray[np.uint8], mask: NDArray[np.bool_], box: tuple[int, int, int, int]) -> None:
        """`pixels` (rows, columns[, 3]) with the key `mask` (rows, columns), not empty, and the box x0, y0, x1, y1."""
        levels = grey_levels(pixels)
        self.inside = distribution(levels[mask])
        x0, y0, x1, y1 = box
        around = np.zeros_like(mask)
        around[max(0, y0 - RIM) : y1 + RIM + 1, max(0, x0 - RIM) : x1 + RIM + 1] = True
        around &= ~mask
        self.foreign = np.zeros(BINS, dtype=bool)
        if around.sum() >= MINIMUM_SURROUNDINGS:
            ratio = np.log(distribution(levels[around]) / self.inside)
            self.foreign = ratio >= FOREIGN_RATIO

    def likeness(self, pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
        """Return the Bhattacharyya coefficient, 0..1, between the grey values under `mask`, not empty, and the
        object's."""
        return float(np.sqrt(self.inside * distribution(grey_levels(pixels)[mask])).sum())

    def without_foreign(self, pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the mask without its regions that look like the surroundings, such as the liver in the box of a
        lung."""
        from scipy import ndimage

        foreign = mask & self.foreign[grey_levels(pixels)]
        if not foreign.any():
            return mask
        square = np.ones((FOREIGN_SIDE, FOREIGN_SIDE), dtype=bool)
        return mask & ~ndimage.binary_opening(foreign, square)


def edge_contrast(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    """Measure how much the grey values under `mask`, not empty, differ from those just outside it, 0..1.

    An outline that is right lies where the grey values change. 0 where nothing lies outside.
    """
    from scipy import ndimage

    around = ndimage.binary_dilation(mask, iterations=EDGE) & ~mask
    if not around.any():
        return 0.0
    levels = grey_levels(pixels)
    return 1.0 - float(np.sqrt(distribution(levels[mask]) * distribution(levels[around])).sum())


def grey_levels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the bin of each pixel; colours by their mean."""
    grey = pixels if pixels.ndim == 2 else pixels.mean(axis=-1).astype(np.uint8)
    return grey // (256 // BINS)


def distribution(levels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the relative frequency of each bin, smoothed over its neighbours by 1-2-1; never zero."""
    counts = np.bincount(levels, minlength=BINS).astype(np.float64) + FLOOR
    smooth = np.convolve(np.pad(counts, 1, mode="edge"), [0.25, 0.5, 0.25], "valid")
    return smooth / smooth.sum()
