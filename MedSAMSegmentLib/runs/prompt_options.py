"""From prompt options to objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from ..errors import PromptError, UsageError
from ..geometry import IN_PLANE_AXES, axis_from_name, slice_shape, take_slice
from ..io.volume import Volume
from ..prompts import Box, Line, MaskPrompt, Point, Prompt

if TYPE_CHECKING:
    from ..inference.recist_prompt import PointKind
    from ..io.segments import SegmentationFile

POINT_KINDS = {"point": True, "negative-point": False}
FILE_KINDS = {"markups": "--roi", "mask": "--mask", "correction": "--correct", "line-mask": "--line-mask"}
PLACELESS = (".npz", ".png", ".tif", ".tiff")
LineKind: TypeAlias = Literal["box", "centre", "three", "grid"]


def objects_from_options(
    options: Sequence[tuple[str, Any]],
    volume: Volume,
    axis: int,
    *,
    frame: int | None = None,
    line_as: LineKind = "box",
    mode: str = "default",
    space: str | None = None,
) -> list[list[Prompt]]:
    """Return one list of prompts for each object, in the order of the command line.

    A box, line, mask or ROI begins an object; points belong to the object before them, those that come first to the
    first object, or are one by themselves; a correction belongs to the object before it.
    The kind "object" holds a list of options that are all of one object.

    `frame` gives the slice of boxes that were drawn on a single image of a series. `line_as` is what stands for a
    line: the box around it, or points on it. In `mode` "reference" the ends of a drawn line are found as the official
    scripts do. `space` is that of boxes in millimetres.
    """
    objects: list[list[Prompt]] = []
    points_alone = True
    for kind, values in options:
        if kind == "object":
            own = objects_from_options(values, volume, axis, frame=frame, line_as=line_as, mode=mode, space=space)
            objects.append([prompt for prompts in own for prompt in prompts])
            continue
        for prompt in _prompts(kind, values, volume, axis, frame=frame, mode=mode, space=space):
            on_frame = _on_frame(prompt, frame) if frame is not None else prompt
            if kind == "correction" and not objects:
                raise UsageError("--correct comes before any object.", "Give the object's box first.")
            if isinstance(on_frame, Line) and line_as != "box":
                objects.append(_points_of(on_frame, line_as, volume, axis))
            elif objects and (isinstance(on_frame, Point) or kind == "correction" or points_alone):
                objects[-1].append(on_frame)
            else:
                objects.append([on_frame])
            points_alone = points_alone and isinstance(on_frame, Point)
    return objects


def reversed_boxes(options: Sequence[tuple[str, Any]]) -> list[str]:
    """Return a sentence on each box whose corners do not come in order; it is sorted."""
    notes = []
    for _kind, values in (option for option in every_prompt(options) if option[0] == "box"):
        half = len(values) // 2
        if any(first > last for first, last in zip(values[:half], values[half:], strict=True)):
            numbers = " ".join(f"{number:g}" for number in values)
            notes.append(f"The corners of the box {numbers} were put in order.")
    return notes


def files_of_prompts(options: Sequence[tuple[str, Any]]) -> list[tuple[str, str]]:
    """Return the files that the prompts are read from, each with the option that named it."""
    return [
        (FILE_KINDS[kind], values if kind == "markups" else values[0])
        for kind, values in every_prompt(options)
        if kind in FILE_KINDS
    ]


def every_prompt(options: Sequence[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield the options, those within an "object" by themselves."""
    for kind, values in options:
        if kind == "object":
            yield from every_prompt(values)
        else:
            yield kind, values


def _prompts(
    kind: str, values: Any, volume: Volume, axis: int, *, frame: int | None, mode: str, space: str | None
) -> list[Prompt]:
    if kind in POINT_KINDS:
        i, j, k = _three(values, kind, volume, frame)
        return [Point(i, j, k, POINT_KINDS[kind])]
    if kind == "markups":
        from ..io.markups import read_markups

        return list(read_markups(Path(values), volume.geometry))
    return [_outline(kind, values, volume, axis, frame=frame, mode=mode, space=space)]


def _outline(
    kind: str, values: Any, volume: Volume, axis: int, *, frame: int | None, mode: str, space: str | None
) -> Prompt:
    """Return the one prompt of an option that begins an object, or corrects it."""
    if kind in ("box", "line"):
        half = len(values) // 2
        start, end = (_three(corner, kind, volume, frame) for corner in (values[:half], values[half:]))
        if kind == "line":
            return Line(start, end)
        # What is not a number stays where it is, and is refused by the box.
        pairs = [(b, a) if a > b else (a, b) for a, b in zip(start, end, strict=True)]
        return Box.from_corners([a for a, _ in pairs], [b for _, b in pairs])
    if kind == "box-mm":
        return _box_of_millimetres(values, volume, space)
    drawn = _mask_prompt(*values, volume=volume, axis=axis)
    return _drawn_line(drawn, mode) if kind == "line-mask" else drawn


