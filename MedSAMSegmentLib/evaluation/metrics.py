"""Overlap and surface metrics of two masks (z,y,x) on one grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError


def dice(a: NDArray, b: NDArray) -> float:
    """Dice coefficient 2|A and B| / (|A| + |B|) in 0..1; 1 when both are empty."""
    first, second = _same_grid(a, b)
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return 2.0 * np.count_nonzero(first & second) / total if total else 1.0


def _same_grid(a: NDArray, b: NDArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    first, second = np.asarray(a) != 0, np.asarray(b) != 0
    if first.shape != second.shape:
        raise UsageError(f"The masks have the shapes {first.shape} and {second.shape}.", "Compare masks on one grid.")
    return first, second
