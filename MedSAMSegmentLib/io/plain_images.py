"""PNG, JPEG and TIFF as volumes: one image is one slice, a folder of frames is a series in time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..geometry import VolumeGeometry
from .itk import colours, read_itk
from .volume import MAX_BYTES, Volume, check_size, make_volume

GREY_MODES = ("1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L")


def read_image(path: Path, max_bytes: int = MAX_BYTES) -> Volume:
    """Read one image as a volume of one slice, a TIFF of several pages as one slice a page. 1 mm voxels."""
    pages, notes = _pages(path, max_bytes)
    return make_volume(pages, VolumeGeometry.from_spacing(_shape(pages)), path, "image", notes=notes)


def read_frames(folder: Path, paths: Sequence[Path], max_bytes: int = MAX_BYTES, *, text_order: bool = False) -> Volume:
    """Read images of one size as frames along k, in the order of the numbers in their names (2 before 10).

    `text_order`: in that of their names as text (10 before 2), as the official script of MedSAM2 has it.
    """
    ordered = sorted(paths, key=lambda path: path.name if text_order else natural_key(path.name))
    frames, notes = [], set[str]()
    for path in ordered:
        pages, said = _pages(path, max_bytes // len(ordered))
        if len(pages) != 1:
            raise InputError(f"{path.name} has {len(pages)} pages.", "Use one image a frame.")
        frames.append(pages[0])
        notes.update(said)
    if any(frame.ndim == 3 for frame in frames):
        frames = [frame if frame.ndim == 3 else np.repeat(frame[..., np.newaxis], 3, axis=-1) for frame in frames]
    for path, frame in zip(ordered, frames, strict=True):
        if frame.shape != frames[0].shape:
            raise InputError(
                f"{path.name} has {frame.shape[:2]} rows and columns, {ordered[0].name} has {frames[0].shape[:2]}.",
                "Use frames of one size.",
            )
    array = np.stack(frames)
    said_first = f"{len(ordered)} frames, from {ordered[0].name} to {ordered[-1].name}."
    volume = make_volume(
        array,
        VolumeGeometry.from_spacing(_shape(array)),
        folder,
        "frames",
        time_axis=True,
        notes=(said_first, *sorted(notes)),
    )
    return replace(volume, parts=tuple(ordered))


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key by which frame2 comes before frame10."""
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _shape(array: NDArray) -> tuple[int, int, int]:
    z, y, x = array.shape[:3]
    return (z, y, x)


def _pages(path: Path, max_bytes: int) -> tuple[NDArray, tuple[str, ...]]:
    """Return all pages (z,y,x) or (z,y,x,3) and what was said of them."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            count = getattr(image, "n_frames", 1)
            check_size(count * image.width * image.height * len(image.getbands()), 1, path, max_bytes)
            pages = []
            for index in range(count):
                image.seek(index)
                pages.append(_page(image))
    except UnidentifiedImageError:
        # TIFFs of 16-bit colour and other rare kinds: ITK knows them.
        volume = read_itk(path, "image", max_bytes)
        return volume.array_zyx, volume.notes
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path.name} cannot be read as an image.", "Export it again.", str(error)) from error
    if any(page.shape != pages[0].shape for page in pages):
        raise InputError(f"{path.name} has pages of different sizes.", "Use one image a file.")
    array = np.stack(pages)
    return (array, ()) if array.ndim == 3 else colours(array, path)


def _page(image: object) -> NDArray:
    """Return the current page as (y,x) or (y,x,c); palettes and print colours become RGB."""
    from PIL import Image

    assert isinstance(image, Image.Image)
    if image.mode in GREY_MODES:
        array = np.asarray(image)
        return array.astype(np.uint8) * 255 if array.dtype == np.bool_ else array
    if image.mode in ("RGB", "RGBA"):
        return np.asarray(image)
    return np.asarray(image.convert("RGB"))
