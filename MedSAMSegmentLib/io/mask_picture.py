"""Masks as pictures: PNG and TIFF, for images that are pictures themselves.

One object is black and white, 0 and 255; of several each has its number, from 1, with a palette that shows it in its
colour. A TIFF of several slices has a page for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OutputError
from ..geometry import VolumeGeometry
from .atomic import atomic_write
from .plain_images import PICTURE_DAMAGE
from .png_integrity import check_png_integrity
from .seg_nrrd import check_segments
from .segments import PALETTE, SegmentationFile, SegmentToWrite, palette_color

PICTURE_SUFFIXES = (".png", ".tif", ".tiff")
MOST_IN_A_PALETTE = 255
FORMATS = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF"}


def check_picture_grid(path: Path, geometry: VolumeGeometry) -> None:
    """Raise `OutputError` for a PNG of more than one slice."""
    count = geometry.shape_zyx[0]
    if path.suffix.lower() == ".png" and count > 1:
        raise OutputError(
            f"{path.name} holds a single slice, the image has {count}.", "Write a .tif, .nii.gz or .seg.nrrd file."
        )


def write_mask_picture(path: str | Path, segments: Sequence[SegmentToWrite], geometry: VolumeGeometry) -> None:
    """Write the masks as a picture; where segments overlap, the later one's label. Raises `OutputError`."""
    from PIL import Image

    path = Path(path)
    check_segments(segments, geometry)
    check_picture_grid(path, geometry)
    labels = np.zeros(geometry.shape_zyx, np.uint8 if len(segments) <= MOST_IN_A_PALETTE else np.uint16)
    for index, segment in enumerate(segments):
        labels[segment.mask_zyx] = index + 1 if len(segments) > 1 else 255
    pages = [Image.fromarray(page) for page in labels]
    if 1 < len(segments) <= MOST_IN_A_PALETTE:
        palette = [0, 0, 0]
        for index, segment in enumerate(segments):
            palette += [round(part * 255) for part in segment.shown_color(index)]
        for page in pages:
            page.putpalette(palette)
    kind = FORMATS[path.suffix.lower()]
    with atomic_write(path, path.suffix.lower()) as temporary:
        if len(pages) == 1:
            pages[0].save(temporary, format=kind, **({"compression": "tiff_deflate"} if kind == "TIFF" else {}))
        else:
            pages[0].save(temporary, format=kind, save_all=True, append_images=pages[1:], compression="tiff_deflate")


def read_mask_picture(path: Path) -> SegmentationFile:
    """Return the segments of a picture whose numbers, or indices of a palette, are labels. Raises `InputError`."""
    labels, colors = _labels(path)
    values = [int(value) for value in np.unique(labels) if value]
    if len(values) > len(PALETTE) * 100 or labels.ndim != 3:
        raise InputError(f"{path.name} is a picture, not a mask.", "Give one with a number for each object.")
    z, y, x = labels.shape
    segments = tuple(
        SegmentToWrite(f"Label {value}", labels == value, colors.get(value) or palette_color(number))
        for number, value in enumerate(values)
    )
    return SegmentationFile(segments, VolumeGeometry.from_spacing((z, y, x)))


def _labels(path: Path) -> tuple[NDArray, dict[int, tuple[float, float, float]]]:
    from PIL import Image

    from .read_volume import read_volume

    try:
        with Image.open(path) as image:
            if image.mode == "P":
                if image.format == "PNG":
                    check_png_integrity(path)
                pages = []
                for index in range(getattr(image, "n_frames", 1)):
                    image.seek(index)
                    pages.append(np.asarray(image))
                palette = np.array(image.getpalette("RGB") or [0] * 3, np.float64).reshape(-1, 3) / 255
                colors = {n: (float(r), float(g), float(b)) for n, (r, g, b) in enumerate(palette)}
                return np.stack(pages), colors
    except (*PICTURE_DAMAGE, Image.DecompressionBombError) as error:
        raise InputError(f"{path.name} cannot be read as a mask.", "Export it again.", str(error)) from error
    array = read_volume(path).array_zyx
    if array.ndim == 4:
        raise InputError(f"{path.name} is in colour, not a mask.", "Give one with a number for each object.")
    return array, {}
