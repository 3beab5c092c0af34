# ruff: noqa: PLR0917 - a test names all fixtures that it looks at
from __future__ import annotations

import itertools

import numpy as np
import pytest
import slicer
from mrml_scene import affine, blob

from MedSAMSegmentLib.errors import GeometryError, OutputError
from MedSAMSegmentLib.mrml import segment_change
from MedSAMSegmentLib.mrml.mask_block import MaskBlock
from MedSAMSegmentLib.mrml.new_segment import NewSegment, numbered_names
from MedSAMSegmentLib.mrml.segment_reader import read_segment, read_slice
from MedSAMSegmentLib.mrml.segment_writer import ObjectToWrite, SegmentWriter, SliceRange
from MedSAMSegmentLib.mrml.segmentation_snapshot import SegmentationSnapshot
from MedSAMSegmentLib.mrml.volume_node import geometry_of, voxels_of

SHAPE = (10, 16, 20)
NODE = slicer.vtkMRMLSegmentationNode
EDITOR = slicer.vtkMRMLSegmentEditorNode
MASK_MODES = {
    "everywhere": NODE.EditAllowedEverywhere,
    "inside all": NODE.EditAllowedInsideAllSegments,
    "inside visible": NODE.EditAllowedInsideVisibleSegments,
    "outside all": NODE.EditAllowedOutsideAllSegments,
    "outside visible": NODE.EditAllowedOutsideVisibleSegments,
    "inside single": NODE.EditAllowedInsideSingleSegment,
}
A = blob(SHAPE, (4, 7, 8), (3, 5, 6))
B = blob(SHAPE, (5, 8, 12), (3, 5, 6))
C = blob(SHAPE, (6, 8, 10), (3, 6, 4))


@pytest.fixture(autouse=True, params=["at once", "in pieces", "with a surface"])
def _operations(request, monkeypatch):
    """The editor takes a labelmap whole, slice by slice as those of large organs, or in as few operations as can be."""
    if request.param == "in pieces":
        monkeypatch.setattr(segment_change, "PIECE_VOXELS", 40)
    elif request.param == "with a surface":
        monkeypatch.setattr(segment_change, "_shows_surface", lambda _target: True)


@pytest.fixture
def a_geometry(a_volume_node):
    return geometry_of(a_volume_node)


@pytest.fixture
def read(a_segmentation_node, a_geometry):
    return lambda segment_id: read_segment(a_segmentation_node, segment_id, a_geometry)


def test_the_segment_becomes_the_mask(a_writer, two_segments, a_geometry, read):
    outcome = a_writer.replace(A, a_geometry, "P")
    np.testing.assert_array_equal(read("P"), A)
    assert not read("Q").any()
    assert (outcome.voxels, outcome.masked_voxels, outcome.outside_voxels) == (A.sum(), 0, 0)
    assert not outcome.interpolated


def test_replacing_erases_what_was_there_before(a_writer, two_segments, a_geometry, read):
    a_writer.replace(A, a_geometry, "P")
    a_writer.replace(B, a_geometry, "P")
    np.testing.assert_array_equal(read("P"), B)


def test_adding_keeps_what_was_there_before(a_writer, two_segments, a_geometry, read):
    a_writer.replace(A, a_geometry, "P")
    a_writer.add(B, a_geometry, "P")
    np.testing.assert_array_equal(read("P"), A | B)


def test_a_small_mask_is_stored_as_a_small_image_on_the_reference_lattice(
    a_writer, two_segments, a_geometry, a_segmentation_node, a_host
):
    a_writer.replace(A, a_geometry, "P")
    image = a_segmentation_node.GetSegmentation().GetSegment("P").GetRepresentation("Binary labelmap")
    assert image.GetExtent() == (2, 14, 2, 12, 1, 7)
    reference = a_host.referenceGeometryImage()
    assert image.GetOrigin() == reference.GetOrigin()
    assert image.GetSpacing() == reference.GetSpacing()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_replacing_a_range_of_slices_leaves_the_others(a_writer, two_segments, a_geometry, read, axis):
    a_writer.replace(A, a_geometry, "P")
    a_writer.replace_slices(B, a_geometry, "P", SliceRange(axis, 4, 6))
    inside = np.zeros(SHAPE, bool)
    np.moveaxis(inside, axis, 0)[4:7] = True
    np.testing.assert_array_equal(read("P"), np.where(inside, B, A))


