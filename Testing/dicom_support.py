"""DICOM files for the tests, made with pydicom: slices, series and enhanced multi-frame images; masks read again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from contour_filling import filled
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

from MedSAMSegmentLib.io.volume import Volume


def a_dataset(stored: np.ndarray, **tags: object) -> FileDataset:
    """A CT slice (rows, columns) or frames (n, rows, columns) of 16-bit values, slope 2 and intercept -1000."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    data.Modality, data.PatientName, data.PatientID = "CT", "Test", "1"
    data.Rows, data.Columns = stored.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.RescaleSlope, data.RescaleIntercept = 2, -1000
    data.PixelSpacing, data.SliceThickness = [0.8, 0.6], 4
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.ImagePositionPatient = [0, 0, 0]
    data.PixelData = stored.astype(np.uint16).tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    return data


def write_series(
    folder: Path, stored: np.ndarray, step: tuple[float, float, float] = (0, 0, 4), **tags: object
) -> None:
    """One file a slice; the names run against the order in space."""
    folder.mkdir(parents=True, exist_ok=True)
    uid = str(tags.get("SeriesInstanceUID", "1.2.3.4"))
    for index, image in enumerate(stored):
        place = [10 + index * step[0], -20 + index * step[1], 30 + index * step[2]]
        data = a_dataset(image, **{"ImagePositionPatient": place, "InstanceNumber": index + 1, **tags})
        data.save_as(folder / f"{uid}_{len(stored) - index:03d}.dcm", enforce_file_format=True)


def an_item(**tags: object) -> Items:
    """A sequence of one item."""
    item = Dataset()
    for name, value in tags.items():
        setattr(item, name, value)
    return Items([item])


def an_enhanced(
    stored: np.ndarray,
    positions: Iterable[Sequence[float]],
    *,
    own: Callable[[int], Mapping[str, Items]] = lambda index: {},
    shared: Mapping[str, Items] | None = None,
    **tags: object,
) -> FileDataset:
    """An enhanced CT of frames (n, rows, columns), each with its position and the groups that `own` gives it."""
    data = a_dataset(stored, SOPClassUID=CTImageStorage, NumberOfFrames=len(stored))
    for name in ("RescaleSlope", "RescaleIntercept", "PixelSpacing", "SliceThickness"):
        delattr(data, name)
    del data.ImageOrientationPatient, data.ImagePositionPatient
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    groups = Dataset()
    groups.PixelMeasuresSequence = an_item(PixelSpacing=[1.2, 1.0], SliceThickness=3)
    groups.PlaneOrientationSequence = an_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    for name, value in (shared or {}).items():
        setattr(groups, name, value)
    data.SharedFunctionalGroupsSequence = Items([groups])
    frames = []
    for index, position in enumerate(positions):
        frame = Dataset()
        frame.PlanePositionSequence = an_item(ImagePositionPatient=[float(v) for v in position])
        for name, value in own(index).items():
            setattr(frame, name, value)
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = Items(frames)
    for name, value in tags.items():
        setattr(data, name, value)
    return data


def save(data: FileDataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def masks_of_seg(data: Dataset, volume: Volume) -> dict[str, np.ndarray]:
    """The masks of a SEG by pydicom alone: each frame goes where it says that it lies."""
    frames = data.pixel_array.reshape(-1, data.Rows, data.Columns)
    shared = data.SharedFunctionalGroupsSequence[0]
    found = {item.SegmentNumber: np.zeros(volume.shape_zyx, bool) for item in data.SegmentSequence}
    for groups, frame in zip(data.PerFrameFunctionalGroupsSequence, frames, strict=True):
        position = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        i, j, k = volume.geometry.lps_to_ijk(position)[0]
        assert np.abs([i, j, k - round(k)]).max() < 1e-4
        named = groups if "SegmentIdentificationSequence" in groups else shared
        found[named.SegmentIdentificationSequence[0].ReferencedSegmentNumber][round(k)] |= frame.astype(bool)
    return {item.SegmentLabel: found[item.SegmentNumber] for item in data.SegmentSequence}


def masks_of_rtstruct(data: Dataset, volume: Volume) -> dict[str, np.ndarray]:
    """The masks of an RTSTRUCT: contours of each slice filled together by the even-odd rule."""
    names = {item.ROINumber: item.ROIName for item in data.StructureSetROISequence}
    found = {}
    for region in data.ROIContourSequence:
        by_slice: dict[int, list[np.ndarray]] = {}
        for contour in region.ContourSequence:
            points = volume.geometry.lps_to_ijk(np.array(contour.ContourData, float).reshape(-1, 3))
            assert len(points) == contour.NumberOfContourPoints
            k = round(float(points[0, 2]))
            assert np.abs(points[:, 2] - k).max() < 1e-3
            by_slice.setdefault(k, []).append(points[:, :2])
        mask = np.zeros(volume.shape_zyx, bool)
        for k, contours in by_slice.items():
            mask[k] = filled(contours, volume.shape_zyx[1:])
        found[names[region.ReferencedROINumber]] = mask
    return found
