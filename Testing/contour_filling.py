"""Contours filled by the centres of pixels, edge by edge: what a program does that reads an RTSTRUCT."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def filled(contours: Iterable[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """The mask (rows, columns) of closed contours (n,2), x and y in pixels, by the even-odd rule."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    inside = np.zeros(shape, bool)
    for points in contours:
        for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
            if y0 != y1:
                meets = (np.minimum(y0, y1) <= y) & (y < np.maximum(y0, y1))
                inside ^= meets & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return inside
