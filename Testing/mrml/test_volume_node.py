from __future__ import annotations

import numpy as np
import pytest
import slicer
from mrml_scene import affine, image_of

from MedSAMSegmentLib.errors import GeometryError, InputError
from MedSAMSegmentLib.mrml.volume_node import (
    displayed_window_of,
    geometry_of,
    is_spacing_known,
    modality_of,
    read_volume_node,
)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "int64", "float32", "float64"])
def test_voxels_keep_their_type_and_values(a_scene, dtype):
    values = np.arange(60).reshape(3, 4, 5).astype(dtype)
    read = read_volume_node(a_scene.add_volume(values)).array_zyx
    assert read.dtype == values.dtype
    np.testing.assert_array_equal(read, values)


def test_an_oblique_volume_lies_where_slicer_says(a_volume_node):
    geometry = geometry_of(a_volume_node)
    matrix = slicer.vtkMRMLScalarVolumeNode.GetIJKToRASMatrix
    import vtk

    expected = vtk.vtkMatrix4x4()
    matrix(a_volume_node, expected)
    ras = expected.MultiplyPoint((3, 4, 5, 1))[:3]
    np.testing.assert_allclose(geometry.ras_to_ijk(np.array(ras)), [[3, 4, 5]], atol=1e-9)
    np.testing.assert_allclose(geometry.spacing_zyx, (3.0, 1.5, 1.0))
    assert geometry.shape_zyx == (10, 16, 20)


def test_a_flipped_volume_keeps_its_left_handed_axes(a_scene):
    node = a_scene.add_volume(np.zeros((2, 3, 4), np.uint8), affine((1, 2, 3), (5, 6, 7), flip=(-1, 1, -1)))
    np.testing.assert_allclose(geometry_of(node).ijk_to_ras, affine((1, 2, 3), (5, 6, 7), flip=(-1, 1, -1)))


def test_parent_transforms_move_the_volume_in_the_world(a_scene, a_volume_node):
    alone = geometry_of(a_volume_node).ijk_to_ras
    inner, outer = affine(origin=(100, 0, 0)), affine((2, 2, 2), degrees=(0, 0, 90))
    transform = a_scene.put_under(a_volume_node, inner)
    a_scene.put_under(transform, outer)
    np.testing.assert_allclose(geometry_of(a_volume_node).ijk_to_ras, outer @ inner @ alone, atol=1e-9)
    np.testing.assert_allclose(geometry_of(a_volume_node).spacing_zyx, (6.0, 3.0, 2.0))


def test_a_warped_volume_is_refused_with_the_cure(a_scene, a_volume_node):
    a_scene.put_under_warp(a_volume_node)
    with pytest.raises(GeometryError, match="Harden"):
        read_volume_node(a_volume_node)


def test_an_image_that_does_not_start_at_zero_keeps_its_place(a_scene):
    node = a_scene.add_volume(np.zeros((2, 3, 4), np.uint8), affine((1, 2, 3)))
    image = image_of(np.zeros((2, 3, 4), np.uint8))
    image.SetExtent(5, 8, 1, 3, 2, 3)
    node.SetAndObserveImageData(image)
    np.testing.assert_allclose(geometry_of(node).ijk_to_ras[:3, 3], (5, 2, 6))


@pytest.mark.parametrize("channels", [3, 4])
def test_a_colour_volume_gives_three_channels(a_scene, channels):
    values = np.arange(2 * 3 * 4 * channels, dtype=np.uint8).reshape(2, 3, 4, channels)
    read = read_volume_node(a_scene.add_volume(values)).array_zyx
    np.testing.assert_array_equal(read, values[..., :3])


def test_a_volume_of_two_components_is_refused(a_scene):
    with pytest.raises(InputError, match="2 values"):
        read_volume_node(a_scene.add_volume(np.zeros((2, 3, 4, 2), np.float32)))


def test_a_volume_of_one_slice_is_a_volume(a_scene):
    volume = read_volume_node(a_scene.add_volume(np.ones((1, 6, 7), np.int16), affine((1, 1, 5))))
    assert volume.array_zyx.shape == (1, 6, 7)
    assert volume.geometry.spacing_zyx == (5.0, 1.0, 1.0)


def test_a_volume_without_voxels_is_refused(a_scene):
    with pytest.raises(InputError, match="holds no voxels"):
        read_volume_node(a_scene.add("vtkMRMLScalarVolumeNode", "empty"))
    with pytest.raises(InputError, match="No volume"):
        read_volume_node(None)


def test_a_copy_is_the_default_and_a_view_on_request(a_volume_node):
    copy, view = read_volume_node(a_volume_node).array_zyx, read_volume_node(a_volume_node, copy=False).array_zyx
    a_volume_node.GetImageData().SetScalarComponentFromDouble(1, 0, 0, 0, 999)
    assert copy[0, 0, 1] == 1
    assert view[0, 0, 1] == 999


def test_the_displayed_window_is_level_and_half_the_width_each_way(a_volume_node):
    display = a_volume_node.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevel(400, 40)
    assert displayed_window_of(a_volume_node) == (-160.0, 240.0)
    assert read_volume_node(a_volume_node).displayed_window == (-160.0, 240.0)


def test_a_normalised_image_is_displayed_in_a_window_below_one(a_volume_node):
    a_volume_node.GetDisplayNode().AutoWindowLevelOff()
    a_volume_node.GetDisplayNode().SetWindowLevel(0.5, 0.25)
    assert displayed_window_of(a_volume_node) == (0.0, 0.5)


def test_a_volume_that_was_never_displayed_has_no_window(a_scene):
    node = a_scene.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    assert displayed_window_of(node) is None


def test_the_modality_comes_from_the_dicom_series(a_scene, a_volume_node):
    hierarchy = a_scene.hierarchy
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
    item = hierarchy.GetItemByDataNode(a_volume_node)
    hierarchy.SetItemParent(item, study)
    assert modality_of(a_volume_node) is None
    hierarchy.SetItemAttribute(item, "DICOM.Modality", "MR")
    assert modality_of(a_volume_node) == "MR"


@pytest.mark.parametrize(("unit", "modality"), [("[hnsf'U]", "CT"), ("{SUVbw}g/ml", "PT"), ("mm", None)])
def test_the_modality_comes_from_the_unit_of_the_voxels_else(a_volume_node, unit, modality):
    code = slicer.vtkCodedEntry()
    code.SetValueSchemeMeaning(unit, "UCUM", "unit")
    a_volume_node.SetVoxelValueUnits(code)
    assert modality_of(a_volume_node) == modality


@pytest.mark.parametrize(
    ("name", "spacing", "known"),
    [
        ("photo.PNG", (1, 1, 1), False),
        ("photo.tif", (1, 1, 1), False),
        ("photo.png", (0.5, 0.5, 1), True),
        ("ct.nrrd", (1, 1, 1), True),
        ("", (1, 1, 1), True),
    ],
)
def test_a_picture_of_one_millimetre_has_no_known_spacing(a_scene, name, spacing, known):
    node = a_scene.add_volume(np.zeros((1, 3, 4), np.uint8), affine(spacing))
    if name:
        storage = a_scene.add("vtkMRMLVolumeArchetypeStorageNode", "storage")
        storage.SetFileName(name)
        node.SetAndObserveStorageNodeID(storage.GetID())
    assert is_spacing_known(node) is known
