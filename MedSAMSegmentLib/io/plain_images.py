"""PNG, JPEG and TIFF as volumes: one image is one slice, a folder of frames is a series in time."""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..geometry import VolumeGeometry
from .claimed_size import require_plausible
from .itk import colours, read_itk
from .picture_spacing import PictureSpacing, common_spacing, picture_spacing
from .png_integrity import check_png_integrity
from .spacing import spacing_notes
from .tiff_pages import ORIENTATION, TiffPage, read_plain_page, read_tiff_pages
from .volume import MAX_BYTES, Volume, check_size, make_volume

if TYPE_CHECKING:
    from PIL import Image

MODE_BYTES = {"I": 4, "F": 4, "I;16": 2, "I;16B": 2, "I;16L": 2}
"""Bytes of a sample in Pillow's modes of more than one."""

TRANSPOSED = (5, 6, 7, 8)
"""EXIF orientations by which rows and columns change places."""

THUMBNAIL = "A smaller copy of the picture in the same file was left out."

PICTURE_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
)
"""What Pillow raises on damaged bytes, found by altering files at random."""

GREY_MODES = ("1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L")


@dataclass(frozen=True, eq=False)
class _Picture:
    """`pages` (z,y,x) or (z,y,x,3); `notes` is what was said of them; `orientation` is that of the EXIF standard by
    which they were turned upright, 1 where they were not."""

    pages: NDArray
    notes: tuple[str, ...]
    orientation: int = 1


def read_image(path: Path, max_bytes: int = MAX_BYTES) -> Volume:
    """Read one image as a volume of one slice, a TIFF of several pages as one slice a page.

    Voxels are as large as the file says; 1 mm, with a note, where it says nothing.
    """
    picture = _read(path, max_bytes)
    spacing = _spacing(path, picture)
    geometry = VolumeGeometry.from_spacing(_shape(picture.pages), spacing.millimetres_zyx)
    notes = picture.notes + spacing_notes(spacing.known_zyx)
    volume = make_volume(picture.pages, geometry, path, "image", notes=notes)
    return replace(volume, spacing_known_zyx=spacing.known_zyx)


