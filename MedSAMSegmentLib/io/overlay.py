"""A picture of the result: slices of the windowed volume with each segment's contour, one panel a slice.

Slices are shown as radiologists hang them when the volume's geometry is given (patient's right on the left, front
or head up), and with the voxels' true proportions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError, UsageError
from ..geometry import IN_PLANE_AXES, VolumeGeometry, axis_from_name, take_slice
from .atomic import atomic_write
from .display_orientation import DisplayOrientation, display_orientation
from .segments import Color, SegmentToWrite

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

PANEL = 460
GAP = 10
CAPTION = 30
LEGEND_ROW = 34
BACKGROUND = (16, 18, 22)
TEXT = (232, 234, 238)
FAINT = (150, 156, 166)
SUPERSAMPLING = 2
THUMBNAIL = 192
FILL = 0.16
AXIS_LETTERS = "kji"


@dataclass(frozen=True)
class DisplayedAxis:
    """The axis that is looked along, the slices' orientation, and a pixel's height and width in mm as displayed."""

    axis: int
    orientation: DisplayOrientation
    pixel: tuple[float, float]


def write_overlay(
    path: str | Path,
    volume_u8: NDArray[np.uint8],
    segments: Sequence[SegmentToWrite],
    *,
    slices: Sequence[int] | None = None,
    axis: int | str = 0,
    spacing_zyx: tuple[float, float, float] | None = None,
    geometry: VolumeGeometry | None = None,
    columns: int = 3,
) -> None:
    """Write a PNG of `slices` across `axis` (default: those that show the segments best).

    `volume_u8` is (z,y,x) or (z,y,x,3). `geometry` turns the slices as radiologists hang them; with `spacing_zyx`
    alone they keep the array's rows and columns. Raises `UsageError` and `OutputError`.
    """
    number = axis_from_name(axis)
    _check(volume_u8, segments)
    chosen = _checked_slices(slices, volume_u8.shape[number], segments, number)
    view = _displayed_axis(number, geometry, spacing_zyx)
    panels = [_panel(volume_u8, segments, view, index) for index in chosen]
    picture = _sheet(panels, segments, min(columns, len(panels)))
    with atomic_write(path, ".png") as temporary:
        picture.save(temporary, format="PNG", optimize=True)


def write_thumbnail(
    path: str | Path,
    volume_u8: NDArray[np.uint8],
    segments: Sequence[SegmentToWrite],
    *,
    axis: int = 0,
    spacing_zyx: tuple[float, float, float] | None = None,
    geometry: VolumeGeometry | None = None,
    size: int = THUMBNAIL,
) -> None:
    """Write a small PNG of the slice that shows the segments best, `size` pixels wide and high at most.

    Arguments are those of `write_overlay`. Raises `OutputError`.
    """
    from PIL import Image

    (index,) = best_slices([segment.mask_zyx for segment in segments], axis, 1)
    view = _displayed_axis(axis, geometry, spacing_zyx)
    panel = _panel(volume_u8, segments, view, index)
    picture = panel.crop((0, CAPTION, panel.width, panel.height))
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    with atomic_write(path, ".png") as temporary:
        picture.quantize(64).save(temporary, format="PNG", optimize=True)


def best_slices(masks: Sequence[NDArray], axis: int, count: int = 6) -> list[int]:
    """Return the slices worth a panel: each mask's largest, then evenly spread ones over all, in order."""
    areas = np.array([np.moveaxis(mask != 0, axis, 0).sum(axis=(1, 2)) for mask in masks])
    filled = np.flatnonzero(areas.sum(axis=0)) if areas.size else np.array([], int)
    if filled.size == 0:
        return [areas.shape[1] // 2] if areas.size else [0]
    chosen = list(dict.fromkeys(int(row.argmax()) for row in areas if row.any()))[:count]
    first, last = int(filled[0]), int(filled[-1])
    for share in _spread(count):
        wanted = filled[np.abs(filled - (first + share * (last - first))).argmin()]
        if len(chosen) < min(count, filled.size) and int(wanted) not in chosen:
            chosen.append(int(wanted))
    return sorted(chosen)


def _spread(count: int) -> list[float]:
    return [0.5] + [(n + 0.5) / (2 * count) for n in range(2 * count)]


def _check(volume_u8: NDArray, segments: Sequence[SegmentToWrite]) -> None:
    if volume_u8.dtype != np.uint8 or volume_u8.ndim not in (3, 4):
        raise UsageError(f"The overlay got {volume_u8.dtype} of {volume_u8.ndim} axes.", "Give z,y,x of 8 bits.")
    for segment in segments:
        if segment.mask_zyx.shape != volume_u8.shape[:3]:
            raise OutputError(
                f"The mask of {segment.name} has the shape {segment.mask_zyx.shape}, the image {volume_u8.shape[:3]}.",
                "Give masks on the image's grid.",
            )


def _checked_slices(
    slices: Sequence[int] | None, count: int, segments: Sequence[SegmentToWrite], axis: int
) -> list[int]:
    if slices is None:
        found = best_slices([segment.mask_zyx for segment in segments], axis)
        return found if segments else [count // 2]
    for index in slices:
        if not 0 <= index < count:
            raise UsageError(f"There is no slice {index}.", f"Slices run from 0 to {count - 1}.")
    if not slices:
        raise UsageError("No slice was chosen for the overlay.", "Name at least one.")
    return list(slices)


def _displayed_axis(
    axis: int, geometry: VolumeGeometry | None, spacing_zyx: tuple[float, float, float] | None
) -> DisplayedAxis:
    orientation = display_orientation(geometry, axis) if geometry else DisplayOrientation()
    rows, columns = IN_PLANE_AXES[axis]
    if orientation.transpose:
        rows, columns = columns, rows
    spacing = geometry.spacing_zyx if geometry else spacing_zyx or (1.0, 1.0, 1.0)
    return DisplayedAxis(axis, orientation, (spacing[rows], spacing[columns]))


def _panel(
    volume: NDArray[np.uint8], segments: Sequence[SegmentToWrite], view: DisplayedAxis, index: int
) -> Image.Image:
    """Return one slice with its contours and its caption, PANEL wide at most."""
    from PIL import Image, ImageDraw

    grey = view.orientation.apply(take_slice(volume, view.axis, index))
    height, width = grey.shape[0] * view.pixel[0], grey.shape[1] * view.pixel[1]
    scale = PANEL / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    large = (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING)
    image = Image.fromarray(np.ascontiguousarray(grey)).convert("RGB").resize(large, Image.Resampling.BICUBIC)
    canvas = np.asarray(image).astype(np.float32)
    for number, segment in enumerate(segments):
        mask = view.orientation.apply(take_slice(segment.mask_zyx, view.axis, index))
        if mask.any():
            _draw_segment(canvas, mask, segment.shown_color(number))
    picture = Image.fromarray(canvas.astype(np.uint8)).resize(size, Image.Resampling.LANCZOS)
    panel = Image.new("RGB", (PANEL, size[1] + CAPTION), BACKGROUND)
    panel.paste(picture, ((PANEL - size[0]) // 2, CAPTION))
    draw = ImageDraw.Draw(panel)
    count = volume.shape[view.axis]
    draw.text((6, CAPTION // 2), f"slice {AXIS_LETTERS[view.axis]} {index}", TEXT, _font(17), anchor="lm")
    draw.text((PANEL - 6, CAPTION // 2), f"of {count}", FAINT, _font(14), anchor="rm")
    _letters(draw, view.orientation, (PANEL - size[0]) // 2, size)
    return panel


def _draw_segment(canvas: NDArray[np.float32], mask: NDArray[np.bool_], color: Color) -> None:
    """Blend a faint fill and a contour of two pixels into `canvas` (rows, columns, 3), in place."""
    from PIL import Image
    from scipy.ndimage import binary_dilation, binary_erosion

    rows, columns = canvas.shape[:2]
    smooth = Image.fromarray(mask.astype(np.uint8) * 255).resize((columns, rows), Image.Resampling.BILINEAR)
    inside = np.asarray(smooth) > 127
    contour = binary_dilation(inside, iterations=SUPERSAMPLING) & ~binary_erosion(
        inside, iterations=SUPERSAMPLING // 2, border_value=1
    )
    tint = np.array(color, np.float32) * 255
    canvas[inside] += (tint - canvas[inside]) * FILL
    canvas[contour] = tint


def _letters(draw: ImageDraw.ImageDraw, orientation: DisplayOrientation, left: int, size: tuple[int, int]) -> None:
    """Draw the patient's sides at the left and top edge, outlined so that they show on white too."""
    for letter, place, anchor in (
        (orientation.left, (left + 6, CAPTION + size[1] // 2), "lm"),
        (orientation.top, (left + size[0] // 2, CAPTION + 4), "mt"),
    ):
        draw.text(place, letter, TEXT, _font(15), anchor=anchor, stroke_width=2, stroke_fill=BACKGROUND)


def _sheet(panels: Sequence[Image.Image], segments: Sequence[SegmentToWrite], columns: int) -> Image.Image:
    """Return all panels in rows, and the legend below."""
    from PIL import Image, ImageDraw

    rows = math.ceil(len(panels) / columns)
    tallest = max(panel.height for panel in panels)
    width = columns * PANEL + (columns + 1) * GAP
    legend = _legend_layout(segments, width)
    legend_rows = legend[-1][1] + 1 if legend else 0
    height = rows * (tallest + GAP) + GAP + legend_rows * LEGEND_ROW
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    for n, panel in enumerate(panels):
        sheet.paste(panel, (GAP + n % columns * (PANEL + GAP), GAP + n // columns * (tallest + GAP)))
    draw = ImageDraw.Draw(sheet)
    top = height - legend_rows * LEGEND_ROW
    for number, (x, row, label) in enumerate(legend):
        middle = top + row * LEGEND_ROW + LEGEND_ROW // 2 - GAP // 2
        color = tuple(round(part * 255) for part in segments[number].shown_color(number))
        draw.rounded_rectangle((x, middle - 8, x + 16, middle + 8), 4, fill=color)
        draw.text((x + 24, middle), label, TEXT, _font(17), anchor="lm")
    return sheet


def _legend_layout(segments: Sequence[SegmentToWrite], width: int) -> list[tuple[int, int, str]]:
    """Return x, row and label of each legend entry, wrapped at `width`."""
    font, entries, x, row = _font(17), [], GAP + 6, 0
    for segment in segments:
        label = segment.name
        while len(label) > 4 and 24 + font.getlength(label) > width - 4 * GAP:
            label = label[:-2].rstrip("…") + "…"
        needed = 24 + int(font.getlength(label)) + 28
        if x + needed > width and x > GAP + 6:
            x, row = GAP + 6, row + 1
        entries.append((x, row, label))
        x += needed
    return entries


def _font(size: int) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
