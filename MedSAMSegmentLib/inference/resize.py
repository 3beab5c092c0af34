"""8-bit resizing that gives the same pixels as the libraries that the models were trained with.

All functions take (H,W) or (H,W,C) uint8 and return the same with `new_height` and `new_width`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
Taps = tuple[NDArray[np.intp], NDArray[np.float32]]
"""Source indices and weights, each (n_out, taps)."""


def resize_area_uint8(image: U8, new_height: int, new_width: int) -> U8:
    """Resize as OpenCV's `INTER_AREA`: the mean over the covered area when shrinking, its own kind of linear when
    enlarging.

    Equal to OpenCV but for one level on single pixels at fractional shrinking factors.
    """
    height, width = image.shape[:2]
    if (height, width) == (new_height, new_width):
        return image.copy()
    if new_height > height or new_width > width:
        return _enlarge(image, new_height, new_width)
    if height % new_height == 0 and width % new_width == 0:
        return _shrink_by_whole_factors(image, height // new_height, width // new_width)
    rows = _weighted_sum(image, _area_taps(width, new_width), axis=1)
    return _to_u8(_weighted_sum(rows, _area_taps(height, new_height), axis=0))


def resize_bicubic_uint8(image: U8, new_height: int, new_width: int) -> U8:
    """Resize by Pillow's bicubic filter, widened when shrinking."""
    from PIL import Image

    return np.array(Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BICUBIC), dtype=np.uint8)


def resize_bilinear_uint8(image: U8, new_height: int, new_width: int) -> U8:
    """Resize by Pillow's bilinear filter, widened when shrinking."""
    from PIL import Image

    return np.array(Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BILINEAR), dtype=np.uint8)


def resize_spline_uint8(image: U8, new_height: int, new_width: int) -> U8:
    """Resize as scikit-image's `resize(order=3, preserve_range=True, anti_aliasing=True)`, then truncated to 8 bits."""
    return resize_spline(image, new_height, new_width).astype(np.uint8)


def resize_spline(image: U8, new_height: int, new_width: int) -> NDArray[np.float64]:
    """Return the same before truncation: Gaussian smoothing when shrinking, cubic splines, clipped to the image's
    range."""
    from scipy import ndimage

    source = image.astype(np.float64)
    sizes = (new_height, new_width, *image.shape[2:])
    factors = [old / new for old, new in zip(image.shape, sizes, strict=True)]
    smoothing = [max(0.0, (factor - 1) / 2) for factor in factors]
    smoothed = ndimage.gaussian_filter(source, smoothing, mode="mirror") if any(smoothing) else source
    zoom = [1 / factor for factor in factors]
    resized = ndimage.zoom(smoothed, zoom, order=3, mode="mirror", grid_mode=True)
    return np.clip(resized, source.min(), source.max(), out=resized)


def resize_nearest(image: NDArray, new_height: int, new_width: int) -> NDArray:
    """Resize as OpenCV's `INTER_NEAREST`: the pixel at `floor(index * old / new)`; any dtype."""
    rows, columns = (
        np.minimum(np.floor(np.arange(new) * (old / new)).astype(np.intp), old - 1)
        for old, new in zip(image.shape[:2], (new_height, new_width), strict=True)
    )
    return image[rows[:, None], columns]


def _to_u8(values: NDArray[np.float32]) -> U8:
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _shrink_by_whole_factors(image: U8, by_rows: int, by_columns: int) -> U8:
    parts = image.reshape(
        image.shape[0] // by_rows, by_rows, image.shape[1] // by_columns, by_columns, *image.shape[2:]
    )
    total = parts.sum(axis=(1, 3), dtype=np.uint32)
    if by_rows == by_columns == 2:
        return ((total + 2) >> 2).astype(np.uint8)
    return _to_u8(total.astype(np.float32) * np.float32(1 / (by_rows * by_columns)))


def _area_taps(old: int, new: int) -> Taps:
    """Find what each of `new` pixels covers of `old` ones; slivers below a thousandth of a pixel do not count."""
    factor = old / new
    start = np.arange(new) * factor
    end = start + factor
    covered = np.minimum(factor, old - start)
    last = np.minimum(np.floor(end).astype(np.intp), old - 1)
    first = np.minimum(np.ceil(start).astype(np.intp), last)
    indices = first[:, None] - 1 + np.arange(math.ceil(factor) + 2)
    weights = np.where((indices >= first[:, None]) & (indices < last[:, None]), 1.0, 0.0)
    before, after = first - start, end - last
    weights[:, 0] = np.where(before > 1e-3, before, 0.0)
    after = np.minimum(np.minimum(after, 1.0), covered)
    np.copyto(weights, after[:, None], where=(indices == last[:, None]) & (after > 1e-3)[:, None])
    weights /= covered[:, None]
    return indices.clip(0, old - 1), weights.astype(np.float32)


def _weighted_sum(image: NDArray, taps: Taps, axis: int) -> NDArray[np.float32]:
    """Filter once along `axis` in float32, taps in order."""
    indices, weights = taps
    shape = [1] * image.ndim
    shape[axis] = -1
    total: NDArray[np.float32] | None = None
    for index, weight in zip(indices.T, weights.T, strict=True):
        part = np.take(image, index, axis=axis) * weight.reshape(shape)
        total = part if total is None else np.add(total, part, out=total)
    assert total is not None
    return total


def _enlarge(image: U8, new_height: int, new_width: int) -> U8:
    """Enlarge by OpenCV's fixed-point linear interpolation with the fractions of `INTER_AREA`."""
    left, right, left_weight, right_weight = _linear_taps(image.shape[1], new_width)
    top, bottom, top_weight, bottom_weight = _linear_taps(image.shape[0], new_height)
    across = (1, -1) + (1,) * (image.ndim - 2)
    down = (-1, 1) + (1,) * (image.ndim - 2)
    wide = image.astype(np.int32)
    rows = wide[:, left] * left_weight.reshape(across) + wide[:, right] * right_weight.reshape(across)
    rows >>= 4
    upper = (rows[top] * top_weight.reshape(down)) >> 16
    lower = (rows[bottom] * bottom_weight.reshape(down)) >> 16
    return ((upper + lower + 2) >> 2).clip(0, 255).astype(np.uint8)


def _linear_taps(old: int, new: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int32], NDArray[np.int32]]:
    """Return two source indices and their weights in 1/2048 for each of `new` pixels."""
    factor = old / new
    place = np.arange(new)
    first = np.floor(place * factor).astype(np.intp)
    fraction = ((place + 1) - (first + 1) / factor).astype(np.float32)
    fraction = np.where(fraction <= 0, np.float32(0), fraction - np.floor(fraction))
    fraction[first >= old - 1] = 0
    first = np.minimum(first, old - 1)
    second = np.minimum(first + 1, old - 1)
    right = np.rint(fraction * np.float32(2048)).astype(np.int32)
    left = np.rint((np.float32(1) - fraction) * np.float32(2048)).astype(np.int32)
    return first, second, left, right
