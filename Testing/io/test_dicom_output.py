"""DICOM out: SEG and RTSTRUCT of real series, read again by other programs; what cannot be expressed is refused."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_support import a_dataset, an_enhanced, an_item, masks_of_rtstruct, masks_of_seg, save
from pydicom.uid import generate_uid

from MedSAMSegmentLib.errors import InputError, MedSAMError, OutputError, UsageError
from MedSAMSegmentLib.io.dicom_output import DicomOutput
from MedSAMSegmentLib.io.read_volume import read_volume
from MedSAMSegmentLib.io.segments import SegmentToWrite, Terminology
from MedSAMSegmentLib.io.volume import Volume
from MedSAMSegmentLib.io.write_segmentation import check_output_grid, write_segmentation

SHAPE = (6, 20, 24)
PATIENT = {
    "FrameOfReferenceUID": "1.2.9", "PatientName": "Grün^Ada", "PatientID": "77", "PatientSex": "F", "StudyID": "5",
    "PatientBirthDate": "19700101", "StudyDate": "20260102", "StudyTime": "101500", "AccessionNumber": "8",
    "SeriesNumber": 4, "SpecificCharacterSet": "ISO_IR 100", "StudyInstanceUID": "1.2.3", "ReferringPhysicianName": "",
    "PositionReferenceIndicator": "", "Manufacturer": "Maker", "KVP": "120", "AcquisitionNumber": "1",
}  # fmt: skip


def turned(*degrees: float) -> list[float]:
    """Directions of rows and columns, turned about x, y and z."""
    x, y, z = np.deg2rad(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    axes = about_z @ about_y @ about_x
    return [round(float(v), 10) for v in (*axes[:, 0], *axes[:, 1])]


AXIAL = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
GRIDS: dict[str, tuple[list[float], float, dict[str, object]]] = {
    "axial": (AXIAL, 4, {}),
    "oblique": (turned(20, -12, 35), 3.3, {"PixelSpacing": [0.7, 0.7]}),
    "coronal": ([1, 0, 0, 0, 0, -1], 2.5, {"PixelSpacing": [0.9, 0.9]}),
    "anisotropic": (AXIAL, 7.5, {"PixelSpacing": [0.35, 1.4]}),
    # Every eighth slice of a series of 1.5 mm: the headers still tell of the slices between.
    "decimated": (AXIAL, 12, {"SliceThickness": 1.5, "SpacingBetweenSlices": 1.5}),
}


def a_series(
    folder: Path,
    orientation: Sequence[float] = AXIAL,
    step: float = 4,
    places: Sequence[float] = range(6),
    **tags: object,
) -> Path:
    """One file a slice; the names run against the order in space."""
    folder.mkdir(parents=True, exist_ok=True)
    normal = np.cross(orientation[:3], orientation[3:])
    for index, place in enumerate(places):
        position = [round(float(v), 8) for v in np.array([-50.25, 12.5, 101.0]) + normal * step * place]
        own = {
            "ImagePositionPatient": position,
            "ImageOrientationPatient": list(orientation),
            "InstanceNumber": index + 1,
        }
        values = np.random.default_rng(index).integers(0, 900, SHAPE[1:])
        data = a_dataset(values, **{**PATIENT, **own, **tags})
        save(data, folder / f"{99 - index:02d}.dcm")
    return folder


def some_segments(shape: tuple[int, int, int] = SHAPE) -> list[SegmentToWrite]:
    """A ring with an island in it, a block that overlaps it, and scattered pixels of which two lie on the edge."""
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    away = np.hypot(y - 9, x - 10) + 0 * z
    ring = ((away < 8) & (away > 5)) | (away < 2)
    ring[0] = ring[-1] = False
    block = np.zeros(shape, bool)
    block[1:3, 4:9, 6:20] = True
    scattered = np.random.default_rng(2).random(shape) < 0.1
    scattered[:, 0, 0] = scattered[:, -1, -1] = True
    return [
        SegmentToWrite("Aorta, Wand", ring, (0.9, 0.2, 0.1), Terminology.parse("SCT:15825003:Aorta")),
        SegmentToWrite("Печень \\ 2", block),
        SegmentToWrite("Punkte", scattered, (0.1, 0.4, 1.0)),
    ]


def write(path: Path, volume: Volume, segments: Sequence[SegmentToWrite], kind: str) -> pydicom.Dataset:
    output = DicomOutput.of(volume, kind, "lite_medsam")
    assert write_segmentation(path, segments, volume.geometry, dicom=output) == (path,)
    assert sorted(p.name for p in path.parent.iterdir() if p.is_file()) == [path.name]
    return pydicom.dcmread(path)


def images_of(folder: Path) -> dict[str, pydicom.Dataset]:
    return {str(data.SOPInstanceUID): data for data in map(pydicom.dcmread, folder.glob("*.dcm"))}


NAMES = ["Aorta, Wand", "Печень / 2", "Punkte"]


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_every_voxel_comes_back_where_it_was(tmp_path: Path, name: str, kind: str) -> None:
    if kind == "seg":
        pytest.importorskip("highdicom")
    orientation, step, tags = GRIDS[name]
    volume = read_volume(a_series(tmp_path / "ct", orientation, step, **tags))
    segments = some_segments()
    (tmp_path / "out").mkdir()
    data = write(tmp_path / "out" / "x.dcm", volume, segments, kind)
    found = (masks_of_seg if kind == "seg" else masks_of_rtstruct)(data, volume)
    assert list(found) == NAMES
    for segment, mask in zip(segments, found.values(), strict=True):
        np.testing.assert_array_equal(mask, segment.mask_zyx, err_msg=segment.name)
    # Patient and study are those of the images, whatever alphabet the names of segments need.
    assert (str(data.PatientName), data.PatientID, data.StudyInstanceUID) == ("Grün^Ada", "77", "1.2.3")
    assert (data.PatientBirthDate, data.SeriesNumber, data.Modality) == ("19700101", 401, kind.upper())
    assert data.SeriesInstanceUID != "1.2.3.4"


def test_a_segmentation_says_what_it_is_and_what_it_is_of(tmp_path: Path) -> None:
    highdicom = pytest.importorskip("highdicom")
    volume = read_volume(a_series(tmp_path / "ct"))
    segments = some_segments()
    (tmp_path / "out").mkdir()
    data = write(tmp_path / "out" / "x.dcm", volume, segments, "seg")
    images = images_of(tmp_path / "ct")
    assert (data.SegmentationType, data.SegmentsOverlap, data.FrameOfReferenceUID) == ("BINARY", "YES", "1.2.9")
    assert {item.ReferencedSOPInstanceUID for item in data.SourceImageSequence} == set(images)
    (series,) = data.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == "1.2.3.4"
    assert {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence} == set(images)
    for groups in data.PerFrameFunctionalGroupsSequence:
        (source,) = groups.DerivationImageSequence[0].SourceImageSequence
        place = images[source.ReferencedSOPInstanceUID].ImagePositionPatient
        assert groups.PlanePositionSequence[0].ImagePositionPatient == place
    first = data.SegmentSequence[0]
    assert (first.SegmentAlgorithmType, first.SegmentAlgorithmName) == ("SEMIAUTOMATIC", "MedSAMSegment, lite_medsam")
    assert first.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == data.SoftwareVersions
    code = first.SegmentedPropertyTypeCodeSequence[0]
    assert (code.CodingSchemeDesignator, code.CodeValue, code.CodeMeaning) == ("SCT", "15825003", "Aorta")
    colour = highdicom.color.CIELabColor.from_dicom_value(tuple(first.RecommendedDisplayCIELabValue))
    expected = np.array([52.6, 65.8, 54.3])  # of sRGB 0.9, 0.2, 0.1 by the white point D50
    assert np.abs([colour.l_star, colour.a_star, colour.b_star] - expected).max() < 4
    measures = data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert (list(measures.PixelSpacing), measures.SpacingBetweenSlices) == ([0.8, 0.6], 4)


def test_highdicom_reads_the_same_by_the_images(tmp_path: Path) -> None:
    highdicom = pytest.importorskip("highdicom")
    volume = read_volume(a_series(tmp_path / "ct", *GRIDS["decimated"][:2], **GRIDS["decimated"][2]))
    segments = some_segments()
    (tmp_path / "out").mkdir()
    data = write(tmp_path / "out" / "x.dcm", volume, segments, "seg")
    assert data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices == 12
    read = highdicom.seg.segread(tmp_path / "out" / "x.dcm")
    uids = [source.uid for source in volume.slice_sources if source]
    pixels = read.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)
    np.testing.assert_array_equal(np.moveaxis(pixels, 3, 0), [segment.mask_zyx for segment in segments])


def test_apart_or_single_segments_are_no_overlap(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    volume = read_volume(a_series(tmp_path / "ct"))
    (tmp_path / "out").mkdir()
    for chosen in (slice(1, 2), slice(0, 1)):
        segments = some_segments()[chosen]
        data = write(tmp_path / "out" / "x.dcm", volume, segments, "seg")
        assert data.SegmentsOverlap == "NO"
        (mask,) = masks_of_seg(data, volume).values()
        np.testing.assert_array_equal(mask, segments[0].mask_zyx)


def test_a_structure_set_says_what_it_is_and_what_it_is_of(tmp_path: Path) -> None:
    volume = read_volume(a_series(tmp_path / "ct"))
    (tmp_path / "out").mkdir()
    data = write(tmp_path / "out" / "x.dcm", volume, some_segments(), "rtstruct")
    images = images_of(tmp_path / "ct")
    (place,) = data.ReferencedFrameOfReferenceSequence
    (study,) = place.RTReferencedStudySequence
    (series,) = study.RTReferencedSeriesSequence
    assert (place.FrameOfReferenceUID, study.ReferencedSOPInstanceUID) == ("1.2.9", "1.2.3")
    assert {item.ReferencedSOPInstanceUID for item in series.ContourImageSequence} == set(images)
    roi, region = data.StructureSetROISequence[0], data.ROIContourSequence[0]
    assert (roi.ROIGenerationAlgorithm, roi.ReferencedFrameOfReferenceUID) == ("SEMIAUTOMATIC", "1.2.9")
    assert region.ROIDisplayColor == [230, 51, 26]
    # A ring with an island is two contours: its hole is part of the outer one.
    ring = some_segments()[0].mask_zyx
    assert len(region.ContourSequence) == 2 * ring.any(axis=(1, 2)).sum()
    for contour in region.ContourSequence:
        (image,) = contour.ContourImageSequence
        assert contour.ContourGeometricType == "CLOSED_PLANAR"
        assert contour.ContourData[2] == pytest.approx(images[image.ReferencedSOPInstanceUID].ImagePositionPatient[2])
    code = data.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence[0]
    assert code.CodeValue == "15825003"


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_frames_of_one_file_are_referred_to_by_their_numbers(tmp_path: Path, kind: str) -> None:
    if kind == "seg":
        pytest.importorskip("highdicom")
    # In an order of their own, and each with its plane, as some scanners write it.
    order = [3, 0, 5, 1, 4, 2]
    plane = turned(0, 15, 0)
    normal = np.cross(plane[:3], plane[3:])
    own = {"PlaneOrientationSequence": an_item(ImageOrientationPatient=plane)}
    values = np.random.default_rng(1).integers(0, 900, SHAPE)
    positions = [[round(float(v), 8) for v in 2.5 * n * normal] for n in order]
    image = an_enhanced(values, positions, own=lambda index: own, **PATIENT)
    del image.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    volume = read_volume(save(image, tmp_path / "ct" / "all.dcm"))
    segments = some_segments()
    (tmp_path / "out").mkdir()
    data = write(tmp_path / "out" / "x.dcm", volume, segments, kind)
    found = (masks_of_seg if kind == "seg" else masks_of_rtstruct)(data, volume)
    for segment, mask in zip(segments, found.values(), strict=True):
        np.testing.assert_array_equal(mask, segment.mask_zyx)
    if kind == "seg":
        for groups in data.PerFrameFunctionalGroupsSequence:
            (source,) = groups.DerivationImageSequence[0].SourceImageSequence
            place = positions[source.ReferencedFrameNumber - 1]
            np.testing.assert_allclose(groups.PlanePositionSequence[0].ImagePositionPatient, place, atol=1e-6)
    else:
        for contour in data.ROIContourSequence[0].ContourSequence:
            (source,) = contour.ContourImageSequence
            place = np.array(positions[source.ReferencedFrameNumber - 1])
            assert (np.array(contour.ContourData[:3], float) - place) @ normal == pytest.approx(0, abs=1e-3)


def test_each_point_in_time_has_images_of_its_own(tmp_path: Path) -> None:
    for time in range(2):
        a_series(tmp_path / "ct" / str(time), TemporalPositionIdentifier=time + 1, places=range(4))
    volume = read_volume(tmp_path / "ct")
    assert len(volume.slice_sources) == 8
    for time in range(2):
        sources = volume.frame(time).slice_sources
        assert {source.path.parent.name for source in sources if source} == {str(time)}
        assert len(sources) == 4


def test_an_empty_segment_is_left_out_and_the_others_keep_their_colours(tmp_path: Path) -> None:
    volume = read_volume(a_series(tmp_path / "ct"))
    one = np.zeros(SHAPE, bool)
    one[2, 3:5, 3:6] = True
    names = ["none", "one"]
    segments = [SegmentToWrite(name, mask) for name, mask in zip(names, [np.zeros(SHAPE, bool), one], strict=True)]
    (tmp_path / "out").mkdir()
    data = write(tmp_path / "out" / "x.dcm", volume, segments, "rtstruct")
    assert [item.ROIName for item in data.StructureSetROISequence] == ["one"]
    assert data.ROIContourSequence[0].ROIDisplayColor == [51, 191, 242]
    before = (tmp_path / "out" / "x.dcm").read_bytes()
    with pytest.raises(OutputError, match=r"every segment is empty.*seg\.nrrd"):
        write(tmp_path / "out" / "x.dcm", volume, segments[:1], "rtstruct")
    assert (tmp_path / "out" / "x.dcm").read_bytes() == before


def refusal(volume: Volume, kind: str = "rtstruct") -> MedSAMError:
    with pytest.raises(MedSAMError) as caught:
        check_output_grid("x.dcm", volume.geometry, dicom=DicomOutput.of(volume, kind))
    return caught.value


@pytest.mark.parametrize(
    ("places", "tags", "words"),
    [
        ([0, 1, 3, 4], {}, r"1 of 5 slices are no image of the series, but filled or resampled \(k 2\)"),
        ([0, 1, 2.4, 3.4, 4.9], {}, "filled or resampled"),
        (range(4), {"FrameOfReferenceUID": ""}, "state no frame of reference"),
        (range(4), {"PixelSpacing": None, "ImagerPixelSpacing": [0.5, 0.5]}, "state the size of their pixels"),
        (range(4), {"ImagePositionPatient": None}, "where they lie in the patient"),
        (range(4), {"StudyInstanceUID": ""}, "state no study"),
    ],
)
def test_what_dicom_cannot_express_is_refused_with_what_can(
    tmp_path: Path, places: Sequence[float], tags: Mapping[str, object], words: str
) -> None:
    folder = a_series(tmp_path / "ct", places=places, **tags)
    for name in [name for name, value in tags.items() if value is None]:
        for file in folder.iterdir():
            data = pydicom.dcmread(file)
            delattr(data, name)
            data.save_as(file)
    error = refusal(read_volume(folder))
    assert isinstance(error, OutputError)
    assert ".seg.nrrd" in error.cure
    assert "Ada" not in str(error) + error.detail
    assert re.search(words, error.message)


def test_a_tilted_gantry_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "ct"
    for index in range(5):
        place = [0, 2.0 * index, 4.0 * index]
        save(a_dataset(np.zeros(SHAPE[1:]), **{**PATIENT, "ImagePositionPatient": place}), folder / f"{index}.dcm")
    assert "sheared" in refusal(read_volume(folder)).message


def test_another_voxel_size_is_refused_and_the_same_is_not(tmp_path: Path) -> None:
    folder = a_series(tmp_path / "ct")
    for spacing in ([0.6, 0.8, 5], [0.5, 0.8, 4]):
        assert "--spacing" in refusal(read_volume(folder, spacing=spacing)).cure
    volume = read_volume(folder, spacing=[0.6, 0.8, 4])
    check_output_grid("x.dcm", volume.geometry, dicom=DicomOutput.of(volume, "rtstruct"))


def test_other_images_and_frames_in_time_are_refused(tmp_path: Path, slicerio_data: Path) -> None:
    volume = read_volume(a_series(tmp_path / "ct"))
    plain = Volume(volume.array_zyx, volume.geometry, tmp_path / "a.nii", "nifti")
    assert "read from DICOM" in refusal(plain).message
    with pytest.raises(OutputError, match="read from DICOM"):
        write_segmentation(tmp_path / "x.dcm", some_segments(), volume.geometry)
    still = tmp_path / "still"
    for index in range(3):
        own = {"ImagePositionPatient": [0, 0, 0], "InstanceNumber": index + 1, "AcquisitionNumber": index + 1}
        save(a_dataset(np.zeros(SHAPE[1:]), **{**PATIENT, **own}), still / f"{index}.dcm")
    assert "in time" in refusal(read_volume(still)).message
    with pytest.raises(UsageError, match="seg or rtstruct"):
        DicomOutput.of(volume, "surface")
    assert not (tmp_path / "x.dcm").exists()


def test_images_that_were_exchanged_meanwhile_are_not_referred_to(tmp_path: Path) -> None:
    volume = read_volume(a_series(tmp_path / "ct"))
    first = volume.slice_sources[0]
    assert first is not None
    data = pydicom.dcmread(first.path)
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.save_as(first.path)
    with pytest.raises(InputError, match="was changed"):
        write_segmentation(tmp_path / "x.dcm", some_segments(), volume.geometry, dicom=DicomOutput.of(volume))


@pytest.mark.parametrize("name", ["PixelSpacing", "ImageOrientationPatient"])
def test_images_of_two_pixel_sizes_or_orientations_are_refused(tmp_path: Path, name: str) -> None:
    volume = read_volume(a_series(tmp_path / "ct"))
    last = volume.slice_sources[-1]
    assert last is not None
    data = pydicom.dcmread(last.path)
    changed = {"PixelSpacing": [0.51, 0.8], "ImageOrientationPatient": [1, 0, 0, 0, 0.99, 0.141]}
    setattr(data, name, changed[name])
    data.save_as(last.path)
    assert "one orientation and pixel size" in refusal(volume).message


def test_anonymised_images_are_enough(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("highdicom")
    folder = a_series(tmp_path / "ct", PatientSex="W", PatientBirthDate="")
    for file in folder.iterdir():
        data = pydicom.dcmread(file)
        for name in ("PatientName", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "SliceThickness"):
            delattr(data, name)
        data.save_as(file)
    volume = read_volume(folder)
    capfd.readouterr()
    for kind in ("seg", "rtstruct"):
        (tmp_path / kind).mkdir()
        data = write(tmp_path / kind / "x.dcm", volume, some_segments(), kind)
        assert (data.PatientName, data.PatientSex) == ("", "")
    # Nothing of what tags hold is shown.
    assert capfd.readouterr() == ("", "")


def dciodvfy() -> str | None:
    beside = Path(sys.executable).with_name("dciodvfy")
    return str(beside) if beside.is_file() else shutil.which("dciodvfy")


@pytest.mark.skipif(dciodvfy() is None, reason="dciodvfy (the package dicom3tools) is not installed")
@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_dciodvfy_finds_no_error(tmp_path: Path, kind: str) -> None:
    if kind == "seg":
        pytest.importorskip("highdicom")
    volume = read_volume(a_series(tmp_path / "ct", PatientName="Green^Ada"))
    segments = [SegmentToWrite(f"part {n}", one.mask_zyx, one.color) for n, one in enumerate(some_segments())]
    (tmp_path / "out").mkdir()
    write(tmp_path / "out" / "x.dcm", volume, segments, kind)
    said = subprocess.run(
        [str(dciodvfy()), tmp_path / "out" / "x.dcm"], capture_output=True, encoding="utf-8", check=False
    )
    lines = (said.stdout + said.stderr).splitlines()
    assert any({"seg": "Segmentation", "rtstruct": "RTStructureSet"}[kind] in line for line in lines), lines
    assert [line for line in lines if line.startswith("Error")] == []
