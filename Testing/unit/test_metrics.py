"""Dice, surface Dice and Hausdorff distance against known answers and the official figures."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from MedSAMSegmentLib.errors import UsageError
from MedSAMSegmentLib.evaluation.metrics import dice, normalized_surface_dice, robust_hausdorff
from MedSAMSegmentLib.evaluation.surface import area_table
from MedSAMSegmentLib.measurements import roughness

REPO = Path(__file__).parents[2]
SHARED = Path(os.environ.get("MEDSAM_SHARED", REPO.parent / "shared"))
BENCHMARK = SHARED / "reference" / "lesion_benchmark.json"
CASES = [case["case"] for case in json.loads(BENCHMARK.read_text())["cases"]] if BENCHMARK.exists() else [None]


def a_block(first: int, last: int) -> np.ndarray:
    mask = np.zeros((20, 20, 20), bool)
    mask[first : last + 1, 5:15, 5:15] = True
    return mask


def test_dice_of_halves_and_of_nothing() -> None:
    assert dice(a_block(5, 14), a_block(5, 14)) == 1.0
    assert dice(a_block(5, 14), a_block(5, 9)) == pytest.approx(2 * 5 / 15)
    assert dice(a_block(0, 4), a_block(10, 14)) == 0.0
    assert dice(np.zeros((2, 2, 2)), np.zeros((2, 2, 2))) == 1.0
    assert dice(np.zeros((2, 2, 2)), np.ones((2, 2, 2))) == 0.0


def test_masks_of_two_grids_are_refused() -> None:
    with pytest.raises(UsageError, match="one grid"):
        dice(np.zeros((2, 2, 2)), np.zeros((2, 2, 3)))


def test_a_flat_cut_through_a_cell_has_the_area_of_its_face() -> None:
    areas = area_table((5.0, 2.0, 3.0))
    assert areas[0] == areas[255] == 0.0
    assert areas[0b00001111] == pytest.approx(6.0)  # the four corners of lower z
    assert areas[0b00110011] == pytest.approx(15.0)  # lower y
    assert areas[0b01010101] == pytest.approx(10.0)  # lower x


def test_a_single_corner_cuts_off_a_triangle() -> None:
    assert area_table((1.0, 1.0, 1.0))[1] == pytest.approx(np.sqrt(3) / 8)


def test_set_and_unset_corners_have_one_surface_where_no_face_is_ambiguous() -> None:
    areas = area_table((1.0, 2.0, 3.0))
    for code in (0b00000111, 0b00001111, 0b00000001, 0b00010111):
        assert areas[code] == pytest.approx(areas[255 - code])


def test_the_published_areas_are_those_of_the_complement_and_no_smaller_than_a_flat_cut() -> None:
    areas = area_table((1.0, 2.0, 3.0), published=True)
    assert np.allclose(areas, areas[::-1], atol=1e-12)
    assert areas[0b00001111] == pytest.approx(6.0)
    assert areas[1] == pytest.approx(area_table((1.0, 2.0, 3.0))[1])
    # Three corners around one: a pentagon that is not flat, cut so that it is as large as can be.
    assert area_table((1.0, 1.0, 1.0), published=True)[0b00000111] == pytest.approx(0.5 + np.sqrt(3) * 0.375)


def test_surfaces_within_the_tolerance_count_in_millimetres_along_each_axis() -> None:
    one, shifted = a_block(5, 14), np.roll(a_block(5, 14), 1, axis=0)
    assert normalized_surface_dice(one, shifted, (1.0, 1.0, 1.0), 1.0) == 1.0
    thick = normalized_surface_dice(one, shifted, (5.0, 1.0, 1.0), 1.0)
    assert 0.5 < thick < 0.95
    assert normalized_surface_dice(one, shifted, (5.0, 1.0, 1.0), 5.0) == 1.0
    assert normalized_surface_dice(one, shifted, (1.0, 1.0, 5.0), 1.0) == 1.0


def test_surface_dice_is_symmetric_and_zero_far_away() -> None:
    one, other = a_block(2, 8), a_block(4, 15)
    ab, ba = (normalized_surface_dice(*pair, (2.0, 1.0, 1.0), 1.5) for pair in ((one, other), (other, one)))
    assert ab == pytest.approx(ba)
    assert normalized_surface_dice(one, np.roll(one, 11, axis=0), (9.0, 9.0, 9.0), 1.0) < 0.01


def test_empty_masks_agree_with_each_other_only() -> None:
    empty, full = np.zeros((4, 4, 4)), np.ones((4, 4, 4))
    assert normalized_surface_dice(empty, empty, (1, 1, 1)) == 1.0
    assert normalized_surface_dice(empty, full, (1, 1, 1)) == 0.0
    assert robust_hausdorff(empty, empty, (1, 1, 1)) == 0.0
    assert robust_hausdorff(empty, full, (1, 1, 1)) == float("inf")


def test_hausdorff_distance_of_a_longer_block_is_the_difference() -> None:
    assert robust_hausdorff(a_block(5, 9), a_block(5, 14), (3.0, 1.0, 1.0), 100.0) == pytest.approx(15.0)
    assert robust_hausdorff(a_block(5, 9), a_block(5, 9), (3.0, 1.0, 1.0)) == 0.0


@pytest.mark.skipif(not BENCHMARK.exists(), reason="needs the reference figures in shared/reference")
@pytest.mark.parametrize("case", CASES)
def test_the_official_masks_score_as_the_official_metric_says(case: str) -> None:
    figures = next(c for c in json.loads(BENCHMARK.read_text())["cases"] if c["case"] == case)["official_3d_shift0"]
    golden = np.load(SHARED / "reference" / "golden" / "lite_real_3d.npz")
    data = np.load(SHARED / "data" / f"{case}.npz")
    truth = data["gts"] > 0
    mask = np.unpackbits(golden[f"{case}_bits"])[: truth.size].reshape(truth.shape) > 0
    x, y, z = (float(v) for v in data["spacing"])
    assert dice(truth, mask) == pytest.approx(figures["dice"], abs=1e-4)
    assert normalized_surface_dice(truth, mask, (z, y, x)) == pytest.approx(figures["nsd_spacing_zyx"], abs=0.002)
    official_order = normalized_surface_dice(truth, mask, (x, y, z))
    assert official_order == pytest.approx(figures["nsd_official_spacing_xyz"], abs=0.002)
    for order, name in (((z, y, x), "nsd_spacing_zyx"), ((x, y, z), "nsd_official_spacing_xyz")):
        weighed = normalized_surface_dice(truth, mask, order, published_areas=True)
        assert weighed == pytest.approx(figures[name], abs=1e-4), "the figures have four digits"


def test_a_rectangle_is_smooth_wherever_it_lies() -> None:
    mask = np.zeros((3, 20, 20), bool)
    mask[1, 5:15, 4:9] = True
    assert roughness(mask) == 0.0
    assert roughness(np.ones((2, 6, 7), bool)) == 0.0  # up to the edges of the slice
    assert roughness(np.zeros((2, 6, 7), bool)) == 0.0


def test_roughness_counts_what_opening_takes_and_closing_adds() -> None:
    """A block of 10 x 10 has a rim of 36 voxels."""
    spike, notch, hole = (np.zeros((1, 20, 20), bool) for _ in range(3))
    for mask in (spike, notch, hole):
        mask[0, 5:15, 5:15] = True
    spike[0, 4, 8] = True  # a rim voxel more, the one under it is inside now
    assert roughness(spike) == pytest.approx(1 / 36)
    notch[0, 5, 8] = False  # closing fills it; the voxel below is rim in its place
    assert roughness(notch) == pytest.approx(1 / 36)
    hole[0, 9, 9] = False  # closing fills it, four voxels more are rim
    assert roughness(hole) == pytest.approx(1 / 40)


def test_a_comb_is_rougher_than_its_block_and_slices_do_not_mix() -> None:
    comb = np.zeros((3, 20, 20), bool)
    comb[1, 5:15, 5:15] = True
    comb[1, 3:5, 5:15:2] = True
    assert roughness(comb) > 0.3
    speck = np.zeros((3, 5, 5), bool)
    speck[:, 2, 2] = True  # a column of single voxels: the opening takes each
    assert roughness(speck) == 1.0
