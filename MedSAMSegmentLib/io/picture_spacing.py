"""The size of a picture's pixels where its file states it with a unit: TIFF (also ImageJ's and OME's) and PNG.

JPEG and BMP are left alone: their 72 or 96 dots an inch are what programs write when they know nothing.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

TIFF_MARKS = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}
PNG_MARK = b"\x89PNG\r\n\x1a\n"
SUBFILE, DESCRIPTION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 254, 270, 282, 283, 296
TAGS = (SUBFILE, DESCRIPTION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT)
MM_OF_TIFF_UNIT = {2: 25.4, 3: 10.0}
MOST_TEXT = 1 << 20
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 16: 8}
_UNITS = {
    "nm": 1e-6, "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "micron": 1e-3, "microns": 1e-3, "micrometer": 1e-3, "mm": 1.0,
    "millimeter": 1.0, "cm": 10.0, "centimeter": 10.0, "m": 1000.0, "meter": 1000.0, "inch": 25.4, "in": 25.4,
}  # fmt: skip


@dataclass(frozen=True)
class PictureSpacing:
    """Millimetres along z, y, x; None where the file does not say."""

    zyx: tuple[float | None, float | None, float | None] = (None, None, None)

    @property
    def millimetres_zyx(self) -> tuple[float, float, float]:
        """The spacing with 1 mm in place of what is not known."""
        z, y, x = (1.0 if value is None else value for value in self.zyx)
        return (z, y, x)

    @property
    def known_zyx(self) -> tuple[bool, bool, bool]:
        z, y, x = (value is not None for value in self.zyx)
        return (z, y, x)

    def transposed(self) -> PictureSpacing:
        """Return the spacing of the picture whose rows and columns have changed places."""
        z, y, x = self.zyx
        return PictureSpacing((z, x, y))


def picture_spacing(path: Path) -> PictureSpacing:
    """Return what a picture's file says of the size of its pixels; nothing for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
            if head == PNG_MARK:
                return _of_png(file)
            if head[:4] in TIFF_MARKS:
                return _of_tiff(_tiff_tags(file, *TIFF_MARKS[head[:4]]))
    except (OSError, ValueError, ArithmeticError, LookupError, struct.error):
        pass
    return PictureSpacing()


def common_spacing(spacings: Iterable[PictureSpacing]) -> PictureSpacing:
    """Return the spacing on which all pictures agree."""
    found = set(spacings)
    return found.pop() if len(found) == 1 else PictureSpacing()


def _of_png(file: BinaryIO) -> PictureSpacing:
    """Return pHYs, where it counts pixels a metre."""
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in (b"IDAT", b"IEND"):
            break
        if kind == b"pHYs" and length == 9:
            across, down, unit = struct.unpack(">IIB", file.read(9))
            return _pair(1000 / down, 1000 / across) if unit == 1 and across and down else PictureSpacing()
        file.seek(length + 4, 1)
    return PictureSpacing()


def _of_tiff(tags: dict[int, object]) -> PictureSpacing:
    description = str(tags.get(DESCRIPTION, ""))
    resolution = [_positive(tags.get(tag)) for tag in (Y_RESOLUTION, X_RESOLUTION)]
    down, across = resolution[0] or resolution[1], resolution[1] or resolution[0]
    if "<OME" in description:
        return _of_ome(description)
    if description.startswith("ImageJ="):
        facts = dict(line.split("=", 1) for line in description.splitlines() if "=" in line)
        unit = _unit(facts.get("unit", ""))
        if unit is not None:
            step = _positive(facts.get("spacing"))
            found = _pair(unit / down, unit / across) if down and across else PictureSpacing()
            return PictureSpacing((step * unit if step else None, *found.zyx[1:]))
    unit = MM_OF_TIFF_UNIT.get(int(str(tags.get(RESOLUTION_UNIT, 0))))
    return _pair(unit / down, unit / across) if unit and down and across else PictureSpacing()


def _of_ome(description: str) -> PictureSpacing:
    sizes: list[float | None] = []
    for axis in "ZYX":
        size = re.search(rf'\bPhysicalSize{axis}="([^"]*)"', description)
        unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]*)"', description)
        # Micrometres unless it says otherwise, by OME's schema.
        factor = _unit(unit[1]) if unit else 1e-3
        value = _positive(size[1]) if size else None
        sizes.append(value * factor if value and factor else None)
    z, y, x = sizes
    return PictureSpacing((z, y, x))


def _pair(down: float, across: float) -> PictureSpacing:
    return PictureSpacing((None, down, across))


def _unit(name: str) -> float | None:
    return _UNITS.get(name.strip().replace("\\u00B5", "µ").lower())


def _positive(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if 0 < number < float("inf") else None


def _tiff_tags(file: BinaryIO, order: str, big: bool) -> dict[int, object]:
    """Return the tags of the first page that tell of resolution; a thumbnail's only where there is nothing else."""
    pointer, width = ("Q", 8) if big else ("I", 4)
    size, form = (20, "HHQ8s") if big else (12, "HHI4s")
    file.seek(8 if big else 4)
    first: dict[int, object] | None = None
    seen = {0}
    (place,) = struct.unpack(order + pointer, file.read(width))
    while place not in seen:
        seen.add(place)
        file.seek(place)
        (count,) = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))
        entries = [struct.unpack_from(order + form, file.read(size)) for _ in range(min(count, 4096))]
        following = file.read(width)
        tags = dict(_values(file, order, entries, width))
        if not int(str(tags.get(SUBFILE, 0))) & 1:
            return tags
        first = first or tags
        if len(following) < width:
            break
        (place,) = struct.unpack(order + pointer, following)
    return first or {}


def _values(
    file: BinaryIO, order: str, entries: Sequence[tuple[int, int, int, bytes]], inside: int
) -> Iterator[tuple[int, object]]:
    for tag, kind, length, held in entries:
        if tag not in TAGS or kind not in _TYPE_BYTES:
            continue
        size = min(length * _TYPE_BYTES[kind], MOST_TEXT)
        content = held
        if size > inside:
            file.seek(struct.unpack(order + ("Q" if inside == 8 else "I"), held)[0])
            content = file.read(size)
        if kind == 2:
            yield tag, content[:size].split(b"\0")[0].decode("utf-8", "replace")
        elif kind == 5:
            above, below = struct.unpack_from(order + "II", content)
            yield tag, above / below if below else 0.0
        else:
            yield tag, struct.unpack_from(order + {1: "B", 3: "H", 4: "I", 16: "Q"}[kind], content)[0]
