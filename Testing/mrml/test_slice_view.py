from __future__ import annotations

import numpy as np
import pytest
from mrml_scene import affine, vtk_matrix

from MedSAMSegmentLib.errors import GeometryError, PromptError
from MedSAMSegmentLib.mrml.slice_view import align_with_volume, require_level, shown_slice, slice_to_ras_of
from MedSAMSegmentLib.mrml.volume_node import geometry_of

SHAPE = (10, 16, 20)


def a_slice_node(scene, orientation):
    node = scene.add("vtkMRMLSliceNode", orientation)
    node.SetOrientationToDefault() if orientation == "Default" else getattr(node, f"SetOrientationTo{orientation}")()
    return node


def at(pose, ras):
    pose = pose.copy()
    pose[:3, 3] = ras
    return pose


@pytest.mark.parametrize(("orientation", "axis"), [("Axial", 0), ("Coronal", 1), ("Sagittal", 2)])
def test_the_standard_views_of_a_straight_volume_show_its_axes(a_scene, orientation, axis):
    geometry = geometry_of(a_scene.add_volume(np.zeros(SHAPE, np.int16), affine((1, 2, 3))))
    pose = at(slice_to_ras_of(a_slice_node(a_scene, orientation)), (4.2, 9.0, 15.9))
    shown = shown_slice(geometry, pose)
    assert (shown.axis, shown.index) == (axis, {0: 5, 1: 5, 2: 4}[axis])


def test_the_volumes_axes_count_not_the_patients(a_scene):
    """A sagittal acquisition: the sagittal view shows the array's first axis."""
    sagittal = np.array([[0, 0, 3.0, 0], [1, 0, 0, 0], [0, -1, 0, 20], [0, 0, 0, 1]])
    geometry = geometry_of(a_scene.add_volume(np.zeros(SHAPE, np.int16), sagittal))
    pose = at(slice_to_ras_of(a_slice_node(a_scene, "Sagittal")), (12, 5, 10))
    shown = shown_slice(geometry, pose)
    assert (shown.axis, shown.index) == (0, 4)


@pytest.mark.parametrize("orientation", ["Axial", "Coronal", "Sagittal"])
def test_an_oblique_view_is_refused_until_it_is_aligned(a_scene, a_volume_node, orientation):
    geometry = geometry_of(a_volume_node)
    node = a_slice_node(a_scene, orientation)
    centre = (geometry.ijk_to_ras @ [9.5, 7.5, 4.5, 1])[:3]
    node.JumpSlice(*centre)
    with pytest.raises(GeometryError, match="Rotate to volume plane"):
        shown_slice(geometry, slice_to_ras_of(node))
    align_with_volume(node, a_volume_node)
    node.JumpSlice(*(geometry.ijk_to_ras @ [11, 7, 3, 1])[:3])
    shown = shown_slice(geometry, slice_to_ras_of(node))
    assert shown.axis == {"Axial": 0, "Coronal": 1, "Sagittal": 2}[orientation]
    assert shown.index == {0: 3, 1: 7, 2: 11}[shown.axis]


def test_a_view_within_half_a_slice_of_tilt_still_counts_as_aligned(a_scene):
    geometry = geometry_of(a_scene.add_volume(np.zeros((10, 101, 101), np.int16), affine((1, 1, 5))))
    middle = (50, 50, 20)
    assert shown_slice(geometry, at(affine(degrees=(2.5, 0, 0)), middle)).index == 4
    with pytest.raises(GeometryError, match="oblique"):
        shown_slice(geometry, at(affine(degrees=(3.5, 0, 0)), middle))


def test_a_view_turned_in_its_own_plane_is_aligned(a_scene):
    geometry = geometry_of(a_scene.add_volume(np.zeros(SHAPE, np.int16), affine((1, 1, 3))))
    assert shown_slice(geometry, at(affine(degrees=(0, 0, 33)), (0, 0, 6))).index == 2


def test_a_view_beside_the_volume_is_a_sentence(a_scene):
    geometry = geometry_of(a_scene.add_volume(np.zeros(SHAPE, np.int16)))
    with pytest.raises(PromptError, match="beside"):
        shown_slice(geometry, at(np.eye(4), (0, 0, 10)))


def test_a_volume_of_one_slice_is_shown_across_that_slice(a_scene):
    geometry = geometry_of(a_scene.add_volume(np.zeros((1, 30, 40), np.int16), affine((1, 1, 1))))
    shown = shown_slice(geometry, at(np.eye(4), (20, 15, 0.3)))
    assert (shown.axis, shown.index) == (0, 0)


def test_a_parent_transform_turns_the_axes_that_a_view_shows(a_scene):
    volume = a_scene.add_volume(np.zeros(SHAPE, np.int16))
    a_scene.put_under(volume, affine(degrees=(90, 0, 0)))
    node = a_scene.add("vtkMRMLSliceNode", "s")
    node.GetSliceToRAS().DeepCopy(vtk_matrix(at(np.eye(4), (5, -5, 7))))
    shown = shown_slice(geometry_of(volume), slice_to_ras_of(node))
    assert (shown.axis, shown.index) == (1, 7)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_positions_go_from_the_world_to_the_slice_and_back(a_volume_node, axis):
    geometry = geometry_of(a_volume_node)
    pose = geometry.ijk_to_ras.copy()
    columns = {0: [0, 1, 2], 1: [0, 2, 1], 2: [1, 2, 0]}[axis]
    pose[:3, :3] = pose[:3, columns] / np.linalg.norm(pose[:3, columns], axis=0)
    pose[:3, 3] = (geometry.ijk_to_ras @ [6, 5, 4, 1])[:3]
    shown = shown_slice(geometry, pose)
    assert (shown.axis, shown.index) == (axis, {0: 4, 1: 5, 2: 6}[axis])
    expected_xy = {0: (6, 5), 1: (6, 4), 2: (5, 4)}[axis]
    np.testing.assert_allclose(shown.to_image(pose[:3, 3]), [expected_xy], atol=1e-9)
    np.testing.assert_allclose(shown.to_ras(np.array(expected_xy)), [pose[:3, 3]], atol=1e-9)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_a_box_may_be_drawn_in_a_view_level_within_three_degrees(a_scene, axis, quarter_turns):
    geometry = geometry_of(a_scene.add_volume(np.zeros(SHAPE, np.int16), affine((0.5, 2, 4), degrees=(8, 15, 25))))
    axes = geometry.ijk_to_ras[:3, :3] / np.linalg.norm(geometry.ijk_to_ras[:3, :3], axis=0)
    right, up = np.delete(axes, 2 - axis, axis=1).T
    for degrees, level in ((0, True), (2.9, True), (-2.9, True), (3.1, False), (-3.1, False), (45, False)):
        turn = np.radians(90 * quarter_turns + degrees)
        pose = np.eye(4)
        # Any length of the view's own edge: it is its direction that counts.
        pose[:3, 0] = 3 * (np.cos(turn) * right + np.sin(turn) * up)
        pose[:3, 1] = np.cos(turn) * up - np.sin(turn) * right
        pose[:3, 3] = (geometry.ijk_to_ras @ [6, 5, 4, 1])[:3]
        shown = shown_slice(geometry, pose)
        assert shown.axis == axis
        if level:
            require_level(shown, pose)
        else:
            with pytest.raises(GeometryError, match=rf"turned by {abs(degrees):.0f} degrees.*Rotate to volume plane"):
                require_level(shown, pose)
