"""Closed contours of a mask on one slice; holes are joined to what surrounds them by keyholes.

A contour runs half-way between the centres of the pixels inside and outside it. Whoever fills it by pixel centres gets
the mask again, pixel for pixel; no two contours touch. Pixels that meet at a corner alone are parts of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_TOP, _RIGHT, _BOTTOM, _LEFT = range(4)
_MIDDLES = np.array([(0, -1), (1, 0), (0, 1), (-1, 0)])
"""From a pixel's centre to the middle of each of its sides, x and y in half pixels."""


def closed_contours(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Return the contours (n,2) of a mask (rows, columns): x, y in pixels, centres at whole numbers, the last point
    not repeated.

    A hole is reached and left by the same straight line, the keyhole, which runs along pixel centres inside the mask.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return []
    border = _Border.of(np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1))
    outer, holes = border.loops()
    for hole in holes:
        border.join(hole)
    corner = np.array([columns[0] - 1, rows[0] - 1])
    return [_without_points_on_lines(border.along(start)) / 2 + corner for start in outer]


@dataclass(eq=False)
class _Border:
    """The sides of pixels between inside and outside: `keys` (n,), sorted, number side and pixel; `points` (n,2) are
    their middles in half pixels; `after` and `before` link each to its neighbours clockwise around the inside."""

    inside: NDArray[np.bool_]
    width: int
    keys: NDArray[np.int64]
    points: list[tuple[int, int]]
    after: list[int]
    before: list[int]

    @classmethod
    def of(cls, padded: NDArray[np.bool_]) -> _Border:
        """Return the border of a mask (rows, columns) that is False around."""
        inside, width = padded.ravel(), padded.shape[1]
        ahead = (1, width, -1, -width)
        pixels = np.flatnonzero(inside)
        found = [pixels[~inside[pixels + ahead[side - 1]]] for side in range(4)]
        keys = np.concatenate([side * inside.size + found[side] for side in range(4)])
        following = np.concatenate([_next_keys(inside, found[side], side, ahead) for side in range(4)])
        after = np.searchsorted(keys, following)
        before = np.empty_like(after)
        before[after] = np.arange(len(after))
        sides, places = np.divmod(keys, inside.size)
        middles = 2 * np.stack([places % width, places // width], axis=1) + _MIDDLES[sides]
        points = [(int(x), int(y)) for x, y in middles]
        return cls(inside, width, keys, points, after.tolist(), before.tolist())

    def loops(self) -> tuple[list[int], list[int]]:
        """Return one side of every outer contour, and of every hole its leftmost, of a pixel on the hole's left."""
        seen = [False] * len(self.keys)
        outer, holes = [], []
        first_right, first_bottom = np.searchsorted(self.keys, [side * self.inside.size for side in (_RIGHT, _BOTTOM)])
        for start in range(len(seen)):
            if seen[start]:
                continue
            area, leftmost, here = 0, -1, start
            while not seen[here]:
                seen[here] = True
                (x, y), (next_x, next_y) = self.points[here], self.points[self.after[here]]
                area += x * next_y - next_x * y
                if first_right <= here < first_bottom and (leftmost < 0 or x < self.points[leftmost][0]):
                    leftmost = here
                here = self.after[here]
            if area > 0:
                outer.append(start)
            else:
                holes.append(leftmost)
        return outer, holes

    def join(self, hole: int) -> None:
        """Join a hole, by its leftmost side, to the contour that the row meets first on the left."""
        pixel = int(self.keys[hole]) - _RIGHT * self.inside.size
        while self.inside[pixel - 1]:
            pixel -= 1
        there = int(np.searchsorted(self.keys, _LEFT * self.inside.size + pixel))
        beyond, last = self.after[there], self.before[hole]
        # The ends of the keyhole are passed twice, so that both are there twice.
        back_at_hole, back_there = len(self.points), len(self.points) + 1
        self.points += [self.points[hole], self.points[there]]
        self.after += [back_there, beyond]
        self.before += [last, back_at_hole]
        self.after[there], self.before[hole] = hole, there
        self.after[last], self.before[beyond] = back_at_hole, back_there

    def along(self, start: int) -> NDArray[np.int64]:
        """Return the points (n,2) from a side on until it comes again."""
        points, here = [self.points[start]], self.after[start]
        while here != start:
            points.append(self.points[here])
            here = self.after[here]
        return np.array(points)


def _next_keys(
    inside: NDArray[np.bool_], pixels: NDArray[np.int64], side: int, ahead: tuple[int, ...]
) -> NDArray[np.int64]:
    """Return the keys of the sides that follow those of `pixels`: of the same pixel, the one ahead, or the one beside
    that."""
    step, outward = ahead[side], ahead[side - 1]
    turn = ~inside[pixels + step]
    straight = ~inside[pixels + step + outward]
    size = inside.size
    back = (side - 1) % 4 * size + pixels + step + outward
    return np.where(turn, (side + 1) % 4 * size + pixels, np.where(straight, side * size + pixels + step, back))


def _without_points_on_lines(points: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the points (n,2) where the direction changes."""
    came, goes = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns = came[:, 0] * goes[:, 1] != came[:, 1] * goes[:, 0]
    return points[turns | ((came * goes).sum(axis=1) < 0)]
