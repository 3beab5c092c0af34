"""The images that a DICOM object refers to: read again from what the volume remembers, and held against its grid.

A DICOM segmentation has no grid of its own here: its slices are those of the images. What would need another one
(filled or resampled slices, a shear, another voxel size) is refused, before the work starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OutputError
from ..geometry import VolumeGeometry
from .dicom_frames import Frame, instance_of
from .dicom_grid import SAME_STEP, UNEVEN, runs
from .dicom_header import dicom_errors, integer, read_dataset, sop_class, text
from .volume import SliceSource

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

OTHER_FORMATS = "Write .seg.nrrd, .nii.gz or .nrrd instead."

_SAME = 1e-3
"""Directions (of length 1), and the share of a size, that are still the same."""

_ASIDE_PIXELS = 0.5
"""Pixels by which the last slice may lie aside of the first one's normal."""

_ALIKE = {
    "StudyInstanceUID": "study",
    "SeriesInstanceUID": "series",
    "FrameOfReferenceUID": "frame of reference",
}

_MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
"""Tags that every DICOM object has, be they empty; anonymised files lack some."""


@dataclass(frozen=True, eq=False)
class SourceImage:
    """One slice's image: its file's `header` (one object a file), and the frame of it with its place."""

    header: Dataset
    frame: Frame

    @property
    def position(self) -> NDArray[np.float64]:
        assert self.frame.position is not None
        return self.frame.position


