"""DICOM: a folder with one or more series, a single slice, a multi-frame file or a cine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..geometry import VolumeGeometry
from .itk import check_header, itk_errors, volume_from_image
from .volume import MAX_BYTES, Volume, check_size, make_volume

if TYPE_CHECKING:
    import SimpleITK as sitk

MODALITY, PHOTOMETRIC, POSITION, FRAME_TIME, FRAME_TIME_VECTOR = (
    "0008|0060",
    "0028|0004",
    "0020|0032",
    "0018|1063",
    "0018|1065",
)
CINE_MODALITIES = frozenset(("US", "IVUS", "XA", "RF", "ES", "XC", "OP", "OPT", "IVOCT"))


def is_dicom_file(path: Path) -> bool:
    """True when the file has DICOM's mark after its preamble."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def find_series(folder: Path) -> dict[str, tuple[str, ...]]:
    """Files of each image series by its UID, in slice order; subfolders are searched when the folder has none."""
    import SimpleITK as sitk

    with itk_errors(folder):
        for place in (folder, *(Path(root) for root, folders, _ in os.walk(folder) for root in _joined(root, folders))):
            found = {
                uid: tuple(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(place), uid))
                for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(place))
            }
            if found:
                return found
    return {}


def _joined(root: str, folders: list[str]) -> list[str]:
    return [os.path.join(root, name) for name in sorted(folders)]


