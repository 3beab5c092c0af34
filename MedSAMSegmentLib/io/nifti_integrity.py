"""Integrity of NIfTI files: ITK's reader leaves voxels that are missing at zero and says nothing.

Header fields: nifti1.h and nifti2.h of the NIfTI data format working group.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

from ..errors import InputError

HEADER_BYTES = 540
BLOCK = 1 << 20


def check_nifti_integrity(path: Path) -> None:
    """Raise `InputError` when the file is shorter than its header says, or its compression is damaged.

    A header that is not NIfTI's is left to the reader.
    """
    voxels = _voxel_file(path)
    try:
        wanted = _bytes_of(_head(path))
        if wanted is None or not voxels.exists():
            return
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


def _bytes_of(head: bytes) -> int | None:
    """Return the length in bytes that the file with the voxels must have; None when this is no header of NIfTI."""
    for order in "<>":
        if len(head) >= 348 and head[:4] == struct.pack(order + "i", 348):
            sizes, (bits,), (offset,) = (
                struct.unpack_from(order + form, head, place) for form, place in (("8h", 40), ("h", 72), ("f", 108))
            )
            return _total(sizes, bits, offset)
        if len(head) >= 540 and head[:4] == struct.pack(order + "i", 540):
            sizes, (bits,), (offset,) = (
                struct.unpack_from(order + form, head, place) for form, place in (("8q", 16), ("h", 14), ("q", 168))
            )
            return _total(sizes, bits, offset)
    return None


def _total(sizes: tuple[int, ...], bits: int, offset: float) -> int | None:
    axes, lengths = sizes[0], sizes[1:]
    if not 1 <= axes <= 7 or bits < 1 or not 0 <= offset < 2**62:
        return None
    return int(offset) + -(-math.prod(max(length, 1) for length in lengths[:axes]) * bits // 8)


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
