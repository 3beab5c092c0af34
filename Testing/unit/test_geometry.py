"""Grids, physical space and slices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from MedSAMSegmentLib.errors import GeometryError, UsageError
from MedSAMSegmentLib.geometry import VolumeGeometry, axis_from_name, slice_shape, take_slice


@pytest.fixture
def an_oblique_geometry() -> VolumeGeometry:
    angle = np.radians(25)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, -1]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn * (0.7, 0.8, 3.0)
    matrix[:3, 3] = (12, -30, 105)
    return VolumeGeometry((5, 6, 7), matrix)


def test_spacing_and_volume_follow_the_affine(an_oblique_geometry: VolumeGeometry) -> None:
    assert an_oblique_geometry.spacing_zyx == pytest.approx((3.0, 0.8, 0.7))
    assert an_oblique_geometry.voxel_volume_ml == pytest.approx(0.7 * 0.8 * 3.0 / 1000)
    assert an_oblique_geometry.in_plane_spacing(0) == pytest.approx((0.8, 0.7))
    assert an_oblique_geometry.in_plane_spacing(2) == pytest.approx((3.0, 0.8))


def test_ras_is_lps_with_two_signs_turned(an_oblique_geometry: VolumeGeometry) -> None:
    again = VolumeGeometry.from_ras((5, 6, 7), an_oblique_geometry.ijk_to_ras)
    assert np.allclose(again.ijk_to_lps, an_oblique_geometry.ijk_to_lps)
    assert an_oblique_geometry.ras_to_ijk(np.array([-12.0, 30.0, 105.0])) == pytest.approx(np.zeros((1, 3)))


@pytest.mark.filterwarnings("error")
def test_a_point_too_far_away_for_a_number_is_no_warning() -> None:
    fine = VolumeGeometry.from_spacing((2, 3, 4), (0.1, 0.1, 0.1))
    assert not np.isfinite(fine.lps_to_ijk(np.full((1, 3), 1e308))).any()


@given(st.tuples(*[st.floats(-1000, 1000)] * 3))
def test_a_voxel_comes_back_from_physical_space(ijk: tuple[float, float, float]) -> None:
    matrix = np.array([[0, -0.5, 0.1, 3], [0.9, 0, 0, -20], [0, 0.2, 4, 7], [0, 0, 0, 1]])
    geometry = VolumeGeometry((2, 3, 4), matrix)
    lps = matrix[:3, :3] @ ijk + matrix[:3, 3]
    assert geometry.lps_to_ijk(lps)[0] == pytest.approx(ijk, abs=1e-8)


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((4, 4)),
        np.diag([1, 1, 0, 1.0]),
        np.array([[1, 2, 0, 0], [2, 4, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        np.full((4, 4), np.nan),
        np.eye(3),
        np.diag([1, np.inf, 1, 1]),
    ],
    ids=["zeros", "flat", "two axes alike", "NaN", "3x3", "infinite"],
)
def test_an_affine_that_is_not_one_is_refused(matrix: np.ndarray) -> None:
    with pytest.raises(GeometryError):
        VolumeGeometry((2, 2, 2), matrix)


@pytest.mark.parametrize("shape", [(0, 4, 4), (4, 4), (4, 4, -1), (1, 2, 3, 4)])
def test_a_shape_that_is_not_one_is_refused(shape: tuple) -> None:
    with pytest.raises(GeometryError):
        VolumeGeometry(shape, np.eye(4))


def test_voxels_finer_than_a_tenth_of_a_micrometre_are_still_a_grid() -> None:
    geometry = VolumeGeometry.from_spacing((2, 2, 2), (1e-5, 1e-5, 1e-5))
    assert geometry.spacing_zyx == pytest.approx((1e-5, 1e-5, 1e-5))


def test_the_affine_cannot_be_changed_afterwards(an_oblique_geometry: VolumeGeometry) -> None:
    with pytest.raises(ValueError, match="read-only"):
        an_oblique_geometry.ijk_to_lps[0, 0] = 5


@pytest.mark.parametrize(("name", "axis"), [("k", 0), ("Y", 1), ("i", 2), (0, 0), (2, 2)])
def test_axes_have_names_and_numbers(name: int | str, axis: int) -> None:
    assert axis_from_name(name) == axis


@pytest.mark.parametrize("name", ["time", "", 3, -1, None])
def test_an_unknown_axis_is_refused(name: object) -> None:
    with pytest.raises(UsageError):
        axis_from_name(name)  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [(), (3,)])
def test_slices_are_views_with_rows_before_columns(channels: tuple[int, ...]) -> None:
    volume = np.arange(np.prod((2, 3, 4, *channels))).reshape(2, 3, 4, *channels)
    for axis, index in ((0, 1), (1, 2), (2, 3)):
        taken = take_slice(volume, axis, index)
        assert taken.shape == (*slice_shape((2, 3, 4), axis), *channels)
        assert np.shares_memory(taken, volume)
    assert np.array_equal(take_slice(volume, 1, 2), volume[:, 2])


def test_grids_agree_when_every_corner_lies_within_a_tenth_of_a_voxel(an_oblique_geometry: VolumeGeometry) -> None:
    shape, matrix = an_oblique_geometry.shape_zyx, an_oblique_geometry.ijk_to_lps

    def changed(row: int, column: int, amount: float) -> VolumeGeometry:
        other = np.array(matrix)
        other[row, column] += amount
        return VolumeGeometry(shape, other)

    assert an_oblique_geometry.agrees_with(VolumeGeometry(shape, matrix.astype(np.float32)))
    assert an_oblique_geometry.agrees_with(changed(2, 3, 0.29))
    assert not an_oblique_geometry.agrees_with(changed(2, 3, 0.31))
    # A tilt of the last slice against the first by less than a voxel counts too.
    assert not an_oblique_geometry.agrees_with(changed(0, 2, 0.1))
    mirrored = matrix @ np.diag([-1.0, 1.0, 1.0, 1.0])
    mirrored[:3, 3] = matrix[:3, 3] + 6 * matrix[:3, 0]
    assert not an_oblique_geometry.agrees_with(VolumeGeometry(shape, mirrored))
    assert not an_oblique_geometry.agrees_with(VolumeGeometry((5, 6, 8), matrix))
