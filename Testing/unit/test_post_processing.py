"""Clean-up of finished objects: off unless asked for, and the slice scores follow."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from MedSAMSegmentLib.inference.post_processing import clean_up, fill_slice_holes, largest_component
from MedSAMSegmentLib.results import ObjectResult, PackedMask, Segmentation3D, SliceResult

SHAPE = (6, 20, 24)


def a_result(mask: NDArray[np.bool_], axis: int = 0) -> Segmentation3D:
    item = ObjectResult("blob", PackedMask(SHAPE, axis))
    for index, slice_mask in enumerate(np.moveaxis(mask, axis, 0)):
        item.add(SliceResult(0, axis, index, slice_mask, 0.9, ("area-jump",) if index == 2 else (), key=index == 1))
    return Segmentation3D([item], axis, SHAPE, "m", "memory", "cpu", "w")


def a_ring_and_a_dot() -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[1:4, 4:14, 4:14] = True
    mask[1:4, 7:11, 7:11] = False
    mask[5, 17, 20] = True
    return mask


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_largest_component_stays_along_every_axis(axis: int) -> None:
    mask = a_ring_and_a_dot()
    result = a_result(mask, axis)
    clean_up(result, largest_component=True)
    expected = mask.copy()
    expected[5] = False
    assert np.array_equal(result.mask, expected)
    areas = {index: score.area for index, score in result.objects[0].slices.items()}
    assert areas == dict(enumerate(np.moveaxis(expected, axis, 0).sum(axis=(1, 2)).tolist()))


def test_holes_are_filled_slice_by_slice() -> None:
    result = a_result(a_ring_and_a_dot())
    clean_up(result, fill_holes=True)
    assert result.mask[1:4, 4:14, 4:14].all()
    assert result.mask.sum() == 3 * 100 + 1
    assert result.objects[0].slices[2].area == 100


def test_flags_keys_and_scores_survive() -> None:
    result = a_result(a_ring_and_a_dot())
    clean_up(result, largest_component=True, fill_holes=True)
    assert result.objects[0].slices[2].flags == ("area-jump",)
    assert [index for index, score in result.objects[0].slices.items() if score.key] == [1]
    assert {score.score for score in result.objects[0].slices.values()} == {0.9}


def test_without_a_wish_nothing_changes() -> None:
    result = a_result(a_ring_and_a_dot())
    clean_up(result)
    assert np.array_equal(result.mask, a_ring_and_a_dot())


def test_voxels_that_touch_at_a_corner_are_one_component() -> None:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    mask[4, 9, 9] = True
    assert np.argwhere(largest_component(mask)).tolist() == [[0, 0, 0], [1, 1, 1]]


def test_an_empty_mask_stays_empty_and_a_bay_is_no_hole() -> None:
    empty = np.zeros(SHAPE, dtype=bool)
    assert not largest_component(empty).any()
    bay = np.zeros((8, 8), dtype=bool)
    bay[1:7, 1:7] = True
    bay[3:5, 3:] = False
    assert np.array_equal(fill_slice_holes(bay), bay)
