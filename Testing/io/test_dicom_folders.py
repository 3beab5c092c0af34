"""Patient folders and DICOMDIRs: what is found, taken, set aside, left out and named."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_support import a_dataset, save, write_series
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from MedSAMSegmentLib.errors import InputError, UsageError
from MedSAMSegmentLib.io.dicom_series import list_series
from MedSAMSegmentLib.io.read_volume import list_dicom, read_volume
from MedSAMSegmentLib.io.report import volume_digest

SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"
TAGS = {"RescaleSlope": 1, "RescaleIntercept": 0}


def levels(count: int, first: int = 0) -> np.ndarray:
    return np.stack([np.full((6, 7), first + k) for k in range(count)])


def rows(place: Path) -> list[dict]:
    found = list_dicom(place)
    assert found is not None
    return list_series(found)


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    """A scout, a CT of 5 slices, a report, a segmentation and a note, each in a folder of its own."""
    scout = a_dataset(np.zeros((9, 7)), SeriesInstanceUID="1.1", SeriesDescription="Scout")
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    save(scout, tmp_path / "p" / "a_scout" / "x")
    write_series(tmp_path / "p" / "b" / "ct", levels(5), SeriesInstanceUID="1.2", SeriesDescription="Thorax", **TAGS)
    (tmp_path / "p" / "c").mkdir()
    shutil.copy(SAMPLES / "test-SR.dcm", tmp_path / "p" / "c" / "sr.dcm")
    shutil.copy(SAMPLES / "liver_1frame.dcm", tmp_path / "p" / "c" / "seg.dcm")
    (tmp_path / "p" / "readme.txt").write_text("hello")
    return tmp_path / "p"


def test_all_series_below_a_folder_are_listed_and_the_largest_is_taken(patient: Path) -> None:
    volume = read_volume(patient)
    assert volume.array_zyx[:, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert "took the largest, 1.2 (5 files), not 1.1 (1 file)" in volume.notes[0]
    listed = rows(patient)
    assert [(r["number"], r["uid"], r["description"], r["slices"], r["modality"]) for r in listed] == [
        ("1", "1.1", "Scout", 1, "CT"), ("2", "1.2", "Thorax", 5, "CT"),
    ]  # fmt: skip
    assert listed[1]["size_ijk"] == [7, 6, 5]
    assert listed[1]["spacing_mm_ijk"] == [0.6, 0.8, 4]


def test_a_series_is_chosen_by_its_number_or_uid(patient: Path) -> None:
    for wanted in ("1", "1.1"):
        volume = read_volume(patient, series=wanted)
        assert volume.shape_zyx == (1, 9, 7)
        assert volume.notes == ()
    for wanted in ("7", "1:2", "1:x", ""):
        with pytest.raises(InputError, match=r"no (series|stack)") as caught:
            read_volume(patient, series=wanted)
        assert "1: 1.1, 2: 1.2" in caught.value.cure


def test_series_have_the_numbers_of_the_scanner_where_each_has_its_own(tmp_path: Path) -> None:
    write_series(tmp_path, levels(2), SeriesInstanceUID="1.1", SeriesNumber=301)
    write_series(tmp_path, levels(3), SeriesInstanceUID="1.2", SeriesNumber=4)
    assert [row["number"] for row in rows(tmp_path)] == ["4", "301"]
    assert read_volume(tmp_path, series="301").shape_zyx[0] == 2
    write_series(tmp_path, levels(4), SeriesInstanceUID="1.3", SeriesNumber=4)
    assert [row["number"] for row in rows(tmp_path)] == ["1", "2", "3"]


def test_a_localizer_or_a_dose_is_not_taken_for_its_size(tmp_path: Path) -> None:
    write_series(tmp_path, levels(3), SeriesInstanceUID="1.2")
    write_series(tmp_path, levels(9), SeriesInstanceUID="1.1", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    shutil.copy(SAMPLES / "rtdose.dcm", tmp_path / "dose.dcm")
    assert read_volume(tmp_path).shape_zyx[0] == 3
    assert len(rows(tmp_path)) == 3


def test_what_is_no_image_is_named(patient: Path) -> None:
    found = list_dicom(patient)
    assert found is not None
    assert set(found.others) == {"a structured report (SR)", "a segmentation (SEG)"}
    assert found.unreadable == ()
    with pytest.raises(InputError, match=r"sr.dcm is a structured report \(SR\), not an image"):
        read_volume(patient / "c" / "sr.dcm")
    with pytest.raises(InputError, match=r"seg.dcm is a segmentation \(SEG\), not an image") as caught:
        read_volume(patient / "c" / "seg.dcm")
    assert caught.value.cure == "Give the image it was drawn on."
    with pytest.raises(InputError, match=r"holds no image, but .*\(SEG\), a structured report \(SR\)"):
        read_volume(patient / "c")


@pytest.mark.parametrize(
    ("name", "what"),
    [("rtplan.dcm", "RTPLAN"), ("rtstruct.dcm", "RTSTRUCT"), ("reportsi.dcm", "SR"), ("waveform_ecg.dcm", "waveform")],
)
def test_other_objects_are_refused_by_name(name: str, what: str) -> None:
    with pytest.raises(InputError, match=f"{what}.*, not an image"):
        read_volume(SAMPLES / name)


def test_slices_of_other_sizes_and_orientations_are_set_aside(tmp_path: Path) -> None:
    write_series(tmp_path, levels(6), **TAGS)
    odd = a_dataset(np.zeros((4, 7)), ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    save(odd, tmp_path / "odd.dcm")
    save(a_dataset(np.zeros((9, 9)), ImagePositionPatient=[10, -20, 90]), tmp_path / "big.dcm")
    volume = read_volume(tmp_path)
    assert volume.array_zyx[:, 0, 0].tolist() == list(range(6))
    (note,) = volume.notes
    assert "odd.dcm" in note
    assert "big.dcm" in note
    assert "coronal" in note


def test_a_copy_of_an_image_is_left_out_and_said(tmp_path: Path) -> None:
    write_series(tmp_path / "s", levels(6), **TAGS)
    first = sorted((tmp_path / "s").iterdir())[2]
    shutil.copy(first, tmp_path / "s" / "0 (copy).dcm")
    (tmp_path / "s" / "again").mkdir()
    shutil.copy(first, tmp_path / "s" / "again" / "x.dcm")
    volume = read_volume(tmp_path / "s")
    assert volume.shape_zyx[0] == 6
    assert len(volume.parts) == 6
    (note,) = volume.notes
    assert note.startswith("Copies of an image that is there already were left out:")


def test_slices_that_share_a_uid_but_not_a_place_are_all_kept(tmp_path: Path) -> None:
    for k in range(4):
        data = a_dataset(np.full((6, 7), k), ImagePositionPatient=[0, 0, 4 * k], SOPInstanceUID="1.2.3", **TAGS)
        save(data, tmp_path / f"{k}.dcm")
    volume = read_volume(tmp_path)
    assert volume.array_zyx[:, 0, 0].tolist() == [0, 1, 2, 3]
    assert volume.notes == ()


def test_another_image_at_the_place_of_one_is_named(tmp_path: Path) -> None:
    write_series(tmp_path, levels(4), **TAGS)
    save(a_dataset(np.zeros((6, 7)), ImagePositionPatient=[10, -20, 34]), tmp_path / "twice.dcm")
    with pytest.raises(InputError, match=r"5 slices at 4 places.*twice\.dcm"):
        read_volume(tmp_path)


def test_of_a_copy_and_a_cut_original_the_whole_one_is_read(tmp_path: Path) -> None:
    write_series(tmp_path, levels(4, 10), **TAGS)
    first = sorted(tmp_path.iterdir())[1]
    shutil.copy(first, tmp_path / "copy.dcm")
    first.write_bytes(first.read_bytes()[:-30])
    volume = read_volume(tmp_path)
    assert volume.array_zyx[:, 0, 0].tolist() == [10, 11, 12, 13]
    assert volume.filled == ()


def test_files_without_preamble_or_suffix_are_found_and_others_are_not(tmp_path: Path) -> None:
    write_series(tmp_path, levels(3), **TAGS)
    for path in list(tmp_path.iterdir()):
        data = pydicom.dcmread(path)
        bare = tmp_path / path.stem.replace(".", "_")
        data.file_meta = FileMetaDataset()
        pydicom.dcmwrite(bare, data, implicit_vr=True, little_endian=True, enforce_file_format=False)
        path.unlink()
    (tmp_path / "._1.dcm").write_bytes(b"resource fork")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    volume = read_volume(tmp_path)
    assert volume.array_zyx[:, 0, 0].tolist() == [0, 1, 2]
    assert volume.notes == ()


def a_directory(folder: Path, files: list[str]) -> Path:
    """A DICOMDIR that lists files, their parts between backslashes."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.FileSetID = "TEST"
    records = []
    for name in files:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        record.ReferencedFileID = name.split("\\")
        records.append(record)
    data.DirectoryRecordSequence = Items(records)
    return save(data, folder / "DICOMDIR")


