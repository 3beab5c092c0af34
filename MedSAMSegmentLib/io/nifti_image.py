"""An image written as NIfTI on its own grid, for viewers: the values as they are, the place as an affine."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from ..geometry import LPS_FROM_RAS, VolumeGeometry
from .atomic import atomic_write
from .nifti import LONGEST_AXIS
from .nifti_header import SCANNER, TYPES, NiftiForms

_CODES = {np.dtype(name): code for code, (name, channels) in TYPES.items() if channels == 1}
_RGB = 128
_MILLIMETRES = 2

FAST = 1
"""The level of compression: it is sent once, and seldom kept."""


def write_nifti_image(path: Path, array_zyx: NDArray, geometry: VolumeGeometry) -> None:
    """Write a volume (z,y,x), or (z,y,x,3) in 8-bit colour, as .nii.gz. Raises `OutputError` for what NIfTI-1 lacks.

    The affine may be oblique or sheared: it is stated as the sform.
    """
    array = array_zyx.view(np.uint8) if array_zyx.dtype == np.bool_ else array_zyx
    coloured = array.ndim == 4
    kind = array.dtype.newbyteorder("=")
    if max(geometry.shape_zyx) > LONGEST_AXIS or kind not in _CODES or (coloured and kind != np.uint8):
        raise OutputError(
            f"A volume of {geometry.shape_zyx} voxels of the type {kind} does not fit into NIfTI-1.",
            "Fetch the masks alone.",
        )
    head = _header(array, geometry, _RGB if coloured else _CODES[kind])
    with (
        atomic_write(path, ".nii.gz") as temporary,
        temporary.open("wb") as plain,
        # Without a name and a time, the same image is the same file.
        gzip.GzipFile("", "wb", FAST, plain, mtime=0) as file,
    ):
        file.write(head)
        for part in array:
            file.write(np.ascontiguousarray(part, part.dtype.newbyteorder("<")).data.cast("B"))


def _header(array: NDArray, geometry: VolumeGeometry, code: int) -> bytes:
    channels = array.shape[3] if array.ndim == 4 else 1
    dz, dy, dx = geometry.spacing_zyx
    rows = (LPS_FROM_RAS @ geometry.ijk_to_lps)[:3].ravel()
    forms = NiftiForms(0, SCANNER, (1.0, dx, dy, dz), (0.0,) * 6, tuple(rows.tolist()), _MILLIMETRES)
    return forms.header_bytes(geometry.shape_zyx, code, 8 * array.dtype.itemsize * channels)
