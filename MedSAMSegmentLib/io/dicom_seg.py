"""DICOM SEG: one binary frame for each segment and slice, by highdicom. Segments may overlap."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from .atomic import atomic_write
from .dicom_attributes import (
    MANUFACTURER,
    SOFTWARE_VERSION,
    UNICODE,
    algorithm_name,
    cielab,
    code_texts,
    long_text,
    next_series_number,
)
from .dicom_header import number, silence
from .dicom_references import OTHER_FORMATS, SourceImages
from .segments import Code, SegmentToWrite

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_REFUSALS = (AttributeError, LookupError, NotImplementedError, TypeError, ValueError)
"""What highdicom raises for images that are not as the standard says."""


def write_dicom_seg(path: Path, segments: Sequence[SegmentToWrite], images: SourceImages, algorithm: str) -> None:
    """Write segments, none of them empty, as a segmentation of `images`. Raises `OutputError`."""
    with silence():
        try:
            segmentation = _segmentation(segments, images, algorithm)
        except _REFUSALS as error:
            # Its own words may quote the patient's data.
            raise OutputError(
                f"{path.name} was not written: the images lack what a DICOM segmentation needs.",
                OTHER_FORMATS,
                f"highdicom: {type(error).__name__}",
            ) from error
        with atomic_write(path, ".dcm") as temporary:
            segmentation.save_as(temporary, enforce_file_format=True)


def require_single_file(images: SourceImages) -> None:
    """Raise `OutputError` where multi-frame files are several: a segmentation refers to one of them."""
    if images.multi_frame and len(images.headers) > 1:
        raise OutputError(
            f"The slices come from {len(images.headers)} multi-frame files; a DICOM segmentation refers to one.",
            f"An RTSTRUCT refers to several (--dicom-type rtstruct). {OTHER_FORMATS}",
        )


def _segmentation(segments: Sequence[SegmentToWrite], images: SourceImages, algorithm: str) -> Any:
    from highdicom.seg import Segmentation, SegmentationTypeValues

    first = images.headers[0]
    made = Segmentation(
        source_images=[_as_multi_frame(images)] if images.multi_frame else _as_series(images),
        pixel_array=_pixels([segment.mask_zyx for segment in segments]),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_description(n + 1, segment, algorithm) for n, segment in enumerate(segments)],
        series_instance_uid=_new_uid(),
        series_number=next_series_number(first),
        series_description=f"{MANUFACTURER} segmentation",
        sop_instance_uid=_new_uid(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=SOFTWARE_VERSION,
        device_serial_number="0",
        content_label="SEGMENTATION",
        content_description=algorithm_name(algorithm),
        specific_character_set=UNICODE,
    )
    if images.multi_frame:
        _name_own_frames(made, images)
    return made


def _new_uid() -> str:
    from pydicom.uid import generate_uid

    return str(generate_uid(prefix=None))


def _pixels(masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.unsignedinteger]:
    """Return masks (z,y,x) as labels (z,y,x) from 1 on, or where they overlap stacked (z,y,x,n): that takes more
    memory."""
    labels = np.zeros(masks[0].shape, np.uint8 if len(masks) < 256 else np.uint16)
    for index, mask in enumerate(masks):
        if labels[mask].any():
            return np.stack(masks, axis=-1).astype(np.uint8)
        labels[mask] = index + 1
    return labels


def _description(index: int, segment: SegmentToWrite, algorithm: str) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
    from pydicom.sr.codedict import codes

    return SegmentDescription(
        segment_number=index,
        segment_label=long_text(segment.name),
        segmented_property_category=_concept(segment.terminology.category),
        segmented_property_type=_concept(segment.terminology.type),
        algorithm_type=SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=algorithm_name(algorithm),
            family=codes.cid7162.ArtificialIntelligence,
            version=SOFTWARE_VERSION,
            source=MANUFACTURER,
        ),
        display_color=CIELabColor(*cielab(segment.shown_color(index - 1))),
    )


def _concept(code: Code) -> Any:
    from highdicom.sr import CodedConcept

    scheme, value, meaning = code_texts(code)
    return CodedConcept(value, scheme, meaning)


def _as_series(images: SourceImages) -> list[Dataset]:
    """Return the headers of single images in the order of k, with what highdicom reads of them stated alike."""
    first = images.slices[0].header
    thickness = number(first, "SliceThickness") or images.step
    for image in images.slices:
        header = image.header
        header.ImageOrientationPatient = first.ImageOrientationPatient
        header.PixelSpacing = first.PixelSpacing
        header.SliceThickness = _decimal(thickness)
        # Its place between neighbours is what counts: a thinned-out series still states the distance it once had.
        if "SpacingBetweenSlices" in header:
            del header.SpacingBetweenSlices
    return [image.header for image in images.slices]


def _as_multi_frame(images: SourceImages) -> Dataset:
    """Return a multi-frame header whose frames are the slices in the order of k, each with its place.

    Files of nuclear medicine and of doses state places in ways of their own, others all of theirs frame by frame.
    """
    from pydicom.dataset import Dataset

    source = images.slices[0].header
    measures, plane, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [_decimal(value) for value in images.spacing]
    measures.SliceThickness = _decimal(images.slices[0].frame.thickness[0] or images.step)
    plane.ImageOrientationPatient = [_decimal(value) for value in images.orientation.ravel()]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    frames = []
    for image in images.slices:
        place, frame = Dataset(), Dataset()
        place.ImagePositionPatient = [_decimal(value) for value in image.position]
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    source.SharedFunctionalGroupsSequence, source.PerFrameFunctionalGroupsSequence = [shared], frames
    source.NumberOfFrames = len(frames)
    return source


def _name_own_frames(made: Dataset, images: SourceImages) -> None:
    """Turn the numbers of slices, counted along k, into those that the frames have in their file."""
    references = [
        reference
        for groups in made.PerFrameFunctionalGroupsSequence
        for derivation in groups.get("DerivationImageSequence") or ()
        for reference in derivation.SourceImageSequence
    ]
    # Frames of several segments on one slice share the object.
    for reference in {id(one): one for one in references}.values():
        k = int(reference.ReferencedFrameNumber) - 1
        reference.ReferencedFrameNumber = images.slices[k].frame.index + 1


def _decimal(value: float) -> str:
    from pydicom.valuerep import format_number_as_ds

    return str(format_number_as_ds(float(value)))
