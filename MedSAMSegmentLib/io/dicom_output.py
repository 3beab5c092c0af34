"""`.dcm`: segments as a DICOM segmentation (SEG) or as contours for radiotherapy (RTSTRUCT), beside their series."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import OutputError, UsageError
from ..geometry import VolumeGeometry
from .dicom_references import OTHER_FORMATS, SourceImages, read_source_images
from .dicom_rtstruct import write_rtstruct
from .dicom_seg import require_single_file, write_dicom_seg
from .seg_nrrd import check_segments
from .segments import SegmentToWrite
from .volume import SliceSource, Volume

DICOM_OUTPUT_SUFFIX = ".dcm"
DICOM_TYPES = ("seg", "rtstruct")


@dataclass(frozen=True)
class DicomOutput:
    """The things that a `.dcm` needs besides segments: its `kind` (of `DICOM_TYPES`), the image of each slice, and the
    name of what found the segments."""

    kind: str
    sources: tuple[SliceSource | None, ...]
    in_time: bool = False
    algorithm: str = ""

    @classmethod
    def of(cls, volume: Volume, kind: str = "seg", algorithm: str = "") -> DicomOutput:
        """Return what a volume that was read from DICOM gives. Raises `UsageError` for an unknown kind."""
        if kind not in DICOM_TYPES:
            raise UsageError(f"The DICOM type {kind!r} is not known.", f"Use {' or '.join(DICOM_TYPES)}.")
        return cls(kind, volume.slice_sources, volume.time_axis, algorithm)


def require_dicom_writer(kind: str) -> None:
    """Raise `UsageError` where the package that writes `kind` is missing."""
    if kind == "seg" and importlib.util.find_spec("highdicom") is None:
        raise UsageError(
            "DICOM SEG needs the package highdicom, which is not installed.",
            'Install it: pip install "MedSAMSegmentLib[dicom]". --dicom-type rtstruct works without.',
        )


def check_dicom_output(output: DicomOutput | None, geometry: VolumeGeometry) -> None:
    """Refuse, before the work starts, a volume that DICOM cannot express. Raises `UsageError`, `OutputError`,
    `InputError`."""
    _images(output, geometry)


def write_dicom(
    path: str | Path, segments: Sequence[SegmentToWrite], geometry: VolumeGeometry, output: DicomOutput | None
) -> None:
    """Write the segments that are not empty as one DICOM file. Raises `UsageError`, `OutputError`, `InputError`."""
    path = Path(path)
    check_segments(segments, geometry)
    # Those left out must not change the colours of the others.
    coloured = [replace(segment, color=segment.shown_color(n)) for n, segment in enumerate(segments)]
    kept = [segment for segment in coloured if segment.mask_zyx.any()]
    if not kept:
        raise OutputError(f"{path.name} was not written: every segment is empty.", OTHER_FORMATS)
    images = _images(output, geometry)
    assert output is not None
    write = write_dicom_seg if output.kind == "seg" else write_rtstruct
    write(path, kept, images, output.algorithm)


def empty_segments(segments: Sequence[SegmentToWrite]) -> list[str]:
    """Return the names of the segments that `write_dicom` leaves out."""
    return [segment.name for segment in segments if not segment.mask_zyx.any()]


def _images(output: DicomOutput | None, geometry: VolumeGeometry) -> SourceImages:
    if output is None:
        return read_source_images((), geometry)
    require_dicom_writer(output.kind)
    if output.in_time:
        raise OutputError("The slices follow each other in time, which DICOM output does not take.", OTHER_FORMATS)
    images = read_source_images(output.sources, geometry)
    if output.kind == "seg":
        require_single_file(images)
    return images
