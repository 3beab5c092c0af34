from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk
from mrml_scene import affine, vtk_matrix

from MedSAMSegmentLib.errors import PromptError
from MedSAMSegmentLib.io.markups import read_markups
from MedSAMSegmentLib.mrml.markups import box_of_roi, line_of, points_of
from MedSAMSegmentLib.mrml.roi_placement import is_placing, place_new_roi
from MedSAMSegmentLib.mrml.volume_node import geometry_of
from MedSAMSegmentLib.prompts import Box

SHAPE = (10, 16, 20)


@pytest.fixture
def a_geometry(a_volume_node):
    return geometry_of(a_volume_node)


def an_roi(scene, centre, size, name="R"):
    node = scene.add("vtkMRMLMarkupsROINode", name)
    node.SetCenter(centre)
    node.SetSize(size)
    return node


def roi_over(scene, ijk_to_ras, low, high):
    """An ROI along a grid's axes from voxel centre `low` to `high` (i,j,k)."""
    node = scene.add("vtkMRMLMarkupsROINode", "R")
    matrix = np.eye(4)
    spacing = np.linalg.norm(ijk_to_ras[:3, :3], axis=0)
    matrix[:3, :3] = ijk_to_ras[:3, :3] / spacing
    matrix[:3, 3] = (ijk_to_ras @ [*(np.add(low, high) / 2), 1])[:3]
    node.SetCenter(matrix[:3, 3])
    node.SetAndObserveObjectToNodeMatrix(vtk_matrix(matrix))
    node.SetSize((np.subtract(high, low)) * spacing)
    return node


def save_markup(node, path):
    storage = slicer.vtkMRMLMarkupsJsonStorageNode()
    if node.IsA("vtkMRMLMarkupsROINode"):
        storage = slicer.vtkMRMLMarkupsROIJsonStorageNode()
    node.GetScene().AddNode(storage)
    storage.SetFileName(str(path))
    assert storage.WriteData(node) == 1
    return path


def test_an_roi_along_oblique_axes_gives_exactly_its_voxels(a_scene, a_geometry):
    node = roi_over(a_scene, a_geometry.ijk_to_ras, (3, 4, 2), (9, 11, 6))
    assert box_of_roi(node, a_geometry) == Box(i=(3, 9), j=(4, 11), k=(2, 6))


def test_an_roi_that_reaches_beyond_the_volume_is_clipped(a_scene, a_geometry):
    node = roi_over(a_scene, a_geometry.ijk_to_ras, (-3, 4, 2), (9, 40, 6))
    assert box_of_roi(node, a_geometry) == Box(i=(0, 9), j=(4, 15), k=(2, 6))


def test_the_edge_of_an_roi_is_rounded_to_the_voxels_inside(a_scene, a_geometry):
    node = roi_over(a_scene, a_geometry.ijk_to_ras, (2.6, 3.6, 1.6), (9.4, 11.4, 6.4))
    assert box_of_roi(node, a_geometry) == Box(i=(3, 9), j=(4, 11), k=(2, 6))


def test_an_roi_on_flipped_axes_has_its_bounds_in_order(a_scene):
    matrix = affine((1, 2, 3), (30, 0, 50), flip=(-1, 1, -1))
    geometry = geometry_of(a_scene.add_volume(np.zeros(SHAPE, np.uint8), matrix))
    node = an_roi(a_scene, (20, 10, 40), (8, 8, 12))
    assert box_of_roi(node, geometry) == Box(i=(6, 14), j=(3, 7), k=(2, 5))


def test_a_rotated_roi_is_enclosed(a_scene):
    geometry = geometry_of(a_scene.add_volume(np.zeros(SHAPE, np.uint8)))
    node = an_roi(a_scene, (10, 8, 5), (8, 8, 4))
    turned = affine(origin=(10, 8, 5), degrees=(0, 0, 45))
    node.SetAndObserveObjectToNodeMatrix(vtk_matrix(turned))
    half = 4 * np.sqrt(2)
    expected = Box(i=(int(np.ceil(10 - half)), int(10 + half)), j=(int(np.ceil(8 - half)), int(8 + half)), k=(3, 7))
    assert box_of_roi(node, geometry) == expected


def test_an_roi_follows_its_parent_transform_with_scale_and_shear(a_scene):
    geometry = geometry_of(a_scene.add_volume(np.zeros(SHAPE, np.uint8)))
    node = an_roi(a_scene, (0, 0, 0), (4, 4, 4))
    parent = affine((2.0, 1.0, 0.5), (10, 8, 5))
    parent[0, 1] = 0.5
    a_scene.put_under(node, parent)
    assert box_of_roi(node, geometry) == Box(i=(5, 15), j=(6, 10), k=(4, 6))


def test_roi_and_volume_under_the_same_transform_meet_as_without_it(a_scene, a_volume_node, a_geometry):
    node = roi_over(a_scene, a_geometry.ijk_to_ras, (3, 4, 2), (9, 11, 6))
    for moved in (node, a_volume_node):
        a_scene.put_under(moved, affine(origin=(7, -80, 9), degrees=(20, 30, 40)))
    assert box_of_roi(node, geometry_of(a_volume_node)) == Box(i=(3, 9), j=(4, 11), k=(2, 6))


def test_an_roi_that_was_not_placed_is_a_sentence(a_scene, a_geometry):
    with pytest.raises(PromptError, match="not placed"):
        box_of_roi(a_scene.add("vtkMRMLMarkupsROINode", "R"), a_geometry)
    with pytest.raises(PromptError, match="not placed"):
        box_of_roi(an_roi(a_scene, (10, 0, 10), (5, 0, 5)), a_geometry)