def test_an_empty_range_empties_only_its_slices(a_writer, two_segments, a_geometry, read):
    a_writer.replace(A, a_geometry, "P")
    a_writer.replace_slices(np.zeros(SHAPE, bool), a_geometry, "P", SliceRange(0, 3, 3))
    expected = A.copy()
    expected[3] = False
    np.testing.assert_array_equal(read("P"), expected)


def test_a_range_that_holds_the_whole_segment_can_empty_it(a_writer, two_segments, a_geometry, read):
    a_writer.replace(A, a_geometry, "P")
    a_writer.replace_slices(np.zeros(SHAPE, bool), a_geometry, "P", SliceRange(0, 0, 9))
    assert not read("P").any()


def test_a_range_write_does_not_take_shared_voxels_of_other_slices(a_writer, two_segments, a_geometry, read, a_host):
    a_host.parameterSetNode().SetOverwriteMode(EDITOR.OverwriteNone)
    a_writer.replace(A, a_geometry, "P")
    a_writer.replace(B, a_geometry, "Q")
    a_host.parameterSetNode().SetOverwriteMode(EDITOR.OverwriteAllSegments)
    a_writer.replace_slices(C, a_geometry, "P", SliceRange(0, 6, 7))
    expected = B.copy()
    expected[6:8] &= ~C[6:8]
    np.testing.assert_array_equal(read("Q"), expected)
    assert a_host.parameterSetNode().GetOverwriteMode() == EDITOR.OverwriteAllSegments


def test_a_range_beyond_the_volume_is_refused(a_writer, two_segments, a_geometry):
    with pytest.raises(OutputError, match="slices 8 to 10"):
        a_writer.replace_slices(A, a_geometry, "P", SliceRange(0, 8, 10))


def test_two_segments_may_overlap_when_overwriting_is_off(
    a_writer, two_segments, a_geometry, read, a_host, a_segmentation_node
):
    a_host.parameterSetNode().SetOverwriteMode(EDITOR.OverwriteNone)
    a_writer.replace(A, a_geometry, "P")
    a_writer.replace(B, a_geometry, "Q")
    np.testing.assert_array_equal(read("P"), A)
    np.testing.assert_array_equal(read("Q"), B)
    assert a_segmentation_node.GetSegmentation().GetNumberOfLayers() == 2


def test_overwriting_all_takes_the_voxels_from_every_segment(a_writer, two_segments, a_geometry, read, a_host):
    a_writer.replace(A, a_geometry, "P")
    a_host.parameterSetNode().SetOverwriteMode(EDITOR.OverwriteAllSegments)
    a_writer.replace(B, a_geometry, "Q")
    np.testing.assert_array_equal(read("P"), A & ~B)
    np.testing.assert_array_equal(read("Q"), B)


@pytest.mark.parametrize("visible", [True, False])
def test_overwriting_visible_spares_hidden_segments(
    a_writer, two_segments, a_geometry, read, a_host, a_segmentation_node, visible
):
    a_writer.replace(A, a_geometry, "P")
    a_segmentation_node.GetDisplayNode().SetSegmentVisibility("P", visible)
    a_host.parameterSetNode().SetOverwriteMode(EDITOR.OverwriteVisibleSegments)
    a_writer.replace(B, a_geometry, "Q")
    np.testing.assert_array_equal(read("P"), A & ~B if visible else A)
    np.testing.assert_array_equal(read("Q"), B)


def _editable(mode: str, other: np.ndarray, old: np.ndarray, hidden: bool) -> np.ndarray:
    """Where segment Q may be edited, from Slicer's documentation: all = P or Q, outside = of the others, single = P."""
    everything = np.ones(SHAPE, bool)
    shown = np.zeros(SHAPE, bool) if hidden else other
    return {
        "everywhere": everything,
        "inside all": other | old,
        "inside visible": shown | old,
        "outside all": ~other,
        "outside visible": ~shown,
        "inside single": other,
    }[mode]


