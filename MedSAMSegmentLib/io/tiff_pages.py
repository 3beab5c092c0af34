"""Pages of TIFF files in the numbers that they hold.

Pillow opens no pages of 64 bits, cuts colours to eight, takes unsigned numbers of 32 bits for signed ones and signed
numbers of eight for unsigned ones, and reads some types in the wrong order of bytes.

Tags and their values: TIFF 6.0 and BigTIFF.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .claimed_size import require_plausible
from .volume import check_size

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS, ORIENTATION = 254, 256, 257, 258, 259, 262, 273, 274
SAMPLES, STRIP_ROWS, COUNTS, PLANAR, PREDICTOR = 277, 278, 279, 284, 317
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS, SAMPLE_FORMAT = 322, 323, 324, 325, 339
KINDS = {1: "u", 2: "i", 3: "f"}
NONE, DEFLATE = (1,), (8, 32946)
WHITE_IS_ZERO, PALETTE = 0, 3
MOST_PAGES = 1 << 16
MOST_NUMBERS = 1 << 22
_TYPES = {1: "B", 2: "c", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q"}

Tags = dict[int, tuple[float, ...]]


@dataclass(frozen=True)
class TiffPage:
    """One page's tags, by their numbers."""

    tags: Tags
    order: str

    def number(self, tag: int, default: int) -> int:
        values = self.tags.get(tag, ())
        return int(values[0]) if values else default

    @property
    def is_thumbnail(self) -> bool:
        """True for a smaller copy of another page."""
        return bool(self.number(SUBFILE, 0) & 1)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, columns and samples."""
        return self.number(HEIGHT, 0), self.number(WIDTH, 0), self.number(SAMPLES, 1)

    @property
    def dtype(self) -> np.dtype | None:
        """The type of the samples in the file's order of bytes; None for one that numpy has not."""
        bits, kinds = set(self.tags.get(BITS, (1,))), set(self.tags.get(SAMPLE_FORMAT, (1,)))
        if len(bits) != 1 or len(kinds) != 1:
            return None
        kind, size = KINDS.get(int(min(kinds)), ""), int(min(bits))
        sizes = (16, 32, 64) if kind == "f" else (8, 16, 32, 64)
        return np.dtype(f"{self.order}{kind}{size // 8}") if kind and size in sizes else None

    @property
    def is_deep_colour(self) -> bool:
        """True for several samples of more than eight bits, which Pillow cuts."""
        return self.shape[2] > 1 and max(self.tags.get(BITS, (1,))) > 8

    @property
    def is_plain(self) -> bool:
        """True for grey or RGB samples side by side, not packed or by deflate, which are read here."""
        return (
            self.dtype is not None
            and self.number(COMPRESSION, 1) in (*NONE, *DEFLATE)
            and self.number(PREDICTOR, 1) in (1, 2)
            and self.number(PHOTOMETRIC, 1) <= 2
            and (self.number(PLANAR, 1) == 1 or self.shape[2] == 1)
        )


def read_tiff_pages(path: Path) -> list[TiffPage]:
    """Return the pages of a TIFF file; none where it is no TIFF or its tables are broken. Raises OSError."""
    with path.open("rb") as file:
        try:
            return _pages(file)
        except (struct.error, ValueError, KeyError, OverflowError):
            return []