def test_an_roi_beside_the_volume_is_a_sentence(a_scene, a_geometry):
    with pytest.raises(PromptError, match="outside"):
        box_of_roi(an_roi(a_scene, (900, 0, 0), (5, 5, 5)), a_geometry)


def a_point_list(scene, geometry, places_ijk, name="F"):
    node = scene.add("vtkMRMLMarkupsFiducialNode", name)
    for place in places_ijk:
        node.AddControlPointWorld(vtk.vtkVector3d(*(geometry.ijk_to_ras @ [*place, 1])[:3]))
    return node


def ijk_of(points):
    return np.array([[p.i, p.j, p.k] for p in points])


def test_points_are_positive_unless_their_label_or_description_says_otherwise(a_scene, a_geometry):
    places = [(3, 4, 5), (6, 7, 2), (8, 8, 8), (1, 1, 1)]
    node = a_point_list(a_scene, a_geometry, places)
    node.SetNthControlPointDescription(1, "Negative")
    node.SetNthControlPointLabel(2, "- bone")
    points = points_of(node, a_geometry)
    np.testing.assert_allclose(ijk_of(points), places, atol=1e-9)
    assert [p.positive for p in points] == [True, False, False, True]


def test_the_numbers_of_a_list_without_a_name_are_no_minus_signs(a_scene, a_geometry):
    node = a_point_list(a_scene, a_geometry, [(3, 4, 5)])
    node.SetName("")
    node.SetNthControlPointLabel(0, "-1")
    assert [p.positive for p in points_of(node, a_geometry)] == [True]


def test_a_list_named_negative_holds_negative_points(a_scene, a_geometry):
    assert [p.positive for p in points_of(a_point_list(a_scene, a_geometry, [(3, 4, 5)], "neg"), a_geometry)] == [False]


def test_points_that_are_not_selected_or_only_previewed_take_no_part(a_scene, a_geometry):
    node = a_point_list(a_scene, a_geometry, [(3, 4, 5), (6, 7, 2), (8, 8, 8)])
    node.SetNthControlPointSelected(0, False)
    node.SetNthControlPointPosition(2, 0, 0, 0, slicer.vtkMRMLMarkupsNode.PositionPreview)
    np.testing.assert_allclose(ijk_of(points_of(node, a_geometry)), [(6, 7, 2)], atol=1e-9)


def test_points_follow_their_parent_transform(a_scene, a_geometry):
    node = a_point_list(a_scene, a_geometry, [(3, 4, 5)])
    shift = a_geometry.ijk_to_ras[:3, :3] @ (2, 0, 1)
    a_scene.put_under(node, affine(origin=shift))
    np.testing.assert_allclose(ijk_of(points_of(node, a_geometry)), [(5, 4, 6)], atol=1e-9)


def test_a_point_beside_the_volume_is_a_sentence(a_scene, a_geometry):
    with pytest.raises(PromptError, match="outside"):
        points_of(a_point_list(a_scene, a_geometry, [(3, 4, 50)]), a_geometry)


def a_line(scene, geometry, *ends):
    node = scene.add("vtkMRMLMarkupsLineNode", "L")
    for end in ends:
        node.AddControlPointWorld(vtk.vtkVector3d(*(geometry.ijk_to_ras @ [*end, 1])[:3]))
    return node


def test_a_line_gives_its_two_ends_in_voxels(a_scene, a_geometry):
    line = line_of(a_line(a_scene, a_geometry, (3, 4, 5), (9, 12, 5)), a_geometry)
    np.testing.assert_allclose((line.start, line.end), ((3, 4, 5), (9, 12, 5)), atol=1e-9)
    assert line.slice_index(0) == 5


def test_a_line_with_one_end_is_a_sentence(a_scene, a_geometry):
    with pytest.raises(PromptError, match="1 placed"):
        line_of(a_line(a_scene, a_geometry, (3, 4, 5)), a_geometry)


def test_a_markup_saved_by_slicer_replays_from_its_file(a_scene, a_geometry, tmp_path):
    roi = roi_over(a_scene, a_geometry.ijk_to_ras, (2.8, 4, 2), (9, 11.2, 6))
    points = a_point_list(a_scene, a_geometry, [(3, 4, 5), (6, 7, 2), (8, 8, 8)])
    points.SetNthControlPointDescription(1, "neg")
    points.SetNthControlPointSelected(2, False)
    line = a_line(a_scene, a_geometry, (3, 4, 5), (9, 12, 5))
    assert read_markups(save_markup(roi, tmp_path / "r.mrk.json"), a_geometry) == [box_of_roi(roi, a_geometry)]
    from_file = read_markups(save_markup(points, tmp_path / "f.mrk.json"), a_geometry)
    np.testing.assert_allclose(ijk_of(from_file), ijk_of(points_of(points, a_geometry)), atol=1e-6)
    assert [p.positive for p in from_file] == [True, False]
    (saved_line,) = read_markups(save_markup(line, tmp_path / "l.mrk.json"), a_geometry)
    np.testing.assert_allclose(saved_line.end, line_of(line, a_geometry).end, atol=1e-6)


def test_a_new_roi_is_what_the_next_clicks_place(a_scene):
    logic = a_scene.application_logic
    assert not is_placing(logic)
    nodes = [place_new_roi(a_scene.scene, logic, "Range") for _ in range(2)]
    assert is_placing(logic)
    assert [node.GetName() for node in nodes] == ["Range", "Range_1"]
    assert all(node.GetDisplayNode() is not None for node in nodes)
    selection = logic.GetSelectionNode()
    assert selection.GetActivePlaceNodeID() == nodes[1].GetID()
    assert selection.GetActivePlaceNodeClassName() == "vtkMRMLMarkupsROINode"
    assert not logic.GetInteractionNode().GetPlaceModePersistence()
