"""DICOM files that SimpleITK cannot decode, through pydicom (an optional extra)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..geometry import VolumeGeometry
from .dicom_values import first_number, invert_monochrome1, is_cine
from .volume import MAX_BYTES, Volume, check_size, make_volume

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset


def read_with_pydicom(path: Path, max_bytes: int = MAX_BYTES) -> Volume:
    """Read one file, its frames along k. Raises `InputError`, also when pydicom is not installed."""
    try:
        import pydicom
    except ImportError as error:
        raise InputError(f"{path.name} cannot be decoded.", "Install pydicom to read rarer DICOM files.") from error
    try:
        data = pydicom.dcmread(path)
        count = int(data.get("NumberOfFrames") or 1)
        voxels = int(data.Rows) * int(data.Columns) * int(data.get("SamplesPerPixel") or 1) * count
        check_size(voxels, -(-int(data.BitsAllocated) // 8), path, max_bytes)
        array = np.asarray(data.pixel_array)
        return _volume(array if count > 1 else array[np.newaxis], data, path)
    # pydicom reports damage by whichever of these its parser or decoder meets first.
    except (pydicom.errors.InvalidDicomError, ArithmeticError, AttributeError, LookupError) as error:
        raise _unreadable(path, error) from error
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path.name} cannot be read as DICOM.", "Export it again.", str(error))


def _volume(array: NDArray, data: FileDataset, path: Path) -> Volume:
    slope, intercept = first_number(data.get("RescaleSlope"), 1), first_number(data.get("RescaleIntercept"), 0)
    if (slope, intercept) != (1.0, 0.0):
        array = array.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    array, notes = invert_monochrome1(array, str(data.get("PhotometricInterpretation") or ""))
    modality = str(data.get("Modality") or "")
    cine = len(array) > 1 and is_cine(modality, timed="FrameTime" in data or "FrameTimeVector" in data)
    rows, columns = (float(v) for v in (data.get("PixelSpacing") or (1, 1)))
    depth = first_number(data.get("SpacingBetweenSlices") or data.get("SliceThickness"), 1)
    z, y, x = array.shape[:3]
    geometry = VolumeGeometry.from_spacing((z, y, x), (1.0 if cine else depth, rows, columns))
    return make_volume(array, geometry, path, "dicom", modality=modality, time_axis=cine, notes=notes)
