"""Integrity of the files that ITK's reader of NIfTI reads: it leaves missing voxels at zero and says nothing."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from ..errors import InputError
from .nifti_header import HEADER_BYTES, parse_nifti

BLOCK = 1 << 20


def check_nifti_integrity(path: Path) -> None:
    """Raise `InputError` when the file is shorter than its header says, or its compression is damaged.

    A header that is not NIfTI's is left to the reader.
    """
    voxels = _voxel_file(path)
    try:
        header = parse_nifti(_head(path))
        if header is None or not voxels.exists():
            return
        wanted = header.file_bytes
        present = _length(voxels) if _is_gzip(voxels) else voxels.stat().st_size
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, str(error)) from error
    if present < wanted:
        raise _damaged(path, f"{present} bytes, {wanted} announced")


def _damaged(path: Path, detail: str) -> InputError:
    return InputError(f"{path.name} is cut off or damaged.", "Copy or export it again.", detail)


def _voxel_file(path: Path) -> Path:
    """Return the file with the voxels: of a pair, the one beside the header."""
    return path.with_suffix(".img") if path.suffix.lower() == ".hdr" else path


def _head(path: Path) -> bytes:
    source = path.with_suffix(".hdr") if path.suffix.lower() == ".img" else path
    with gzip.open(source) if _is_gzip(source) else source.open("rb") as file:
        return file.read(HEADER_BYTES)


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _length(path: Path) -> int:
    """Return unpacked length; the checksum at the end is verified on the way. Raises OSError, EOFError or
    zlib.error."""
    total = 0
    with gzip.open(path) as file:
        while block := file.read(BLOCK):
            total += len(block)
    return total