@dataclass(frozen=True, eq=False)
class SourceImages:
    """The images of a volume's slices in the order of k, all of one series; rows run along `orientation` (2,3).

    `spacing` is that of rows and columns, `step` that of slices (their thickness where there is one), in mm.
    """

    slices: tuple[SourceImage, ...]
    orientation: NDArray[np.float64]
    spacing: tuple[float, float]
    step: float

    @property
    def headers(self) -> list[Dataset]:
        """The header of every file once, in the order of its first slice."""
        return list({id(image.header): image.header for image in self.slices}.values())

    @property
    def multi_frame(self) -> bool:
        """True when the slices are frames of files that hold several, or describe each by functional groups."""
        return any(
            (integer(header, "NumberOfFrames") or 1) > 1 or "SharedFunctionalGroupsSequence" in header
            for header in self.headers
        )

    def to_lps(self, k: int, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points (n,2), x and y in pixels of slice `k`, in LPS mm (n,3)."""
        down, across = self.spacing
        return self.slices[k].position + points * (across, down) @ self.orientation


def read_source_images(sources: Sequence[SliceSource | None], geometry: VolumeGeometry) -> SourceImages:
    """Read the headers of the images that slices came from. Raises `OutputError` for what DICOM cannot express, and
    `InputError` for files that are gone."""
    if not sources:
        raise OutputError("DICOM can be written for images that were read from DICOM.", OTHER_FORMATS)
    made = [k for k, source in enumerate(sources) if source is None]
    if made or len(sources) != geometry.shape_zyx[0]:
        raise OutputError(
            f"{len(made)} of {len(sources)} slices are no image of the series, but filled or resampled ({runs(made)}); "
            "DICOM refers to images alone.",
            OTHER_FORMATS,
        )
    slices = tuple(_images([source for source in sources if source is not None]))
    _require_one_series(slices)
    orientation, spacing = _common_plane(slices)
    positions = np.array([image.position for image in slices])
    _require_same_grid(geometry, positions, orientation, spacing)
    step = geometry.spacing_zyx[0]
    return SourceImages(slices, orientation, spacing, step)


def _images(sources: Sequence[SliceSource]) -> Iterator[SourceImage]:
    files: dict[Path, tuple[Dataset, tuple[Frame, ...]]] = {}
    for source in sources:
        if source.path not in files:
            data = read_dataset(source.path, pixels=False)
            frames = instance_of(data, source.path).frames
            with dicom_errors(source.path):
                files[source.path] = (_completed(data), frames)
        header, frames = files[source.path]
        if not source.uid or not header.SOPClassUID:
            raise OutputError(f"{source.path.name} has no SOP UIDs to refer to.", OTHER_FORMATS)
        if text(header, "SOPInstanceUID") != source.uid or source.frame >= len(frames):
            raise InputError(f"{source.path.name} was changed since it was read.", "Run again.")
        yield SourceImage(header, frames[source.frame])


def _completed(header: Dataset) -> Dataset:
    """Return a header with the tags that any object of the study must have, in decoded text, without values that are
    none."""
    from pydicom.valuerep import DA, TM

    header.decode()
    header.SOPClassUID = sop_class(header)
    for name in _MAY_BE_EMPTY:
        if name not in header or header[name].value is None:
            setattr(header, name, "")
    if text(header, "PatientSex") not in ("M", "F", "O"):
        header.PatientSex = ""
    kinds: dict[str, Callable[[str], object]] = {"PatientBirthDate": DA, "StudyDate": DA, "StudyTime": TM}
    for name, kind in kinds.items():
        try:
            kind(text(header, name))
        except ValueError:
            setattr(header, name, "")
    return header


def _require_one_series(slices: Sequence[SourceImage]) -> None:
    for name, words in _ALIKE.items():
        found = {text(image.header, name) for image in slices}
        if found == {""}:
            raise OutputError(f"The images state no {words}, which DICOM output refers to.", OTHER_FORMATS)
        if len(found) > 1:
            raise OutputError(f"The images are not all of one {words}.", OTHER_FORMATS)
    named = {(text(image.header, "SOPInstanceUID"), image.frame.index) for image in slices}
    if len(named) < len(slices):
        raise OutputError("Several images have the same SOP Instance UID.", OTHER_FORMATS)


def _common_plane(slices: Sequence[SourceImage]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Return the directions (2,3) of rows and columns and the spacing of all images."""
    frames = [image.frame for image in slices]
    first = frames[0]
    for frame in frames:
        if frame.position is None or frame.orientation is None or first.orientation is None:
            raise OutputError("The images do not state where they lie in the patient.", OTHER_FORMATS)
        if frame.spacing is None or frame.spacing_note:
            raise OutputError("The images do not state the size of their pixels in the patient.", OTHER_FORMATS)
        turned = np.abs(frame.orientation - first.orientation).max() > _SAME
        if turned or not np.allclose(frame.spacing, first.spacing or (), rtol=_SAME, atol=0):
            raise OutputError("The images do not all have one orientation and pixel size.", OTHER_FORMATS)
    assert first.orientation is not None
    assert first.spacing is not None
    return first.orientation, first.spacing


def _require_same_grid(
    geometry: VolumeGeometry,
    positions: NDArray[np.float64],
    orientation: NDArray[np.float64],
    spacing: tuple[float, float],
) -> None:
    matrix = geometry.ijk_to_lps
    in_plane = orientation.T * (spacing[1], spacing[0])
    places = matrix[:3, 3] + np.arange(len(positions))[:, np.newaxis] * matrix[:3, 2]
    step = float(np.linalg.norm(matrix[:3, 2]))
    # As uneven as the reader lets them be, along and across.
    moved = np.linalg.norm(places - positions, axis=1).max() > 2 * UNEVEN * max(step, 1.0)
    stretched = np.linalg.norm(places[-1] - positions[-1]) > SAME_STEP * np.linalg.norm(positions[-1] - positions[0])
    if np.abs(matrix[:3, :2] - in_plane).max() > _SAME * min(spacing) or moved or (stretched and len(positions) > 1):
        raise OutputError(
            "The grid is not that of the images (was another voxel size given?); DICOM keeps theirs.",
            f"Leave --spacing out. {OTHER_FORMATS}",
        )
    normal = np.cross(*orientation)
    way = positions[-1] - positions[0]
    aside = float(np.linalg.norm(way - normal * (normal @ way)))
    if aside > _ASIDE_PIXELS * min(spacing):
        raise OutputError(
            f"The slices are sheared, as by a tilted gantry (the last one lies {aside:.1f} mm aside), which programs "
            "that read DICOM segmentations do not take.",
            OTHER_FORMATS,
        )
