"""Automatic intensity that also looks at what was outlined: a box round a lung is segmented in the lung window.

The choice of `intensity.to_uint8` sees the whole volume, where a chest CT is a CT like any other. What was outlined
says more, and the middle of it most: two thirds of the 3D box round a lung are chest wall, heart and diaphragm, yet in
its middle lies the lung. Where the middle does not tell, the choice stays with `to_uint8`: liver and other soft tissue
are seen best in the abdomen window that it takes for a CT.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .geometry import take_slice
from .prompts import Box, Line, MaskPrompt, Prompt

CT_LUNG = "ct-lung"
CT_BONE = "ct-bone"
CT_BRAIN = "ct-brain"

MIDDLE = 0.6
"""The part of a box's half axes that its inner ellipsoid has."""

DEEP = 1 / 3
"""The part of a box's slices that are looked at: those in the middle."""

AIR_HU = -500
"""A slice that holds such low whole numbers is a CT."""

FAT_HU = -50
"""There is something as low as fat on each slice of a CT; stored values that were not rescaled to HU have none."""

AERATED_HU = -300
LUNG_HU = (-980, -300)
"""Medians of what is aerated in a lung. Air outside of the body, or in the trachea, is lower."""

LUNG_SHARE = 0.4
"""Aerated voxels in the middle of a lung's box: 0.44 and more where the liver's dome lies in it; of a liver 0.13."""

DENSE_HU = 150
BONE_SHARE = 0.1
CORTEX_HU = 300
BONE_SPREAD = 0.5
"""Bone is marrow and cortex: from the 10 to the 90 percentile its dense voxels span this part of their median."""

EVEN_SPREAD = 0.2
"""Blood with contrast medium is as dense as marrow, but even: 0.10 to 0.19 in the middle of an aorta or an atrium."""

BRAIN_HU = (-10.0, 80.0)
BRAIN_SHARE = 0.8
"""Voxels within `BRAIN_HU` in the middle of a box in the brain."""

SKULL_HU = 200
SKULL_RAYS = 0.9
"""Rays from the middle of a box that must meet bone, without air before it."""

CRANIUM_SHARE = 0.15
"""What the rays enclose must be this part of the body on that slice; a spinal canal is a few per cent."""


@dataclass(frozen=True)
class _Look:
    """The values in the middle of an outlined object, those of the whole outline, and the voxel z,y,x in its centre."""

    middle: NDArray[Any]
    whole: NDArray[Any]
    centre: tuple[int, int, int]


def window_of_prompts(volume: NDArray[Any], modality: str | None, prompts: Iterable[Prompt]) -> str:
    """Return "ct-lung", "ct-bone", "ct-brain" or "auto" for a volume (z,y,x[,3]), by the first prompt that outlines."""
    if modality not in (None, "CT") or volume.ndim != 3:
        return "auto"
    look = next((found for found in (_look(volume, prompt) for prompt in prompts) if found is not None), None)
    if look is None or not _is_ct(volume[look.centre[0]], modality):
        return "auto"
    if _is_lung(look.middle):
        return CT_LUNG
    if _is_bone(look):
        return CT_BONE
    return CT_BRAIN if _is_brain(volume, look) else "auto"


def window_of_objects(
    volume: NDArray[Any], modality: str | None, objects: Iterable[Iterable[Prompt]]
) -> tuple[str, tuple[str, ...]]:
    """Return the window that objects, each of prompts, share; and the ones they ask for, where these differ.

    Objects that do not agree share "auto", the window of the whole volume.
    """
    asked = tuple(dict.fromkeys(window_of_prompts(volume, modality, prompts) for prompts in objects))
    return (asked[0], ()) if len(asked) == 1 else ("auto", asked)


