"""Grey values of DICOM: rescaled frame by frame, the same from every decoder, in a type that holds them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_support import a_dataset, an_enhanced, an_item, save, write_series
from pydicom.dataset import FileDataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from MedSAMSegmentLib.errors import InputError
from MedSAMSegmentLib.io.dicom import read_dicom_file
from MedSAMSegmentLib.io.dicom_decoders import decode_frame, decode_with_itk, decode_with_pydicom
from MedSAMSegmentLib.io.dicom_values import KEPT
from MedSAMSegmentLib.io.read_volume import read_volume

DECODERS = (decode_frame, decode_with_itk, decode_with_pydicom)
SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"


def read_by_all(path: Path) -> list[np.ndarray]:
    return [read_dicom_file(path, decode=decode).array_zyx for decode in DECODERS]


def pet(folder: Path, levels: list[int], slopes: list[str]) -> Path:
    for index, (level, slope) in enumerate(zip(levels, slopes, strict=True)):
        data = a_dataset(
            np.full((4, 5), level), Modality="PT", RescaleSlope=slope, RescaleIntercept=0, PixelRepresentation=1,
            ImagePositionPatient=[0, 0, 3 * index], InstanceNumber=index + 1,
        )  # fmt: skip
        save(data, folder / f"{index}.dcm")
    return folder


def test_each_slice_has_its_own_slope_and_nothing_wraps(tmp_path: Path) -> None:
    volume = read_volume(pet(tmp_path / "large", [1000, 2000, 3000, 4000], ["1", "40", "40", "40"]))
    assert volume.array_zyx[:, 0, 0].tolist() == [1000, 80000, 120000, 160000]
    volume = read_volume(pet(tmp_path / "small", [0, 1000, 2000, 3000], ["1", "0.0004", "0.0004", "0.0004"]))
    assert volume.array_zyx[:, 0, 0] == pytest.approx([0, 0.4, 0.8, 1.2])
    assert volume.array_zyx.dtype == np.float32
    volume = read_volume(pet(tmp_path / "even", [1, 2, 3, 4], ["0.5", "1", "1", "1"]))
    assert volume.array_zyx[:, 0, 0].tolist() == [0.5, 2, 3, 4]


def test_the_type_is_the_smallest_that_holds_whole_values(tmp_path: Path) -> None:
    for slope, intercept, dtype in ((1, -1024, np.int16), (1, 0, np.uint16), (10, 0, np.uint16), (40, -1, np.int32)):
        data = a_dataset(np.array([[0, 4000]]), RescaleSlope=slope, RescaleIntercept=intercept)
        volume = read_volume(save(data, tmp_path / "a.dcm"))
        assert volume.array_zyx.ravel().tolist() == [intercept, 4000 * slope + intercept]
        if (slope, intercept) != (10, 0):
            assert volume.array_zyx.dtype == dtype


def test_steps_that_float32_cannot_tell_apart_are_kept_in_float64(tmp_path: Path) -> None:
    data = a_dataset(np.array([[0, 1, 2]]), RescaleSlope="0.001", RescaleIntercept="100000")
    array = read_volume(save(data, tmp_path / "a.dcm")).array_zyx.ravel()
    assert array == pytest.approx([100000, 100000.001, 100000.002], abs=1e-9)


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
@pytest.mark.parametrize(("bits", "stored"), [(8, 8), (16, 12), (16, 16), (32, 32), (32, 20)])
def test_all_decoders_give_the_same_numbers(
    tmp_path: Path, bits: int, stored: int, syntax: str | None, signed: int
) -> None:
    low, high = (-(1 << (stored - 1)), (1 << (stored - 1)) - 1) if signed else (0, (1 << stored) - 1)
    values = np.tile(np.array([low, low + 1, 7, high // 3, high - 1, high], np.int64), (32, 8))
    if syntax == RLELossless and bits == 32:
        pytest.skip("pydicom cannot write it")
    data = a_dataset(
        values, BitsAllocated=bits, BitsStored=stored, HighBit=stored - 1, PixelRepresentation=signed,
        RescaleSlope=1, RescaleIntercept=0,
    )  # fmt: skip
    words = values.astype(f"{'i' if signed else 'u'}{bits // 8}")
    if syntax == ExplicitVRBigEndian:
        # As words of 16 bits, the bytes of small pixels change places.
        raw = words.tobytes() if bits == 8 else words.astype(words.dtype.newbyteorder(">")).tobytes()
        data.PixelData = np.frombuffer(raw, "<u2").byteswap().tobytes() if bits == 8 else raw
        data["PixelData"].VR = "OW"
        data.file_meta.TransferSyntaxUID = syntax
        turned = FileDataset(
            "", {}, file_meta=data.file_meta, preamble=b"\0" * 128, is_implicit_VR=False, is_little_endian=False
        )
        turned.update(data)
        turned.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    else:
        data.PixelData = words.tobytes()
        if syntax == RLELossless:
            data.compress(RLELossless)
        elif syntax:
            data.file_meta.TransferSyntaxUID = syntax
        data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    for array in read_by_all(tmp_path / "a.dcm"):
        assert array.ravel().tolist() == values.ravel().tolist()


def test_bits_beside_the_stored_ones_are_no_part_of_a_value(tmp_path: Path) -> None:
    """Old scanners keep overlays there."""
    values = np.array([[5, 4095, 0x8005, 0xF800]])
    data = a_dataset(values, BitsStored=12, HighBit=11, RescaleSlope=1, RescaleIntercept=0)
    path = save(data, tmp_path / "a.dcm")
    for array in read_by_all(path):
        assert array.ravel().tolist() == [5, 4095, 5, 0x800]
    # High bit 15: the lower four bits are the others.
    data = a_dataset(np.array([[0x0010, 0xFFF3]]), BitsStored=12, HighBit=15, RescaleSlope=1, RescaleIntercept=0)
    assert read_volume(save(data, path)).array_zyx.ravel().tolist() == [1, 0xFFF]


def test_a_ct_in_monochrome1_keeps_its_hounsfield_units(tmp_path: Path) -> None:
    stored = np.array([[0, 24, 1024, 4095]])
    data = a_dataset(stored, PhotometricInterpretation="MONOCHROME1", RescaleSlope=1, RescaleIntercept=-1024)
    path = save(data, tmp_path / "ct.dcm")
    for array in read_by_all(path):
        assert array.ravel().tolist() == [-1024, -1000, 0, 3071]
    assert read_volume(path).notes == (KEPT,)


def test_monochrome1_is_inverted_by_what_can_be_stored_not_by_what_is(tmp_path: Path) -> None:
    """Else the slices of a stack would be turned each about its own middle."""
    for index, level in enumerate((10, 500)):
        data = a_dataset(
            np.array([[level, 4000]]),
            Modality="CR", PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11,
            RescaleSlope=1, RescaleIntercept=0, ImagePositionPatient=[0, 0, index],
        )  # fmt: skip
        save(data, tmp_path / f"{index}.dcm")
    assert read_volume(tmp_path).array_zyx[:, 0].tolist() == [[4085, 95], [3595, 95]]
    for array in read_by_all(tmp_path / "0.dcm"):
        assert array.ravel().tolist() == [4085, 95]


def test_padding_is_kept_as_stored_and_said_and_stays_dark_when_inverted(tmp_path: Path) -> None:
    stored = np.array([[-2000, 0, 1000]])
    tags = {"PixelRepresentation": 1, "RescaleSlope": 1, "RescaleIntercept": -1024}
    data = a_dataset(stored.astype(np.int16), PixelPaddingValue=-2000, **tags)
    path = save(data, tmp_path / "ct.dcm")
    for array in read_by_all(path):
        assert array.ravel().tolist() == [-3024, -1024, -24]
    assert any("padding" in note for note in read_volume(path).notes)
    data = a_dataset(
        np.array([[0, 100, 4000]]), Modality="MG", PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11,
        PixelPaddingValue=0, RescaleSlope=1, RescaleIntercept=0,
    )  # fmt: skip
    for array in read_by_all(save(data, tmp_path / "mg.dcm")):
        assert array.ravel().tolist() == [95, 3995, 95]


def test_a_padding_value_outside_the_stored_bits_is_no_grey_value(tmp_path: Path) -> None:
    data = a_dataset(
        np.array([[0xF830, 0, 1000, 2096]]), BitsStored=12, HighBit=11, PixelPaddingValue=0xF830, RescaleSlope=1,
        RescaleIntercept=-1024,
    )  # fmt: skip
    assert read_volume(save(data, tmp_path / "ct.dcm")).array_zyx.ravel().tolist() == [-1024, -1024, -24, 1072]


def test_a_modality_table_is_looked_up(tmp_path: Path) -> None:
    table = an_item(LUTDescriptor=[3, 10, 16], LUTData=np.array([100, 50, 7], "<u2").tobytes(), ModalityLUTType="US")
    table[0]["LUTData"].VR = "OW"
    data = a_dataset(np.array([[0, 10, 11, 12, 900]]), ModalityLUTSequence=table)
    del data.RescaleSlope, data.RescaleIntercept
    assert read_volume(save(data, tmp_path / "a.dcm")).array_zyx.ravel().tolist() == [100, 100, 50, 7, 7]


def test_float_pixels_are_read(tmp_path: Path) -> None:
    for name, dtype in (("FloatPixelData", np.float32), ("DoubleFloatPixelData", np.float64)):
        data = a_dataset(np.zeros((2, 3)), RescaleSlope=1, RescaleIntercept=0)
        del data.PixelData, data.BitsStored, data.HighBit, data.PixelRepresentation
        data.BitsAllocated = 8 * np.dtype(dtype).itemsize
        values = np.array([[0.25, -1.5, 3e7], [0, 1, 2]], dtype)
        setattr(data, name, values.tobytes())
        assert np.array_equal(read_volume(save(data, tmp_path / "a.dcm")).array_zyx[0], values)


def test_frames_of_an_enhanced_image_have_their_own_slopes(tmp_path: Path) -> None:
    def own(index: int) -> dict:
        return {"PixelValueTransformationSequence": an_item(RescaleSlope=index + 1, RescaleIntercept=index)}

    stored = np.stack([np.full((4, 5), 100 * (k + 1)) for k in range(4)])
    path = save(an_enhanced(stored, [(0, 0, 3 * k) for k in range(4)], own=own), tmp_path / "e.dcm")
    for array in read_by_all(path):
        assert array[:, 0, 0].tolist() == [100, 401, 902, 1603]


@pytest.mark.parametrize("value", ["nan", "x", "1e999"])
def test_a_slope_that_is_no_number_is_refused(tmp_path: Path, value: str) -> None:
    data = a_dataset(np.zeros((2, 3)), RescaleSlope="1.25")
    path = save(data, tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes().replace(b"1.25", value.encode().ljust(4)[:4] if len(value) < 5 else b"1e99"))
    if value == "1e999":
        assert np.isfinite(read_volume(path).array_zyx).all()
        return
    with pytest.raises(InputError, match="RescaleSlope"):
        read_volume(path)


@pytest.mark.parametrize(
    "name", ["rtdose.dcm", "rtdose_rle.dcm", "rtdose_expb.dcm", "SC_rgb_rle_16bit.dcm", "SC_rgb_rle_32bit.dcm"]
)
def test_dose_and_deep_colours_are_read_as_pydicom_reads_them(name: str) -> None:
    data = pydicom.dcmread(SAMPLES / name)
    expected = data.pixel_array * float(data.get("DoseGridScaling") or 1)
    array = read_volume(SAMPLES / name).array_zyx
    assert array.reshape(expected.shape) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "name",
    ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_bigendian.dcm"],
)
def test_every_compression_gives_the_numbers_of_the_plain_file(name: str) -> None:
    assert np.array_equal(read_volume(SAMPLES / name).array_zyx, read_volume(SAMPLES / "MR_small.dcm").array_zyx)


@pytest.mark.parametrize("name", sorted(p for p in os.listdir(SAMPLES) if p.startswith(("SC_", "JPEG", "693", "J2K"))))
def test_real_files_are_the_same_from_both_decoders_where_both_can(name: str) -> None:
    arrays = []
    for decode in DECODERS:
        try:
            arrays.append(read_dicom_file(SAMPLES / name, decode=decode).array_zyx)
        except InputError:
            continue
    for array in arrays[1:]:
        assert np.array_equal(arrays[0], array)
    if name != "JPEG2000-embedded-sequence-delimiter.dcm":
        assert len(arrays) >= 2


def test_a_series_of_signed_and_unsigned_slices_holds_both(tmp_path: Path) -> None:
    write_series(tmp_path, np.array([[[40000, 1]], [[2, 3]]]), RescaleSlope=1, RescaleIntercept=0)
    data = a_dataset(
        np.array([[-5, 7]]).astype(np.int16), PixelRepresentation=1, ImagePositionPatient=[10, -20, 38], RescaleSlope=1,
        RescaleIntercept=0,
    )  # fmt: skip
    save(data, tmp_path / "c.dcm")
    assert read_volume(tmp_path).array_zyx.ravel().tolist() == [40000, 1, 2, 3, -5, 7]
