"""The pixel data of one DICOM file: its lengths held against the header, then cut into frames of bytes.

A reader that trusts the header fills what is missing with whatever lies in memory. So every length is compared before
a decoder sees anything: of plain pixels the bytes, of compressed ones the number of frames, the size that each frame's
own header states, and its end.
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .dicom_header import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    dicom_errors,
    integer,
    is_stated,
    numbers,
    read_dataset,
    refuse_other_than_image,
    text,
    transfer_syntax,
)
from .volume import MAX_BYTES, check_size

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

NATIVE = (IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED)
RLE = "1.2.840.10008.1.2.5"
_JPEG_START, _JPEG_2000_START = b"\xff\xd8", b"\xff\x4f"
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
MOST_FRAMES = 1 << 20
_VIDEO = ("1.2.840.10008.1.2.4.10", "1.2.840.10008.1.2.7.")
_STORED_BITS = (1, 8, 16, 32, 64)
_NEITHER_SIZE_NOR_END = range(0xD0, 0xD8)
_SIZE_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7}
"""Frame headers of JPEG and JPEG-LS."""


@dataclass(frozen=True)
class PixelFormat:
    """Layout of a file's pixels. `floating`: FloatPixelData or DoubleFloatPixelData."""

    rows: int
    columns: int
    frames: int
    samples: int
    allocated: int
    stored: int
    high: int
    signed: bool
    photometric: str
    planar: bool
    syntax: str
    floating: bool = False

    @property
    def is_colour(self) -> bool:
        return self.samples > 1 or self.photometric == "PALETTE COLOR"

    @property
    def is_native(self) -> bool:
        return self.syntax in NATIVE

    @property
    def big_endian(self) -> bool:
        return self.syntax == EXPLICIT_BIG

    @property
    def frame_bits(self) -> int:
        """Bits of one frame as plain pixels; two of three samples where the colours of neighbours are shared."""
        samples = 2 if self.photometric == "YBR_FULL_422" and self.is_native else self.samples
        return self.rows * self.columns * samples * self.allocated


@dataclass(frozen=True, eq=False)
class PixelFile:
    """A file whose lengths are right: its tags, its format, and `frames` as bytes, each as it is stored.

    Frames of one bit a pixel need not begin with a byte; then `frames` holds one piece with all of them.
    """

    path: Path
    data: FileDataset
    format: PixelFormat
    frames: tuple[bytes, ...]
    notes: tuple[str, ...] = ()


