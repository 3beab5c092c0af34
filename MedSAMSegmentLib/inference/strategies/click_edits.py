"""One click on one slice: the region about it that gets the click's label.

Users click in the middle of an error. So the distance from the click to the nearest pixel that has its label already,
the click's depth, is about the radius of the error there: the disc with that radius is the region's core. Where the
slice shows a part that looks like the click and is set off clearly from all else that could change, the region is that
part; otherwise it stays with the core. No network is asked: those that know boxes alone answer a click at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..plan import PixelBox
from .slicewise import mask_box

CORE_SHARE = 1.4
"""Of the depth: the radius of the core. Nobody clicks on the very middle, and few errors are round."""

WINDOW_DEPTHS = 6.0
"""Half the side of the square about a click in which pixels may change, in terms of the click's depth."""

WINDOW_MARGIN = 12
"""Pixels that are added to it: next to an edge the depth is small, but errors there are long."""

INNER_SHARE = 0.5
"""Of the depth: the radius within which the click's grey value is measured, a median."""

CORE_TOLERANCE = 22.0
"""How much grey values of a core without a part may differ from the click's, of 255."""

SMOOTHING = 1.0
"""Standard deviation in pixels of the Gaussian through which grey values are compared."""

LEVELS = (6.0, 10.0, 15.0, 22.0, 32.0, 45.0)
"""Tolerances that are tried: how much the grey values of a part may differ from the click's, of 255."""

SET_OFF = 1.75
"""A part is set off when the grey values behind its edge differ by at least so many times its tolerance."""

MOST_DISCS = 2.5
"""A part is at most so many times as large as the disc with the depth for its radius. Where it is wider, the user would
have clicked elsewhere; the object itself looks like what is taken away, and is set off as well."""

REACH = 3.0
"""In terms of the radius of a disc as large as the clicked part: it goes on for at most so many slices, as an error is
about as deep as it is wide."""

TAKEN_PART = 0.3
"""Of what the slice shows of an object in a 3D box: a part that is taken away is no more. The object is on all slices
of its box, and looks like what is taken away from it."""

TAKEN_CORE = 0.12
"""The same of the core: in the middle of the object its depth says how wide the object is, not the error."""

EDGE_RING = 3
"""Pixels behind a part's edge whose grey values are compared; the first one is left out, which is half inside."""

PROTECTED = 3.0
"""Pixels about a click with the other label that stay as they are; half the way to it where it is nearer."""


@dataclass(frozen=True)
class Middle:
    """The pixel x, y where a region begins, and the label that the region gets."""

    x: int
    y: int
    label: bool


@dataclass(frozen=True)
class Look:
    """Grey values of a part that is set off: the typical one, and the tolerance; both of 255."""

    typical: float
    tolerance: float


@dataclass(frozen=True, eq=False)
class Region:
    """Pixels (rows, columns) of a slice that get another label, and the depth that their core was made for.

    `look` is None where only a disc is known.
    """

    pixels: NDArray[np.bool_]
    depth: float
    look: Look | None = None


def region_of_click(
    pixels: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    middle: Middle,
    *,
    against: Sequence[tuple[int, int]] = (),
    bounds: PixelBox | None = None,
) -> Region | None:
    """Return the region of a click on a slice with a `mask` (rows, columns); None where the mask agrees with it.

    Pixels next to the clicks `against` (x, y), which have the other label, stay as they are. What is added stays within
    `bounds`, the 3D box in the plane, where the click does; in a box most of the object is never taken away.
    """
    if mask[middle.y, middle.x] == middle.label:
        return None
    known = _depth(mask != middle.label, middle, bounds)
    # Where there is no edge, as in an empty mask, a click says little about the size.
    depth = max(1.0, max(mask.shape) / 32) if known is None else known
    half = int(WINDOW_DEPTHS * depth) + WINDOW_MARGIN
    window = _window((middle.x, middle.y, middle.x, middle.y), half, mask.shape)
    top, left = window[0].start, window[1].start
    at = (middle.y - top, middle.x - left)
    open_ = _open(mask, middle, window, against, bounds)
    from_click = _distances(window, middle.x, middle.y)
    most = np.inf if known is None else MOST_DISCS * np.pi * depth**2
    core_depth = depth
    if bounds is not None and not middle.label:
        shown = float(open_.sum())
        most = min(most, TAKEN_PART * shown)
        core_depth = min(depth, max(1.0, np.sqrt(TAKEN_CORE * shown / np.pi) / CORE_SHARE))
    core = open_ & (from_click <= CORE_SHARE * core_depth)
    inner = open_ & (from_click <= max(1.5, INNER_SHARE * depth))
    grey = smooth_grey(pixels[window])
    typical = float(np.median(grey[inner]))
    difference = np.abs(grey - typical)
    found, tolerance = _part(difference, open_, core, at, depth=depth, most=most)
    look = None if tolerance is None else Look(typical, tolerance)
    region = np.zeros_like(mask)
    if found is None:
        core = _piece_at(core & (difference <= CORE_TOLERANCE), at)
        core[at] = True
    region[window] = core if found is None else found
    return Region(region, core_depth, look)


