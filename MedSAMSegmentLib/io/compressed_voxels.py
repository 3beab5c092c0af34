"""Integrity of compressed voxels in NRRD and MetaImage files.

ITK's readers of both do not look at the checksums, and leave what could not be unpacked as it lies in memory.
"""

from __future__ import annotations

import bz2
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError
from .detached_headers import header_text, image_files

BLOCK = 1 << 20
GZIP_OR_ZLIB = 47
"""The window bits by which zlib tells gzip's framing from its own."""

_NRRD_END = re.compile(r"\n\r?\n")
_NRRD_ENCODING = re.compile(r"^encoding:[ \t]*(gz|gzip|bz2|bzip2)[ \t\r]*$", re.IGNORECASE | re.MULTILINE)
_NRRD_LINES = re.compile(r"^line ?skip:[ \t]*(\d+)", re.IGNORECASE | re.MULTILINE)
_META_PACKED = re.compile(r"^\s*CompressedData\s*=\s*(True|1|T\b)", re.IGNORECASE | re.MULTILINE)
_META_DATA = re.compile(r"^\s*ElementDataFile\s*=[ \t]*([^\r\n]*)\r?\n?", re.MULTILINE)


def check_compressed_voxels(path: Path) -> None:
    """Raise `InputError` when compressed voxels are cut off, or do not have their checksum.

    Files that are not compressed, and those whose voxels are spread over several files, are left to the reader.
    """
    text = header_text(path)
    place = _of_nrrd(path, text) if text[:4] == "NRRD" else _of_metaimage(path, text)
    if place is None:
        return
    file, start, unpacker = place
    try:
        _unpack(file, start, unpacker)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(
            f"{path.name} cannot be read: it is cut off or damaged.", "Copy or export it again.", str(error)
        ) from error


_Place = tuple[Path, int, Callable[[], Any]]
"""A file, the place of the compressed stream in it, and what makes its decompressor."""


def _of_nrrd(path: Path, text: str) -> _Place | None:
    end = _NRRD_END.search(text)
    header = text[: end.start()] if end else text
    encoding = _NRRD_ENCODING.search(header)
    files = image_files(path)
    if encoding is None or len(files) > 2 or (len(files) == 1 and end is None):
        return None
    start = 0 if len(files) == 2 or end is None else end.end()
    skipped = _NRRD_LINES.search(header)
    for _ in range(int(skipped[1]) if skipped else 0):
        start = _after_line(files[-1], start)
    return files[-1], start, bz2.BZ2Decompressor if encoding[1].lower().startswith("b") else _inflater


def _of_metaimage(path: Path, text: str) -> _Place | None:
    data = _META_DATA.search(text)
    files = image_files(path)
    if data is None or len(files) > 2 or not _META_PACKED.search(text[: data.end()]):
        return None
    return files[-1], data.end() if len(files) == 1 else 0, _inflater


def _inflater() -> Any:
    return zlib.decompressobj(GZIP_OR_ZLIB)


def _after_line(path: Path, start: int) -> int:
    with path.open("rb") as file:
        file.seek(start)
        file.readline()
        return file.tell()


def _unpack(path: Path, start: int, unpacker: Callable[[], Any]) -> None:
    """Unpack one stream to its end. Raises EOFError for one that has none, and what the decompressors raise."""
    stream = unpacker()
    with path.open("rb") as file:
        file.seek(start)
        while not stream.eof:
            packed = file.read(BLOCK)
            if not packed:
                raise EOFError("the compressed voxels end before their end mark")
            stream.decompress(packed)