def read_plain_page(path: Path, page: TiffPage, max_bytes: int) -> NDArray:
    """Return the samples (y,x) or (y,x,samples) of a plain page, white high. Raises `InputError`."""
    rows, columns, samples = page.shape
    dtype = page.dtype
    assert dtype is not None
    size = rows * columns * samples
    check_size(size, dtype.itemsize, path, max_bytes)
    packed = page.number(COMPRESSION, 1) in DEFLATE
    require_plausible(size * dtype.itemsize, path, compressed=packed)
    array = np.zeros((rows, columns, samples), dtype.newbyteorder("="))
    tiled = TILE_OFFSETS in page.tags
    height = page.number(TILE_HEIGHT, 0) if tiled else min(page.number(STRIP_ROWS, rows), rows)
    width = page.number(TILE_WIDTH, 0) if tiled else columns
    offsets, counts = (page.tags.get(tag, ()) for tag in ((TILE_OFFSETS, TILE_COUNTS) if tiled else (OFFSETS, COUNTS)))
    if not (height > 0 and width > 0 and offsets and len(offsets) == len(counts)):
        raise _damaged(path, "no strips or tiles")
    across = -(-columns // width)
    if len(offsets) < across * -(-rows // height):
        raise _damaged(path, "too few strips or tiles")
    with path.open("rb") as file:
        for number in range(across * -(-rows // height)):
            top, left = number // across * height, number % across * width
            block_rows = height if tiled else min(height, rows - top)
            span = (int(offsets[number]), int(counts[number]))
            block = _block(file, path, span=span, packed=packed, samples=block_rows * width * samples, dtype=dtype)
            part = block.reshape(block_rows, width, samples)
            if page.number(PREDICTOR, 1) == 2:
                part = np.cumsum(part, axis=1, dtype=part.dtype)
            target = array[top : top + height, left : left + width]
            target[...] = part[: target.shape[0], : target.shape[1]]
    if page.number(PHOTOMETRIC, 1) == WHITE_IS_ZERO:
        array = _inverted(array)
    return array[..., 0] if samples == 1 else array


def _block(
    file: IO[bytes], path: Path, *, span: tuple[int, int], packed: bool, samples: int, dtype: np.dtype
) -> NDArray:
    """Return the samples of one strip or tile; `span` is where it begins and how long it is."""
    file.seek(span[0])
    data = file.read(min(span[1], 1 << 31))
    wanted = samples * dtype.itemsize
    if packed:
        try:
            data = zlib.decompressobj().decompress(data, wanted)
        except zlib.error as error:
            raise _damaged(path, str(error)) from error
    if len(data) < wanted:
        raise _damaged(path, f"{len(data)} bytes in a strip, {wanted} announced")
    return np.frombuffer(data, dtype, samples).astype(dtype.newbyteorder("="))


def _inverted(array: NDArray) -> NDArray:
    """Turn samples of which zero is white about the type's own ends, as Pillow does; fractions about the data's."""
    if array.dtype.kind == "f":
        return array.max() - (array - array.min())
    return ~array


def _damaged(path: Path, detail: str) -> InputError:
    return InputError(f"{path.name} cannot be read as an image.", "Export it again.", detail)


def _pages(file: IO[bytes]) -> list[TiffPage]:
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None:
        return []
    (version,) = struct.unpack(order + "H", head[2:4])
    big = version == 43
    if version not in (42, 43):
        return []
    (place,) = struct.unpack(order + ("Q" if big else "I"), head[8:16] if big else head[4:8])
    pages: list[TiffPage] = []
    seen: set[int] = set()
    while place and place not in seen and len(pages) < MOST_PAGES:
        seen.add(place)
        tags, place = _directory(file, place, order, big)
        pages.append(TiffPage(tags, order))
    return pages


def _directory(file: IO[bytes], place: int, order: str, big: bool) -> tuple[Tags, int]:
    file.seek(place)
    (count,) = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))
    size, pointer = (20, "Q") if big else (12, "I")
    if count > 1 << 16:
        raise ValueError("too many tags")
    table = file.read(count * size)
    (following,) = struct.unpack(order + pointer, file.read(8 if big else 4))
    tags: Tags = {}
    for index in range(count):
        entry = table[index * size : (index + 1) * size]
        tag, kind, numbers = struct.unpack(order + "HH" + pointer, entry[: 12 if big else 8])
        if kind not in _TYPES or kind == 2 or numbers > MOST_NUMBERS:
            continue
        form = f"{order}{numbers}{_TYPES[kind]}"
        length, value = struct.calcsize(form), entry[12 if big else 8 :]
        if length > len(value):
            (where,) = struct.unpack(order + pointer, value)
            file.seek(where)
            value = file.read(length)
        tags[tag] = struct.unpack(form, value[:length])
    return tags, following
