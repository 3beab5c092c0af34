"""What Slicer's storage node and `io/` write is the same to both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
from mrml_scene import affine, blob

from MedSAMSegmentLib.io.seg_nrrd import read_seg_nrrd, write_seg_nrrd
from MedSAMSegmentLib.io.segments import SegmentToWrite, Terminology
from MedSAMSegmentLib.mrml.new_segment import NewSegment
from MedSAMSegmentLib.mrml.segment_reader import read_segment
from MedSAMSegmentLib.mrml.segment_writer import ObjectToWrite, SegmentWriter
from MedSAMSegmentLib.mrml.volume_node import geometry_of

SHAPE = (10, 16, 20)
LIVER = Terminology(("SCT", "123037004", "Anatomical Structure"), ("SCT", "10200004", "Liver"))
LIVER_ENTRY = (
    "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure"
    "~SCT^10200004^Liver~^^~Anatomic codes - DICOM master list~^^~^^"
)
GRIDS = {
    "oblique": affine((1.0, 1.5, 3.0), (10.0, -5.0, 7.0), (10.0, -20.0, 30.0)),
    "flipped": affine((1, 2, 3), (5, 6, 7), flip=(-1, 1, -1)),
}
SEGMENTS = (
    SegmentToWrite("right lung", blob(SHAPE, (4, 7, 8), (3, 5, 6)), (0.2, 0.4, 0.6), LIVER),
    SegmentToWrite("tumour, overlapping", blob(SHAPE, (5, 8, 12), (3, 5, 6)), (1.0, 0.0, 0.5)),
    SegmentToWrite("lesion 3", blob(SHAPE, (8, 2, 2), (1, 1, 1)), (0.0, 1.0, 0.0)),
)


@pytest.fixture(params=GRIDS)
def a_volume(request, a_scene) -> Any:
    return a_scene.add_volume(np.zeros(SHAPE, np.int16), GRIDS[request.param])


@pytest.fixture
def written_by_io(a_volume, tmp_path):
    path = tmp_path / "io.seg.nrrd"
    write_seg_nrrd(path, SEGMENTS, geometry_of(a_volume))
    return path


@pytest.fixture
def written_by_slicer(a_scene, an_editor, a_volume, tmp_path):
    segmentation = a_scene.add_segmentation(a_volume)
    host = an_editor(segmentation, a_volume)
    host.parameterSetNode().SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
    SegmentWriter(host).write_objects(
        [
            ObjectToWrite(s.mask_zyx, NewSegment(s.name, s.color, LIVER_ENTRY if s.terminology is LIVER else None))
            for s in SEGMENTS
        ],
        geometry_of(a_volume),
    )
    return save(segmentation, tmp_path / "slicer.seg.nrrd")


def save(segmentation, path):
    storage = slicer.vtkMRMLSegmentationStorageNode()
    segmentation.GetScene().AddNode(storage)
    storage.SetFileName(str(path))
    assert storage.WriteData(segmentation) == 1
    return path


def load(scene, path):
    node = scene.add("vtkMRMLSegmentationNode", path.stem)
    storage = slicer.vtkMRMLSegmentationStorageNode()
    scene.scene.AddNode(storage)
    storage.SetFileName(str(path))
    assert storage.ReadData(node) == 1
    return node


def contents(segmentation_node, geometry):
    """Name, colour, terminology codes and voxels of each segment, as Slicer has them."""
    segmentation = segmentation_node.GetSegmentation()
    result = []
    for index in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(index)
        mask = read_segment(segmentation_node, segmentation.GetNthSegmentID(index), geometry)
        codes = tuple(segment.GetTerminology().split("~")[1:3])
        result.append((segment.GetName(), np.round(segment.GetColor(), 5).tolist(), codes, mask))
    return result


def assert_equal_contents(found, expected):
    assert [entry[:3] for entry in found] == [entry[:3] for entry in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one[3], other[3])


def as_expected():
    tissue = ("SCT^85756007^Tissue", "SCT^85756007^Tissue")
    liver = ("SCT^123037004^Anatomical Structure", "SCT^10200004^Liver")
    return [(s.name, list(s.color), liver if s.terminology is LIVER else tissue, s.mask_zyx) for s in SEGMENTS]


def test_slicer_reads_what_io_writes(a_scene, a_volume, written_by_io):
    node = load(a_scene, written_by_io)
    assert_equal_contents(contents(node, geometry_of(a_volume)), as_expected())
    assert node.GetSegmentation().GetNumberOfLayers() == 2


def test_io_reads_what_slicer_writes(a_volume, written_by_slicer):
    file = read_seg_nrrd(written_by_slicer)
    assert [s.name for s in file.segments] == [s.name for s in SEGMENTS]
    for found, expected in zip(file.segments, SEGMENTS, strict=True):
        np.testing.assert_allclose(found.color, expected.color, atol=1e-5)
        assert found.terminology == expected.terminology
        # Slicer crops the file to the segments: compare in the world, voxel by voxel.
        to_volume = np.linalg.inv(geometry_of(a_volume).ijk_to_lps) @ file.geometry.ijk_to_lps
        ijk = np.argwhere(found.mask_zyx)[:, ::-1] @ to_volume[:3, :3].T + to_volume[:3, 3]
        np.testing.assert_allclose(ijk, np.rint(ijk), atol=1e-4)
        assert {tuple(p) for p in np.rint(ijk).astype(int)} == {
            tuple(p) for p in np.argwhere(expected.mask_zyx)[:, ::-1]
        }


def test_names_beyond_ascii_reach_slicer(a_scene, a_volume, tmp_path):
    path = tmp_path / "name.seg.nrrd"
    write_seg_nrrd(path, [SegmentToWrite("Läsion", SEGMENTS[0].mask_zyx)], geometry_of(a_volume))
    assert load(a_scene, path).GetSegmentation().GetNthSegment(0).GetName() == "Läsion"


def test_both_files_hold_the_same_to_slicer(a_scene, a_volume, written_by_io, written_by_slicer):
    geometry = geometry_of(a_volume)
    by_io, by_slicer = load(a_scene, written_by_io), load(a_scene, written_by_slicer)
    assert_equal_contents(contents(by_io, geometry), contents(by_slicer, geometry))
    assert by_io.GetSegmentation().GetNumberOfLayers() == by_slicer.GetSegmentation().GetNumberOfLayers()


@pytest.mark.parametrize("writer", ["written_by_slicer", "written_by_io"])
def test_the_reference_geometry_survives(request, a_scene, a_volume, writer):
    node = load(a_scene, request.getfixturevalue(writer))
    name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    text = node.GetSegmentation().GetConversionParameter(name)
    numbers = [float(v) for v in text.split(";") if v]
    np.testing.assert_allclose(numbers[:16], geometry_of(a_volume).ijk_to_ras.ravel(), atol=1e-6)
    assert numbers[16:] == [0, 19, 0, 15, 0, 9]


def test_a_file_of_io_can_be_edited_on_in_slicer(a_scene, an_editor, a_volume, written_by_io):
    node, geometry = load(a_scene, written_by_io), geometry_of(a_volume)
    more = blob(SHAPE, (3, 10, 15), (2, 3, 3))
    host = an_editor(node, a_volume)
    host.parameterSetNode().SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
    outcome = SegmentWriter(host).add(more, geometry, "Segment_1")
    assert not outcome.interpolated
    expected = as_expected()
    expected[0] = (*expected[0][:3], SEGMENTS[0].mask_zyx | more)
    assert_equal_contents(contents(node, geometry), expected)
    host.logic.Undo()
    assert_equal_contents(contents(node, geometry), as_expected())
