"""The click that the interactive challenge's evaluator would make next: in the middle of the largest error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..prompts import Point

SEED = 42
"""Among voxels that are equally deep one is drawn; the evaluator begins its random numbers anew for each click."""

LARGE_VOXELS = 60_000_000
"""An error whose padded bounds hold more is looked at in half the resolution."""


@dataclass(frozen=True)
class ClickRules:
    """The placing of a click. The defaults are the evaluator's, as it computes without a GPU.

    `seed`: of the draw among the deepest voxels; None takes the first of them.
    `large_voxels`: the depth in an error whose padded bounds hold more is that of blocks of 2 x 2 x 2 voxels.
    """

    seed: int | None = SEED
    large_voxels: int = LARGE_VOXELS


PUBLISHED_CLICKS = ClickRules()


def next_click(answer: NDArray, reference: NDArray, rules: ClickRules = PUBLISHED_CLICKS) -> Point | None:
    """Return the click for one class, whose masks (z,y,x) are given; None where nothing is wrong.

    It lies in the largest of the errors that touch by faces, edges or corners, the first of them in the order of the
    voxels where two are as large, on a voxel that is deepest in it. Depth is counted in voxels, whatever they measure.
    The click is positive where the answer misses the object. Raises `UsageError` for masks of two shapes.
    """
    wanted = np.asarray(reference) != 0
    wrong = (np.asarray(answer) != 0) != wanted if np.shape(answer) == wanted.shape else None
    if wrong is None or wrong.ndim != 3:
        raise UsageError(f"The masks have the shapes {np.shape(answer)} and {wanted.shape}.", "Give z,y,x of one grid.")
    if not wrong.any():
        return None
    corner, error = _largest(wrong)
    depth = _depth(error, rules.large_voxels) * error
    # Of a small error nothing may be left in half the resolution: then any voxel of it will do.
    deepest = np.argwhere(depth == depth.max() if depth.any() else error)
    chosen = 0 if rules.seed is None else np.random.RandomState(rules.seed).choice(len(deepest))
    k, j, i = (int(start) + int(n) for start, n in zip(corner, deepest[chosen], strict=True))
    return Point(i=i, j=j, k=k, positive=bool(wanted[k, j, i]))


def _largest(wrong: NDArray[np.bool_]) -> tuple[tuple[int, ...], NDArray[np.bool_]]:
    """Return the lowest corner of the largest error's bounds, and the error within them."""
    from scipy import ndimage

    # The evaluator numbers errors as the voxels lie in memory.
    turned = wrong.flags.f_contiguous and not wrong.flags.c_contiguous
    labels, _ = ndimage.label(wrong.T if turned else wrong, structure=np.ones((3, 3, 3), bool))
    labels = labels.T if turned else labels
    largest = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    bounds = ndimage.find_objects(labels, largest)[largest - 1]
    return tuple(part.start for part in bounds), labels[bounds] == largest


def _depth(error: NDArray[np.bool_], large_voxels: int) -> NDArray[np.float64]:
    """Return the distance of each voxel of an error to the nearest outside of it, in voxels."""
    from scipy.ndimage import distance_transform_edt

    # A quarter of its size on each side, as the evaluator has it: it decides about half the resolution.
    margins = [max(size // 4, 1) for size in error.shape]
    padded = np.pad(error, [(margin, margin) for margin in margins])
    if padded.size > large_voxels:
        depth = distance_transform_edt(_halved(padded))
        for axis in range(3):
            depth = depth.repeat(2, axis=axis)
    else:
        depth = distance_transform_edt(padded)
    return depth[tuple(slice(margin, margin + size) for margin, size in zip(margins, error.shape, strict=True))]


def _halved(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask of blocks of 2 x 2 x 2 voxels, set where any of them is."""
    even = np.pad(mask, [(0, size % 2) for size in mask.shape])
    k, j, i = (size // 2 for size in even.shape)
    blocks: NDArray[np.bool_] = even.reshape(k, 2, j, 2, i, 2).max(axis=(1, 3, 5))
    return blocks
