"""Zooming in: the crop of a slice around a small object, shown to the network in place of all of it.

The networks see a slice as 64 x 64 cells, whatever its size. What fills but a few of them is missed, or taken for a
larger neighbour: the lung for a rib. Zoomed in it is found; but what tells other objects apart is then out of sight.
So the key slice is tried both ways, and the answers decide (`key_slice`).
"""

from __future__ import annotations

import math

from ..embedding_cache import Crop
from ..plan import PixelBox

CONTEXT_FACTOR = 4.0
"""Least side of the crop that is shown, in terms of the longer side of the object's box."""

MINIMUM_SIDE = 64
"""Pixels: a smaller crop is only blurred by enlarging it."""

MAXIMUM_SHARE = 0.5
"""Of the longer side of a slice: a larger crop would show little more than the whole."""

SIDE_RATIO = 13 / 12
"""From one possible side to the next: boxes that differ little share an embedding."""

FOLLOWING_FACTOR = 2.0
"""A crop that follows an object grows with it: its side is at least so many times what the object may fill."""

STEPS_PER_SIDE = 8
"""The crop moves by so many steps for its side, for the same reason."""


def zoom_crop(box: PixelBox, shape: tuple[int, int]) -> Crop | None:
    """Return the crop to show for a box on a slice of `shape` rows and columns; None where the whole slice will do."""
    return _square_crop(box, max(CONTEXT_FACTOR * _longer_side(box), MINIMUM_SIDE), shape)


def following_crop(crop: Crop, box: PixelBox, shape: tuple[int, int]) -> Crop | None:
    """Return `crop` moved along with an object that now may fill `box`; None where the whole slice will do."""
    return _square_crop(box, max(_longer_side(crop), FOLLOWING_FACTOR * _longer_side(box)), shape)


def _square_crop(box: PixelBox, least: float, shape: tuple[int, int]) -> Crop | None:
    """Return a square of at least that side about the box, as far as the slice reaches."""
    side = _rounded_side(least)
    if least > MAXIMUM_SHARE * max(shape):
        return None
    (x0, x1), (y0, y1) = _span(box[0], box[2], side, shape[1]), _span(box[1], box[3], side, shape[0])
    return (x0, y0, x1, y1)


def _rounded_side(least: float) -> int:
    """Return the smallest of the possible sides that is not below `least`."""
    step = math.floor(math.log(least, SIDE_RATIO))
    return next(side for side in (math.ceil(SIDE_RATIO ** (step + more)) for more in range(3)) if side >= least)


def _longer_side(box: PixelBox) -> int:
    """Return the longer side in pixels."""
    return max(box[2] - box[0], box[3] - box[1]) + 1


def contains(crop: Crop, box: PixelBox) -> bool:
    """Return whether the box lies within the crop."""
    return crop[0] <= box[0] and crop[1] <= box[1] and box[2] <= crop[2] and box[3] <= crop[3]


def _span(low: int, high: int, side: int, count: int) -> tuple[int, int]:
    """Return the first and last pixel, inclusive, of a crop of `side` pixels of `count`, about the middle of low ..
    high."""
    side, step = min(side, count), max(1, side // STEPS_PER_SIDE)
    first = round(((low + high + 1) / 2 - side / 2) / step) * step
    first = max(0, min(first, count - side))
    return first, first + side - 1
