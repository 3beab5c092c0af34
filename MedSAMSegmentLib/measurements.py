"""Measurements of a segment: volume in mL, the two diameters of RECIST 1.1 in mm, and how rough its outline is.

RECIST 1.1 (Eisenhauer et al., Eur J Cancer 2009; 45:228): the longest diameter in the plane of acquisition, and the
longest diameter perpendicular to it in the same plane. The outline runs half-way between a voxel that is set and one
that is not, so one voxel is as wide as its spacing; diameters are those of the outline's convex hull.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .geometry import IN_PLANE_AXES, VolumeGeometry, axis_from_name

Point3 = tuple[float, float, float]

_STEP = np.pi / 16
_DIRECTIONS = np.array([[np.cos(n * _STEP), np.sin(n * _STEP)] for n in range(16)]).T


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
    number = axis_from_name(axis)
    slices = np.moveaxis(np.asarray(mask_zyx) != 0, number, 0)
    painted = [int(index) for index in np.flatnonzero(slices.any(axis=(1, 2)))]
    steps = measure_in_steps(painted, lambda index: slices[index], geometry, number)
    return next(found for found in steps if found is not None)


def roughness(mask: NDArray) -> float:
    """Return the share of the rim that is rough: |opened xor mask| + |closed xor mask|, over the rim's pixels, 0 for an
    empty mask.

    `mask` is a slice (rows, columns), or a volume (z,y,x), slice by slice: the rim is the mask's pixels that have one
    of their four neighbours outside the mask, and what lies beyond the slice is outside. Opening and closing are
    binary, with a full square of 3 x 3; the pixels that the opening takes and the closing adds count against the rim,
    so combs, holes and specks can come to more than 1. A rectangle of at least 3 x 3 has 0.
    """
    from scipy.ndimage import binary_closing, binary_erosion, binary_opening, generate_binary_structure

    held = np.asarray(mask) != 0
    beside = held.ndim - 2
    cross, square = (generate_binary_structure(2, reach).reshape((1,) * beside + (3, 3)) for reach in (1, 2))
    rim = np.count_nonzero(held & ~binary_erosion(held, cross))
    if not rim:
        return 0.0
    # The closing's erosion takes what lies beyond the array for empty: two pixels of margin keep it off the mask.
    padded = np.pad(held, [(0, 0)] * beside + [(2, 2), (2, 2)])
    changed = sum(np.count_nonzero(filtered(padded, square) ^ padded) for filtered in (binary_opening, binary_closing))
    return float(changed / rim)


def measure_in_steps(
    indices: Iterable[int], slice_of: Callable[[int], NDArray[np.bool_]], geometry: VolumeGeometry, axis: int
) -> Iterator[Measurement | None]:
    """Yield None for a slice's work each, and last what `measure` returns.

    `indices` are the slices across `axis` that are not empty, `slice_of` gives the mask (rows, columns) of one.
    """
    metric = _metric(geometry, axis)
    voxels = 0
    outlines: dict[int, NDArray[np.float64]] = {}
    bounds: dict[int, float] = {}
    for index in indices:
        mask = slice_of(index)
        voxels += int(np.count_nonzero(mask))
        outlines[index] = _outline(mask)
        # A slice that cannot be as long as the best diameter is not looked at any further: most are not.
        bounds[index] = _longest_at_most(outlines[index] @ metric.T)
        yield None
    if not outlines:
        yield Measurement(0, 0.0, axis)
        return
    length, at, ends, hull = -1.0, 0, np.zeros((2, 2)), np.zeros((1, 2))
    for index in sorted(bounds, key=lambda i: -bounds[i]):
        if bounds[index] <= length:
            break
        corners = convex_hull(outlines[index])
        longest, pair = _farthest_pair(corners, metric)
        if longest > length + 1e-9:
            length, at, ends, hull = longest, index, pair, corners
        yield None
    lines = (ends, _longest_across(hull, ends, metric))
    longest_line, across = (
        Diameter(float(np.linalg.norm(metric @ (b - a))), _ijk(a, axis, at), _ijk(b, axis, at)) for a, b in lines
    )
    yield Measurement(voxels, voxels * geometry.voxel_volume_ml, axis, at, longest_line, across)


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


def _longest_at_most(points: NDArray[np.float64]) -> float:
    """An upper bound, half a per cent above it at most, of the longest distance between points (n,2).

    In the direction of the longest one, their extent is that distance; the nearest direction looked at is half a step
    away from it.
    """
    extent = float(np.ptp(points @ _DIRECTIONS, axis=0).max())
    return extent / float(np.cos(_STEP / 2)) * (1 + 1e-9)


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