def read_frames(folder: Path, paths: Sequence[Path], max_bytes: int = MAX_BYTES, *, text_order: bool = False) -> Volume:
    """Read images of one size as frames along k, in the order of the numbers in their names (2 before 10).

    `text_order`: in that of their names as text (10 before 2), as the official script of MedSAM2 has it.
    """
    ordered = sorted(paths, key=lambda path: path.name if text_order else natural_key(path.name))
    frames, spacings, notes = [], [], set[str]()
    for path in ordered:
        picture = _read(path, max_bytes // len(ordered))
        if len(picture.pages) != 1:
            raise InputError(f"{path.name} has {len(picture.pages)} pages.", "Use one image a frame.")
        frames.append(picture.pages[0])
        spacings.append(_spacing(path, picture))
        notes.update(picture.notes)
    if any(frame.ndim == 3 for frame in frames):
        frames = [frame if frame.ndim == 3 else np.repeat(frame[..., np.newaxis], 3, axis=-1) for frame in frames]
    for path, frame in zip(ordered, frames, strict=True):
        if frame.shape != frames[0].shape:
            raise InputError(
                f"{path.name} has {frame.shape[:2]} rows and columns, {ordered[0].name} has {frames[0].shape[:2]}.",
                "Use frames of one size.",
            )
    array = np.stack(frames)
    spacing = common_spacing(spacings)
    known = spacing.known_zyx
    said_first = f"{len(ordered)} frames, from {ordered[0].name} to {ordered[-1].name}."
    volume = make_volume(
        array,
        VolumeGeometry.from_spacing(_shape(array), (1.0, *spacing.millimetres_zyx[1:])),
        folder,
        "frames",
        time_axis=True,
        notes=(said_first, *sorted(notes), *spacing_notes((True, *known[1:]))),
    )
    return replace(volume, parts=tuple(ordered), spacing_known_zyx=(False, *known[1:]))


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key by which frame2 comes before frame10."""
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _shape(array: NDArray) -> tuple[int, int, int]:
    z, y, x = array.shape[:3]
    return (z, y, x)


def _spacing(path: Path, picture: _Picture) -> PictureSpacing:
    """Return the size of the pixels as they lie after the picture was turned upright."""
    spacing = picture_spacing(path)
    return spacing.transposed() if picture.orientation in TRANSPOSED else spacing


def _read(path: Path, max_bytes: int) -> _Picture:
    """Return all pages of a picture, upright. Raises `InputError`."""
    from PIL import Image, UnidentifiedImageError

    directories = read_tiff_pages(path)
    if directories and (_all_plain(directories) or any(page.is_deep_colour for page in directories)):
        return _rare_pages(path, directories, max_bytes)
    try:
        with _quiet_opening(path) as image:
            if image.format == "PNG":
                check_png_integrity(path)
            deep = _deep_png_type(image)
            if deep is not None:
                check_size(image.width * image.height * 8, 1, path, max_bytes)
                orientation = int(image.getexif().get(ORIENTATION, 1))
                array, notes = _deep_png(path, deep, max_bytes)
                upright = _turned(array, orientation)[np.newaxis]
                return _Picture(upright, (*notes, *_orientation_note(orientation)), orientation)
            # A telephone's JPEG may bring a second picture of its own use along.
            count = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            bytes_each = len(image.getbands()) * MODE_BYTES.get(image.mode, 1)
            check_size(count * image.width * image.height * bytes_each, 1, path, max_bytes)
            if image.format in ("PNG", "BMP"):
                least = image.width * image.height // 8
                require_plausible(least, path, compressed=image.format == "PNG" or least < 1 << 16)
            pages, turned, said = [], [], set[str]()
            for index in range(count):
                directory = directories[index] if index < len(directories) else None
                if directory is not None and directory.is_thumbnail and count > 1:
                    said.add(THUMBNAIL)
                    continue
                image.seek(index)
                page, orientation = _page(image, directory)
                pages.append(page)
                turned.append(orientation)
                said.update(_orientation_note(orientation))
    except UnidentifiedImageError:
        return _rare_pages(path, directories, max_bytes)
    except Image.DecompressionBombError as error:
        raise _too_large(path, str(error)) from error
    except PICTURE_DAMAGE as error:
        raise InputError(f"{path.name} cannot be read as an image.", "Export it again.", str(error)) from error
    if any(page.shape != pages[0].shape for page in pages):
        raise InputError(f"{path.name} has pages of different sizes.", "Use one image a file.")
    array = np.stack(pages)
    if array.ndim == 4:
        array, dropped = colours(array, path)
        said.update(dropped)
    return _Picture(array, tuple(sorted(said)), turned[0])


def _rare_pages(path: Path, directories: Sequence[TiffPage], max_bytes: int) -> _Picture:
    """Return what Pillow cannot open: TIFFs of many bits from their own tables, other rare kinds by ITK."""
    if not _all_plain(directories):
        volume = read_itk(path, "image", max_bytes)
        return _Picture(volume.array_zyx, volume.notes)
    whole = [page for page in directories if not page.is_thumbnail] or directories
    shapes = {page.shape for page in whole}
    if len(shapes) > 1:
        raise InputError(f"{path.name} has pages of different sizes.", "Use one image a file.")
    pages = []
    for page in whole:
        samples = read_plain_page(path, page, max_bytes // len(whole))
        pages.append(_turned(samples, page.number(ORIENTATION, 1)))
    if len({page.shape for page in pages}) > 1:
        raise InputError(f"{path.name} has pages turned in different ways.", "Use one image a file.")
    array = np.stack(pages)
    orientation = whole[0].number(ORIENTATION, 1)
    notes = _orientation_note(orientation)
    if len(whole) < len(directories):
        notes += (THUMBNAIL,)
    if array.ndim == 4:
        array, dropped = colours(array, path)
        notes += dropped
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    return _Picture(array, notes, orientation)


def _all_plain(directories: Sequence[TiffPage]) -> bool:
    return bool(directories) and all(page.is_plain for page in directories)


@contextmanager
def _quiet_opening(path: Path) -> Iterator[Image.Image]:
    """Open a picture by Pillow without its warnings: our own limits say what is too large."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path) as image:
            yield image


PNG_GREY_ALPHA, PNG_COLOURS = 4, (2, 6)


def _deep_png_type(image: Image.Image) -> int | None:
    """Return the colour type of a PNG of sixteen bits that Pillow would cut to their top byte; else None."""
    if image.format != "PNG":
        return None
    with Path(str(image.filename)).open("rb") as file:  # type: ignore[attr-defined]
        header = file.read(26)
    return header[25] if header[24] == 16 and header[25] in (PNG_GREY_ALPHA, *PNG_COLOURS) else None


def _deep_png(path: Path, colour_type: int, max_bytes: int) -> tuple[NDArray, tuple[str, ...]]:
    """Return the sixteen bits of a PNG, (y,x) or (y,x,3), and what was said."""
    if colour_type in PNG_COLOURS:
        volume = read_itk(path, "image", max_bytes)
        return volume.array_zyx[0], volume.notes
    from PIL import Image

    content = bytearray(path.read_bytes())
    # Two samples of sixteen bits take the bytes of four of eight, also for the filters of the rows.
    content[24:26] = bytes((8, 6))
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    with Image.open(BytesIO(content)) as image:
        samples = np.ascontiguousarray(image).view(">u2").astype(np.uint16)
    return colours(samples, path)


def _too_large(path: Path, detail: str) -> InputError:
    numbers = [int(number) for number in re.findall(r"\d{6,}", detail)]
    size = f"{numbers[0] / 1e6:.0f} million pixels, more than {numbers[1] / 1e6:.0f}" if len(numbers) > 1 else "many"
    return InputError(f"{path.name} is too large: it has {size} million.", "Crop or downsample it.", detail)


def _page(image: Image.Image, directory: TiffPage | None) -> tuple[NDArray, int]:
    """Return the current page as (y,x) or (y,x,c), upright, and the EXIF orientation that it had; palettes and print
    colours become RGB."""
    if directory is not None:
        # Pillow turns a TIFF by itself when its samples are read.
        return _samples(image, directory), directory.number(ORIENTATION, 1)
    orientation = int(image.getexif().get(ORIENTATION, 1))
    return _turned(_samples(image, None), orientation), orientation


def _samples(image: Image.Image, directory: TiffPage | None) -> NDArray:
    image.load()  # turns a TIFF, whose size is another one before
    if image.mode in GREY_MODES:
        array = np.asarray(image)
        stored = directory.dtype if directory is not None else None
        if stored is not None and stored.kind == "u" and array.dtype == np.int32 and stored.itemsize == 4:
            array = array.view(np.uint32)
        elif stored is not None and stored.kind == "i" and array.dtype == np.uint8:
            array = array.view(np.int8)
        return array.astype(np.uint8) * 255 if array.dtype == np.bool_ else array
    if image.mode in ("RGB", "RGBA"):
        return np.asarray(image)
    return np.asarray(image.convert("RGB"))


def _turned(array: NDArray, orientation: int) -> NDArray:
    """Return a page (y,x[,c]) as its EXIF orientation 1 to 8 means it to be seen."""
    if orientation in TRANSPOSED:
        array = np.swapaxes(array, 0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return array


def _orientation_note(orientation: int) -> tuple[str, ...]:
    if orientation not in range(2, 9):
        return ()
    return (f"The picture was turned upright by its EXIF orientation {orientation}; columns and rows are those seen.",)