def read_dicom_series(
    folder: Path, found: Mapping[str, Sequence[str]], series: str | None = None, max_bytes: int = MAX_BYTES
) -> Volume:
    """The series `series` of those found, by default the one with most files."""
    import SimpleITK as sitk

    uid = series or max(found, key=lambda name: len(found[name]))
    matching = [name for name in found if name == uid or name.startswith(uid)]
    if not matching:
        raise InputError(f"{folder} has no series {uid}.", f"It holds {', '.join(found)}.")
    files = found[matching[0]]
    notes: tuple[str, ...] = ()
    if len(found) > 1 and series is None:
        others = ", ".join(f"{name} ({len(found[name])} files)" for name in found if name != uid)
        notes = (
            f"The folder holds {len(found)} series; took the largest, {uid} ({len(files)} files). Others: {others}.",
        )
    if len(files) == 1:
        volume = read_dicom_file(Path(files[0]), max_bytes)
        return make_volume(
            volume.array_zyx,
            volume.geometry,
            folder,
            volume.kind,
            modality=volume.modality,
            time_axis=volume.time_axis,
            notes=notes + volume.notes,
        )
    with itk_errors(folder):
        first = _header(Path(files[0]), max_bytes // len(files))
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(list(files))
        image = reader.Execute()
    positions = _positions(files)
    volume = volume_from_image(image, folder, "dicom", modality=_tag(first, MODALITY), notes=notes)
    geometry, said = _stack_geometry(volume.geometry, positions)
    array, inverted = _upright_grey(volume.array_zyx, _tag(first, PHOTOMETRIC))
    return make_volume(array, geometry, folder, "dicom", modality=volume.modality, notes=volume.notes + said + inverted)


def read_dicom_file(path: Path, max_bytes: int = MAX_BYTES) -> Volume:
    """One file: a slice, a multi-frame volume, or a cine whose frames lie along k in time.

    What SimpleITK cannot decode is tried with pydicom, if it is installed.
    """
    import SimpleITK as sitk

    try:
        with itk_errors(path):
            reader = _header(path, max_bytes)
            image = reader.Execute()
    except InputError as error:
        return _read_with_pydicom(path, max_bytes, error)
    time_axis = image.GetDimension() == 3 and image.GetDepth() > 1 and _is_cine(reader)
    notes = (f"Cine: {image.GetDepth()} frames in time.",) if time_axis else ()
    volume = volume_from_image(
        sitk.Image(image), path, "dicom", modality=_tag(reader, MODALITY), time_axis=time_axis, notes=notes
    )
    array, inverted = _upright_grey(volume.array_zyx, _tag(reader, PHOTOMETRIC))
    return make_volume(
        array,
        volume.geometry,
        path,
        "dicom",
        modality=volume.modality,
        time_axis=time_axis,
        notes=volume.notes + inverted,
    )


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


def _is_cine(reader: sitk.ImageFileReader) -> bool:
    timed = any(_tag(reader, key) for key in (FRAME_TIME, FRAME_TIME_VECTOR))
    return timed or _tag(reader, MODALITY) in CINE_MODALITIES


def _positions(files: Sequence[str]) -> NDArray[np.float64] | None:
    """Image positions (n,3) in LPS mm, None when a file lacks one."""
    import SimpleITK as sitk

    found = []
    for name in files:
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(name)
        reader.ReadImageInformation()
        parts = _tag(reader, POSITION).split("\\")
        try:
            found.append([float(part) for part in parts])
        except ValueError:
            return None
    return np.array(found) if all(len(position) == 3 for position in found) else None


def _stack_geometry(
    geometry: VolumeGeometry, positions: NDArray[np.float64] | None
) -> tuple[VolumeGeometry, tuple[str, ...]]:
    """The grid with its k axis from the first slice to the last, so that a tilted gantry keeps its shear."""
    if positions is None or len(positions) != geometry.shape_zyx[0] or len(positions) < 2:
        return geometry, ()
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    if np.linalg.norm(step) < 1e-6:
        return geometry, ("All slices lie at one place; their order is that of the file names.",)
    matrix = np.array(geometry.ijk_to_lps)
    matrix[:3, 2], matrix[:3, 3] = step, positions[0]
    ideal = positions[0] + np.outer(np.arange(len(positions)), step)
    off = float(np.abs(positions - ideal).max())
    notes: tuple[str, ...] = ()
    if off > 0.1 * np.linalg.norm(step):
        notes = (f"The slices are not evenly spaced (up to {off:.1f} mm off): some may be missing.",)
    normal = np.cross(matrix[:3, 0], matrix[:3, 1])
    cosine = abs(normal @ step) / (np.linalg.norm(normal) * np.linalg.norm(step))
    if cosine < np.cos(np.radians(0.5)):
        notes += (f"The gantry was tilted by {np.degrees(np.arccos(cosine)):.1f} degrees; the grid is sheared.",)
    return VolumeGeometry(geometry.shape_zyx, matrix), notes


def _upright_grey(array: NDArray, photometric: str) -> tuple[NDArray, tuple[str, ...]]:
    """MONOCHROME1 stores white as low: turned, so that bright is high as in every other image."""
    if photometric != "MONOCHROME1":
        return array, ()
    # Each value lies within [min, max], so min + max - value does too and the type holds it.
    total = int(array.min()) + int(array.max()) if array.dtype.kind in "iu" else array.min() + array.max()
    turned = (total - array.astype(np.int64)) if array.dtype.kind in "iu" else total - array
    return turned.astype(array.dtype), ("MONOCHROME1: grey values were inverted.",)


def _read_with_pydicom(path: Path, max_bytes: int, refusal: InputError) -> Volume:
    if refusal.detail == "":
        raise refusal
    try:
        import pydicom
        from pydicom.errors import InvalidDicomError
    except ImportError as error:
        raise InputError(refusal.message, "Install pydicom to read rarer DICOM files.", refusal.detail) from error
    try:
        data = pydicom.dcmread(path)
        count = int(data.get("NumberOfFrames") or 1)
        voxels = int(data.Rows) * int(data.Columns) * int(data.get("SamplesPerPixel") or 1) * count
        check_size(voxels, -(-int(data.BitsAllocated) // 8), path, max_bytes)
        array = np.asarray(data.pixel_array)
    except (
        InvalidDicomError,
        AttributeError,
        ValueError,
        KeyError,
        TypeError,
        NotImplementedError,
        RuntimeError,
        OSError,
    ) as error:
        raise InputError(
            f"{path.name} cannot be read as DICOM.", "Export it again.", f"{refusal.detail}\n{error}"
        ) from error
    if count == 1:
        array = array[np.newaxis]
    rows, columns = (float(v) for v in (data.get("PixelSpacing") or (1, 1)))
    z, y, x = array.shape[:3]
    slope, intercept = float(data.get("RescaleSlope") or 1), float(data.get("RescaleIntercept") or 0)
    if (slope, intercept) != (1.0, 0.0):
        array = array.astype(np.float32) * slope + intercept
    array, inverted = _upright_grey(array, str(data.get("PhotometricInterpretation") or ""))
    modality = str(data.get("Modality") or "")
    cine = count > 1 and (modality in CINE_MODALITIES or "FrameTime" in data or "FrameTimeVector" in data)
    thickness = float(data.get("SliceThickness") or 1)
    geometry = VolumeGeometry.from_spacing((z, y, x), (1.0 if cine else thickness, rows, columns))
    return make_volume(array, geometry, path, "dicom", modality=modality, time_axis=cine, notes=inverted)
