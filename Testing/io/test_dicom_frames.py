"""Multi-frame DICOM: every frame where its own tags say, several stacks told apart, what cannot be told refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_support import a_dataset, an_enhanced, an_item, save
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from MedSAMSegmentLib.errors import InputError
from MedSAMSegmentLib.io.read_volume import list_dicom, read_volume
from MedSAMSegmentLib.io.spacing import NO_SPACING

SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"


def levels(*values: int) -> np.ndarray:
    return np.stack([np.full((6, 7), value) for value in values])


def columns(volume) -> list[int]:
    return volume.array_zyx[:, 0, 0].tolist()


def test_frames_come_in_the_order_of_their_places(tmp_path: Path) -> None:
    order = [3, 1, 0, 2, 4, 5]
    data = an_enhanced(levels(*(100 * k for k in order)), [(7, 8, 3 * k) for k in order])
    volume = read_volume(save(data, tmp_path / "e.dcm"))
    assert columns(volume) == [0, 100, 200, 300, 400, 500]
    expected = [[1, 0, 0, 7], [0, 1.2, 0, 8], [0, 0, 3, 0], [0, 0, 0, 1]]
    assert np.allclose(volume.geometry.ijk_to_lps, expected)
    assert volume.notes == ()


def test_distances_come_from_places_not_from_thickness(tmp_path: Path) -> None:
    data = an_enhanced(levels(1, 2, 3), [(0, 0, 1.25 * k) for k in range(3)])
    assert read_volume(save(data, tmp_path / "e.dcm")).spacing_zyx == pytest.approx((1.25, 1.2, 1.0))


def test_a_tilt_is_kept_and_said(tmp_path: Path) -> None:
    data = an_enhanced(levels(*range(6)), [(0, 0.9 * k, 3 * k) for k in range(6)])
    volume = read_volume(save(data, tmp_path / "e.dcm"))
    assert np.allclose(volume.geometry.ijk_to_lps[:3, 2], (0, 0.9, 3))
    assert any("tilted by 16.7 degrees" in note for note in volume.notes)


def test_a_gap_is_filled_and_said_and_leaves_the_spacing(tmp_path: Path) -> None:
    places = [(0, 0, 3 * k + (20 if k > 2 else 0)) for k in range(6)]
    volume = read_volume(save(an_enhanced(levels(*range(100, 700, 100)), places), tmp_path / "e.dcm"))
    assert volume.spacing_zyx == pytest.approx((3, 1.2, 1))
    assert volume.filled == tuple(range(3, 10))
    assert columns(volume)[:3] == [100, 200, 300]
    assert any("k 3 to 9" in note for note in volume.notes)


def test_places_that_repeat_without_a_reason_are_refused(tmp_path: Path) -> None:
    data = an_enhanced(levels(*range(6)), [(0, 0, 3 * (k % 3)) for k in range(6)])
    with pytest.raises(InputError, match="6 slices at 3 places"):
        read_volume(save(data, tmp_path / "e.dcm"))


@pytest.mark.parametrize("way", ["index", "offset", "clock", "dimension", "cardiac"])
def test_time_points_become_frames_of_a_4d_image(tmp_path: Path, way: str) -> None:
    def own(k: int) -> dict:
        point = 1 - k % 2  # the later one comes first
        return {
            "index": {"FrameContentSequence": an_item(TemporalPositionIndex=point + 1)},
            "offset": {"TemporalPositionSequence": an_item(TemporalPositionTimeOffset=2.5 * point)},
            "clock": {"FrameContentSequence": an_item(FrameAcquisitionDateTime=f"2020010112{point:02d}{k:02d}")},
            "dimension": {"FrameContentSequence": an_item(DimensionIndexValues=[k // 2 + 1, point + 1])},
            "cardiac": {"CardiacSynchronizationSequence": an_item(NominalPercentageOfCardiacPhase=50 * point)},
        }[way]

    pointers = []
    for keyword in ("ImagePositionPatient", "TemporalPositionIndex"):
        item = Dataset()
        item.DimensionIndexPointer = pydicom.datadict.tag_for_keyword(keyword)
        pointers.append(item)
    data = an_enhanced(
        levels(*range(6)), [(0, 0, 3 * (k // 2)) for k in range(6)], own=own, DimensionIndexSequence=Items(pointers)
    )
    volume = read_volume(save(data, tmp_path / "e.dcm"))
    assert volume.frames_tzyx is not None
    assert volume.frames_tzyx[:, :, 0, 0].tolist() == [[1, 3, 5], [0, 2, 4]]
    assert volume.spacing_zyx[0] == pytest.approx(3)
    assert "4D image: 2 frames in time." in volume.notes


def test_an_incomplete_time_point_is_left_out_and_said(tmp_path: Path) -> None:
    places = [0, 1, 2, 0, 1, 2, 0]

    def own(k: int) -> dict:
        return {"FrameContentSequence": an_item(TemporalPositionIndex=k // 3 + 1)}

    data = an_enhanced(levels(*range(7)), [(0, 0, 3 * place) for place in places], own=own)
    volume = read_volume(save(data, tmp_path / "e.dcm"))
    assert volume.frame_count == 2
    assert any("1 of 3 time points lack slices" in note for note in volume.notes)


@pytest.mark.parametrize("tag", ["b", "echo", "type"])
def test_images_of_several_kinds_are_told_apart_and_one_is_taken(tmp_path: Path, tag: str) -> None:
    def own(k: int) -> dict:
        return {
            "b": {"MRDiffusionSequence": an_item(DiffusionBValue=1000.0 * (k // 3))},
            "echo": {"MREchoSequence": an_item(EffectiveEchoTime=4.5 * (k // 3 + 1))},
            "type": {"MRImageFrameTypeSequence": an_item(FrameType=["ORIGINAL", "PRIMARY", "MP"[k // 3], "NONE"])},
        }[tag]

    data = an_enhanced(levels(*range(6)), [(0, 0, 3 * (k % 3)) for k in range(6)], own=own)
    path = save(data, tmp_path / "e.dcm")
    volume = read_volume(path)
    assert columns(volume) == [0, 1, 2]
    word = {"b": "DiffusionBValue 1000", "echo": "EffectiveEchoTime 9", "type": "PRIMARY/P"}[tag]
    assert any("set aside: 1:2" in note and word in note for note in volume.notes)
    assert columns(read_volume(path, series="1:2")) == [3, 4, 5]


def test_kinds_and_times_are_told_apart_together(tmp_path: Path) -> None:
    def own(k: int) -> dict:
        return {
            "MREchoSequence": an_item(EffectiveEchoTime=4.5 * (k // 4 + 1)),
            "FrameContentSequence": an_item(TemporalPositionIndex=k // 2 % 2 + 1),
        }

    data = an_enhanced(levels(*range(8)), [(0, 0, 3 * (k % 2)) for k in range(8)], own=own)
    path = save(data, tmp_path / "e.dcm")
    second = read_volume(path, series="1:2")
    assert second.frames_tzyx is not None
    assert second.frames_tzyx[:, :, 0, 0].tolist() == [[4, 5], [6, 7]]


def test_the_larger_of_several_orientations_is_taken_and_equal_ones_are_refused(tmp_path: Path) -> None:
    turns = {0: [1, 0, 0, 0, 1, 0], 1: [0, 1, 0, 0, 0, -1]}

    def enhanced(first: int, count: int) -> Path:
        def own(k: int) -> dict:
            return {"PlaneOrientationSequence": an_item(ImageOrientationPatient=turns[int(k >= first)])}

        places = [(0, 0, 3 * k) if k < first else (3 * k, 0, 0) for k in range(count)]
        return save(an_enhanced(levels(*range(count)), places, own=own), tmp_path / "e.dcm")

    volume = read_volume(enhanced(4, 6))
    assert columns(volume) == [0, 1, 2, 3]
    assert any("set aside: 1:2: 2 slices (sagittal)" in note for note in volume.notes)
    path = enhanced(3, 6)
    with pytest.raises(InputError, match="several orientations") as caught:
        read_volume(path)
    assert "1:1: 3 slices (axial); 1:2: 3 slices (sagittal)" in caught.value.cure
    assert sorted(columns(read_volume(path, series="1:2"))) == [3, 4, 5]
    assert [row["number"] for row in list_rows(path)] == ["1:1", "1:2"]


def list_rows(path: Path) -> list[dict]:
    from MedSAMSegmentLib.io.dicom_series import list_series

    found = list_dicom(path)
    assert found is not None
    return list_series(found)


def test_named_stacks_at_overlapping_places_are_told_apart(tmp_path: Path) -> None:
    def own(k: int) -> dict:
        return {"FrameContentSequence": an_item(StackID="ab"[int(k > 2)])}

    data = an_enhanced(levels(*range(5)), [(0, 0, 3 * (k % 3)) for k in range(5)], own=own)
    volume = read_volume(save(data, tmp_path / "e.dcm"))
    assert columns(volume) == [0, 1, 2]
    assert any("stack b" in note for note in volume.notes)


def test_a_number_of_groups_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    data = an_enhanced(levels(1, 2, 3), [(0, 0, 3 * k) for k in range(2)])
    with pytest.raises(InputError, match="describes 2 frames, and says it has 3"):
        read_volume(save(data, tmp_path / "e.dcm"))


def test_frames_aside_of_each_other_are_no_stack(tmp_path: Path) -> None:
    data = an_enhanced(levels(1, 2, 3), [(0, 0, 0), (25, 0, 3), (0, 0, 6)])
    with pytest.raises(InputError, match="do not lie one behind another"):
        read_volume(save(data, tmp_path / "e.dcm"))


def test_a_volume_of_an_ultrasound_is_placed_and_no_cine(tmp_path: Path) -> None:
    shared = {
        "PlaneOrientationVolumeSequence": an_item(ImageOrientationVolume=[1, 0, 0, 0, 1, 0]),
        "PixelMeasuresSequence": an_item(PixelSpacing=[0.5, 0.4]),
    }

    def own(k: int) -> dict:
        return {"PlanePositionVolumeSequence": an_item(ImagePositionVolume=[0, 0, 0.7 * k])}

    data = an_enhanced(levels(1, 2, 3), [(0, 0, 0)] * 3, own=own, shared=shared, Modality="US")
    del data.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    for item in data.PerFrameFunctionalGroupsSequence:
        del item.PlanePositionSequence
    volume = read_volume(save(data, tmp_path / "us.dcm"))
    assert not volume.time_axis
    assert volume.spacing_zyx == pytest.approx((0.7, 0.5, 0.4))


def test_a_dose_grid_lies_by_its_offsets_and_has_its_scale() -> None:
    data = pydicom.dcmread(SAMPLES / "rtdose.dcm")
    volume = read_volume(SAMPLES / "rtdose.dcm")
    offsets = [float(v) for v in data.GridFrameOffsetVector]
    assert volume.spacing_zyx[0] == pytest.approx(abs(offsets[1] - offsets[0]))
    assert volume.array_zyx.max() == pytest.approx(data.pixel_array.max() * float(data.DoseGridScaling))


def test_slices_of_nuclear_medicine_lie_by_their_detector(tmp_path: Path) -> None:
    data = a_dataset(levels(1, 2, 3), Modality="NM", NumberOfFrames=3, SpacingBetweenSlices=-4.5)
    del data.ImagePositionPatient, data.ImageOrientationPatient
    data.SliceVector = [1, 2, 3]
    data.DetectorInformationSequence = an_item(
        ImagePositionPatient=[5, 6, 100], ImageOrientationPatient=[1, 0, 0, 0, 1, 0]
    )
    data.RescaleSlope, data.RescaleIntercept = 1, 0
    volume = read_volume(save(data, tmp_path / "nm.dcm"))
    assert columns(volume) == [3, 2, 1]
    assert np.allclose(volume.geometry.ijk_to_lps[:3, 3], (5, 6, 91))
    assert volume.spacing_zyx[0] == pytest.approx(4.5)


def test_plain_frames_without_places_have_no_invented_distance(tmp_path: Path) -> None:
    data = a_dataset(levels(1, 2, 3), Modality="OT", NumberOfFrames=3)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "SliceThickness", "PixelSpacing"):
        delattr(data, name)
    volume = read_volume(save(data, tmp_path / "sc.dcm"))
    assert NO_SPACING in volume.notes
    assert volume.spacing_known_zyx == (False, False, False)
