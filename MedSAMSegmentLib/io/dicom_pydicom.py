"""DICOM files through pydicom's decoders alone: a check on those of ITK, which must give the same numbers."""

from __future__ import annotations

from pathlib import Path

from .dicom import read_dicom_file
from .dicom_decoders import decode_with_pydicom
from .volume import MAX_BYTES, Volume


def read_with_pydicom(path: Path, max_bytes: int = MAX_BYTES) -> Volume:
    """Read one file as `read_dicom_file`, with pydicom as the only decoder. Raises `InputError`."""
    return read_dicom_file(path, max_bytes, decode=decode_with_pydicom)
