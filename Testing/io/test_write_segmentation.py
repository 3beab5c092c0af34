"""Segmentations come back as they were written, and Slicer's own reader sees the same."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import slicerio

from MedSAMSegmentLib.errors import InputError, OutputError, UsageError
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.io.label_map import sidecar_path
from MedSAMSegmentLib.io.read_segmentation import read_segmentation
from MedSAMSegmentLib.io.segments import PALETTE, SegmentToWrite, Terminology
from MedSAMSegmentLib.io.write_segmentation import (
    check_output_grid,
    check_output_path,
    segments_from,
    write_segmentation,
)

FORMATS = ["out.seg.nrrd", "out.nii.gz", "out.nii", "out.nrrd", "out.mha"]


def a_mask(*bounds: tuple[int, int]) -> np.ndarray:
    mask = np.zeros((5, 6, 7), bool)
    mask[tuple(slice(first, last + 1) for first, last in bounds)] = True
    return mask


@pytest.fixture
def apart() -> list[SegmentToWrite]:
    return [
        SegmentToWrite(
            "liver", a_mask((0, 2), (1, 3), (0, 2)), (0.8, 0.4, 0.2), Terminology.parse("SCT:10200004:Liver")
        ),
        SegmentToWrite("lesion", a_mask((3, 4), (1, 3), (4, 6)), (0.1, 0.9, 0.5)),
    ]


@pytest.fixture
def overlapping() -> list[SegmentToWrite]:
    return [
        SegmentToWrite("organ", a_mask((0, 3), (0, 4), (0, 4))),
        SegmentToWrite("lesion", a_mask((2, 4), (2, 5), (3, 6))),
        SegmentToWrite("apart", a_mask((4, 4), (0, 0), (0, 0))),
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_segments_come_back_with_place_name_colour_and_meaning(
    tmp_path: Path, apart: list[SegmentToWrite], an_oblique_geometry: VolumeGeometry, name: str
) -> None:
    write_segmentation(tmp_path / name, apart, an_oblique_geometry)
    found = read_segmentation(tmp_path / name)
    assert np.allclose(found.geometry.ijk_to_lps, an_oblique_geometry.ijk_to_lps, atol=1e-4)
    assert [s.name for s in found.segments] == ["liver", "lesion"]
    for ours, theirs in zip(apart, found.segments, strict=True):
        assert np.array_equal(ours.mask_zyx, theirs.mask_zyx)
        assert theirs.color == pytest.approx(ours.color)
        assert theirs.terminology == ours.terminology


def test_overlapping_segments_become_layers_and_lose_nothing(
    tmp_path: Path, overlapping: list[SegmentToWrite], an_oblique_geometry: VolumeGeometry
) -> None:
    write_segmentation(tmp_path / "o.seg.nrrd", overlapping, an_oblique_geometry)
    raw = slicerio.read_segmentation(str(tmp_path / "o.seg.nrrd"))
    assert raw["voxels"].shape == (2, 7, 6, 5)
    assert [s["layer"] for s in raw["segments"]] == [0, 1, 0]
    assert [s["extent"] for s in raw["segments"]] == [[0, 4, 0, 4, 0, 4], [3, 6, 2, 5, 2, 4], [0, 4, 0, 4, 0, 4]]
    for ours, theirs in zip(overlapping, read_segmentation(tmp_path / "o.seg.nrrd").segments, strict=True):
        assert np.array_equal(ours.mask_zyx, theirs.mask_zyx)


def test_in_a_label_map_the_later_segment_wins_and_the_sidecar_says_so(
    tmp_path: Path, overlapping: list[SegmentToWrite], an_oblique_geometry: VolumeGeometry
) -> None:
    written = write_segmentation(tmp_path / "o.nii.gz", overlapping, an_oblique_geometry)
    assert written == (tmp_path / "o.nii.gz", tmp_path / "o.labels.json")
    sidecar = json.loads(written[1].read_text())
    both = int((overlapping[0].mask_zyx & overlapping[1].mask_zyx).sum())
    assert both == 2 * 3 * 2
    assert sidecar["overlap"] == "the later label wins"
    assert [row["voxels_overwritten"] for row in sidecar["labels"]] == [both, 0, 0]
    assert sidecar["labels"][0]["voxels"] == 100
    organ, lesion, _ = read_segmentation(tmp_path / "o.nii.gz").segments
    assert int(organ.mask_zyx.sum()) == 100 - both
    assert np.array_equal(lesion.mask_zyx, overlapping[1].mask_zyx)


def test_the_challenge_file_holds_labels(tmp_path: Path, apart: list[SegmentToWrite]) -> None:
    geometry = VolumeGeometry.from_spacing((5, 6, 7), (3.0, 0.8, 0.7))
    write_segmentation(tmp_path / "o.npz", apart, geometry)
    found = read_segmentation(tmp_path / "o.npz")
    assert found.geometry.spacing_zyx == pytest.approx((3.0, 0.8, 0.7))
    assert [np.array_equal(a.mask_zyx, b.mask_zyx) for a, b in zip(apart, found.segments, strict=True)] == [True, True]


def test_the_public_segmentation_round_trips(tmp_path: Path, slicerio_data: Path) -> None:
    for source in ("Segmentation.seg.nrrd", "SegmentationOverlapping.seg.nrrd"):
        before = read_segmentation(slicerio_data / source)
        write_segmentation(tmp_path / "again.seg.nrrd", before.segments, before.geometry)
        after = read_segmentation(tmp_path / "again.seg.nrrd")
        assert np.allclose(after.geometry.ijk_to_lps, before.geometry.ijk_to_lps)
        assert [s.name for s in after.segments] == [s.name for s in before.segments]
        for ours, theirs in zip(before.segments, after.segments, strict=True):
            assert np.array_equal(ours.mask_zyx, theirs.mask_zyx)
            assert ours.terminology == theirs.terminology


def test_an_empty_segment_is_kept(tmp_path: Path, an_oblique_geometry: VolumeGeometry) -> None:
    segments = segments_from(["none", "some"], [np.zeros((5, 6, 7), bool), a_mask((1, 2), (1, 2), (1, 2))])
    for name in FORMATS:
        write_segmentation(tmp_path / name, segments, an_oblique_geometry)
        found = read_segmentation(tmp_path / name).segments
        assert [(s.name, int(s.mask_zyx.sum())) for s in found] == [("none", 0), ("some", 8)]


def test_a_name_that_looks_like_a_numbered_reference_stays_and_cannot_break_the_header(
    tmp_path: Path, an_oblique_geometry: VolumeGeometry
) -> None:
    names = ["a&#10;Segment0_Color:=0 0 0", "&#99999999999;", "R&D größe"]
    segments = [SegmentToWrite(name, a_mask((n, n), (1, 3), (0, 2))) for n, name in enumerate(names)]
    write_segmentation(tmp_path / "out.seg.nrrd", segments, an_oblique_geometry)
    assert [s.name for s in read_segmentation(tmp_path / "out.seg.nrrd").segments] == names


def test_the_labels_of_another_file_of_the_same_stem_are_not_taken(
    tmp_path: Path, apart: list[SegmentToWrite], an_oblique_geometry: VolumeGeometry
) -> None:
    write_segmentation(tmp_path / "a.nrrd", apart, an_oblique_geometry)
    (tmp_path / "plain").mkdir()
    write_segmentation(tmp_path / "plain" / "a.nii.gz", apart, an_oblique_geometry)
    (tmp_path / "plain" / "a.nii.gz").rename(tmp_path / "a.nii.gz")
    assert [s.name for s in read_segmentation(tmp_path / "a.nii.gz").segments] == ["Label 1", "Label 2"]
    assert [s.name for s in read_segmentation(tmp_path / "a.nrrd").segments] == ["liver", "lesion"]
    (tmp_path / "a.nrrd").rename(tmp_path / "b.nrrd")
    (tmp_path / "a.labels.json").rename(tmp_path / "b.labels.json")
    assert [s.name for s in read_segmentation(tmp_path / "b.nrrd").segments] == ["liver", "lesion"]


def test_names_survive_line_breaks_and_other_alphabets(tmp_path: Path, an_oblique_geometry: VolumeGeometry) -> None:
    names = ["Läsion 肝臓", "two\nlines\r\n:=|", ""]
    segments = segments_from(names, [a_mask((n, n), (0, 5), (0, 6)) for n in range(3)])
    for name in FORMATS:
        write_segmentation(tmp_path / name, segments, an_oblique_geometry)
        found = [s.name for s in read_segmentation(tmp_path / name).segments]
        assert found == ["Läsion 肝臓", "two lines :=|", "Segment"]


def test_more_than_255_segments_are_told_apart(tmp_path: Path) -> None:
    geometry = VolumeGeometry.from_spacing((1, 1, 300))
    masks = [np.arange(300).reshape(1, 1, 300) == n for n in range(300)]
    for name in ("many.nrrd", "many.seg.nrrd", "many.npz"):
        write_segmentation(tmp_path / name, segments_from([f"s{n}" for n in range(300)], masks), geometry)
        found = read_segmentation(tmp_path / name).segments
        assert len(found) == 300
        assert bool(found[299].mask_zyx[0, 0, 299])


def test_slicer_reads_the_same_segments(
    tmp_path: Path, overlapping: list[SegmentToWrite], apart: list[SegmentToWrite], an_oblique_geometry: VolumeGeometry
) -> None:
    slicer = pytest.importorskip("slicer")
    vtk = pytest.importorskip("vtk")
    from vtk.util.numpy_support import vtk_to_numpy

    # Slicer keeps the parameter only when a converter that uses it is there, as in the application.
    slicer.vtkSegmentationConverterFactory.GetInstance().RegisterConverterRule(
        slicer.vtkClosedSurfaceToBinaryLabelmapConversionRule()
    )
    overlapping[0] = SegmentToWrite("Läsion 肝臓", overlapping[0].mask_zyx)
    for segments in (overlapping, apart):
        write_segmentation(tmp_path / "s.seg.nrrd", segments, an_oblique_geometry)
        node, storage = slicer.vtkMRMLSegmentationNode(), slicer.vtkMRMLSegmentationStorageNode()
        scene = slicer.vtkMRMLScene()
        scene.AddNode(node)
        scene.AddNode(storage)
        storage.SetFileName(str(tmp_path / "s.seg.nrrd"))
        assert storage.ReadData(node) == 1
        segmentation = node.GetSegmentation()
        assert segmentation.GetNumberOfSegments() == len(segments)
        reference = segmentation.GetConversionParameter("Reference image geometry")
        assert reference.rstrip(";").split(";")[-6:] == ["0", "6", "0", "5", "0", "4"]
        assert [float(v) for v in reference.split(";")[:16]] == pytest.approx(an_oblique_geometry.ijk_to_ras.ravel())
        for index, ours in enumerate(segments):
            theirs = segmentation.GetNthSegment(index)
            assert theirs.GetName() == ours.name
            assert theirs.GetColor() == pytest.approx(ours.shown_color(index), abs=1e-6)
            assert "^".join(ours.terminology.type) in theirs.GetTerminology()
            image = slicer.vtkOrientedImageData()
            node.GetBinaryLabelmapRepresentation(segmentation.GetNthSegmentID(index), image)
            i0, i1, j0, j1, k0, k1 = image.GetExtent()
            values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
            full = np.zeros((5, 6, 7), bool)
            full[k0 : k1 + 1, j0 : j1 + 1, i0 : i1 + 1] = values != 0
            assert np.array_equal(full, ours.mask_zyx)
            matrix = vtk.vtkMatrix4x4()
            image.GetImageToWorldMatrix(matrix)
            to_ras = [matrix.GetElement(row, column) for row in range(4) for column in range(4)]
            assert to_ras == pytest.approx(an_oblique_geometry.ijk_to_ras.ravel(), abs=1e-6)


def test_a_sheared_grid_is_written_for_slicer_and_refused_for_label_maps(
    tmp_path: Path, apart: list[SegmentToWrite]
) -> None:
    matrix = np.diag([0.7, 0.8, 3.0, 1.0])
    matrix[1, 2] = 0.6
    geometry = VolumeGeometry((5, 6, 7), matrix)
    write_segmentation(tmp_path / "t.seg.nrrd", apart, geometry)
    found = read_segmentation(tmp_path / "t.seg.nrrd")
    assert np.allclose(found.geometry.ijk_to_lps, matrix)
    with pytest.raises(OutputError, match="right angles"):
        write_segmentation(tmp_path / "t.nii.gz", apart, geometry)
    with pytest.raises(OutputError, match="right angles"):
        check_output_grid(tmp_path / "t.nii.gz", geometry)
    check_output_grid(tmp_path / "t.seg.nrrd", geometry)
    check_output_grid(tmp_path / "t.nii.gz", VolumeGeometry.from_spacing((5, 6, 7)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.seg.nrrd"]


def test_codes_and_colours_go_to_the_first_segments_and_the_rest_get_defaults() -> None:
    masks = [a_mask((n, n), (0, 0), (0, 0)) for n in range(2)]
    one, two = segments_from(["a", "b"], masks, terminologies=["SCT:10200004:Liver"], colors=[(1, 0, 0)])
    assert one.terminology.type == ("SCT", "10200004", "Liver")
    assert one.terminology.category == ("SCT", "123037004", "Anatomical Structure")
    assert two.terminology.type == ("SCT", "85756007", "Tissue")
    assert one.shown_color(0) == (1, 0, 0)
    assert two.shown_color(1) == PALETTE[1]
    with pytest.raises(UsageError, match="2 codes for 1"):
        segments_from(["a"], masks[:1], terminologies=["SCT:1:A", "SCT:2:B"])


@pytest.mark.parametrize("code", ["", "Liver", "SCT:10200004", "SCT::Liver", "SCT:1:a^b", "SCT:1:a|b", "SCT:1:a~b"])
def test_a_code_that_is_not_one_is_refused(code: str) -> None:
    with pytest.raises(UsageError, match="SCHEME:CODE:MEANING"):
        Terminology.parse(code)


def test_an_unknown_kind_of_file_lists_the_known(tmp_path: Path, apart: list[SegmentToWrite]) -> None:
    geometry = VolumeGeometry.from_spacing((5, 6, 7))
    for name in ("out.stl", "out", "out.gz", ".nrrd"):
        with pytest.raises(UsageError) as caught:
            write_segmentation(tmp_path / name, apart, geometry)
        assert ".seg.nrrd" in caught.value.cure
    assert list(tmp_path.iterdir()) == []


def test_output_paths_are_checked_before_the_work(tmp_path: Path) -> None:
    for name in ("a.seg.nrrd", "A.NII.GZ", "a.npz"):
        check_output_path(tmp_path / name)
    check_output_path(tmp_path / "a.png", (".png",))
    for name, suffixes in (("a.png", FORMATS), ("a.nrrd", (".png",)), ("a.jpg", (".png",))):
        with pytest.raises(UsageError, match="cannot be written"):
            check_output_path(tmp_path / name, suffixes)
    with pytest.raises(OutputError, match="does not exist"):
        check_output_path(tmp_path / "missing" / "a.nrrd")
    (tmp_path / "dir.nrrd").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        check_output_path(tmp_path / "dir.nrrd")


@pytest.mark.parametrize("name", [*FORMATS, "out.npz"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, apart: list[SegmentToWrite], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OutputError, match="No space left"):
        write_segmentation(tmp_path / name, apart, VolumeGeometry.from_spacing((5, 6, 7)))
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(name, "old")]


@pytest.mark.skipif(os.name != "posix", reason="file rights of POSIX")
def test_a_written_file_has_the_rights_of_any_new_file(tmp_path: Path, apart: list[SegmentToWrite]) -> None:
    write_segmentation(tmp_path / "o.seg.nrrd", apart, VolumeGeometry.from_spacing((5, 6, 7)))
    (tmp_path / "plain").touch()
    assert (tmp_path / "o.seg.nrrd").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_masks_that_do_not_fit_are_refused(tmp_path: Path, apart: list[SegmentToWrite]) -> None:
    with pytest.raises(OutputError, match="image's grid") as caught:
        write_segmentation(tmp_path / "o.nrrd", apart, VolumeGeometry.from_spacing((5, 6, 8)))
    assert "liver" in str(caught.value)
    with pytest.raises(OutputError, match="no segment"):
        write_segmentation(tmp_path / "o.seg.nrrd", [], VolumeGeometry.from_spacing((5, 6, 7)))
    with pytest.raises(OutputError, match="2 axes"):
        SegmentToWrite("flat", np.zeros((5, 6), bool))
    with pytest.raises(UsageError, match="colour"):
        SegmentToWrite("c", np.zeros((5, 6, 7), bool), (255, 0, 0))


def test_what_is_no_segmentation_is_refused(tmp_path: Path, slicerio_data: Path) -> None:
    (tmp_path / "noise.seg.nrrd").write_bytes(b"NRRD0004\nsizes: 1\n\n")
    with pytest.raises(InputError):
        read_segmentation(tmp_path / "noise.seg.nrrd")
    with pytest.raises(InputError, match="does not exist"):
        read_segmentation(tmp_path / "missing.nrrd")
    np.savez(tmp_path / "x.npz", imgs=np.zeros((2, 2, 2)))
    with pytest.raises(InputError, match="segs"):
        read_segmentation(tmp_path / "x.npz")


def test_an_image_is_not_taken_for_a_label_map(tmp_path: Path) -> None:
    import SimpleITK as sitk

    kinds = {
        "ct": np.linspace(-3, 996, 1000),
        "many": np.arange(1000),
        "parts": np.arange(1000) / 9,
        "signed": np.arange(1000) % 3 - 1.0,
    }
    for name, values in kinds.items():
        array = np.rint(values) if name != "parts" else values
        sitk.WriteImage(sitk.GetImageFromArray(array.reshape(10, 10, 10)), str(tmp_path / f"{name}.nrrd"))
        with pytest.raises(InputError, match="not a label map"):
            read_segmentation(tmp_path / f"{name}.nrrd")


def test_a_broken_sidecar_is_named(tmp_path: Path, apart: list[SegmentToWrite]) -> None:
    write_segmentation(tmp_path / "o.nrrd", apart, VolumeGeometry.from_spacing((5, 6, 7)))
    sidecar_path(tmp_path / "o.nrrd").write_text('{"labels": 5}')
    with pytest.raises(InputError, match=r"o\.labels\.json"):
        read_segmentation(tmp_path / "o.nrrd")
    sidecar_path(tmp_path / "o.nrrd").unlink()
    assert [s.name for s in read_segmentation(tmp_path / "o.nrrd").segments] == ["Label 1", "Label 2"]


@pytest.mark.parametrize("name", ["m.png", "m.tif", "m.TIFF", "M.PNG"])
def test_a_mask_is_a_picture_of_black_and_white_or_of_labels_with_a_palette(tmp_path: Path, name: str) -> None:
    from PIL import Image

    grid = VolumeGeometry.from_spacing((1, 6, 7))
    one, two = np.zeros((2, 1, 6, 7), bool)
    one[0, 1:3, 1:4] = two[0, 2:5, 3:6] = True
    write_segmentation(tmp_path / name, [SegmentToWrite("one", one)], grid)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / name)), one[0] * np.uint8(255))
    np.testing.assert_array_equal(read_segmentation(tmp_path / name).segments[0].mask_zyx, one)
    segments = [SegmentToWrite("one", one), SegmentToWrite("two", two, (0.0, 1.0, 0.0))]
    write_segmentation(tmp_path / name, segments, grid)
    with Image.open(tmp_path / name) as image:
        np.testing.assert_array_equal(np.asarray(image), np.where(two, 2, one)[0])
        assert image.convert("RGB").getpixel((3, 2)) == (0, 255, 0)
        assert image.convert("RGB").getpixel((0, 0)) == (0, 0, 0)
    found = read_segmentation(tmp_path / name).segments
    np.testing.assert_array_equal(found[1].mask_zyx, two)
    assert found[1].color == (0.0, 1.0, 0.0)


def test_a_tiff_holds_the_masks_of_several_slices_and_many_objects_a_png_one_slice(tmp_path: Path) -> None:
    grid = VolumeGeometry.from_spacing((3, 20, 20))
    places = np.arange(1200).reshape(3, 20, 20)
    segments = [SegmentToWrite(str(n), places == n) for n in range(300)]
    write_segmentation(tmp_path / "m.tif", segments, grid)
    found = read_segmentation(tmp_path / "m.tif").segments
    assert len(found) == 300
    np.testing.assert_array_equal(found[299].mask_zyx, places == 299)
    write_segmentation(tmp_path / "few.tif", segments[:3], grid)
    np.testing.assert_array_equal(read_segmentation(tmp_path / "few.tif").segments[2].mask_zyx, places == 2)
    with pytest.raises(OutputError, match="the image has 3"):
        check_output_grid(tmp_path / "m.png", grid)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files as Linux does")
@pytest.mark.parametrize("name", [*FORMATS, "out.npz", "out.tif"])
def test_a_disk_that_is_full_leaves_what_was_there_and_says_so(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(6)
    geometry = VolumeGeometry.from_spacing((3, 60, 70))
    old, new = (rng.random(geometry.shape_zyx) < 0.4 for _ in range(2))
    path = tmp_path / name
    files = write_segmentation(path, [SegmentToWrite("old", old)], geometry)
    before = {file.name: file.read_bytes() for file in files}
    resource = pytest.importorskip("resource")
    room = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before[name]) // 2, room[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written") as caught:
            write_segmentation(path, [SegmentToWrite("new", new)], geometry)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, room)
    assert caught.value.cure
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_label_map_that_cannot_be_moved_keeps_its_list_of_names(
    tmp_path: Path, apart: list[SegmentToWrite], an_oblique_geometry: VolumeGeometry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Masks never lie beside the names of other masks, however the writing ends."""
    path = tmp_path / "out.nrrd"
    write_segmentation(path, apart, an_oblique_geometry)
    moved = []

    def killed_after_the_first(source: Path, target: Path) -> None:
        if moved:
            raise KeyboardInterrupt
        moved.append(target)
        os.rename(source, target)

    monkeypatch.setattr("MedSAMSegmentLib.io.atomic.os.replace", killed_after_the_first)
    with pytest.raises(KeyboardInterrupt):
        write_segmentation(path, apart[::-1], an_oblique_geometry)
    assert moved == [path]
    found = read_segmentation(path).segments
    assert [item.name for item in found] == ["Label 1", "Label 2"]
    assert np.array_equal(found[0].mask_zyx, apart[1].mask_zyx)
    assert [file.name for file in tmp_path.iterdir()] == ["out.nrrd"]
