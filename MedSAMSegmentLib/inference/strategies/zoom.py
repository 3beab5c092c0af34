"""The part of a slice around a small object, shown to the network in place of all of it.

The networks see a slice as 64 x 64 cells, whatever its size. What fills but a few of them is missed, or taken for a
larger neighbour: the lung for a rib. Nearer by it is found; but what tells other objects apart is then out of sight.
So the key slice is tried both ways, and the answers decide (`looks_better`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..embedding_cache import Crop
from .base import SliceSource
from .candidates import Candidate

WholeBox = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels of the slice, inclusive."""

VIEW = 4.0
"""Least side of the part that is shown, in terms of the longer side of the object's box."""

LEAST_SIDE = 64
"""Pixels: a smaller part is only blurred by enlarging it."""

LARGEST_SHARE = 0.5
"""Of the longer side of a slice: a larger part would show little more than the whole."""

GROWTH = 13 / 12
"""From one possible side to the next: boxes that differ little share an embedding."""

ROOM = 2.0
"""A part that follows an object grows with it: its side is at least so many times what the object may fill."""

STEPS = 8
"""The part moves by so many steps for its side, for the same reason."""


def closer_part(box: WholeBox, shape: tuple[int, int]) -> Crop | None:
    """What to show for a box on a slice of `shape` rows and columns; None where the whole slice will do."""
    return _part(box, max(VIEW * _longer(box), LEAST_SIDE), shape)


def following_part(part: Crop, box: WholeBox, shape: tuple[int, int]) -> Crop | None:
    """`part` moved along with an object that now may fill `box`; None where the whole slice will do."""
    return _part(box, max(_longer(part), ROOM * _longer(box)), shape)


def _part(box: WholeBox, least: float, shape: tuple[int, int]) -> Crop | None:
    """A square of at least that side about the box, as far as the slice reaches."""
    side = _next_side(least)
    if least > LARGEST_SHARE * max(shape):
        return None
    (x0, x1), (y0, y1) = _span(box[0], box[2], side, shape[1]), _span(box[1], box[3], side, shape[0])
    return (x0, y0, x1, y1)


def _next_side(least: float) -> int:
    """The smallest of the possible sides that is not below `least`."""
    step = math.floor(math.log(least, GROWTH))
    return next(side for side in (math.ceil(GROWTH ** (step + more)) for more in range(3)) if side >= least)


def _longer(box: WholeBox) -> int:
    """Its longer side in pixels."""
    return max(box[2] - box[0], box[3] - box[1]) + 1


def holds(part: Crop, box: WholeBox) -> bool:
    """Whether the box lies within the part."""
    return part[0] <= box[0] and part[1] <= box[1] and box[2] <= part[2] and box[3] <= part[3]


def seen(slices: SliceSource, part: Crop | None) -> SliceSource:
    """The slices as the network sees them: a part alone, or with None all of them."""
    return slices if part is None else slices.closer(part)


def looks_better(closer: Sequence[Candidate], whole: Sequence[Candidate]) -> bool:
    """Whether of the answers to the same prompts the best is nearer by, in quality or by the network's own word.

    Either is enough: what is too small for the whole slice fails in one of the two.
    """

    def best(answers: Sequence[Candidate]) -> tuple[float, float]:
        return (
            max((candidate.quality for candidate in answers), default=0.0),
            max((candidate.predicted_iou for candidate in answers), default=0.0),
        )

    return any(near > far for near, far in zip(best(closer), best(whole), strict=True))


def _span(low: int, high: int, side: int, count: int) -> tuple[int, int]:
    """First and last pixel, inclusive, of a part of `side` pixels of `count`, about the middle of low .. high."""
    side, step = min(side, count), max(1, side // STEPS)
    first = round(((low + high + 1) / 2 - side / 2) / step) * step
    first = max(0, min(first, count - side))
    return first, first + side - 1
