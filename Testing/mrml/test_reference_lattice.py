"""Volume and segmentation on different grids and under different transforms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import slicer
from hypothesis import given, settings
from hypothesis import strategies as st
from mrml_scene import affine, blob

from MedSAMSegmentLib.errors import GeometryError, OutputError
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.mrml.mask_block import MaskBlock
from MedSAMSegmentLib.mrml.reference_lattice import Lattice, place_block
from MedSAMSegmentLib.mrml.segment_reader import read_segment, stored_block
from MedSAMSegmentLib.mrml.segment_writer import SegmentWriter, SliceRange
from MedSAMSegmentLib.mrml.volume_node import geometry_of

SHAPE = (10, 16, 20)
MASK = blob(SHAPE, (4, 7, 8), (3, 5, 6))
OBLIQUE = affine((1.0, 1.5, 3.0), (10.0, -5.0, 7.0), (10.0, -20.0, 30.0))
MOVED = affine(origin=(4.3, -3.2, 5.1))
TURNED = affine(origin=(3.0, 4.0, -6.0), degrees=(5.0, 0.0, 12.0))
GRIDS = {
    "straight": affine(),
    "oblique": OBLIQUE,
    "flipped": affine((1, 2, 3), (5, 6, 7), flip=(-1, 1, -1)),
    "anisotropic": affine((0.5, 0.5, 8.0)),
    "left-handed": affine((1, 1, 2), (0, 9, 0), (0, 0, 25), (1, -1, 1)),
}


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def a_segmentation_with_one_segment(scene, volume=None):
    segmentation = scene.add_segmentation(volume)
    segmentation.GetSegmentation().AddEmptySegment("S", "S")
    return segmentation


def world_centre(segmentation) -> np.ndarray:
    """Centre of mass of segment S in the world."""
    block, lattice = stored_block(segmentation, "S")
    ijk = np.argwhere(block.mask)[:, ::-1] + np.array(block.first_ijk)
    return (lattice.ijk_to_world @ [*ijk.mean(axis=0), 1.0])[:3]


def mask_centre(mask, geometry) -> np.ndarray:
    return (geometry.ijk_to_ras @ [*np.argwhere(mask)[:, ::-1].mean(axis=0), 1.0])[:3]


@pytest.mark.parametrize("grid", GRIDS)
def test_a_mask_goes_voxel_by_voxel_to_a_segmentation_on_the_volumes_grid(a_scene, an_editor, grid):
    volume = a_scene.add_volume(np.zeros(SHAPE, np.int16), GRIDS[grid])
    segmentation = a_segmentation_with_one_segment(a_scene)
    outcome = SegmentWriter(an_editor(segmentation, volume)).replace(MASK, geometry_of(volume), "S")
    assert not outcome.interpolated
    np.testing.assert_array_equal(read_segment(segmentation, "S", geometry_of(volume)), MASK)
    np.testing.assert_array_equal(stored_block(segmentation, "S")[0].over((0, 19, 0, 15, 0, 9)), MASK)


@pytest.mark.parametrize(
    ("on_volume", "on_segmentation", "reference_first"),
    list(itertools.product([None, MOVED, TURNED], [None, MOVED, TURNED], [True, False])),
)
def test_the_segment_lies_on_the_volume_in_the_world_whatever_the_transforms(
    a_scene, an_editor, on_volume, on_segmentation, reference_first
):
    """The reference is stored before the transforms change, which Slicer does not notice, or after."""
    volume = a_scene.add_volume(np.zeros(SHAPE, np.int16), OBLIQUE)
    segmentation = a_segmentation_with_one_segment(a_scene, volume if reference_first else None)
    for node, matrix in ((volume, on_volume), (segmentation, on_segmentation)):
        if matrix is not None:
            a_scene.put_under(node, matrix)
    if not reference_first:
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    geometry = geometry_of(volume)
    # Voxels beside a reference that moved away are cut off, so take what is sure to stay inside.
    mask = MASK if not reference_first else _part_inside(geometry, an_editor(segmentation, volume))
    outcome = SegmentWriter(an_editor(segmentation, volume)).replace(mask, geometry, "S")
    same_grid = not reference_first or (on_volume is on_segmentation)
    assert outcome.interpolated != same_grid
    back = read_segment(segmentation, "S", geometry)
    if same_grid:
        np.testing.assert_array_equal(back, mask)
    else:
        assert dice(back, mask) > 0.8
    # A mask of whole voxels on a shifted grid can be half a voxel off on each axis.
    lattice = stored_block(segmentation, "S")[1]
    off = np.linalg.inv(lattice.ijk_to_world)[:3, :3] @ (world_centre(segmentation) - mask_centre(mask, geometry))
    assert np.abs(off).max() < 0.51


def _part_inside(geometry, host) -> np.ndarray:
    """A blob around the middle of what volume and reference share."""
    from MedSAMSegmentLib.mrml.reference_lattice import reference_lattice

    lattice = reference_lattice(host, host.parameterSetNode().GetSegmentationNode())
    kji = np.indices(SHAPE).reshape(3, -1).T
    there = kji[:, ::-1] @ lattice.from_volume(geometry)[:3, :3].T + lattice.from_volume(geometry)[:3, 3]
    inside = ((there > 2) & (there < np.array(lattice.extent[1::2]) - 2)).all(axis=1)
    assert inside.any()
    centre = kji[inside].mean(axis=0)
    return blob(SHAPE, centre, (2.5, 5, 5)) & inside.reshape(SHAPE)


def test_another_reference_grid_gets_the_mask_at_the_same_place(a_scene, an_editor):
    volume = a_scene.add_volume(np.zeros(SHAPE, np.int16), OBLIQUE)
    fine = a_scene.add_volume(np.zeros((30, 50, 50), np.int16), affine((0.9, 0.9, 1.6), (-2.0, -30.0, 0.0)), "other")
    segmentation = a_segmentation_with_one_segment(a_scene, fine)
    geometry = geometry_of(volume)
    outcome = SegmentWriter(an_editor(segmentation, volume)).replace(MASK, geometry, "S")
    assert outcome.interpolated
    block, lattice = stored_block(segmentation, "S")
    np.testing.assert_allclose(lattice.ijk_to_node, affine((0.9, 0.9, 1.6), (-2.0, -30.0, 0.0)), atol=1e-9)
    volume_mm3 = block.voxels * 0.9 * 0.9 * 1.6
    assert volume_mm3 == pytest.approx(MASK.sum() * 4.5, rel=0.025)
    np.testing.assert_allclose(world_centre(segmentation), mask_centre(MASK, geometry), atol=0.3)
    assert dice(read_segment(segmentation, "S", geometry), MASK) > 0.93


def test_a_range_of_slices_keeps_the_rest_on_another_grid_too(a_scene, an_editor):
    volume = a_scene.add_volume(np.zeros(SHAPE, np.int16), affine((1, 1, 2)))
    other = a_scene.add_volume(np.zeros((20, 16, 20), np.int16), affine((1, 1, 1)), "other")
    segmentation = a_segmentation_with_one_segment(a_scene, other)
    writer, geometry = SegmentWriter(an_editor(segmentation, volume)), geometry_of(volume)
    writer.replace(MASK, geometry, "S")
    before = stored_block(segmentation, "S")[0].over((0, 19, 0, 15, 0, 19))
    writer.replace_slices(np.zeros(SHAPE, bool), geometry, "S", SliceRange(0, 4, 4))
    after = stored_block(segmentation, "S")[0].over((0, 19, 0, 15, 0, 19))
    changed = np.flatnonzero((before != after).any(axis=(1, 2))).tolist()
    assert changed in ([8], [7, 8], [8, 9], [7, 8, 9])
    assert not after[8].any()


def test_a_flipped_and_swapped_grid_is_copied_without_resampling(a_scene, an_editor):
    volume = a_scene.add_volume(np.zeros(SHAPE, np.int16), affine())
    swapped = np.eye(4)
    swapped[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, 1, 0]]
    swapped[:3, 3] = (0, 15, 0)
    other = a_scene.add_volume(np.zeros((20, 10, 16), np.int16), swapped, "other")
    segmentation = a_segmentation_with_one_segment(a_scene, other)
    outcome = SegmentWriter(an_editor(segmentation, volume)).replace(MASK, geometry_of(volume), "S")
    assert not outcome.interpolated
    assert outcome.voxels == MASK.sum()
    np.testing.assert_array_equal(read_segment(segmentation, "S", geometry_of(volume)), MASK)


def test_voxels_beyond_the_segmentations_geometry_are_cut_off_and_counted(a_scene, an_editor):
    volume = a_scene.add_volume(np.zeros(SHAPE, np.int16), affine())
    part = a_scene.add_volume(np.zeros((10, 16, 9), np.int16), affine(), "part")
    segmentation = a_segmentation_with_one_segment(a_scene, part)
    outcome = SegmentWriter(an_editor(segmentation, volume)).replace(MASK, geometry_of(volume), "S")
    assert outcome.outside_voxels == MASK[:, :, 9:].sum()
    assert outcome.voxels == MASK[:, :, :9].sum()


def test_a_mask_wholly_beyond_the_geometry_is_refused_with_the_cure(a_scene, an_editor):
    volume = a_scene.add_volume(np.zeros(SHAPE, np.int16), affine())
    far = a_scene.add_volume(np.zeros(SHAPE, np.int16), affine(origin=(500, 0, 0)), "far")
    segmentation = a_segmentation_with_one_segment(a_scene, far)
    host = an_editor(segmentation, volume)
    with pytest.raises(OutputError, match="Specify geometry"):
        SegmentWriter(host).replace(MASK, geometry_of(volume), "S")
    assert not host.logic.CanUndo()


def test_a_mask_thinner_than_the_segmentations_voxels_is_refused_with_the_cure(a_scene, an_editor):
    volume = a_scene.add_volume(np.zeros(SHAPE, np.int16), affine())
    coarse = a_scene.add_volume(np.zeros((3, 3, 3), np.int16), affine((8, 8, 8)), "coarse")
    segmentation = a_segmentation_with_one_segment(a_scene, coarse)
    dot = np.zeros(SHAPE, bool)
    dot[4, 4, 4] = True
    with pytest.raises(OutputError, match="smaller than a voxel"):
        SegmentWriter(an_editor(segmentation, volume)).replace(dot, geometry_of(volume), "S")


def test_a_warped_segmentation_is_refused_with_the_cure(a_scene, an_editor, a_volume_node):
    segmentation = a_segmentation_with_one_segment(a_scene, a_volume_node)
    a_scene.put_under_warp(segmentation)
    with pytest.raises(GeometryError, match="Harden"):
        SegmentWriter(an_editor(segmentation, a_volume_node)).replace(MASK, geometry_of(a_volume_node), "S")


def test_a_segmentation_without_reference_takes_the_volumes_geometry(a_scene, an_editor, a_volume_node):
    segmentation = a_segmentation_with_one_segment(a_scene)
    SegmentWriter(an_editor(segmentation, a_volume_node)).replace(MASK, geometry_of(a_volume_node), "S")
    name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    assert segmentation.GetSegmentation().GetConversionParameter(name)


def test_without_volume_and_reference_the_error_says_what_to_choose(a_scene, an_editor, a_volume_node):
    segmentation = a_segmentation_with_one_segment(a_scene)
    with pytest.raises(GeometryError, match="Choose a source volume"):
        SegmentWriter(an_editor(segmentation, None)).replace(MASK, geometry_of(a_volume_node), "S")


def test_the_intensity_mask_holds_on_another_grid(a_scene, an_editor):
    values = np.zeros(SHAPE, np.int16)
    values[:, :, 10:] = 100
    volume = a_scene.add_volume(values, affine())
    other = a_scene.add_volume(np.zeros((20, 16, 20), np.int16), affine((1, 1, 0.5)), "other")
    segmentation = a_segmentation_with_one_segment(a_scene, other)
    host = an_editor(segmentation, volume)
    host.parameterSetNode().SourceVolumeIntensityMaskOn()
    host.parameterSetNode().SetSourceVolumeIntensityMaskRange(50, 200)
    outcome = SegmentWriter(host).replace(MASK, geometry_of(volume), "S")
    written = read_segment(segmentation, "S", geometry_of(volume))
    assert written[:, :, 10:].any()
    assert not written[:, :, :10].any()
    assert outcome.masked_voxels > 0


def test_reading_a_layer_that_several_segments_share_gives_each_its_own(a_scene, an_editor, a_volume_node):
    segmentation = a_segmentation_with_one_segment(a_scene, a_volume_node)
    segmentation.GetSegmentation().AddEmptySegment("T", "T")
    writer, geometry = SegmentWriter(an_editor(segmentation, a_volume_node)), geometry_of(a_volume_node)
    right = MASK.copy()
    right[:, :, :9] = False
    writer.replace(MASK & ~right, geometry, "S")
    writer.replace(right, geometry, "T")
    assert segmentation.GetSegmentation().GetNumberOfLayers() == 1
    np.testing.assert_array_equal(read_segment(segmentation, "S", geometry), MASK & ~right)
    np.testing.assert_array_equal(read_segment(segmentation, "T", geometry), right)


@settings(deadline=None, max_examples=60)
@given(
    order=st.permutations([0, 1, 2]),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    shift=st.tuples(*[st.integers(-4, 4)] * 3),
    seed=st.integers(0, 1000),
)
def test_any_whole_voxel_change_of_grid_moves_every_voxel_to_its_place(order, signs, shift, seed):
    mask = np.random.default_rng(seed).random((3, 4, 5)) < 0.4
    matrix = np.zeros((4, 4))
    for row, (column, sign) in enumerate(zip(order, signs, strict=True)):
        matrix[row, column] = sign
    matrix[:3, 3] = shift
    matrix[3, 3] = 1
    moved, resampled = MaskBlock(mask, (2, -1, 3)).mapped(matrix, (-20, 20, -20, 20, -20, 20))
    ijk = np.argwhere(mask)[:, ::-1] + (2, -1, 3)
    expected = {tuple(p) for p in (ijk @ matrix[:3, :3].T + shift).astype(int)}
    found = {tuple(p) for p in np.argwhere(moved.mask)[:, ::-1] + np.array(moved.first_ijk)}
    assert found == expected
    assert not resampled


def test_on_a_finer_grid_a_voxel_is_as_large_as_it_was():
    """A voxel reaches half its size beyond its centre: on a grid three times as fine one voxel more on every side."""
    cube = MaskBlock(np.ones((3, 3, 3), bool), (2, 2, 2))
    finer, resampled = cube.mapped(np.diag([3.0, 3.0, 3.0, 1.0]), (0, 40, 0, 40, 0, 40))
    assert resampled
    assert finer.extent == (5, 13) * 3
    assert finer.mask.all()


@pytest.mark.parametrize(
    ("shift", "gone"),
    [(-0.3, []), (-0.6, [0]), (0.3, []), (0.6, [19]), (-1.4, [0]), (-1.6, [0, 1])],
)
def test_a_voxel_is_outside_when_its_centre_lies_beyond_the_last_voxels_edge(shift, gone):
    mask = np.zeros(SHAPE, bool)
    mask[3:6, 4:9] = True
    geometry = VolumeGeometry.from_ras(SHAPE, affine(origin=(shift, 0.0, 0.0)))
    lattice = Lattice((0, 19, 0, 15, 0, 9), np.eye(4), np.eye(4))
    assert place_block(MaskBlock(mask), geometry, lattice).outside_voxels == mask[:, :, gone].sum()


def test_a_shift_of_half_a_voxel_is_resampled_not_taken_for_none():
    matrix = np.eye(4)
    matrix[0, 3] = 0.5
    assert MaskBlock(MASK).mapped(matrix, (0, 19, 0, 15, 0, 9))[1]
