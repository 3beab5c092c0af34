"""DICOM: a folder with one or more series, a single slice, a multi-frame file or a cine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..geometry import VolumeGeometry
from .dicom_pydicom import read_with_pydicom
from .dicom_values import INVERTED, is_cine
from .itk import check_header, itk_errors, volume_from_image
from .volume import MAX_BYTES, Volume

if TYPE_CHECKING:
    import SimpleITK as sitk

MODALITY = "0008|0060"
FRAME_TIME = "0018|1063"
FRAME_TIME_VECTOR = "0018|1065"
POSITION = "0020|0032"
ORIENTATION = "0020|0037"
PHOTOMETRIC = "0028|0004"

SAME_PLACE_MM = 1e-3
TILT_DEGREES = 0.5


def is_dicom_file(path: Path) -> bool:
    """Return whether the file has DICOM's mark after its preamble."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def find_series(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the files of each series by its UID, in slice order; of the first subfolder that has any when `folder` has
    none."""
    import SimpleITK as sitk

    with itk_errors(folder):
        for place in map(str, _places(folder)):
            uids = sitk.ImageSeriesReader.GetGDCMSeriesIDs(place)
            if uids:
                return {uid: tuple(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(place, uid)) for uid in uids}
    return {}


def read_dicom_series(
    folder: Path, found: Mapping[str, Sequence[str]], series: str | None = None, max_bytes: int = MAX_BYTES
) -> Volume:
    """Read the series `series` of those found, by default the one with most files. Raises `InputError`."""
    uid = series or max(found, key=lambda name: len(found[name]))
    if uid not in found:
        raise InputError(f"{folder} has no series {uid}.", f"It holds {', '.join(found)}.")
    notes: tuple[str, ...] = ()
    if len(found) > 1 and series is None:
        others = ", ".join(f"{name} ({len(files)} files)" for name, files in found.items() if name != uid)
        size = len(found[uid])
        notes = (f"The folder holds {len(found)} series; took the largest, {uid} ({size} files), not {others}.",)
    files = found[uid]
    volume = read_dicom_file(Path(files[0]), max_bytes) if len(files) == 1 else _read_stack(folder, files, max_bytes)
    return replace(volume, source=folder, notes=notes + volume.notes, parts=tuple(map(Path, files)))


def read_dicom_file(path: Path, max_bytes: int = MAX_BYTES) -> Volume:
    """Read one file: a slice, a multi-frame volume, or a cine whose frames lie along k in time.

    What SimpleITK cannot decode is tried with pydicom. Raises `InputError`.
    """
    try:
        with itk_errors(path):
            reader = _header(path, max_bytes)
            image = reader.Execute()
    except InputError as refusal:
        if not refusal.detail:
            raise
        return read_with_pydicom(path, max_bytes)
    timed = any(_tag(reader, key) for key in (FRAME_TIME, FRAME_TIME_VECTOR))
    modality = _tag(reader, MODALITY)
    time_axis = image.GetDimension() == 3 and image.GetDepth() > 1 and is_cine(modality, timed=timed)
    notes: tuple[str, ...] = (f"Cine: {image.GetDepth()} frames in time.",) if time_axis else ()
    notes += _inverted(reader)
    return volume_from_image(image, path, "dicom", modality=modality, time_axis=time_axis, notes=notes)


def _places(folder: Path) -> Iterator[Path]:
    yield folder
    for root, names, _ in os.walk(folder):
        names.sort()
        yield from (Path(root, name) for name in names)


def _read_stack(folder: Path, files: Sequence[str], max_bytes: int) -> Volume:
    """Read the slices of one series, in the order given."""
    import SimpleITK as sitk

    with itk_errors(folder):
        first = _header(Path(files[0]), max_bytes // len(files))
        reader = sitk.ImageSeriesReader()
        reader.MetaDataDictionaryArrayUpdateOn()
        reader.SetFileNames(list(files))
        image = reader.Execute()
        places, turns = (_numbers(reader, len(files), key, size) for key, size in ((POSITION, 3), (ORIENTATION, 6)))
    if turns is not None and np.abs(turns - turns[0]).max() > 1e-2:
        raise InputError("The series holds slices of several orientations.", "Choose another series; is it a scout?")
    volume = volume_from_image(image, folder, "dicom", modality=_tag(first, MODALITY))
    if places is not None and len(places) == volume.shape_zyx[0]:
        volume = _placed(volume, places)
    return replace(volume, notes=volume.notes + _inverted(first))


def _placed(volume: Volume, positions: NDArray[np.float64]) -> Volume:
    """Return the volume with its k axis running from the first slice's position to the last's, so a tilted gantry keeps
    its shear."""
    distinct = len(np.unique(np.round(positions / SAME_PLACE_MM).astype(np.int64), axis=0))
    count = len(positions)
    if distinct == 1:
        return replace(volume, time_axis=True, notes=(*volume.notes, f"{count} frames in time, all at one place."))
    if distinct < count:
        raise InputError(
            f"The series holds {count} slices at {distinct} places: it runs in time.",
            "Export one time point, or a 4D NIfTI file.",
        )
    step = (positions[-1] - positions[0]) / (count - 1)
    matrix = np.array(volume.geometry.ijk_to_lps)
    matrix[:3, 2], matrix[:3, 3] = step, positions[0]
    notes = (*volume.notes, *_uneven(positions, step), *_tilted(matrix))
    return replace(volume, geometry=VolumeGeometry(volume.shape_zyx, matrix), notes=notes)


def _uneven(positions: NDArray[np.float64], step: NDArray[np.float64]) -> Iterator[str]:
    off = np.abs(positions - positions[0] - np.outer(np.arange(len(positions)), step)).max()
    if off > 0.1 * np.linalg.norm(step):
        yield f"The slices are not evenly spaced (up to {off:.1f} mm off); some may be missing."


def _tilted(matrix: NDArray[np.float64]) -> Iterator[str]:
    normal = np.cross(matrix[:3, 0], matrix[:3, 1])
    cosine = abs(normal @ matrix[:3, 2]) / (np.linalg.norm(normal) * np.linalg.norm(matrix[:3, 2]))
    degrees = float(np.degrees(np.arccos(min(1.0, cosine))))
    if degrees > TILT_DEGREES:
        yield f"The gantry was tilted by {degrees:.1f} degrees; the grid is sheared."


def _inverted(reader: sitk.ImageFileReader) -> tuple[str, ...]:
    """Note that GDCM turns MONOCHROME1, where white is low, by itself."""
    return (INVERTED,) if _tag(reader, PHOTOMETRIC) == "MONOCHROME1" else ()


def _header(path: Path, max_bytes: int) -> sitk.ImageFileReader:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    check_header(reader, path, max_bytes)
    return reader


def _tag(reader: sitk.ImageFileReader, key: str) -> str:
    return str(reader.GetMetaData(key)).strip() if reader.HasMetaDataKey(key) else ""


def _numbers(reader: sitk.ImageSeriesReader, count: int, key: str, size: int) -> NDArray[np.float64] | None:
    """Read a tag of `size` numbers of each slice, (count, size); None when a slice lacks it."""
    rows = []
    for index in range(count):
        text = reader.GetMetaData(index, key) if reader.HasMetaDataKey(index, key) else ""
        parts = text.split("\\")
        if len(parts) != size:
            return None
        try:
            rows.append([float(part) for part in parts])
        except ValueError:
            return None
    return np.array(rows)
