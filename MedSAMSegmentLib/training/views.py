"""The slices to learn from, each in several views: whole, mirrored, closer, and in a shifted window.

One more view, in a window that has nothing to do with the object, is there to rehearse what the network knew before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..inference.resize import resize_nearest
from ..intensity import Window, to_uint8
from .sources import LabelledVolume

LEAST_PIXELS = 20
"""A slice with less of the object has little to teach."""

MOST_SLICES = 120
"""Of all patients together, by default; what is left out lies evenly between what is taken."""

OTHER = "other"
"""The view that is not learnt from."""

VIEWS = ("whole", "mirrored", "closer", "window", OTHER)
PLAIN_VIEWS = VIEWS[:1]
"""What is scored: the slice as it is."""

CLOSER = (1.5, 3.0)
"""Sides of the closer view, in terms of the longer side of the object."""

LEAST_CROP = 48
"""Pixels: a smaller crop is only blurred by enlarging it."""

LEVEL_SHIFT, WIDTH_FACTOR = 0.1, (0.75, 1.3)
"""How far the window moves, in terms of its width, and how much wider it becomes."""

DARKEST, BRIGHTEST = (0.0, 40.0), (60.0, 100.0)
"""Percentiles of a slice between which the ends of the other window are drawn."""

_VIEW_SEED = 20240127
"""Views are the same in every training: embeddings can be kept, and seeds be compared."""


@dataclass(frozen=True, eq=False)
class SliceView:
    """One view as the network is shown it: `image` (h,w[,3]) uint8, the `mask` (h,w) bool on it, and their origin."""

    patient: str
    index: int
    view: str
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def useful_slices(volume: LabelledVolume) -> list[int]:
    """Return the slices along k with enough of the object."""
    sizes = volume.mask_zyx.sum(axis=(1, 2))
    return [int(k) for k in np.flatnonzero(sizes >= LEAST_PIXELS)]


def thin_out(counts: Sequence[int], most: int) -> list[list[int]]:
    """Return which of each patient's slices are taken, evenly, so that all together are no more than `most`.

    Every patient that has slices keeps one at least.
    """
    share = min(1.0, most / max(sum(counts), 1))
    taken = []
    for count in counts:
        keep = min(count, max(1, int(count * share))) if count else 0
        taken.append([int(place) for place in (np.arange(keep) + 0.5) * count / max(keep, 1)])
    return taken


def slice_views(volume: LabelledVolume, slices: Sequence[int], views: Sequence[str]) -> Iterator[SliceView]:
    """Yield the views of these slices, slice by slice."""
    array = volume.volume.array_zyx
    windowed = to_uint8(array, volume.window, modality=volume.volume.modality)
    # What has eight bits already is seen in a window of its own kind.
    window = windowed.window or Window(0.0, 255.0)
    source = array if windowed.window is not None else windowed.volume_u8
    for k in slices:
        random = np.random.default_rng([_VIEW_SEED, k])
        plain, mask = windowed.volume_u8[k], volume.mask_zyx[k]
        for view in views:
            image, shown = plain, mask
            if view == "mirrored":
                image, shown = plain[:, ::-1], mask[:, ::-1]
            elif view == "closer":
                image, shown = _closer(plain, mask, random)
            elif view == "window":
                image = _shifted(source[k : k + 1], window, random)[0]
            elif view == OTHER:
                image = _otherwise(array[k : k + 1], random)[0]
            patient = volume.source.patient
            yield SliceView(patient, k, view, np.ascontiguousarray(image), np.ascontiguousarray(shown))


def network_target(mask: NDArray[np.bool_], resized_shape: tuple[int, int], size: int) -> NDArray[np.bool_]:
    """Return a mask (h,w) on the square that a network sees, the padding False, as in the published training."""
    target = np.zeros((size, size), dtype=bool)
    rows, columns = resized_shape
    target[:rows, :columns] = resize_nearest(mask, rows, columns)
    return target


def _closer(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return a square around the object, as far as the slice reaches, the object not always in its middle."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    extent = max(int(rows[-1] - rows[0]), int(columns[-1] - columns[0])) + 1
    side = max(round(extent * random.uniform(*CLOSER)), LEAST_CROP)
    cut = []
    for found, count in ((rows, mask.shape[0]), (columns, mask.shape[1])):
        length = min(side, count)
        first = max(0, int(found[-1]) + 1 - length)
        last = min(int(found[0]), count - length)
        start = int(random.integers(first, max(first, last) + 1))
        cut.append(slice(start, start + length))
    return image[cut[0], cut[1]], mask[cut[0], cut[1]]


def _shifted(slab: NDArray, window: Window, random: np.random.Generator) -> NDArray[np.uint8]:
    level = window.level + window.width * random.uniform(-LEVEL_SHIFT, LEVEL_SHIFT)
    width = window.width * random.uniform(*WIDTH_FACTOR)
    return to_uint8(slab, Window.from_level(level, width)).volume_u8


def _otherwise(slab: NDArray, random: np.random.Generator) -> NDArray[np.uint8]:
    """Return a slice (1,h,w[,3]) in a window between two of its own percentiles."""
    values = slab[np.isfinite(slab)] if slab.dtype.kind == "f" else slab
    low, high = (float(np.percentile(values, random.uniform(*ends))) for ends in (DARKEST, BRIGHTEST))
    return to_uint8(slab, Window(low, high if high > low else low + 1.0)).volume_u8