@pytest.mark.parametrize(
    ("mode", "hidden", "intensity", "action"),
    [
        *itertools.product(MASK_MODES, [False], [None, (900, 2200)], ["replace", "add", "range"]),
        *itertools.product(["inside visible", "outside visible"], [True], [None], ["replace", "range"]),
    ],
)
def test_masking_holds(
    a_writer, two_segments, a_geometry, read, a_host, a_segmentation_node, some_voxels, mode, hidden, intensity, action
):
    a_writer.replace(A, a_geometry, "P")
    a_host.parameterSetNode().SetOverwriteMode(EDITOR.OverwriteNone)
    a_writer.replace(B, a_geometry, "Q")
    node = a_host.parameterSetNode()
    a_segmentation_node.GetDisplayNode().SetSegmentVisibility("P", not hidden)
    node.SetMaskMode(MASK_MODES[mode])
    node.SetMaskSegmentID("P")
    editable = _editable(mode, A, B, hidden)
    if intensity is not None:
        node.SourceVolumeIntensityMaskOn()
        node.SetSourceVolumeIntensityMaskRange(*intensity)
        editable = editable & (some_voxels >= intensity[0]) & (some_voxels <= intensity[1])
    if action == "replace":
        outcome = a_writer.replace(C, a_geometry, "Q")
        expected, wanted = np.where(editable, C, B), C
    elif action == "add":
        outcome = a_writer.add(C, a_geometry, "Q")
        expected, wanted = B | (C & editable), C
    else:
        outcome = a_writer.replace_slices(C, a_geometry, "Q", SliceRange(0, 5, 6))
        region = np.zeros(SHAPE, bool)
        region[5:7] = True
        expected, wanted = np.where(editable & region, C, B), C & region
    np.testing.assert_array_equal(read("Q"), expected)
    np.testing.assert_array_equal(read("P"), A)
    assert outcome.voxels == expected.sum()
    assert outcome.masked_voxels == (wanted & ~editable).sum()


def test_an_intensity_range_with_fractions_is_understood_as_the_editor_does(
    a_writer, two_segments, a_geometry, a_host, read, some_voxels
):
    assert A[some_voxels == 1428].all(), "the limits below tell a fraction that is dropped from one that is rounded"
    node = a_host.parameterSetNode()
    node.SourceVolumeIntensityMaskOn()
    node.SetSourceVolumeIntensityMaskRange(-70000.5, 1427.7)
    a_writer.replace(A, a_geometry, "P")
    np.testing.assert_array_equal(read("P"), A & (some_voxels <= 1427))


@pytest.mark.parametrize(("limits", "value"), [((40000.0, 50000.0), 32767), ((-50000.0, -40000.0), -32768)])
def test_limits_beyond_the_voxels_type_are_cut_to_it_as_the_editor_does(a_scene, an_editor, limits, value):
    voxels = np.zeros(SHAPE, np.int16)
    voxels[:, :, 8:] = value
    volume = a_scene.add_volume(voxels, affine())
    segmentation = a_scene.add_segmentation(volume)
    segmentation.GetSegmentation().AddEmptySegment("P", "P")
    host = an_editor(segmentation, volume)
    host.parameterSetNode().SourceVolumeIntensityMaskOn()
    host.parameterSetNode().SetSourceVolumeIntensityMaskRange(*limits)
    outcome = SegmentWriter(host).replace(A, geometry_of(volume), "P")
    np.testing.assert_array_equal(read_segment(segmentation, "P", geometry_of(volume)), A & (voxels == value))
    assert outcome.masked_voxels == A[:, :, :8].sum()


def test_what_a_masked_segment_keeps_is_not_taken_from_the_mask_again(a_writer, two_segments, a_geometry, read, a_host):
    """P and Q overlap, and Q may be edited inside P alone: only what Q gains is taken from P."""
    node = a_host.parameterSetNode()
    node.SetOverwriteMode(EDITOR.OverwriteNone)
    a_writer.replace(A, a_geometry, "P")
    a_writer.replace(B, a_geometry, "Q")
    node.SetOverwriteMode(EDITOR.OverwriteAllSegments)
    node.SetMaskMode(NODE.EditAllowedInsideSingleSegment)
    node.SetMaskSegmentID("P")
    a_writer.replace_slices(np.zeros(SHAPE, bool), a_geometry, "Q", SliceRange(0, 5, 6))
    erased = B & A
    erased[:5] = erased[7:] = False
    assert erased.any()
    np.testing.assert_array_equal(read("Q"), B & ~erased)
    np.testing.assert_array_equal(read("P"), A)
    assert node.GetOverwriteMode() == EDITOR.OverwriteAllSegments


