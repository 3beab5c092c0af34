"""Small challenge cases from a seed, and answers to them: the same wherever they are made.

numpy alone is imported: the published evaluators, which are run on them, want other packages than this project.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

STEPS = 6

HALVED_ABOVE = 500
"""Voxels of an error that count as many in one of the runs; the evaluator's own number is 60 million."""

PICTURES = 5
"""Every so many cases one is a picture, which the challenge of 2024 alone has."""


def make_case(number: int) -> dict[str, Any]:
    """Return the arrays of a case of the interactive challenge: imgs, gts, spacing, and mostly boxes.

    Some have labels that skip a number, some no background, some arrays in Fortran order, some objects of a voxel.
    """
    rng = np.random.default_rng(1000 + number)
    shape = tuple(int(n) for n in (rng.integers(3, 13), rng.integers(9, 33), rng.integers(9, 33)))
    gts = np.zeros(shape, np.uint8)
    label = 0
    for _ in range(rng.integers(1, 5)):
        label += int(rng.integers(1, 3)) if number % 4 == 1 else 1
        gts[_blob(rng, shape)] = label
    if number % 17 == 3:
        gts[gts == 0] = label + 1
    if not gts.any():
        gts[shape[0] // 2, 2:5, 2:6] = 1
    case = {
        "imgs": rng.integers(0, 256, shape).astype(np.uint8),
        "gts": np.asfortranarray(gts) if number % 7 == 2 else gts,
        "spacing": rng.uniform(0.4, 6.0, 3).round(3),
    }
    if number % 6 != 4:
        labels = [value for value in np.unique(gts).tolist() if value]
        case["boxes"] = [_box(gts == value) for value in labels]
    return case


def make_picture(number: int) -> dict[str, Any]:
    """Return the arrays of a picture of the challenge of 2024: imgs (y,x,3), gts (y,x), boxes."""
    case = make_case(number)
    gts = np.ascontiguousarray(case["gts"].max(axis=0))
    return {"imgs": np.stack([case["imgs"][0]] * 3, axis=-1), "gts": gts, "boxes": np.array([[1, 1, 7, 7]])}


def answer(gts: NDArray, clicks: list[dict[str, list]], step: int, number: int) -> NDArray[np.uint8]:
    """Return labels that are wrong in many ways, and right about the clicks; at the end of some cases all is right."""
    rng = np.random.default_rng([number, step])
    found = np.array(gts, np.uint8, order="F" if np.isfortran(gts) else "C")
    if number % 9 == 5 and step >= 3:
        return found
    labels = np.sort(np.unique(gts))[1:]
    kind = number % 5
    if kind == 0:  # specks: many errors of one size
        found[rng.random(gts.shape) < 0.02] = 0
    elif kind == 1:  # shifted
        found = np.roll(found, (1, int(rng.integers(-3, 4))), axis=(0, 2))
    elif kind == 2:  # cut, and a block where nothing is
        found[: gts.shape[0] // 2] = 0
        found[-2:, 1:5, 1:5] = labels[-1] if len(labels) else 1
    elif kind == 3:  # nothing but a few voxels
        found = np.where(rng.random(gts.shape) < 0.1, found, 0).astype(np.uint8)
    else:  # another label
        found[found == found.max()] = int(rng.integers(0, 4))
    if number % 7 == 2:
        found = np.asfortranarray(found)
    for label, places in zip(labels, clicks, strict=False):
        for value, centres in ((0, places["bg"]), (int(label), places["fg"])):
            for centre in centres:
                found[tuple(slice(max(0, int(n) - 1), int(n) + 2) for n in centre)] = value
    return found


def _blob(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    grid = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    centre = [rng.uniform(0, n) for n in shape]
    radius = [rng.uniform(0.5, max(1.0, n / 3)) for n in shape]
    inside = sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radius, strict=True)) <= 1
    return inside if rng.random() < 0.7 else inside & (rng.random(shape) < 0.8)


def _box(mask: NDArray[np.bool_]) -> dict[str, int]:
    slices = np.unique(np.nonzero(mask)[0])
    middle = int(slices[len(slices) // 2])
    rows, columns = np.nonzero(mask[middle])
    return {
        "z_min": int(slices[0]),
        "z_max": int(slices[-1]),
        "z_mid": middle,
        "z_mid_x_min": int(columns.min()),
        "z_mid_y_min": int(rows.min()),
        "z_mid_x_max": int(columns.max()),
        "z_mid_y_max": int(rows.max()),
    }