def _look(volume: NDArray[Any], prompt: Prompt) -> _Look | None:
    """Return what a prompt outlines; None where that is nothing."""
    if isinstance(prompt, MaskPrompt):
        return _look_at_paint(volume, prompt)
    box = _box(prompt)
    if box is None:
        return None
    # The box of a line that is drawn straight has no area, which is no fault here.
    bounds = [(max(first, 0), min(last, n - 1)) for (first, last), n in zip(box.bounds_zyx, volume.shape, strict=True)]
    if any(first > last for first, last in bounds):
        return None
    middle, whole = (_finite(_ellipsoid(volume, bounds, part)) for part in (MIDDLE, 1.0))
    k, j, i = ((first + last) // 2 for first, last in bounds)
    return _Look(middle, whole, (k, j, i)) if middle.size else None


def _look_at_paint(volume: NDArray[Any], painted: MaskPrompt) -> _Look | None:
    image = take_slice(volume, painted.axis, painted.index)
    values = _finite(image[painted.mask])
    if not values.size:
        return None
    voxels = np.argwhere(painted.mask)
    # The painted voxel nearest to the centroid: the centroid itself may lie outside of a crescent.
    row, column = voxels[np.argmin(((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1))].tolist()
    at = [row, column]
    at.insert(painted.axis, painted.index)
    return _Look(values, values, (at[0], at[1], at[2]))


def _ellipsoid(volume: NDArray[Any], bounds: list[tuple[int, int]], part: float) -> NDArray[Any]:
    """Return the values (n,) on the middle slices of a box, within the ellipse that has `part` of its half axes.

    The thinnest axis counts as the one across the slices; a box of one slice is a plain ellipse.
    """
    across = int(np.argmin([last - first for first, last in bounds]))
    cut, distance = [], np.zeros((1, 1, 1))
    for axis, (first, last) in enumerate(bounds):
        centre, half = (first + last) / 2, (last - first + 1) / 2
        reach = half * (DEEP if axis == across else part)
        lower, upper = math.ceil(centre - reach), math.floor(centre + reach)
        if lower > upper:
            lower = upper = math.floor(centre)
        cut.append(slice(lower, upper + 1))
        if axis != across:
            shape = [1, 1, 1]
            shape[axis] = -1
            offsets = (np.arange(lower, upper + 1) - centre) / max(reach, 1.0)
            distance = distance + (offsets**2).reshape(shape)
    block = volume[tuple(cut)]
    return np.asarray(block[np.broadcast_to(distance <= 1.0, block.shape)])


def _is_ct(values: NDArray[Any], modality: str | None) -> bool:
    """Return whether the values of a slice are HU."""
    values = _finite(values)
    if not values.size:
        return False
    lowest, highest = float(values.min()), float(values.max())
    if modality == "CT":
        return lowest <= FAT_HU and highest - lowest > -FAT_HU
    if values.dtype.kind in "iu" or bool(np.all(values == np.rint(values))):
        # A phase image is negative, too, but symmetric.
        return lowest <= AIR_HU and highest != -lowest
    # Resampling leaves fractions and goes a little beyond air.
    return -1200 <= lowest <= -900 and abs(highest + lowest) > 100


def _is_lung(middle: NDArray[Any]) -> bool:
    aerated = middle[middle < AERATED_HU]
    if aerated.size < LUNG_SHARE * middle.size:
        return False
    return LUNG_HU[0] <= float(np.median(aerated)) <= LUNG_HU[1]


def _is_bone(look: _Look) -> bool:
    dense = look.middle[look.middle > DENSE_HU]
    if dense.size < BONE_SHARE * look.middle.size or _spread(dense) < EVEN_SPREAD:
        return False
    # The middle of a vertebra may be marrow alone, its cortex lies at the rim.
    return any(_has_cortex(values) for values in (dense, look.whole[look.whole > DENSE_HU]))


def _has_cortex(dense: NDArray[Any]) -> bool:
    return float(np.percentile(dense, 90)) >= CORTEX_HU and _spread(dense) >= BONE_SPREAD


def _spread(dense: NDArray[Any]) -> float:
    """Return how far dense values spread, from the 10 to the 90 percentile, as a part of their median."""
    low, median, high = (float(v) for v in np.percentile(dense, (10, 50, 90)))
    return (high - low) / median


def _is_brain(volume: NDArray[Any], look: _Look) -> bool:
    within = (look.middle >= BRAIN_HU[0]) & (look.middle <= BRAIN_HU[1])
    if np.count_nonzero(within) < BRAIN_SHARE * look.middle.size:
        return False
    return any(_in_skull(volume, look.centre, axis) for axis in range(3))


def _in_skull(volume: NDArray[Any], centre: tuple[int, int, int], axis: int, rays: int = 64) -> bool:
    """Return whether bone surrounds a voxel on its slice across `axis`, with much of the body inside."""
    image = take_slice(volume, axis, centre[axis])
    row, column = (centre[a] for a in range(3) if a != axis)
    steps = np.arange(1, max(image.shape))
    angles = np.arange(rays) * (2 * np.pi / rays)
    rows = np.rint(row + np.sin(angles)[:, None] * steps).astype(int)
    columns = np.rint(column + np.cos(angles)[:, None] * steps).astype(int)
    inside = (rows >= 0) & (rows < image.shape[0]) & (columns >= 0) & (columns < image.shape[1])
    values = np.where(inside, image[rows.clip(0, image.shape[0] - 1), columns.clip(0, image.shape[1] - 1)], 0)
    bone, air = inside & (values >= SKULL_HU), inside & (values <= AERATED_HU)
    to_bone = np.where(bone.any(axis=1), bone.argmax(axis=1), len(steps))
    to_air = np.where(air.any(axis=1), air.argmax(axis=1), len(steps))
    met = to_bone < to_air
    if met.mean() < SKULL_RAYS:
        return False
    enclosed = np.pi * float(np.mean(steps[to_bone[met]] ** 2.0))
    return enclosed >= CRANIUM_SHARE * int(np.count_nonzero(image > AERATED_HU))


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    return values[np.isfinite(values)] if values.dtype.kind == "f" else values


def _box(prompt: Prompt) -> Box | None:
    if isinstance(prompt, Box):
        return prompt
    return Box.enclosing(np.array([prompt.start, prompt.end])) if isinstance(prompt, Line) else None