def test_segments_that_shared_a_layer_share_it_again_when_a_write_is_taken_back(
    a_writer, two_segments, a_geometry, read, a_segmentation_node
):
    segmentation = a_segmentation_node.GetSegmentation()
    a_writer.replace(A & ~B, a_geometry, "P")
    a_writer.replace(B, a_geometry, "Q")
    assert segmentation.GetNumberOfLayers() == 1
    assert segmentation.GetSegment("Q").GetLabelValue() == 2
    snapshot = SegmentationSnapshot(segmentation)
    segmentation.SeparateSegmentLabelmap("Q")
    assert segmentation.GetSegment("Q").GetLabelValue() == 1, "on a layer of its own it has another value"
    snapshot.restore()
    np.testing.assert_array_equal(read("Q"), B)
    np.testing.assert_array_equal(read("P"), A & ~B)
    assert segmentation.GetNumberOfLayers() == 1


def test_the_mask_is_computed_for_the_written_segment_not_the_selected_one(
    a_writer, two_segments, a_geometry, read, a_host
):
    a_writer.replace(A, a_geometry, "P")
    node = a_host.parameterSetNode()
    node.SetSelectedSegmentID("P")
    node.SetMaskMode(NODE.EditAllowedOutsideAllSegments)
    a_writer.replace(B, a_geometry, "Q")
    np.testing.assert_array_equal(read("P"), A)
    np.testing.assert_array_equal(read("Q"), B & ~A)
    assert node.GetSelectedSegmentID() == "P"


def test_one_write_is_one_undo_step_and_undo_and_redo_restore_exactly(a_writer, two_segments, a_geometry, read, a_host):
    a_writer.replace(A, a_geometry, "P")
    a_writer.replace_slices(C, a_geometry, "P", SliceRange(0, 4, 7))
    after_second = read("P")
    a_host.logic.Undo()
    np.testing.assert_array_equal(read("P"), A)
    a_host.logic.Undo()
    assert not read("P").any()
    assert not a_host.logic.CanUndo()
    a_host.logic.Redo()
    np.testing.assert_array_equal(read("P"), A)
    a_host.logic.Redo()
    np.testing.assert_array_equal(read("P"), after_second)


def test_undo_gives_overwritten_voxels_back_to_their_segment(a_writer, two_segments, a_geometry, read, a_host):
    a_writer.replace(A, a_geometry, "P")
    a_writer.replace(B, a_geometry, "Q")
    a_host.logic.Undo()
    np.testing.assert_array_equal(read("P"), A)
    assert not read("Q").any()


def test_many_new_segments_are_one_undo_step(a_writer, a_geometry, a_segmentation_node, a_host, read):
    segmentation = a_segmentation_node.GetSegmentation()
    names = numbered_names(segmentation, 2)
    red = (1.0, 0.0, 0.0)
    outcomes = a_writer.write_objects(
        [
            ObjectToWrite(A, NewSegment(names[0], red, tags={"MedSAM.model": "lite_medsam"})),
            ObjectToWrite(np.zeros(SHAPE, bool), NewSegment("nothing there")),
            ObjectToWrite(B & ~A, NewSegment(names[1])),
        ],
        a_geometry,
    )
    assert [o.voxels for o in outcomes] == [A.sum(), 0, (B & ~A).sum()]
    assert [segmentation.GetNthSegment(n).GetName() for n in range(2)] == ["Segment_1", "Segment_2"]
    assert segmentation.GetNumberOfSegments() == 2
    assert segmentation.GetSegment(outcomes[0].segment_id).GetColor() == red
    np.testing.assert_array_equal(read(outcomes[2].segment_id), B & ~A)
    assert numbered_names(segmentation, 2) == ["Segment_3", "Segment_4"]
    a_host.logic.Undo()
    assert segmentation.GetNumberOfSegments() == 0
    assert not a_host.logic.CanUndo()
    a_host.logic.Redo()
    assert [segmentation.GetNthSegment(n).GetName() for n in range(2)] == ["Segment_1", "Segment_2"]
    np.testing.assert_array_equal(read(outcomes[0].segment_id), A)


def test_names_are_those_of_the_editors_own_new_segments(a_segmentation_node):
    segmentation = a_segmentation_node.GetSegmentation()
    for _ in range(3):
        (name,) = numbered_names(segmentation, 1)
        segment = segmentation.GetSegment(segmentation.AddEmptySegment())
        assert segment.GetName() == name
    segment.SetName("Liver")
    assert numbered_names(segmentation, 2) == ["Segment_3", "Segment_4"]


