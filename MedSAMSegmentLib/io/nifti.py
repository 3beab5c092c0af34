"""NIfTI volumes read and label maps written as the file has them.

ITK's reader puts zeros where a voxel is not a number and refuses axes that are not quite at right angles, and its
writer states one place where the file that was read states two.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import replace
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..geometry import VolumeGeometry
from .claimed_size import require_plausible
from .detached_headers import image_files, require_data_files
from .itk import read_itk, volume_from_axes
from .nifti_header import COMPLEX, HEADER_BYTES, TYPES, NiftiForms, NiftiHeader, parse_nifti
from .volume import MAX_BYTES, Volume, check_size

MOST_AXES = 4
LONGEST_AXIS = 32767
"""Of NIfTI-1."""

COMPRESSION = 6


def read_nifti(path: Path, max_bytes: int = MAX_BYTES) -> Volume:
    """Read a NIfTI file; the older format Analyze, and vectors, by ITK. Raises `InputError`."""
    require_data_files(path)
    header = read_nifti_header(path)
    if header is None or header.is_analyze or len(header.sizes) > MOST_AXES:
        return _with_holes(read_itk(path, "nifti", max_bytes), path, header, max_bytes)
    array = read_voxels(path, header, max_bytes)
    x, y, z = (*header.sizes, 1, 1)[:3]
    matrix, notes = header.forms.placement()
    dimension = len(header.sizes)
    volume = volume_from_axes(
        array, dimension, VolumeGeometry((z, y, x), matrix), path, "nifti",
        coloured=array.ndim > dimension, notes=notes,
    )  # fmt: skip
    # Frames along k have no place along it.
    return volume if volume.time_axis else replace(volume, nifti_forms=header.forms)


def _with_holes(volume: Volume, path: Path, header: NiftiHeader | None, max_bytes: int) -> Volume:
    """Return what ITK read, refused where it put zeros in place of what is not a number."""
    if header is not None and header.kind in (16, 64) and not np.isfinite(read_voxels(path, header, max_bytes)).all():
        raise InputError(f"{path.name} holds voxels that are not numbers.", "Save it as NIfTI or NRRD.")
    return volume


def read_nifti_header(path: Path) -> NiftiHeader | None:
    """Return the header of a .nii, .nii.gz or .hdr/.img pair; None when it is no NIfTI's. Raises `InputError`."""
    pair = image_files(path)
    source = next((file for file in pair if file.suffix.lower() == ".hdr"), path)
    try:
        with _opened(source) as file:
            return parse_nifti(file.read(HEADER_BYTES))
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(path, str(error)) from error


def read_voxels(path: Path, header: NiftiHeader, max_bytes: int = MAX_BYTES) -> NDArray:
    """Return the voxels (..., z, y, x), with channels last where the type has them, scaled as the header says.

    The file is read to its end, so that a checksum is verified. Raises `InputError`.
    """
    if header.kind in COMPLEX:
        raise InputError(f"{path.name} holds complex numbers.", "Export its magnitude.")
    if header.kind not in TYPES:
        raise InputError(
            f"{path.name} has voxels of a type that is not read (code {header.kind}).", "Convert it to float32."
        )
    name, channels = TYPES[header.kind]
    if header.bits != 8 * int(name[1]) * channels:
        raise damaged(path, f"{header.bits} bits for the type {header.kind}")
    check_size(header.voxel_bytes, 1, path, max_bytes)
    source = _voxel_file(path)
    with _opened(source) as file:
        require_plausible(header.file_bytes, source, compressed=isinstance(file, gzip.GzipFile))
    data = np.empty(header.voxel_bytes, np.uint8)
    try:
        with _opened(source) as file:
            _fill(file, data, header.offset)
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(path, str(error)) from error
    shape = (*header.sizes[::-1], channels) if channels > 1 else header.sizes[::-1]
    array = data.view(np.dtype(header.order + name)).reshape(shape)
    if array.dtype.byteorder not in "=|" and not array.dtype.isnative:
        array = array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))
    return _scaled(array, header) if channels == 1 else array


def damaged(path: Path, detail: str) -> InputError:
    return InputError(f"{path.name} cannot be read: it is cut off or damaged.", "Copy or export it again.", detail)


def nifti_labels(labels: NDArray, geometry: VolumeGeometry, forms: NiftiForms, suffix: str) -> bytes:
    """Return a file of labels (z,y,x) of uint8 or uint16 with the two statements of place of the file that they belong
    to.

    `suffix` is ".nii" or ".nii.gz".
    """
    code, bits = (2, 8) if labels.dtype == np.uint8 else (512, 16)
    head = forms.header_bytes(geometry.shape_zyx, code, bits)
    content = head + np.ascontiguousarray(labels, labels.dtype.newbyteorder("<")).tobytes()
    return content if suffix == ".nii" else gzip.compress(content, COMPRESSION, mtime=0)


def can_hold(geometry: VolumeGeometry, forms: NiftiForms | None) -> bool:
    """Return whether `forms` state the place of this very grid, and a NIfTI-1 file has room for it."""
    if forms is None or max(geometry.shape_zyx) > LONGEST_AXIS:
        return False
    return bool(np.allclose(forms.placement()[0], geometry.ijk_to_lps, atol=1e-6))


def _voxel_file(path: Path) -> Path:
    return next((file for file in image_files(path) if file.suffix.lower() in (".img", ".gz")), path)


def _opened(path: Path) -> IO[bytes]:
    """Open a file by its content, unpacked where it is a gzip file."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path, "rb")) if packed else path.open("rb")


def _fill(file: IO[bytes], data: NDArray[np.uint8], offset: int) -> None:
    """Read the voxels from `offset` on, and then to the end. Raises EOFError when there are too few."""
    left = offset
    while left:
        skipped = file.read(min(left, 1 << 20))
        if not skipped:
            raise EOFError("the file ends before its voxels")
        left -= len(skipped)
    target, done = data.data, 0
    while done < len(target):
        count = file.readinto(target[done : done + (1 << 24)])  # type: ignore[attr-defined]
        if not count:
            raise EOFError(f"{done} bytes of voxels, {len(target)} announced")
        done += count
    while file.read(1 << 20):
        pass


def _scaled(array: NDArray, header: NiftiHeader) -> NDArray:
    slope, intercept = header.slope, header.intercept
    if not np.isfinite([slope, intercept]).all() or slope == 0 or (slope, intercept) == (1, 0):
        return array
    kind = np.float32 if array.dtype.itemsize < 4 or array.dtype == np.float32 else np.float64
    return array.astype(kind) * kind(slope) + kind(intercept)
