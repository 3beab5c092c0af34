"""DICOM series, single files, cines: made here with pydicom, and a real ultrasound cine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom.examples
import pytest
from dicom_support import a_dataset, write_series

from MedSAMSegmentLib.errors import InputError
from MedSAMSegmentLib.io.dicom_pydicom import read_with_pydicom
from MedSAMSegmentLib.io.read_volume import read_volume


@pytest.fixture
def stored() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 2000, (4, 6, 7)).astype(np.uint16)


def test_a_series_is_stacked_in_space_with_rescaled_values(tmp_path: Path, stored: np.ndarray) -> None:
    write_series(tmp_path, stored)
    volume = read_volume(tmp_path)
    assert np.array_equal(volume.array_zyx, stored.astype(int) * 2 - 1000)
    assert (volume.kind, volume.modality, volume.source) == ("dicom", "CT", tmp_path)
    expected = np.array([[0.6, 0, 0, 10], [0, 0.8, 0, -20], [0, 0, 4, 30], [0, 0, 0, 1]])
    assert np.allclose(volume.geometry.ijk_to_lps, expected, atol=1e-5)
    assert volume.notes == ()


def test_a_coronal_oblique_series_keeps_its_axes(tmp_path: Path, stored: np.ndarray) -> None:
    rows, columns = np.array([0.8, 0.6, 0]), np.array([0, 0, -1.0])
    normal = np.cross(rows, columns)
    write_series(tmp_path, stored, tuple(normal * 3), ImageOrientationPatient=[*rows, *columns])
    matrix = read_volume(tmp_path).geometry.ijk_to_lps
    assert np.allclose(matrix[:3, :3], np.column_stack([rows * 0.6, columns * 0.8, normal * 3]), atol=1e-5)


def test_a_tilted_gantry_keeps_its_shear_and_says_so(tmp_path: Path, stored: np.ndarray) -> None:
    write_series(tmp_path, stored, (0, 1.0, 4.0))
    volume = read_volume(tmp_path)
    assert np.allclose(volume.geometry.ijk_to_lps[:3, 2], (0, 1, 4), atol=1e-5)
    assert any("tilted by 14.0 degrees" in note for note in volume.notes)


def test_a_missing_slice_is_said(tmp_path: Path, stored: np.ndarray) -> None:
    write_series(tmp_path, stored)
    (tmp_path / "1.2.3.4_003.dcm").unlink()
    assert any("not evenly spaced" in note for note in read_volume(tmp_path).notes)


def test_of_several_series_the_largest_is_taken_and_said(tmp_path: Path, stored: np.ndarray) -> None:
    write_series(tmp_path, stored)
    write_series(tmp_path, stored[:2] + 1, SeriesInstanceUID="1.2.3.5")
    volume = read_volume(tmp_path)
    assert volume.shape_zyx[0] == 4
    assert "2 series; took the largest, 1.2.3.4 (4 files), not 1.2.3.5 (2 files)" in volume.notes[0]
    chosen = read_volume(tmp_path, series="1.2.3.5")
    assert chosen.shape_zyx[0] == 2
    assert chosen.notes == ()


def test_an_unknown_series_names_those_there_are(tmp_path: Path, stored: np.ndarray) -> None:
    write_series(tmp_path, stored)
    with pytest.raises(InputError) as caught:
        read_volume(tmp_path, series="9.9")
    assert "1.2.3.4" in caught.value.cure


def test_a_series_in_a_subfolder_is_found(tmp_path: Path, stored: np.ndarray) -> None:
    write_series(tmp_path / "study" / "series", stored)
    assert read_volume(tmp_path).shape_zyx == (4, 6, 7)


def test_images_at_one_place_are_frames_in_time(tmp_path: Path, stored: np.ndarray) -> None:
    write_series(tmp_path, stored, (0, 0, 0))
    volume = read_volume(tmp_path)
    assert volume.time_axis
    assert volume.frame_count == 4


def test_a_series_that_repeats_its_places_is_refused_as_running_in_time(tmp_path: Path, stored: np.ndarray) -> None:
    for index, image in enumerate(stored):
        place = [0, 0, 4 * (index % 2)]
        data = a_dataset(image, ImagePositionPatient=place, InstanceNumber=index + 1)
        data.save_as(tmp_path / f"{index}.dcm", enforce_file_format=True)
    with pytest.raises(InputError, match="4 slices at 2 places"):
        read_volume(tmp_path)


def test_a_scout_of_several_orientations_is_refused(tmp_path: Path, stored: np.ndarray) -> None:
    turns = ([1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1])
    for index, turn in enumerate(turns):
        data = a_dataset(
            stored[index], ImageOrientationPatient=list(turn), ImagePositionPatient=[index, 2 * index, index]
        )
        data.save_as(tmp_path / f"{index}.dcm", enforce_file_format=True)
    with pytest.raises(InputError, match="several orientations"):
        read_volume(tmp_path)


def test_a_single_file_is_one_slice_whatever_its_name(tmp_path: Path, stored: np.ndarray) -> None:
    path = tmp_path / "IM0001"
    a_dataset(stored[0], ImagePositionPatient=[1, 2, 3]).save_as(path, enforce_file_format=True)
    volume = read_volume(path)
    assert np.array_equal(volume.array_zyx[0], stored[0].astype(int) * 2 - 1000)
    assert np.allclose(volume.geometry.ijk_to_lps[:3, 3], (1, 2, 3))
    assert volume.modality == "CT"


def test_frames_of_an_ultrasound_run_in_time(tmp_path: Path, stored: np.ndarray) -> None:
    data = a_dataset(stored, NumberOfFrames=4, Modality="US", FrameTime="33")
    data.save_as(tmp_path / "us.dcm", enforce_file_format=True)
    volume = read_volume(tmp_path / "us.dcm")
    assert volume.time_axis
    assert volume.frame_count == 4


def test_monochrome1_is_turned_so_that_bright_is_high(tmp_path: Path, stored: np.ndarray) -> None:
    data = a_dataset(stored[0], PhotometricInterpretation="MONOCHROME1", Modality="MG")
    data.save_as(tmp_path / "mg.dcm", enforce_file_format=True)
    volume = read_volume(tmp_path / "mg.dcm")
    assert np.all(np.diff(volume.array_zyx.ravel()[np.argsort(stored[0].ravel())]) <= 0)
    assert np.ptp(volume.array_zyx) == 2 * np.ptp(stored[0])
    assert volume.notes == ("MONOCHROME1: the grey values were inverted.",)
    other = read_with_pydicom(tmp_path / "mg.dcm")
    assert np.ptp(other.array_zyx - volume.array_zyx) == 0
    assert other.notes == volume.notes


def test_the_real_ultrasound_cine_is_thirty_colour_frames() -> None:
    volume = read_volume(pydicom.examples.get_path("ybr_color"))
    assert volume.array_zyx.shape == (30, 240, 320, 3)
    assert (volume.modality, volume.time_axis, volume.frame_count) == ("US", True, 30)
    assert volume.notes == ("Cine: 30 frames in time.",)
    assert not volume.has_patient_axes


@pytest.mark.parametrize("name", ["ybr_color", "rgb_color", "palette_color", "ct", "mr", "overlay"])
def test_pydicom_and_simpleitk_read_the_same_numbers(name: str) -> None:
    path = Path(pydicom.examples.get_path(name))
    ours, other = read_volume(path), read_with_pydicom(path)
    assert ours.array_zyx.shape == other.array_zyx.shape
    assert np.abs(ours.array_zyx.astype(float) - other.array_zyx.astype(float)).max() <= 1
    assert (ours.modality, ours.time_axis) == (other.modality, other.time_axis)
    if name in ("ct", "mr"):
        assert ours.spacing_zyx[1:] == pytest.approx(other.spacing_zyx[1:])


@pytest.mark.parametrize(("name", "what"), [("waveform", "a waveform"), ("rt_ss", r"contours \(RTSTRUCT\)")])
def test_dicom_without_an_image_is_refused_by_what_it_is(name: str, what: str) -> None:
    with pytest.raises(InputError, match=f"is .*{what}, not an image"):
        read_volume(pydicom.examples.get_path(name))


def test_a_cut_dicom_file_is_refused(tmp_path: Path, stored: np.ndarray) -> None:
    a_dataset(stored[0]).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    whole = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(whole[:-40])
    with pytest.raises(InputError):
        read_volume(tmp_path / "a.dcm")


def test_a_dicom_file_that_claims_too_much_is_refused(tmp_path: Path, stored: np.ndarray) -> None:
    data = a_dataset(stored[0], Rows=65000, Columns=65000, NumberOfFrames=500)
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(InputError):
        read_volume(tmp_path / "a.dcm")