def test_a_new_segment_takes_its_terminology_and_tags(a_segmentation_node):
    entry = (
        "Segmentation category and type - 3D Slicer General Anatomy list~SCT^49755003^Morphologically Altered Structure"
        "~SCT^4147007^Mass~^^~Anatomic codes - DICOM master list~^^~^^"
    )
    segmentation = a_segmentation_node.GetSegmentation()
    segment = segmentation.GetSegment(NewSegment("m", terminology=entry, tags={"MedSAM.run": "3"}).add_to(segmentation))
    assert segment.GetTerminology() == entry
    assert segment.HasTag("MedSAM.run")
    assert not segment.GetNameAutoGenerated()
    assert segment.GetColorAutoGenerated()


def test_all_empty_masks_change_nothing_and_save_no_undo_state(a_writer, a_geometry, a_host):
    outcome = a_writer.write_objects([ObjectToWrite(np.zeros(SHAPE, bool), NewSegment("x"))], a_geometry)[0]
    assert (outcome.segment_id, outcome.voxels) == ("", 0)
    assert not a_host.logic.CanUndo()


def test_an_empty_mask_leaves_the_segment_as_it_is(a_writer, two_segments, a_geometry, read):
    a_writer.replace(A, a_geometry, "P")
    with pytest.raises(OutputError, match="Nothing was found"):
        a_writer.replace(np.zeros(SHAPE, bool), a_geometry, "P")
    np.testing.assert_array_equal(read("P"), A)


def test_an_empty_mask_clears_the_segment_when_asked_to(a_writer, two_segments, a_geometry, read):
    a_writer.replace(A, a_geometry, "P")
    a_writer.replace(np.zeros(SHAPE, bool), a_geometry, "P", allow_empty=True)
    assert not read("P").any()


def test_a_missing_segment_is_refused_before_anything_changes(a_writer, two_segments, a_geometry, a_host):
    with pytest.raises(OutputError, match="gone-by-now"):
        a_writer.write_objects([ObjectToWrite(A, "P"), ObjectToWrite(B, "gone-by-now")], a_geometry)
    assert not a_host.logic.CanUndo()


def test_a_mask_of_another_shape_is_refused(a_writer, two_segments, a_geometry):
    with pytest.raises(GeometryError, match="shape"):
        a_writer.replace(np.ones((3, 3, 3), bool), a_geometry, "P")


def test_a_segmentation_that_was_removed_is_a_sentence(
    a_writer, two_segments, a_geometry, a_scene, a_segmentation_node
):
    a_scene.scene.RemoveNode(a_segmentation_node)
    with pytest.raises(OutputError, match="No segmentation"):
        a_writer.replace(A, a_geometry, "P")


def test_a_write_that_the_editor_swallows_is_noticed(a_host, two_segments, a_geometry, monkeypatch):
    monkeypatch.setattr(a_host, "modifySegmentByLabelmap", lambda *_: None)
    with pytest.raises(OutputError, match=f"did not write {A.sum()} of the voxels of first"):
        SegmentWriter(a_host).replace(A, a_geometry, "P")


def test_a_write_that_the_editor_swallows_names_masking_when_it_is_on(a_host, two_segments, a_geometry, monkeypatch):
    a_host.parameterSetNode().SetMaskMode(NODE.EditAllowedOutsideAllSegments)
    monkeypatch.setattr(a_host, "modifySegmentByLabelmap", lambda *_: None)
    with pytest.raises(OutputError, match="Masking settings"):
        SegmentWriter(a_host).replace(A, a_geometry, "P")


def test_a_mask_that_masking_forbids_everywhere_is_reported_not_raised(a_writer, two_segments, a_geometry, a_host):
    a_writer.replace(A, a_geometry, "P")
    a_host.parameterSetNode().SetMaskMode(NODE.EditAllowedOutsideAllSegments)
    outcome = a_writer.replace(A, a_geometry, "Q")
    assert (outcome.voxels, outcome.masked_voxels) == (0, A.sum())


def test_the_closed_surface_follows_the_write(a_writer, two_segments, a_geometry, a_segmentation_node):
    a_writer.replace(A, a_geometry, "P")
    a_segmentation_node.CreateClosedSurfaceRepresentation()
    small = a_segmentation_node.GetClosedSurfaceInternalRepresentation("P").GetNumberOfPoints()
    a_writer.add(B, a_geometry, "P")
    assert a_segmentation_node.GetClosedSurfaceInternalRepresentation("P").GetNumberOfPoints() > small