def open_pixels(path: Path, max_bytes: int = MAX_BYTES) -> PixelFile:
    """Read a file with its pixel data, and compare every length. Raises `InputError`."""
    data = read_dataset(path, pixels=True)
    with dicom_errors(path):
        refuse_other_than_image(data, path)
        layout = pixel_format(data, path)
        check_size(
            layout.rows * layout.columns * layout.samples * layout.frames, -(-layout.allocated // 8), path, max_bytes
        )
        pixels = _pixel_bytes(data, path, layout)
        if not layout.is_native:
            return PixelFile(path, data, layout, _compressed_frames(data, pixels, layout, path))
        return _native(path, data, layout, pixels)


def pixel_format(data: FileDataset, path: Path) -> PixelFormat:
    """Return how the header says that grey values are stored. Raises `InputError` for what cannot be."""
    rows, columns = (_whole(data, name, path) for name in ("Rows", "Columns"))
    frames = frame_count(data, path)
    samples = _whole(data, "SamplesPerPixel", path, 1)
    floating = next((bits for name, bits in (("FloatPixelData", 32), ("DoubleFloatPixelData", 64)) if name in data), 0)
    allocated = _whole(data, "BitsAllocated", path, floating or None)
    stored = _whole(data, "BitsStored", path, allocated)
    high = integer(data, "HighBit")
    high = stored - 1 if high is None or floating else high
    if allocated not in _STORED_BITS or not 1 <= stored <= allocated or not stored - 1 <= high < allocated:
        raise InputError(
            f"{path.name} says that {stored} of {allocated} bits hold a pixel, up to bit {high}.",
            "Export it again with 8, 16 or 32 bits.",
        )
    if rows < 1 or columns < 1 or samples not in (1, 3, 4):
        raise InputError(
            f"{path.name} is empty: {rows} rows, {columns} columns, {samples} samples.", "Export it again."
        )
    syntax = transfer_syntax(data)
    if syntax.startswith(_VIDEO):
        raise InputError(f"{path.name} is a video (MPEG).", "Export its frames as DICOM images or PNG files.")
    return PixelFormat(
        rows, columns, frames, samples, allocated, stored, high,
        signed=integer(data, "PixelRepresentation") == 1,
        photometric=text(data, "PhotometricInterpretation").upper() or "MONOCHROME2",
        planar=integer(data, "PlanarConfiguration") == 1,
        syntax=syntax,
        floating=bool(floating),
    )  # fmt: skip


def frame_count(data: FileDataset, path: Path) -> int:
    """Return the number of frames, 1 where the header has none. Raises `InputError` for one that cannot be."""
    if not is_stated(data, "NumberOfFrames"):
        return 1
    count = integer(data, "NumberOfFrames")
    if count is None or not 1 <= count < MOST_FRAMES:
        said = count if count is not None else text(data, "NumberOfFrames") or "no number of"
        raise InputError(f"{path.name} says it has {said} frames.", "Export it again.")
    return count


def _whole(data: FileDataset, name: str, path: Path, default: int | None = None) -> int:
    found = integer(data, name)
    if found is None and default is None:
        raise InputError(f"{path.name} has no {name}: it is no image, or damaged.", "Export it again.")
    return found if found is not None else int(default or 0)


def _pixel_bytes(data: FileDataset, path: Path, layout: PixelFormat) -> bytes:
    for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
        if name in data:
            element = data[name]
            value = element.value
            if isinstance(value, (bytes, bytearray)) and len(value) > 0:
                if layout.big_endian and layout.allocated == 8 and element.VR == "OW":
                    return _swapped(bytes(value))
                return bytes(value)
    raise InputError(f"{path.name} holds no pixels; it may be cut off.", "Copy or export it again.")


def _swapped(value: bytes) -> bytes:
    """Return bytes that were written as big-endian words in the order of the pixels."""
    pairs = bytearray(value[: len(value) // 2 * 2])
    pairs[0::2], pairs[1::2] = pairs[1::2], pairs[0::2]
    return bytes(pairs) + value[len(pairs) :]


def _native(path: Path, data: FileDataset, layout: PixelFormat, pixels: bytes) -> PixelFile:
    wanted = -(-layout.frame_bits * layout.frames // 8)
    if len(pixels) < wanted:
        raise _cut(path, f"it holds {len(pixels)} bytes of pixels, and {wanted} by its header")
    notes: tuple[str, ...] = ()
    if len(pixels) > wanted + 1:
        notes = (f"{path.name} holds {len(pixels) - wanted} bytes of pixels more than its header says; left out.",)
    if layout.allocated == 1:
        return PixelFile(path, data, layout, (pixels,), notes)
    step = layout.frame_bits // 8
    frames = tuple(pixels[n * step : (n + 1) * step] for n in range(layout.frames))
    return PixelFile(path, data, layout, frames, notes)


def _cut(path: Path, why: str) -> InputError:
    return InputError(f"{path.name} is cut off or damaged: {why}.", "Copy or export it again.")


def _compressed_frames(data: FileDataset, pixels: bytes, layout: PixelFormat, path: Path) -> tuple[bytes, ...]:
    """Return one code stream a frame, each of the size that the header says, and whole."""
    table, fragments = _fragments(pixels, path)
    frames = _by_frame(data, table, fragments, layout, path)
    for index, frame in enumerate(frames):
        _check_frame(frame, index, layout, path)
    return frames


def _fragments(pixels: bytes, path: Path) -> tuple[bytes, list[tuple[int, bytes]]]:
    """Return the offset table and the fragments, each with the place of its item after the table."""
    items: list[tuple[int, bytes]] = []
    at = 0
    while at + 8 <= len(pixels):
        tag, length = pixels[at : at + 4], struct.unpack_from("<I", pixels, at + 4)[0]
        if tag == _END:
            break
        if tag != _ITEM or at + 8 + length > len(pixels):
            raise _cut(path, "its compressed frames end before their length")
        items.append((at, pixels[at + 8 : at + 8 + length]))
        at += 8 + length
    if len(items) < 2:
        raise _cut(path, "it has no compressed frame")
    start = items[1][0]
    return items[0][1], [(place - start, content) for place, content in items[1:]]


def _by_frame(
    data: FileDataset, table: bytes, fragments: list[tuple[int, bytes]], layout: PixelFormat, path: Path
) -> tuple[bytes, ...]:
    count = layout.frames
    if count == 1:
        return (b"".join(content for _place, content in fragments),)
    if len(fragments) == count:
        return tuple(content for _place, content in fragments)
    starts = _starts(data, table, fragments, count)
    if len(starts) != count:
        raise _cut(path, f"it holds {len(starts) or len(fragments)} compressed frames, and {count} by its header")
    ends = (*starts[1:], 1 << 62)
    return tuple(
        b"".join(content for place, content in fragments if first <= place < last)
        for first, last in zip(starts, ends, strict=True)
    )


def _starts(data: FileDataset, table: bytes, fragments: list[tuple[int, bytes]], count: int) -> tuple[int, ...]:
    """Return where each frame's first fragment lies: by the offset tables, else by the marks of code streams."""
    extended = data.get("ExtendedOffsetTable")
    tables: list[tuple[int, ...]] = []
    if isinstance(extended, bytes) and len(extended) % 8 == 0:
        tables.append(struct.unpack(f"<{len(extended) // 8}Q", extended))
    if len(table) % 4 == 0:
        tables.append(struct.unpack(f"<{len(table) // 4}I", table))
    places = {place for place, _content in fragments}
    for offsets in tables:
        if (
            len(offsets) == count
            and offsets[0] == 0
            and set(offsets) <= places
            and sorted(set(offsets)) == list(offsets)
        ):
            return offsets
    return tuple(place for place, content in fragments if content[:2] in (_JPEG_START, _JPEG_2000_START))


def _check_frame(frame: bytes, index: int, layout: PixelFormat, path: Path) -> None:
    label = f"frame {index} of {layout.frames}" if layout.frames > 1 else "its compressed image"
    if layout.syntax == RLE:
        _check_rle(frame, label, layout, path)
        return
    size: tuple[int, int] | None = None
    if frame[:2] == _JPEG_2000_START:
        size, whole = _jpeg_2000_size(frame), b"\xff\xd9" in frame[-64:]
    elif frame[4:8] == b"jP  ":
        return
    elif frame[:2] == _JPEG_START:
        size, whole = _jpeg_size(frame), b"\xff\xd9" in frame[-64:]
    elif frame[:2] == b"\xff\x0a" or frame[:4] == b"\0\0\0\x0c":
        return
    else:
        raise _cut(path, f"{label} is no code stream of a known kind")
    if size is None or not whole:
        raise _cut(path, f"{label} ends before its end mark")
    if size != (layout.rows, layout.columns):
        raise _cut(
            path, f"{label} has {size[0]} rows and {size[1]} columns, the header {layout.rows} and {layout.columns}"
        )


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(frame):
        if frame[at] != 0xFF:
            return None
        marker = frame[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _SIZE_MARKERS:
            rows, columns = struct.unpack_from(">HH", frame, at + 5)
            return (rows, columns)
        at += 2 if marker in _NEITHER_SIZE_NOR_END else 2 + struct.unpack_from(">H", frame, at + 2)[0]
    return None


def _jpeg_2000_size(frame: bytes) -> tuple[int, int] | None:
    if len(frame) < 40 or frame[2:4] != b"\xff\x51":
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", frame, 8)
    return (bottom - top, right - left)


def _check_rle(frame: bytes, label: str, layout: PixelFormat, path: Path) -> None:
    """Unpack no byte, but count what would come: each plane has as many bytes as there are pixels."""
    planes = layout.samples * layout.allocated // 8
    if len(frame) < 64:
        raise _cut(path, f"{label} has no RLE header")
    count, *offsets = struct.unpack_from("<16I", frame)
    if count != planes or any(not 64 <= offset <= len(frame) for offset in offsets[:count]):
        raise _cut(path, f"{label} has {count} RLE planes, and {planes} by the header")
    bounds = (*offsets[:count], len(frame))
    for first, last in itertools.pairwise(bounds):
        unpacked = _unpacked_length(frame, first, last)
        if unpacked < layout.rows * layout.columns:
            raise _cut(path, f"{label} unpacks to {unpacked} of {layout.rows * layout.columns} bytes")


def _unpacked_length(frame: bytes, at: int, end: int) -> int:
    total = 0
    while at < end:
        control = frame[at]
        if control < 128:
            total += min(control + 1, max(end - at - 1, 0))
            at += control + 2
        else:
            # A lone control byte at the end stands for nothing that was stored.
            total += 257 - control if control > 128 and at + 1 < end else 0
            at += 2 if control > 128 else 1
    return total


def padding_range(data: FileDataset) -> tuple[float, float] | None:
    """Return PixelPaddingValue and its range limit (the same value where there is none), lowest first."""
    value = numbers(data, "PixelPaddingValue", 1)
    if value is None:
        return None
    limit = numbers(data, "PixelPaddingRangeLimit", 1) or value
    return (min(value[0], limit[0]), max(value[0], limit[0]))