def test_a_dicomdir_is_read_and_what_it_misses_is_named(tmp_path: Path) -> None:
    write_series(tmp_path / "dicom", levels(4), **TAGS)
    names = sorted(path.name for path in (tmp_path / "dicom").iterdir())
    # As on a disc, whose names are in capitals.
    listed = [f"DICOM\\{name.upper()}" for name in names]
    directory = a_directory(tmp_path, [*listed, "DICOM\\GONE", "DICOM\\" + "A" * 300])
    volume = read_volume(directory)
    assert volume.shape_zyx[0] == 4
    assert any("DICOM/GONE is listed in DICOMDIR, and is not there" in note for note in volume.notes)
    assert [row["slices"] for row in rows(directory)] == [4]
    assert len(volume_digest(volume)) == 64
    # Beside its images it is no image itself, and no trouble.
    assert read_volume(tmp_path).notes == ()
    with pytest.raises(InputError, match="no DICOM image that can be read"):
        read_volume(a_directory(tmp_path / "empty", ["A"]))


@pytest.mark.parametrize("name", ["..\\secret.dcm", "/etc/passwd", "a/../../secret"])
def test_a_dicomdir_does_not_lead_out_of_its_folder(tmp_path: Path, name: str) -> None:
    save(a_dataset(np.zeros((4, 4))), tmp_path / "secret.dcm")
    with pytest.raises(InputError, match="outside its own folder"):
        read_volume(a_directory(tmp_path / "disc", [name]))