def test_a_segment_of_surfaces_is_refused_with_the_cure(a_writer, two_segments, a_geometry, a_segmentation_node):
    a_writer.replace(A, a_geometry, "P")
    a_segmentation_node.CreateClosedSurfaceRepresentation()
    segmentation = a_segmentation_node.GetSegmentation()
    segmentation.SetSourceRepresentationName("Closed surface")
    segmentation.RemoveRepresentation("Binary labelmap")
    with pytest.raises(OutputError, match="labelmap"):
        a_writer.replace(B, a_geometry, "P")


def test_an_identity_volume_works_like_an_oblique_one(a_scene, an_editor):
    volume = a_scene.add_volume(np.zeros(SHAPE, np.int16), affine())
    segmentation = a_scene.add_segmentation()
    segmentation.GetSegmentation().AddEmptySegment("S", "S")
    SegmentWriter(an_editor(segmentation, volume)).replace(A, geometry_of(volume), "S")
    np.testing.assert_array_equal(read_segment(segmentation, "S", geometry_of(volume)), A)


def test_each_run_saves_the_undo_state_once(a_host, two_segments, a_geometry, monkeypatch):
    saves = []
    save = a_host.saveStateForUndo
    monkeypatch.setattr(a_host, "saveStateForUndo", lambda: (saves.append(1), save()))
    writer = SegmentWriter(a_host)
    writer.replace(A, a_geometry, "P")
    writer.replace_slices(C, a_geometry, "P", SliceRange(0, 4, 7))
    writer.write_objects([ObjectToWrite(B, "Q"), ObjectToWrite(C, NewSegment("n"))], a_geometry)
    assert len(saves) == 3


def test_voxels_that_vanish_beside_the_written_slices_are_noticed(a_host, two_segments, a_geometry, monkeypatch):
    writer = SegmentWriter(a_host)
    writer.replace(A, a_geometry, "P")
    modify = a_host.modifySegmentByLabelmap
    monkeypatch.setattr(
        a_host, "modifySegmentByLabelmap", lambda n, s, image, _mode: modify(n, s, image, a_host.ModificationModeSet)
    )
    with pytest.raises(OutputError, match="did not write"):
        writer.replace_slices(C, a_geometry, "P", SliceRange(0, 6, 6))


def test_the_volume_itself_is_never_changed(a_writer, two_segments, a_geometry, a_volume_node, some_voxels):
    before = a_volume_node.GetImageData().GetMTime()
    a_writer.replace(A, a_geometry, "P")
    np.testing.assert_array_equal(voxels_of(a_volume_node), some_voxels)
    assert a_volume_node.GetImageData().GetMTime() == before


@pytest.mark.parametrize("error", [None, MemoryError()])
def test_of_a_write_that_fails_half_way_nothing_stays(
    a_host, two_segments, a_geometry, a_segmentation_node, read, monkeypatch, error
):
    segmentation = a_segmentation_node.GetSegmentation()
    writer = SegmentWriter(a_host)
    writer.replace(A, a_geometry, "P")
    writer.replace(C & ~A, a_geometry, "Q")
    a_segmentation_node.CreateClosedSurfaceRepresentation()
    points = a_segmentation_node.GetClosedSurfaceInternalRepresentation("P").GetNumberOfPoints()
    modify, calls = a_host.modifySegmentByLabelmap, []

    def fails_at_the_third(*arguments):
        calls.append(arguments)
        if len(calls) < 3:
            modify(*arguments)
        elif error is not None:
            raise error

    monkeypatch.setattr(a_host, "modifySegmentByLabelmap", fails_at_the_third)
    objects = [ObjectToWrite(B, NewSegment("new")), ObjectToWrite(C, "P"), ObjectToWrite(A | B, "Q")]
    with pytest.raises(MemoryError if error else OutputError):
        writer.write_objects(objects, a_geometry)
    assert list(segmentation.GetSegmentIDs()) == ["P", "Q"]
    np.testing.assert_array_equal(read("P"), A)
    np.testing.assert_array_equal(read("Q"), C & ~A)
    assert a_segmentation_node.GetClosedSurfaceInternalRepresentation("P").GetNumberOfPoints() == points

    monkeypatch.undo()
    writer.write_objects(objects, a_geometry)
    np.testing.assert_array_equal(read("P"), C & ~(A | B))
    for _ in range(2):
        a_host.logic.Undo()
        np.testing.assert_array_equal(read("P"), A)
        np.testing.assert_array_equal(read("Q"), C & ~A)
    a_host.logic.Undo()
    np.testing.assert_array_equal(read("P"), A)
    assert not read("Q").any()
    a_host.logic.Redo()
    np.testing.assert_array_equal(read("Q"), C & ~A)


