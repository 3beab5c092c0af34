"""Integrity of PNG files: Pillow does not look at the checksums of the pixels."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from ..errors import InputError

SIGNATURE_BYTES = 8
PIXELS = b"IDAT"
END = b"IEND"
BLOCK = 1 << 20


def check_png_integrity(path: Path) -> None:
    """Raise `InputError` when a chunk that the picture is made of is cut off, or does not have its checksum.

    What lies beside the picture (dates, texts, colour profiles) may be wrong.
    """
    with path.open("rb") as file:
        file.seek(SIGNATURE_BYTES)
        has_pixels = False
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            checksum = zlib.crc32(kind)
            while length and (block := file.read(min(length, BLOCK))):
                checksum = zlib.crc32(block, checksum)
                length -= len(block)
            stated = file.read(4)
            is_critical = not kind[0] & 0x20
            if is_critical and (length or stated != checksum.to_bytes(4, "big")):
                raise InputError(
                    f"{path.name} cannot be read: it is cut off or damaged.",
                    "Copy or export it again.",
                    f"the chunk {kind!r} does not have its checksum",
                )
            has_pixels = has_pixels or kind == PIXELS
            if kind == END:
                break
    if not has_pixels:
        raise InputError(f"{path.name} holds no pixels; it may be cut off.", "Copy or export it again.")
