"""DICOM RTSTRUCT: each segment a region of interest, its closed contours slice by slice in patient millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .atomic import atomic_write
from .dicom_attributes import (
    MANUFACTURER,
    SOFTWARE_VERSION,
    UNICODE,
    algorithm_name,
    code_texts,
    long_text,
    next_series_number,
)
from .dicom_header import silence, text
from .dicom_references import SourceImage, SourceImages
from .segments import Code, SegmentToWrite
from .slice_contours import closed_contours

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
_STUDY = "1.2.840.10008.3.1.2.3.1"
_IMPLICIT_LITTLE = "1.2.840.10008.1.2"
"""Contours may be longer than the 64 kB that the explicit syntaxes allow a list of numbers."""

_STUDY_TAGS = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge", "PatientSize",
    "PatientWeight", "PatientIdentityRemoved", "DeidentificationMethod", "StudyInstanceUID", "StudyDate", "StudyTime",
    "ReferringPhysicianName", "StudyID", "AccessionNumber", "StudyDescription",
)  # fmt: skip
"""Tags of patient and study, taken over where the images have them."""


def write_rtstruct(path: Path, segments: Sequence[SegmentToWrite], images: SourceImages, algorithm: str) -> None:
    """Write segments, none of them empty, as a structure set of `images`. Raises `OutputError`."""
    with silence():
        made = _structure_set(images, algorithm)
        for index, segment in enumerate(segments):
            _add_region(made, index + 1, segment, images)
        with atomic_write(path, ".dcm") as temporary:
            made.save_as(temporary)


def _structure_set(images: SourceImages, algorithm: str) -> FileDataset:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, UID, generate_uid

    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength, meta.FileMetaInformationVersion = 0, b"\0\1"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(_STRUCTURE_SET), generate_uid(prefix=None)
    meta.TransferSyntaxUID, meta.ImplementationClassUID = UID(_IMPLICIT_LITTLE), PYDICOM_IMPLEMENTATION_UID
    made = FileDataset("", {}, preamble=b"\0" * 128, file_meta=meta, is_implicit_VR=True, is_little_endian=True)
    source = images.headers[0]
    made.SpecificCharacterSet = UNICODE
    for name in _STUDY_TAGS:
        if name in source:
            setattr(made, name, source[name].value)
    now = datetime.now()
    day, hour = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    made.SOPClassUID, made.SOPInstanceUID = _STRUCTURE_SET, meta.MediaStorageSOPInstanceUID
    made.InstanceCreationDate, made.InstanceCreationTime = day, hour
    made.Modality, made.SeriesInstanceUID = "RTSTRUCT", generate_uid(prefix=None)
    made.SeriesNumber, made.InstanceNumber = next_series_number(source), 1
    made.SeriesDescription = f"{MANUFACTURER} contours"
    made.OperatorsName = ""
    made.Manufacturer = made.ManufacturerModelName = MANUFACTURER
    made.SoftwareVersions = SOFTWARE_VERSION
    made.StructureSetLabel = MANUFACTURER
    made.StructureSetName = algorithm_name(algorithm)
    made.StructureSetDate, made.StructureSetTime = day, hour
    made.ApprovalStatus = "UNAPPROVED"
    made.FrameOfReferenceUID = text(source, "FrameOfReferenceUID")
    made.PositionReferenceIndicator = text(source, "PositionReferenceIndicator")
    made.ReferencedFrameOfReferenceSequence = [_references(images)]
    made.StructureSetROISequence, made.ROIContourSequence, made.RTROIObservationsSequence = [], [], []
    return made


def _references(images: SourceImages) -> Dataset:
    """Return the frame of reference with study, series and every image."""
    source = images.headers[0]
    series = _item(SeriesInstanceUID=text(source, "SeriesInstanceUID"))
    series.ContourImageSequence = [_instance(header) for header in images.headers]
    study = _item(ReferencedSOPClassUID=_STUDY, ReferencedSOPInstanceUID=text(source, "StudyInstanceUID"))
    study.RTReferencedSeriesSequence = [series]
    place = _item(FrameOfReferenceUID=text(source, "FrameOfReferenceUID"))
    place.RTReferencedStudySequence = [study]
    return place


def _add_region(made: Dataset, index: int, segment: SegmentToWrite, images: SourceImages) -> None:
    made.StructureSetROISequence.append(
        _item(
            ROINumber=index,
            ReferencedFrameOfReferenceUID=made.FrameOfReferenceUID,
            ROIName=long_text(segment.name),
            ROIGenerationAlgorithm="SEMIAUTOMATIC",
            ROIGenerationDescription=made.StructureSetName,
        )
    )
    contours = _item(ReferencedROINumber=index)
    contours.ROIDisplayColor = [round(255 * part) for part in segment.shown_color(index - 1)]
    found: list[Dataset] = []
    for k in np.flatnonzero(segment.mask_zyx.any(axis=(1, 2))):
        for points in closed_contours(segment.mask_zyx[k]):
            found.append(_contour(len(found) + 1, images.to_lps(int(k), points), images.slices[k], images))
    contours.ContourSequence = found
    made.ROIContourSequence.append(contours)
    observation = _item(ObservationNumber=index, ReferencedROINumber=index, RTROIInterpretedType="", ROIInterpreter="")
    observation.RTROIIdentificationCodeSequence = [_code(segment.terminology.type)]
    made.RTROIObservationsSequence.append(observation)


def _contour(index: int, points: NDArray[np.float64], image: SourceImage, images: SourceImages) -> Dataset:
    from pydicom.dataelem import DataElement

    item = _item(ContourNumber=index, ContourGeometricType="CLOSED_PLANAR", NumberOfContourPoints=len(points))
    reference = _instance(image.header)
    if images.multi_frame:
        reference.ReferencedFrameNumber = image.frame.index + 1
    item.ContourImageSequence = [reference]
    # As text at once: a number object for each of many thousand coordinates takes seconds.
    values = [f"{value:.4f}" for value in points.ravel()]
    item.add(DataElement("ContourData", "DS", values, already_converted=True))
    return item


def _instance(header: Dataset) -> Dataset:
    return _item(
        ReferencedSOPClassUID=text(header, "SOPClassUID"), ReferencedSOPInstanceUID=text(header, "SOPInstanceUID")
    )


def _code(code: Code) -> Dataset:
    scheme, value, meaning = code_texts(code)
    item = _item(CodingSchemeDesignator=scheme, CodeMeaning=meaning)
    setattr(item, "CodeValue" if len(value) <= 16 else "LongCodeValue", value)
    return item


def _item(**tags: object) -> Dataset:
    from pydicom.dataset import Dataset

    item = Dataset()
    for name, value in tags.items():
        setattr(item, name, value)
    return item