def test_the_real_dicomdir_lists_its_series() -> None:
    directory = SAMPLES / "dicomdirtests" / "DICOMDIR"
    if not directory.exists():
        pytest.skip("pydicom came without it")
    found = list_dicom(directory)
    assert found is not None
    assert len(found.series) > 1


def test_classic_slices_of_several_times_become_a_4d_image(tmp_path: Path) -> None:
    for tag, value in (
        ("TemporalPositionIdentifier", lambda t: t + 1),
        ("AcquisitionNumber", lambda t: t + 1),
        ("TriggerTime", lambda t: 30.5 * t),
        ("AcquisitionTime", lambda t: f"1200{t:02d}.5"),
    ):
        folder = tmp_path / tag
        for time in range(2):
            for k in range(3):
                data = a_dataset(
                    np.full((4, 5), 10 * time + k), ImagePositionPatient=[0, 0, 4 * k], **TAGS, **{tag: value(time)}
                )
                save(data, folder / f"{k}_{time}.dcm")
        volume = read_volume(folder)
        assert volume.frames_tzyx is not None
        assert volume.frames_tzyx[:, :, 0, 0].tolist() == [[0, 1, 2], [10, 11, 12]]


def test_an_image_that_is_missing_in_the_middle_is_filled_between_its_neighbours(tmp_path: Path) -> None:
    stored = np.stack([np.full((6, 7), 100 * k) for k in range(12)])
    write_series(tmp_path, stored, (0, 1, 3), **TAGS)
    for k in (8, 9, 10):
        (tmp_path / f"1.2.3.4_{12 - k:03d}.dcm").unlink()
    volume = read_volume(tmp_path)
    assert volume.shape_zyx[0] == 12
    assert np.allclose(volume.geometry.ijk_to_lps[:3, 2], (0, 1, 3))
    assert volume.array_zyx[:, 0, 0].tolist() == [100 * k for k in range(12)]
    assert volume.filled == (8, 9, 10)
    assert any("not evenly spaced" in note and "k 8 to 10" in note for note in volume.notes)


def test_distances_that_change_are_resampled_onto_the_finer_ones(tmp_path: Path) -> None:
    """As of a head, in thin slices at its base and thick ones above."""
    places = [0, 2, 4, 6, 11, 16, 21]
    for place in places:
        save(
            a_dataset(np.full((4, 5), 10 * place), ImagePositionPatient=[0, 0, place], **TAGS),
            tmp_path / f"{place}.dcm",
        )
    volume = read_volume(tmp_path)
    assert volume.spacing_zyx[0] == pytest.approx(2)
    # A value that grows with its place shows where each slice was put; the last one is half a step short of it.
    assert volume.array_zyx[:11, 0, 0].tolist() == [20 * k for k in range(11)]
    assert any("2 to 5 mm" in note and "grid of 2 mm" in note for note in volume.notes)


def test_jitter_is_no_gap(tmp_path: Path) -> None:
    for k in range(8):
        place = 3 * k + (0.1 if k % 2 else 0)
        save(a_dataset(np.full((4, 5), k), ImagePositionPatient=[0, 0, place], **TAGS), tmp_path / f"{k}.dcm")
    volume = read_volume(tmp_path)
    assert (volume.shape_zyx[0], volume.filled, volume.notes) == (8, (), ())


def test_rounded_places_do_not_add_up_beside_a_gap(tmp_path: Path) -> None:
    for k in range(60):
        if k != 30:
            place = round(0.625 * k, 1)
            save(a_dataset(np.full((4, 5), k), ImagePositionPatient=[0, 0, place], **TAGS), tmp_path / f"{k}.dcm")
    volume = read_volume(tmp_path)
    assert volume.array_zyx[:, 0, 0].tolist() == list(range(60))
    assert volume.filled == (30,)
    assert volume.spacing_zyx[0] == pytest.approx(0.625, abs=2e-3)


def test_parts_far_from_each_other_are_refused_with_their_places(tmp_path: Path) -> None:
    for k in (*range(5), *range(40, 44)):
        save(a_dataset(np.zeros((4, 5)), ImagePositionPatient=[0, 0, 3 * k]), tmp_path / f"{k}.dcm")
    with pytest.raises(InputError, match=r"gaps of up to 108.0 mm; .* 0.0 to 12.0 mm \(5\), 120.0 to 129.0 mm \(4\)"):
        read_volume(tmp_path)


def test_a_series_can_be_chosen_in_dicom_only(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match="DICOM only"):
        read_volume(tmp_path / "a.png", series="1")
