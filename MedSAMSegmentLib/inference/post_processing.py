"""Optional clean-up of finished objects. Off by default, as in the official scripts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..results import ObjectResult, Segmentation3D, SliceScore


def largest_component(mask_zyx: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the 26-connected part with the most voxels; an empty mask stays empty."""
    from scipy import ndimage

    labels, count = ndimage.label(mask_zyx, structure=np.ones((3, 3, 3), dtype=bool))
    if count < 2:
        return mask_zyx
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == int(sizes.argmax())


def fill_slice_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a slice's mask (rows, columns) with its enclosed holes filled."""
    from scipy import ndimage

    return ndimage.binary_fill_holes(mask)


def clean_up(result: Segmentation3D, *, largest_component: bool = False, fill_holes: bool = False) -> None:
    """Change the objects of `result` in place; areas in the slice scores follow."""
    for item in result.objects:
        if largest_component:
            _keep_largest(item)
        if fill_holes:
            for index in item.packed.slices:
                item.packed.set_slice(index, fill_slice_holes(item.packed.get_slice(index)))
        _update_areas(item)


def _keep_largest(item: ObjectResult) -> None:
    kept = largest_component(item.mask)
    across = np.moveaxis(kept, item.packed.axis, 0)
    for index in item.packed.slices:
        item.packed.set_slice(index, across[index])


def _update_areas(item: ObjectResult) -> None:
    for index, score in item.slices.items():
        area = int(item.packed.get_slice(index).sum())
        item.slices[index] = SliceScore(score.score, area, score.flags, score.key)