def _three(values: Sequence[float], kind: str, volume: Volume, frame: int | None) -> tuple[float, float, float]:
    """Return i, j, k of two or three numbers: two are a place on the only slice, or on the frame."""
    if len(values) == 3:
        i, j, k = values
        return (i, j, k)
    if volume.shape_zyx[0] > 1 and frame is None:
        raise UsageError(
            f"--{kind} has no slice numbers, but the image has {volume.shape_zyx[0]} slices.",
            "Give i, j and k of each corner." if kind in ("box", "line") else "Give i, j and k.",
        )
    return (values[0], values[1], float(frame or 0))


def _box_of_millimetres(values: Sequence[float], volume: Volume, space: str | None) -> Box:
    """Return the voxels whose centres lie in the box between two corners in mm, through the grid's orientation."""
    if space is None:
        raise UsageError("--box-mm needs the space of its numbers.", "Give --space LPS or --space RAS.")
    corners = np.array(list(product(*zip(values[:3], values[3:], strict=True))), np.float64)
    if not np.isfinite(corners).all():
        raise PromptError("The corners of --box-mm are not finite numbers.", "Give six numbers.")
    to_ijk = volume.geometry.lps_to_ijk if space == "LPS" else volume.geometry.ras_to_ijk
    return Box.enclosing(to_ijk(corners))


def _mask_prompt(file: str, index: str, *, volume: Volume, axis: int) -> MaskPrompt:
    try:
        number = int(index)
    except ValueError as error:
        raise UsageError(f"The slice {index!r} is not a whole number.", "Use --mask FILE SLICE.") from error
    found = segmentation_on_grid(file, volume, "mask")
    shape = volume.geometry.shape_zyx
    if not 0 <= number < shape[axis]:
        raise PromptError(f"The mask's slice {number} is outside 0 to {shape[axis] - 1}.", "Give one of these.")
    outline = np.zeros(slice_shape(shape, axis), bool)
    for segment in found.segments:
        outline |= take_slice(segment.mask_zyx, axis, number)
    return MaskPrompt(axis, number, outline)


def segmentation_on_grid(file: str, volume: Volume, what: str) -> SegmentationFile:
    """Read a segmentation that lies on the volume's grid; errors call it `what`. Raises `InputError`, `PromptError`."""
    from ..io.read_segmentation import read_segmentation

    found = read_segmentation(file)
    shape = volume.geometry.shape_zyx
    if found.geometry.shape_zyx != shape:
        raise PromptError(
            f"The {what} has {found.geometry.shape_zyx} voxels, the image {shape} (slices, rows, columns).",
            "Give a segmentation on the image's own grid.",
        )
    # Challenge files and pictures have no place in space.
    placed = volume.has_patient_axes and volume.kind != "npz" and not file.lower().endswith(PLACELESS)
    if placed and not found.geometry.agrees_with(volume.geometry):
        raise PromptError(
            f"The {what} lies elsewhere in space than the image, or is turned against it.",
            "Resample it onto the image's grid.",
        )
    return found


def _drawn_line(drawn: MaskPrompt, mode: str) -> Line:
    """Return the line between the ends of one that was painted on a slice."""
    from ..inference.recist_prompt import RecistLine

    line = RecistLine.from_mask(drawn.mask, reference=mode == "reference")
    start, end = (_ijk(point, drawn.index, drawn.axis) for point in (line.start, line.end))
    return Line(start, end)


def _points_of(line: Line, kind: PointKind, volume: Volume, axis: int) -> list[Prompt]:
    """Return the positive points that the official RECIST scripts put on a line's slice."""
    from ..inference.recist_prompt import RecistLine

    index = line.fitted(volume.shape_zyx).slice_index(axis)
    start, end = (point.in_plane(axis) for point in line.points)
    points = RecistLine(start, end).points(kind, slice_shape(volume.shape_zyx, axis))
    return [Point(*_ijk((float(x), float(y)), index, axis)) for x, y in points]


def _ijk(point_xy: tuple[float, float], index: int, axis: int) -> tuple[float, float, float]:
    """Return i, j, k of a pixel x (column), y (row) on a slice."""
    rows, columns = IN_PLANE_AXES[axis]
    zyx = {axis: float(index), columns: point_xy[0], rows: point_xy[1]}
    return (zyx[2], zyx[1], zyx[0])


def _on_frame(prompt: Prompt, frame: int) -> Prompt:
    if isinstance(prompt, Box):
        return Box(i=prompt.i, j=prompt.j, k=(frame, frame))
    if isinstance(prompt, Point):
        return Point(prompt.i, prompt.j, frame, prompt.positive)
    if isinstance(prompt, Line):
        return Line((*prompt.start[:2], frame), (*prompt.end[:2], frame))
    return prompt


def array_axis(name: str) -> int:
    """Return the array axis of `--axis`; frames of a series lie along the first."""
    return 0 if name == "time" else axis_from_name(name)
