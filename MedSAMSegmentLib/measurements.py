"""Measurements of a segment: volume in mL, and the two diameters of RECIST 1.1 in mm.

RECIST 1.1 (Eisenhauer et al., Eur J Cancer 2009; 45:228): the longest diameter in the plane of acquisition, and the
longest diameter perpendicular to it in the same plane. The outline runs half-way between a voxel that is set and one
that is not, so one voxel is as wide as its spacing; diameters are those of the outline's convex hull.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .geometry import IN_PLANE_AXES, VolumeGeometry, axis_from_name

Point3 = tuple[float, float, float]


@dataclass(frozen=True)
class Diameter:
    """A straight line on one slice: its length and its ends as continuous voxel indices i,j,k."""

    millimetres: float
    start_ijk: Point3
    end_ijk: Point3


@dataclass(frozen=True)
class Measurement:
    """Voxels and volume of a mask, and its RECIST diameters on slice `index` across `axis` (array axis of z,y,x).

    `index`, `longest` and `perpendicular` are None for an empty mask.
    """

    voxels: int
    volume_ml: float
    axis: int
    index: int | None = None
    longest: Diameter | None = None
    perpendicular: Diameter | None = None


def measure(mask_zyx: NDArray, geometry: VolumeGeometry, axis: int | str = 0) -> Measurement:
    """Measure a mask (z,y,x). The diameters are the longest over all slices across `axis`."""
    mask = np.asarray(mask_zyx) != 0
    number = axis_from_name(axis)
    voxels = int(np.count_nonzero(mask))
    volume = voxels * geometry.voxel_volume_ml
    if voxels == 0:
        return Measurement(0, 0.0, number)
    index, ends, perpendicular = _longest_over_slices(mask, geometry, number)
    longest_mm, perpendicular_mm = (
        float(np.linalg.norm(_metric(geometry, number) @ (b - a))) for a, b in (ends, perpendicular)
    )
    return Measurement(
        voxels,
        volume,
        number,
        index,
        Diameter(longest_mm, *(_ijk(p, number, index) for p in ends)),
        Diameter(perpendicular_mm, *(_ijk(p, number, index) for p in perpendicular)),
    )


def _longest_over_slices(mask: NDArray[np.bool_], geometry: VolumeGeometry, axis: int) -> tuple[int, NDArray, NDArray]:
    """Return the slice, ends (2,2) of its longest diameter and of the perpendicular one, x,y in pixels."""
    metric = _metric(geometry, axis)
    slices = np.moveaxis(mask, axis, 0)
    outlines = {int(index): _outline(slices[index]) for index in np.flatnonzero(slices.any(axis=(1, 2)))}
    # A slice whose bounding box is smaller than the best diameter cannot beat it: most are never looked at.
    bounds = {index: _bounding_diagonal(points @ metric.T) for index, points in outlines.items()}
    best_length, best_index, best_ends, best_hull = -1.0, 0, np.zeros((2, 2)), np.zeros((1, 2))
    for index in sorted(bounds, key=lambda i: -bounds[i]):
        if bounds[index] <= best_length:
            break
        hull = convex_hull(outlines[index])
        length, ends = _farthest_pair(hull, metric)
        if length > best_length + 1e-9:
            best_length, best_index, best_ends, best_hull = length, index, ends, hull
    return best_index, best_ends, _longest_across(best_hull, best_ends, metric)


def _metric(geometry: VolumeGeometry, axis: int) -> NDArray[np.float64]:
    """Return the 2x2 matrix from x,y in pixels of a slice to mm in its plane; lengths are those of physical space."""
    rows, columns = IN_PLANE_AXES[axis]
    vectors = geometry.ijk_to_lps[:3, [2 - columns, 2 - rows]]
    return np.linalg.qr(vectors)[1]


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the points (n,2) x,y half a pixel outside the first and last pixel of each row: they span the outline's
    hull."""
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - 1 - mask[rows][:, ::-1].argmax(axis=1)
    points: list[tuple[NDArray, NDArray]] = [(first - 0.5, rows), (last + 0.5, rows)]
    points += [(x, rows + half) for x in (first, last) for half in (-0.5, 0.5)]
    return np.concatenate([np.column_stack(pair) for pair in points]).astype(np.float64)


def _bounding_diagonal(points: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(np.ptp(points, axis=0)))


def convex_hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the corners (m,2) of the convex hull of points (n,2), counter-clockwise (Andrew's monotone chain)."""
    ordered = np.unique(points, axis=0).tolist()
    if len(ordered) < 3:
        return np.array(ordered)

    def chain(sequence: list[list[float]]) -> list[list[float]]:
        hull: list[list[float]] = []
        for x, y in sequence:
            while len(hull) > 1 and _turn(hull[-2], hull[-1], x, y) <= 0:
                hull.pop()
            hull.append([x, y])
        return hull[:-1]

    return np.array(chain(ordered) + chain(ordered[::-1]))


def _turn(a: list[float], b: list[float], x: float, y: float) -> float:
    return (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])


def _farthest_pair(hull: NDArray[np.float64], metric: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    physical = hull @ metric.T
    distances = np.linalg.norm(physical[:, np.newaxis] - physical[np.newaxis], axis=-1)
    a, b = np.unravel_index(int(distances.argmax()), distances.shape)
    return float(distances[a, b]), hull[[a, b]]


def _longest_across(
    hull: NDArray[np.float64], ends: NDArray[np.float64], metric: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the ends (2,2), in pixels, of the hull's longest chord at right angles to the line between `ends`.

    Along the line the chord's length is concave and bends only where the hull has a corner: the best is at a corner.
    """
    physical, line = hull @ metric.T, ends @ metric.T
    along = (line[1] - line[0]) / np.linalg.norm(line[1] - line[0])
    across = np.array([-along[1], along[0]])
    t, s = physical @ along, physical @ across
    next_t, next_s = np.roll(t, -1), np.roll(s, -1)
    best, best_ends = -1.0, np.zeros((2, 2))
    for position in t:
        crossing = (np.minimum(t, next_t) <= position) & (position <= np.maximum(t, next_t))
        spans = next_t[crossing] - t[crossing]
        flat = spans == 0
        share = np.where(flat, 0.0, (position - t[crossing]) / np.where(flat, 1.0, spans))
        heights = np.concatenate([s[crossing] + share * (next_s - s)[crossing], next_s[crossing][flat]])
        if np.ptp(heights) > best:
            best = float(np.ptp(heights))
            best_ends = np.array([position * along + height * across for height in (heights.min(), heights.max())])
    return best_ends @ np.linalg.inv(metric).T


def _ijk(point_xy: NDArray[np.float64], axis: int, index: int) -> Point3:
    rows, columns = IN_PLANE_AXES[axis]
    zyx = [float(index)] * 3
    zyx[columns], zyx[rows] = float(point_xy[0]), float(point_xy[1])
    k, j, i = zyx
    return (i, j, k)
