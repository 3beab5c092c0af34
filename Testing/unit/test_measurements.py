"""RECIST diameters and volumes of shapes with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from MedSAMSegmentLib.errors import UsageError
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.measurements import Measurement, convex_hull, measure


def measure_diameters(mask: np.ndarray, spacing_zyx: tuple[float, float, float], axis: int | str = 0) -> Measurement:
    """Measure a mask on an upright grid."""
    z, y, x = mask.shape
    return measure(mask, VolumeGeometry.from_spacing((z, y, x), spacing_zyx), axis)


def an_ellipse(half_long: float, half_short: float, degrees: float, spacing: tuple[float, float]) -> np.ndarray:
    """One slice (1, rows, columns) of an ellipse with half axes in mm, its long axis turned from x towards y."""
    rows, columns = spacing
    y, x = np.mgrid[:240, :240]
    y, x = (y - 120) * rows, (x - 120) * columns
    angle = np.radians(degrees)
    along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    return ((along / half_long) ** 2 + (across / half_short) ** 2 <= 1)[np.newaxis]


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 0.8), (1.3, 0.6)])
@pytest.mark.parametrize("degrees", [0, 17, 45, 90, 150])
def test_an_ellipse_has_its_axes_as_diameters(spacing: tuple[float, float], degrees: float) -> None:
    mask = an_ellipse(48, 20, degrees, spacing)
    found = measure_diameters(mask, (5.0, *spacing))
    assert found.longest is not None
    assert found.perpendicular is not None
    assert found.longest.millimetres == pytest.approx(96, abs=1.5 * max(spacing))
    assert found.perpendicular.millimetres == pytest.approx(40, abs=1.5 * max(spacing))
    assert found.volume_ml == pytest.approx(np.pi * 48 * 20 * 5 / 1000, rel=0.01)


def test_a_rectangle_is_as_long_as_its_diagonal() -> None:
    mask = np.zeros((3, 60, 80), bool)
    mask[1, 10:40, 20:60] = True
    found = measure_diameters(mask, (2.0, 1.0, 1.0))
    assert found.index == 1
    assert found.longest is not None
    assert found.perpendicular is not None
    assert found.longest.millimetres == pytest.approx(50.0, abs=1.0)
    # Across the diagonal of 40 x 30 the longest chord from a corner is 30 * 50 / 40.
    assert found.perpendicular.millimetres == pytest.approx(37.5, abs=1.0)


def test_one_voxel_is_as_wide_as_its_spacing() -> None:
    mask = np.zeros((2, 5, 5), bool)
    mask[1, 2, 3] = True
    found = measure_diameters(mask, (4.0, 0.5, 0.75))
    assert found.longest is not None
    assert found.perpendicular is not None
    assert found.longest.millimetres == pytest.approx(0.75)
    assert found.longest.start_ijk[1:] == (2.0, 1.0)
    assert found.perpendicular.millimetres == pytest.approx(0.5)
    assert found.volume_ml == pytest.approx(4.0 * 0.5 * 0.75 / 1000)


def test_a_row_of_voxels_is_as_long_as_their_number() -> None:
    mask = np.zeros((1, 5, 12), bool)
    mask[0, 2, 1:11] = True
    found = measure_diameters(mask, (1.0, 2.0, 0.5))
    assert found.longest is not None
    assert found.perpendicular is not None
    assert found.longest.millimetres == pytest.approx(5.0)
    assert (found.longest.start_ijk, found.longest.end_ijk) == ((0.5, 2.0, 0.0), (10.5, 2.0, 0.0))
    assert found.perpendicular.millimetres == pytest.approx(2.0)


def test_the_perpendicular_is_perpendicular_in_millimetres() -> None:
    geometry = VolumeGeometry.from_spacing((1, 240, 240), (1.0, 0.5, 1.1))
    found = measure(an_ellipse(48, 30, 33, (0.5, 1.1)), geometry)
    assert found.longest is not None
    assert found.perpendicular is not None
    lines = [
        (np.array(d.end_ijk) - np.array(d.start_ijk)) * (1.1, 0.5, 1.0) for d in (found.longest, found.perpendicular)
    ]
    assert abs(lines[0] @ lines[1]) < 1e-6 * np.linalg.norm(lines[0]) * np.linalg.norm(lines[1])
    for line, diameter in zip(lines, (found.longest, found.perpendicular), strict=True):
        assert np.linalg.norm(line) == pytest.approx(diameter.millimetres)


def test_the_slice_with_the_longest_diameter_is_named_along_any_axis() -> None:
    mask = np.zeros((20, 30, 40), bool)
    mask[5:8, 10:15, 10:15] = True
    mask[12, 12, 5:35] = True
    assert measure_diameters(mask, (1, 1, 1)).index == 12
    across_i = measure_diameters(mask, (1, 1, 1), axis="i")
    assert across_i.axis == 2
    assert across_i.index in range(10, 15)
    assert across_i.longest is not None
    assert across_i.longest.start_ijk[0] == across_i.index


def test_an_oblique_volume_measures_as_the_upright_one() -> None:
    mask = an_ellipse(48, 20, 30, (0.5, 0.8))
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    matrix = np.eye(4)
    matrix[:3, :3] = turn * (0.8, 0.5, 5.0)
    oblique = measure(mask, VolumeGeometry(mask.shape, matrix))
    upright = measure_diameters(mask, (5.0, 0.5, 0.8))
    assert oblique.longest is not None
    assert upright.longest is not None
    assert oblique.longest.millimetres == pytest.approx(upright.longest.millimetres)
    assert oblique.volume_ml == pytest.approx(upright.volume_ml)


def test_an_empty_mask_has_no_diameters() -> None:
    found = measure_diameters(np.zeros((3, 4, 5)), (1, 1, 1))
    assert (found.voxels, found.volume_ml, found.index, found.longest) == (0, 0.0, None, None)


def test_the_longest_diameter_agrees_with_all_pairs_of_a_random_shape() -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        mask = rng.random((1, 14, 17)) > 0.85
        mask[0, 7, 8] = True
        found = measure_diameters(mask, (1.0, 0.7, 1.9))
        y, x = np.nonzero(mask[0])
        edges = np.concatenate([np.column_stack([x + a, y + b]) for a, b in ((-0.5, 0), (0.5, 0), (0, 0.5), (0, -0.5))])
        edges = edges * (1.9, 0.7)
        assert found.longest is not None
        expected = np.linalg.norm(edges[:, None] - edges[None], axis=-1).max()
        assert found.longest.millimetres == pytest.approx(expected)


def test_the_hull_of_a_square_is_its_corners() -> None:
    grid = np.array([(x, y) for x in range(4) for y in range(4)], float)
    assert {tuple(p) for p in convex_hull(grid)} == {(0, 0), (3, 0), (0, 3), (3, 3)}
    assert len(convex_hull(np.array([[1.0, 2.0], [1.0, 2.0]]))) == 1


def test_an_unknown_axis_is_refused() -> None:
    with pytest.raises(UsageError):
        measure_diameters(np.ones((2, 2, 2)), (1, 1, 1), axis="time")
