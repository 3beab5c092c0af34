"""Claims of headers, held against the size of the files before memory is taken for them."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import InputError
from .detached_headers import header_text, image_files

MOST_DEFLATED = 1032
"""Bytes that one byte of a deflate stream (gzip, zlib, PNG) can stand for at most."""

MOST_BZIPPED = 1 << 17
"""The same of bzip2, as measured on zeros (about 7e4), with room to spare."""

SLACK = 1 << 12
"""Bytes of headers and tables that are not worth counting."""


def require_plausible(claimed: int, path: Path, *, held: int | None = None, compressed: bool, ratio: int = 0) -> None:
    """Raise `InputError` when files of `held` bytes (default: the file's size) cannot hold `claimed` bytes of voxels.

    `ratio` is the most that compression can do, deflate's by default.
    """
    size = path.stat().st_size if held is None else held
    most = size * (ratio or MOST_DEFLATED) + SLACK if compressed else size
    if claimed > most:
        raise InputError(
            f"{path.name} cannot be read: its header announces {claimed} bytes of voxels, the file has {size} bytes.",
            "It is cut off or damaged: copy or export it again.",
        )


_NRRD_ENCODING = re.compile(r"^encoding:\s*(\w+)", re.IGNORECASE | re.MULTILINE)
_META_COMPRESSED = re.compile(r"^\s*CompressedData\s*=\s*(True|1|T\b)", re.IGNORECASE | re.MULTILINE)
_META_TEXT = re.compile(r"^\s*BinaryData\s*=\s*(False|0|F\b)", re.IGNORECASE | re.MULTILINE)


def require_plausible_voxels(path: Path, claimed: int) -> None:
    """Raise `InputError` when the files of a NRRD or MetaImage cannot hold the bytes of voxels that it claims."""
    held = sum(file.stat().st_size for file in image_files(path))
    text = header_text(path)
    encoding = (found[1].lower() if (found := _NRRD_ENCODING.search(text)) else "raw") if text[:4] == "NRRD" else ""
    bzipped = encoding in ("bz2", "bzip2")
    written = encoding in ("text", "txt", "ascii", "hex") or bool(_META_TEXT.search(text))
    compressed = bzipped or encoding in ("gz", "gzip") or bool(not encoding and _META_COMPRESSED.search(text))
    # A voxel of eight bytes that is written out takes a digit and a space at least.
    require_plausible(
        claimed, path, held=held * 8 if written else held, compressed=compressed, ratio=MOST_BZIPPED if bzipped else 0
    )
