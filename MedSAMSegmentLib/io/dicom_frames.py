"""The frames of one DICOM file: where each lies, how its values are rescaled, and what tells it from others there.

A classic file is one frame. An enhanced one describes each frame by functional groups, shared or its own; nuclear
medicine and dose grids have their own ways. All become `Frame`s, so that what follows knows no difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .dicom_header import (
    dicom_errors,
    first_item,
    integer,
    is_stated,
    name_other_than_image,
    number,
    numbers,
    read_dataset,
    sop_class,
    text,
)
from .dicom_pixels import PixelFormat, pixel_format
from .dicom_spacing import pixel_spacing, slice_distance
from .dicom_values import INVERTED, KEPT, MEASURED_MODALITIES, ValueMap, is_cine

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

STATE_TAGS = (
    "ImageType", "EchoTime", "EchoNumbers", "EffectiveEchoTime", "InversionTime", "InversionTimes", "FlipAngle",
    "DiffusionBValue", "DiffusionGradientOrientation", "FrameType", "ComplexImageComponent", "ConvolutionKernel", "KVP",
    "ReconstructionAlgorithm", "EnergyWindowVector",
)  # fmt: skip
"""Tags that make images at one place different ones."""

TIME_STATE_TAGS = (
    "TemporalPositionIndex", "TemporalPositionIdentifier", "NominalPercentageOfCardiacPhase", "AcquisitionNumber",
    "FrameAcquisitionNumber", "PhaseVector", "TimeSlotVector", "RRIntervalVector",
)  # fmt: skip
"""Tags that count points in time."""

CLOCK_TAGS = (
    "TemporalPositionTimeOffset", "NominalCardiacTriggerDelayTime", "TriggerTime", "FrameReferenceTime",
    "FrameReferenceDateTime", "FrameAcquisitionDateTime", "AcquisitionDateTime", "AcquisitionTime", "ContentTime",
)  # fmt: skip
"""Times at which a slice was acquired: no two slices need share it, but at one place it gives an order."""

_PLACE_WORDS = ("ImagePosition", "InStackPosition", "StackID", "SliceLocation", "PlanePosition", "PlaneOrientation")
_TIME_WORDS = ("Time", "Temporal", "Trigger", "Cardiac", "AcquisitionNumber")
_GROUPS = (
    "FrameContentSequence", "TemporalPositionSequence", "CardiacSynchronizationSequence", "MREchoSequence",
    "MRDiffusionSequence", "MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence",
    "MRTimingAndRelatedParametersSequence", "MRModifierSequence", "CTReconstructionSequence", "CTXRayDetailsSequence",
)  # fmt: skip
_SAME_TURN = 0.05


@dataclass(frozen=True, eq=False)
class Frame:
    """One image: frame `index` of `path`. `position` (3,) and `orientation` (2,3), rows' direction first, are in LPS.

    `spacing` is that of rows and columns in mm, `marks` what tells frames at one place apart, `clock` when it was.
    """

    path: Path
    index: int
    rows: int
    columns: int
    colour: bool
    bytes_a_pixel: int
    position: NDArray[np.float64] | None
    orientation: NDArray[np.float64] | None
    spacing: tuple[float, float] | None
    spacing_note: str
    thickness: tuple[float | None, str]
    distance: tuple[float | None, str]
    values: ValueMap
    number: int
    stack: str
    localizer: bool
    sop_instance: str
    marks: Mapping[str, str] = field(default_factory=dict)
    times: Mapping[str, str] = field(default_factory=dict)
    clock: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Instance:
    """A file's frames, and what its header says of the series. `other` names what it holds when that is no image."""

    path: Path
    series: str
    sop_instance: str
    sop_class: str
    modality: str
    number: int | None
    description: str
    cine: bool = False
    frames: tuple[Frame, ...] = ()
    notes: tuple[str, ...] = ()
    other: str = ""


def read_instance(path: Path) -> Instance:
    """Read a file's header into its frames. Raises `InputError` for a header that cannot be read."""
    return instance_of(read_dataset(path, pixels=False), path)


def instance_of(data: FileDataset, path: Path) -> Instance:
    """Return the frames of a header that was read from `path`. Raises `InputError`."""
    with dicom_errors(path):
        return _instance(data, path)


def _instance(data: FileDataset, path: Path) -> Instance:
    other = name_other_than_image(data)
    modality = text(data, "Modality").upper()
    named = Instance(
        path,
        series=text(data, "SeriesInstanceUID"),
        sop_instance=text(data, "SOPInstanceUID"),
        sop_class=sop_class(data),
        modality=modality,
        number=integer(data, "SeriesNumber"),
        description=" ".join(text(data, "SeriesDescription").split()),
        other=other,
    )
    if other:
        return named
    layout = pixel_format(data, path)
    frames, notes = _frames(data, path, layout, modality)
    timed = "FrameTime" in data or "FrameTimeVector" in data
    cine = layout.frames > 1 and is_cine(modality, timed=timed)
    return replace(named, frames=frames, notes=notes, cine=cine)