def _part(
    difference: NDArray[np.float64],
    open_: NDArray[np.bool_],
    core: NDArray[np.bool_],
    at: tuple[int, int],
    *,
    depth: float,
    most: float,
) -> tuple[NDArray[np.bool_] | None, float | None]:
    """Return the largest part about the click that looks like it and is set off, and its tolerance; else None.

    It has at most `most` pixels.
    """
    for tolerance in reversed(LEVELS):
        alike = open_ & (difference <= tolerance)
        if not alike[at]:
            continue
        part = _piece_at(_opened(alike, depth) | (core & alike), at)
        if part.sum() > most or _touches_border(part):
            continue
        contrast = contrast_behind(difference, open_, part)
        if contrast < SET_OFF * tolerance:
            continue
        return to_edge(part, difference, open_, contrast), tolerance
    return None, None


def contrast_behind(difference: NDArray[np.float64], open_: NDArray[np.bool_], part: NDArray[np.bool_]) -> float:
    """Return how much the grey values of what could change as well, but lies behind the edge of `part`, differ.

    `difference` of grey values to the part's. Infinite where the part is all that could change.
    """
    from scipy import ndimage

    near = ndimage.binary_dilation(part)
    ring = ndimage.binary_dilation(near, iterations=EDGE_RING - 1) & open_ & ~near
    return float(np.median(difference[ring])) if ring.any() else np.inf


def to_edge(
    part: NDArray[np.bool_], difference: NDArray[np.float64], open_: NDArray[np.bool_], contrast: float
) -> NDArray[np.bool_]:
    """Return the part with its outermost pixels: an edge lies half-way between what is on its two sides."""
    from scipy import ndimage

    return part | (ndimage.binary_dilation(part) & open_ & (difference <= contrast / 2))


