"""Overlap and surface metrics of two masks (z,y,x) on one grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .surface import area_table, cell_codes


def dice(a: NDArray, b: NDArray) -> float:
    """Return the Dice coefficient 2|A and B| / (|A| + |B|) in 0..1; 1 when both are empty."""
    first, second = _same_grid(a, b)
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return float(2.0 * np.count_nonzero(first & second) / total) if total else 1.0


def normalized_surface_dice(
    a: NDArray,
    b: NDArray,
    spacing_zyx: tuple[float, float, float],
    tolerance_mm: float = 2.0,
    *,
    published_areas: bool = False,
) -> float:
    """Return the share of both surfaces that lies within `tolerance_mm` of the other, 0..1; 1 when both masks are
    empty.

    Surface distance of Nikolov et al. (arXiv:1809.04430). `spacing_zyx` in the order of the array's axes: the
    challenge's own script gives x,y,z here, which is too kind to thick slices. With `published_areas` a surface
    element weighs what it does in the challenges' evaluators.
    """
    first, second = _same_grid(a, b)
    if not first.any() or not second.any():
        return float(first.any() == second.any())
    areas = area_table(spacing_zyx, published=published_areas)
    (there, area_there), (back, area_back) = _surface_distances(first, second, spacing_zyx, areas)
    close = area_there[there <= tolerance_mm].sum() + area_back[back <= tolerance_mm].sum()
    return float(close / (area_there.sum() + area_back.sum()))


def robust_hausdorff(a: NDArray, b: NDArray, spacing_zyx: tuple[float, float, float], percent: float = 95.0) -> float:
    """Return the distance in mm that `percent` of each surface's area keeps to the other; the larger of the two
    directions.

    0 when both masks are empty, infinite when one is.
    """
    first, second = _same_grid(a, b)
    if not first.any() or not second.any():
        return 0.0 if first.any() == second.any() else float("inf")
    pairs = _surface_distances(first, second, spacing_zyx, area_table(spacing_zyx))
    return max(_weighted_percentile(distances, areas, percent) for distances, areas in pairs)


def _weighted_percentile(values: NDArray, weights: NDArray, percent: float) -> float:
    order = np.argsort(values)
    share = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(share, percent / 100.0)), len(values) - 1)])


def _surface_distances(
    a: NDArray[np.bool_],
    b: NDArray[np.bool_],
    spacing_zyx: tuple[float, float, float],
    areas: NDArray[np.float64],
) -> tuple[tuple[NDArray, NDArray], tuple[NDArray, NDArray]]:
    """Return the distances in mm from a's surface elements to b's and their areas in mm2, then the same from b to a.

    `areas` is what a cell of each code weighs.
    """
    from scipy.ndimage import distance_transform_edt

    a, b = _cropped(a, b)
    codes_a, codes_b = cell_codes(a), cell_codes(b)
    surface_a, surface_b = (areas[codes] > 0 for codes in (codes_a, codes_b))
    to_a, to_b = (distance_transform_edt(~surface, sampling=spacing_zyx) for surface in (surface_a, surface_b))
    return (to_b[surface_a], areas[codes_a[surface_a]]), (to_a[surface_b], areas[codes_b[surface_b]])


def _cropped(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return both masks within the smallest box that holds them."""
    either = a | b
    window = []
    for axis in range(either.ndim):
        others = tuple(n for n in range(either.ndim) if n != axis)
        inside = np.flatnonzero(either.any(axis=others))
        window.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return a[tuple(window)], b[tuple(window)]


def _same_grid(a: NDArray, b: NDArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    first, second = np.asarray(a) != 0, np.asarray(b) != 0
    if first.shape != second.shape:
        raise UsageError(f"The masks have the shapes {first.shape} and {second.shape}.", "Compare masks on one grid.")
    return first, second