def _frames(
    data: FileDataset, path: Path, layout: PixelFormat, modality: str
) -> tuple[tuple[Frame, ...], tuple[str, ...]]:
    shared = first_item(data, "SharedFunctionalGroupsSequence")
    own = list(data.get("PerFrameFunctionalGroupsSequence") or ())
    if own and len(own) != layout.frames:
        raise InputError(
            f"{path.name} describes {len(own)} frames, and says it has {layout.frames}.", "Export it again."
        )
    dimensions = _dimensions(data)
    places = _places_of_plain_frames(data, layout.frames) if not own else None
    notes = dict.fromkeys(_notes(data, layout, modality))
    frames = []
    for index in range(layout.frames):
        groups = _Groups(shared, own[index] if own else None)
        position, orientation = _place(data, groups)
        if places is not None:
            position = places[index]
        measures = groups.find("PixelMeasuresSequence")
        spacing, said = pixel_spacing(data, measures)
        transformation = groups.find("PixelValueTransformationSequence")
        content = groups.find("FrameContentSequence")
        values, warned = _value_map(data, transformation, path, layout, modality)
        notes.update(dict.fromkeys(warned))
        marks, times, clock = _marks(data, groups, content, dimensions, index)
        frames.append(
            Frame(
                path,
                index,
                layout.rows,
                layout.columns,
                layout.is_colour,
                bytes_a_pixel=-(-layout.allocated // 8) * (3 if layout.is_colour else 1),
                position=position,
                orientation=orientation,
                spacing=spacing,
                spacing_note=said,
                thickness=slice_distance(measures, data, single=True),
                distance=slice_distance(measures, data, single=False),
                values=values,
                number=integer(data, "InstanceNumber") or 0,
                stack=text(content, "StackID"),
                localizer="LOCALIZER" in _image_type(data, groups),
                sop_instance=text(data, "SOPInstanceUID"),
                marks=marks,
                times=times,
                clock=clock,
            )
        )
    return tuple(frames), tuple(notes)


class _Groups:
    """The functional groups of one frame: its own before the shared ones."""

    def __init__(self, shared: Dataset | None, own: Dataset | None) -> None:
        self._places = (own, shared)

    def find(self, name: str) -> Dataset | None:
        for place in self._places:
            found = first_item(place, name)
            if found is not None:
                return found
        return None


def _place(data: Dataset, groups: _Groups) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    detector = first_item(data, "DetectorInformationSequence")
    position = _first(
        (groups.find("PlanePositionSequence"), "ImagePositionPatient"),
        (groups.find("PlanePositionVolumeSequence"), "ImagePositionVolume"),
        (data, "ImagePositionPatient"),
        (detector, "ImagePositionPatient"),
        count=3,
    )
    turn = _first(
        (groups.find("PlaneOrientationSequence"), "ImageOrientationPatient"),
        (groups.find("PlaneOrientationVolumeSequence"), "ImageOrientationVolume"),
        (data, "ImageOrientationPatient"),
        (detector, "ImageOrientationPatient"),
        count=6,
    )
    return position, _orientation(turn)


def _first(*places: tuple[Dataset | None, str], count: int) -> NDArray[np.float64] | None:
    for place, name in places:
        found = numbers(place, name, count)
        if found is not None:
            return np.array(found)
    return None


def _orientation(turn: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """Return the directions (2,3) of rows and columns, of length 1; None when they are none."""
    if turn is None:
        return None
    pair = turn.reshape(2, 3)
    lengths = np.linalg.norm(pair, axis=1)
    if np.abs(lengths - 1).max() > _SAME_TURN or abs(pair[0] @ pair[1]) > _SAME_TURN:
        return None
    return np.asarray(pair / lengths[:, np.newaxis])


def _places_of_plain_frames(data: Dataset, count: int) -> list[NDArray[np.float64]] | None:
    """Return the positions of frames that have no groups of their own: a dose grid's, or slices at equal distances."""
    detector = first_item(data, "DetectorInformationSequence")
    origin, turn = _place(data, _Groups(None, None))
    if count == 1 or origin is None or turn is None:
        return None
    normal = np.cross(*turn)
    offsets = numbers(data, "GridFrameOffsetVector", count)
    if offsets is not None:
        # Relative to the first plane where they begin with zero, else coordinates along the axis.
        start = offsets[0]
        return [origin + normal * (offset - start) for offset in offsets]
    timed = "FrameTime" in data or "FrameTimeVector" in data
    if is_cine(text(data, "Modality").upper(), timed=timed):
        return None
    slices = numbers(data, "SliceVector", count)
    step = number(data, "SpacingBetweenSlices") or slice_distance(data, detector, single=False)[0]
    if not step:
        return None
    order = range(count) if slices is None else [int(value) - 1 for value in slices]
    return [origin + normal * step * place for place in order]


def _value_map(
    data: Dataset, transformation: Dataset | None, path: Path, layout: PixelFormat, modality: str
) -> tuple[ValueMap, tuple[str, ...]]:
    inverted = None
    if layout.photometric == "MONOCHROME1" and not _is_measured(data, transformation, modality):
        inverted = -1 if layout.signed else (1 << layout.stored) - 1
    table = first_item(data, "ModalityLUTSequence")
    if table is not None and transformation is None:
        return _table(table, path, inverted), ()
    slope = _rescale(transformation, data, "RescaleSlope", path)
    intercept = _rescale(transformation, data, "RescaleIntercept", path) or 0.0
    if modality == "RTDOSE":
        slope, intercept = _rescale(None, data, "DoseGridScaling", path), 0.0
    if slope == 0:
        return ValueMap(1.0, intercept, inverted=inverted), ("A rescale slope of 0 was taken for 1.",)
    return ValueMap(1.0 if slope is None else slope, intercept, inverted=inverted), ()


def _rescale(transformation: Dataset | None, data: Dataset, name: str, path: Path) -> float | None:
    """Return a number of the frame's, else of the file's; None where neither has it."""
    for place in (transformation, data):
        if is_stated(place, name):
            found = numbers(place, name, 1)
            if found is None:
                raise InputError(f"{path.name} has a {name} that is no number.", "Export it again.")
            return found[0]
    return None


def _table(item: Dataset, path: Path, inverted: int | None) -> ValueMap:
    """Return the look-up table of a modality: from the first stored value on, 8 or 16 bits an entry."""
    descriptor = numbers(item, "LUTDescriptor", 3)
    content = item.get("LUTData")
    if descriptor is None or content is None:
        raise InputError(f"{path.name} has a modality table that cannot be read.", "Export it again.")
    count, first = int(descriptor[0]) or 1 << 16, int(descriptor[1])
    if isinstance(content, bytes):
        entries = np.frombuffer(content, np.uint8 if len(content) < 2 * count else np.uint16)
    else:
        entries = np.atleast_1d(np.array(content, np.int64)).astype(np.uint16)
    if len(entries) < count:
        raise InputError(f"{path.name} has a modality table of {len(entries)} of {count} values.", "Export it again.")
    return ValueMap(table=entries[:count].astype(np.uint16), first=first, inverted=inverted)


def _is_measured(data: Dataset, transformation: Dataset | None, modality: str) -> bool:
    unit = (text(transformation, "RescaleType") or text(data, "RescaleType")).upper()
    return modality in MEASURED_MODALITIES or unit not in ("", "US")


def _notes(data: Dataset, layout: PixelFormat, modality: str) -> list[str]:
    if layout.photometric != "MONOCHROME1":
        return []
    shared = _Groups(first_item(data, "SharedFunctionalGroupsSequence"), None)
    measured = _is_measured(data, shared.find("PixelValueTransformationSequence"), modality)
    return [KEPT if measured else INVERTED]


def _image_type(data: Dataset, groups: _Groups) -> str:
    names = (groups.find(f"{kind}FrameTypeSequence") for kind in ("CTImage", "MRImage", "PET"))
    return "\\".join([text(data, "ImageType"), *(text(found, "FrameType") for found in names)]).upper()


def _dimensions(data: Dataset) -> list[str]:
    """Return the keyword of each dimension index; "" for one that only says where a frame lies."""
    from pydicom.datadict import keyword_for_tag

    names = []
    for item in data.get("DimensionIndexSequence") or ():
        pointer = item.get("DimensionIndexPointer")
        keyword = keyword_for_tag(pointer) if pointer is not None else ""
        names.append("" if any(word in keyword for word in _PLACE_WORDS) else keyword or f"dimension {pointer}")
    return names


def _marks(
    data: Dataset, groups: _Groups, content: Dataset | None, dimensions: list[str], index: int
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Return what tells a frame from others at its place: by its kind, by counted time, and by the clock."""
    places: list[Dataset | None] = [data, *(groups.find(name) for name in _GROUPS)]
    gradient = first_item(groups.find("MRDiffusionSequence"), "DiffusionGradientDirectionSequence")
    places.append(gradient)
    marks, times, clock = (
        {name: value for name in tags for value in [_mark(places, name, index)] if value}
        for tags in (STATE_TAGS, TIME_STATE_TAGS, CLOCK_TAGS)
    )
    values = numbers(content, "DimensionIndexValues") or ()
    for name, value in zip(dimensions, values, strict=False):
        if name:
            kind = times if any(word in name for word in _TIME_WORDS) else marks
            kind.setdefault(name, f"{value:g}")
    return marks, times, clock


def _mark(places: list[Dataset | None], name: str, index: int) -> str:
    for place in places:
        found = text(place, name)
        if found and name.endswith("Vector"):
            parts = found.split("\\")
            return parts[index] if index < len(parts) else ""
        if found:
            return found
    return ""


def describe_marks(marks: Mapping[str, Any]) -> str:
    """Return marks as words, such as "EchoTime 4.6"."""
    return ", ".join(f"{name} {value}".replace("\\", "/") for name, value in marks.items())