def smooth_grey(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return grey values through a Gaussian; colours by their mean."""
    from scipy import ndimage

    grey = pixels if pixels.ndim == 2 else pixels.mean(axis=-1)
    return ndimage.gaussian_filter(grey.astype(np.float64), SMOOTHING)


def _depth(wrong: NDArray[np.bool_], middle: Middle, bounds: PixelBox | None) -> float | None:
    """Return the distance in pixels from the middle to the nearest pixel that is not wrong; None without one."""
    whole = slice(0, wrong.shape[0]), slice(0, wrong.shape[1])
    right = ~wrong
    if bounds is not None and middle.label and _contains(bounds, middle):
        right |= ~_within(bounds, whole)
    v, u = np.ogrid[whole]
    squares = ((u - middle.x) ** 2 + (v - middle.y) ** 2)[right]  # of whole numbers: a third of the time
    return float(np.sqrt(squares.min())) if squares.size else None


def _open(
    mask: NDArray[np.bool_],
    middle: Middle,
    window: tuple[slice, slice],
    against: Sequence[tuple[int, int]],
    bounds: PixelBox | None,
) -> NDArray[np.bool_]:
    """Return the pixels of the window that may change, of which the middle is one."""
    open_ = mask[window] != middle.label
    if middle.label and bounds is not None and _contains(bounds, middle):
        open_ &= _within(bounds, window)
    for x, y in against:
        away = float(np.hypot(x - middle.x, y - middle.y))
        open_ &= _distances(window, x, y) > min(PROTECTED, away / 2)
    open_[middle.y - window[0].start, middle.x - window[1].start] = True
    return _piece_at(open_, (middle.y - window[0].start, middle.x - window[1].start))


def _opened(alike: NDArray[np.bool_], depth: float) -> NDArray[np.bool_]:
    """Return what is left of pixels that look alike when bridges thinner than a part of the depth are cut."""
    from scipy import ndimage

    times = int(min(2, depth / 4))
    return ndimage.binary_opening(alike, iterations=times) if times else alike


def _piece_at(pixels: NDArray[np.bool_], at: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the 4-connected piece that holds the pixel `at`."""
    from scipy import ndimage

    pieces, _ = ndimage.label(pixels)
    return np.asarray(pieces == pieces[at]) if pieces[at] else np.zeros_like(pixels)


def _touches_border(part: NDArray[np.bool_]) -> bool:
    return bool(part[0].any() or part[-1].any() or part[:, 0].any() or part[:, -1].any())


def _window(box: PixelBox, margin: int, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Return the rows and columns of a box with a margin, as far as a slice of `shape` reaches."""
    x0, y0, x1, y1 = box
    rows, columns = shape
    return (
        slice(max(0, y0 - margin), min(rows, y1 + margin + 1)),
        slice(max(0, x0 - margin), min(columns, x1 + margin + 1)),
    )


def _distances(window: tuple[slice, slice], x: int, y: int) -> NDArray[np.float64]:
    v, u = np.ogrid[window[0].start : window[0].stop, window[1].start : window[1].stop]
    return np.hypot(u - x, v - y)


def _contains(bounds: PixelBox, middle: Middle) -> bool:
    return bounds[0] <= middle.x <= bounds[2] and bounds[1] <= middle.y <= bounds[3]


def _within(bounds: PixelBox, window: tuple[slice, slice]) -> NDArray[np.bool_]:
    v, u = np.ogrid[window[0].start : window[0].stop, window[1].start : window[1].stop]
    return np.asarray((u >= bounds[0]) & (u <= bounds[2]) & (v >= bounds[1]) & (v <= bounds[3]))


def region_beside(
    pixels: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    middle: Middle,
    before: NDArray[np.bool_],
    first: Region,
    *,
    steps: int,
    against: Sequence[tuple[int, int]] = (),
    bounds: PixelBox | None = None,
) -> NDArray[np.bool_] | None:
    """Return how the region `before` of the slice before goes on in this one; None where it ends.

    `first` is the region of the clicked slice, `steps` slices away, where the click `middle` lies.
    """
    from scipy import ndimage

    box = mask_box(before)
    if box is None:
        return None
    window = _window(box, EDGE_RING + 1, mask.shape)  # a part grows by a pixel, and is compared with the ring behind
    open_ = mask[window] != middle.label
    if middle.label and bounds is not None and _contains(bounds, middle):
        open_ &= _within(bounds, window)
    for x, y in against:
        open_ &= _distances(window, x, y) > PROTECTED
    radius = CORE_SHARE * first.depth
    disc = np.zeros_like(open_)
    if steps < radius:
        disc = open_ & before[window] & (_distances(window, middle.x, middle.y) <= np.sqrt(radius**2 - steps**2))
    found = disc
    if first.look is not None and steps <= REACH * np.sqrt(first.pixels.sum() / np.pi):
        difference = np.abs(smooth_grey(pixels[window]) - first.look.typical)
        alike = open_ & (difference <= first.look.tolerance) & ndimage.binary_dilation(before[window])
        pieces, _ = ndimage.label(_opened(alike, first.depth))
        touching = np.unique(pieces[before[window] & (pieces > 0)])
        part = np.isin(pieces, touching)
        contrast = contrast_behind(difference, open_, part)
        small = part.sum() <= first.pixels.sum()
        if part.any() and small and contrast >= SET_OFF * first.look.tolerance:
            found = found | to_edge(part, difference, open_, contrast)
    if not found.any():
        return None
    region = np.zeros_like(mask)
    region[window] = found
    return region