@pytest.mark.parametrize(("axis", "index"), [(0, 4), (1, 8), (2, 12), (0, 0)])
def test_a_slice_is_read_as_in_the_whole_segment(
    a_writer, two_segments, a_geometry, a_segmentation_node, read, axis, index
):
    assert not read_slice(a_segmentation_node, "P", a_geometry, axis, index).any()
    a_writer.replace(A, a_geometry, "P")
    found = read_slice(a_segmentation_node, "P", a_geometry, axis, index)
    np.testing.assert_array_equal(found, np.take(read("P"), index, axis))


def test_a_part_of_the_volumes_mask_is_written_as_the_whole(a_writer, two_segments, a_geometry, read):
    a_writer.replace(MaskBlock(A).cropped(), a_geometry, "P")
    np.testing.assert_array_equal(read("P"), A)
    a_writer.add(MaskBlock(C).cropped(), a_geometry, "P")
    np.testing.assert_array_equal(read("P"), A | C)
    a_writer.replace_slices(MaskBlock(B).cropped(), a_geometry, "P", SliceRange(1, 3, 9))
    expected = A | C
    expected[:, 3:10] = B[:, 3:10]
    np.testing.assert_array_equal(read("P"), expected)


def _two_objects():
    return [ObjectToWrite(C, "Q"), ObjectToWrite(A & ~C, NewSegment("new"))]


def test_a_write_in_steps_is_one_undo_step(a_writer, two_segments, a_geometry, read, a_host):
    a_writer.replace(B, a_geometry, "Q")
    steps = a_writer.write_in_steps(_two_objects(), a_geometry)
    assert sum(1 for _ in steps) >= 5
    np.testing.assert_array_equal(read("Q"), C)
    a_host.logic.Undo()
    np.testing.assert_array_equal(read("Q"), B)
    assert a_host.parameterSetNode().GetSegmentationNode().GetSegmentation().GetNumberOfSegments() == 2


def test_of_a_write_in_steps_that_is_given_up_nothing_stays(
    a_writer, two_segments, a_geometry, read, a_segmentation_node
):
    a_writer.replace(B, a_geometry, "Q")
    count = sum(1 for _ in a_writer.write_in_steps(_two_objects(), a_geometry))
    a_writer.replace(B, a_geometry, "Q")
    before = list(a_segmentation_node.GetSegmentation().GetSegmentIDs())
    for taken in range(1, count + 1):
        steps = a_writer.write_in_steps(_two_objects(), a_geometry)
        for _ in range(taken):
            next(steps)
        steps.close()
        np.testing.assert_array_equal(read("Q"), B)
        assert list(a_segmentation_node.GetSegmentation().GetSegmentIDs()) == before


def test_a_write_in_steps_outlives_a_change_by_others(
    a_writer, an_editor, a_volume_node, two_segments, a_geometry, read, a_segmentation_node
):
    a_writer.replace(B, a_geometry, "Q")
    count = sum(1 for _ in a_writer.write_in_steps([ObjectToWrite(C, "Q")], a_geometry))
    for number in range(count):
        a_writer.replace(B, a_geometry, "Q")
        steps = a_writer.write_in_steps([ObjectToWrite(C, "Q")], a_geometry)
        for at, _ in enumerate(steps):
            if at == number:
                a_segmentation_node.GetSegmentation().AddEmptySegment("", "of the user")
        np.testing.assert_array_equal(read("Q"), C)


def test_undo_in_the_midst_of_a_write_does_not_lose_it(a_writer, two_segments, a_geometry, read, a_host):
    a_writer.replace(B, a_geometry, "Q")
    steps = a_writer.write_in_steps([ObjectToWrite(C, "Q")], a_geometry)
    next(steps)
    next(steps)
    next(steps)
    a_host.logic.Undo()
    assert list(steps) == []
    np.testing.assert_array_equal(read("Q"), C)
    a_host.logic.Undo()
    np.testing.assert_array_equal(read("Q"), B)
