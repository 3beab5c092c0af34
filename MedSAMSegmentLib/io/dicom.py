"""DICOM: a folder with series, a DICOMDIR, a single slice, a multi-frame file or a cine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..geometry import VolumeGeometry
from .dicom_decoders import Decoder, as_pixel_value, decode_frame
from .dicom_frames import Frame
from .dicom_grid import SliceGrid, slice_grid, tilt_note
from .dicom_header import is_directory
from .dicom_pixels import PixelFile, open_pixels, padding_range
from .dicom_series import FoundSeries, Series, ambiguous, choose_stack, find_series, series_of_file
from .dicom_stacks import Stack, several_orientations
from .dicom_values import apply_value_maps
from .spacing import spacing_notes
from .volume import MAX_BYTES, SliceSource, Volume, check_size, make_volume


def read_dicom_folder(found: FoundSeries, series: str | None = None, max_bytes: int = MAX_BYTES) -> Volume:
    """Read the series `series` (a number or UID) of those found, by default the largest image series.

    Raises `InputError`.
    """
    if not found:
        raise _nothing_to_read(found)
    chosen, stack, notes = choose_stack(found, series)
    volume = _read(chosen, stack, found.place, max_bytes, decode_frame, named=series is not None)
    files = tuple(dict.fromkeys(frame.path for frame in stack.frames))
    return replace(volume, notes=(*notes, *found.unreadable, *volume.notes), parts=files)


def read_dicom_file(
    path: Path, max_bytes: int = MAX_BYTES, series: str | None = None, decode: Decoder = decode_frame
) -> Volume:
    """Read one file: a slice, a multi-frame volume, or a cine whose frames lie along k in time; of a DICOMDIR the
    series that it lists.

    `series` chooses a stack of a file that holds several. Raises `InputError`.
    """
    if is_directory(path):
        return read_dicom_folder(find_series(path), series, max_bytes)
    found = series_of_file(path)
    chosen, stack, notes = choose_stack(found, series)
    volume = _read(chosen, stack, path, max_bytes, decode, named=series is not None)
    return replace(volume, notes=(*notes, *volume.notes))


def _nothing_to_read(found: FoundSeries) -> InputError:
    if found.unreadable:
        return InputError(f"{found.place} holds no DICOM image that can be read.", found.unreadable[0])
    return InputError(
        f"{found.place} holds no image, but {', '.join(found.others)}.", "Give the folder of the image series."
    )


def _read(series: Series, stack: Stack, source: Path, max_bytes: int, decode: Decoder, *, named: bool) -> Volume:
    if not named and several_orientations(series.stacks):
        raise InputError(
            "The series holds slices of several orientations.", f"Choose one with --series: {ambiguous(series)}."
        )
    if stack.trouble:
        raise InputError(f"The series {stack.trouble}", "Export one image a place, or a 4D NIfTI file.")
    first = stack.frames[0]
    check_size(len(stack.frames) * first.rows * first.columns, first.bytes_a_pixel, source, max_bytes)
    positions = _positions(stack)
    frames, said = _decoded(stack, max_bytes, decode, gaps_allowed=positions is not None and stack.times == 1)
    notes = [*series.notes, *stack.notes, *said]
    filled: tuple[int, ...] = ()
    sources: tuple[SliceSource | None, ...]
    if positions is not None:
        readable = np.array([frame is not None for frame in frames[: stack.slices]])
        grid = slice_grid(positions, readable, series.description or source.name)
        check_size(len(grid.below) * stack.times * first.rows * first.columns, first.bytes_a_pixel, source, max_bytes)
        points = [_on_grid(frames[n * stack.slices : (n + 1) * stack.slices], grid) for n in range(stack.times)]
        array = np.stack(points) if stack.times > 1 else points[0]
        geometry = _placed(first, grid, len(points[0]))
        filled = grid.filled
        sources = tuple(
            None if taken is None else _source(stack.frames[n * stack.slices + taken])
            for n in range(stack.times)
            for taken in grid.taken
        )
        notes += [*grid.notes, tilt_note(geometry.ijk_to_lps)]
        between, said_between = True, ""
    else:
        array = np.stack([frame for frame in frames if frame is not None])
        geometry, between, said_between = _unplaced(stack, len(array))
        sources = tuple(_source(frame) for frame in stack.frames)
    notes += [first.spacing_note, said_between, *_sentences(stack, len(array))]
    known = (between, first.spacing is not None, first.spacing is not None)
    notes += spacing_notes((between or stack.in_time, *known[1:]))
    if stack.times > 1:
        notes.append(f"4D image: {stack.times} frames in time.")
    volume = make_volume(
        array,
        geometry,
        source,
        "dicom",
        modality=series.modality,
        time_axis=stack.in_time,
        notes=tuple(dict.fromkeys(note for note in notes if note)),
        frames=stack.times > 1,
    )
    return replace(volume, filled=filled, spacing_known_zyx=known, slice_sources=sources)


def _source(frame: Frame) -> SliceSource:
    return SliceSource(frame.path, frame.index, frame.sop_instance)


def _positions(stack: Stack) -> NDArray[np.float64] | None:
    """Return the places (n,3) of slices that are stacked; None of a single slice, of frames in time and without
    places."""
    frames = stack.frames[: stack.slices]
    if stack.in_time or len(frames) < 2 or frames[0].position is None:
        return None
    return np.array([frame.position for frame in frames])


def _decoded(
    stack: Stack, max_bytes: int, decode: Decoder, *, gaps_allowed: bool
) -> tuple[list[NDArray | None], list[str]]:
    """Return the values of every frame in one type, and notes. None stands for a slice that cannot be read, where
    that is allowed."""
    stored: list[NDArray | None] = [None] * len(stack.frames)
    notes: list[str] = []
    by_file: dict[Path, list[int]] = {}
    for index, frame in enumerate(stack.frames):
        by_file.setdefault(frame.path, []).append(index)
    padded: set[str] = set()
    for path, indices in by_file.items():
        try:
            file = open_pixels(path, max_bytes)
            for index in indices:
                frame = stack.frames[index]
                stored[index] = _padded(decode(file, frame.index), file, frame, padded)
        except InputError as error:
            if not gaps_allowed or len(by_file) < 2:
                raise
            for index in indices:
                stored[index] = None
            notes.append(f"{error.message} Its place was filled.")
        else:
            notes += file.notes
    present = [frame for frame in stored if frame is not None]
    if not present:
        raise InputError("No slice of the series can be read.", notes[0])
    maps = [frame.values for frame, values in zip(stack.frames, stored, strict=True) if values is not None]
    values = iter(apply_value_maps(present, maps))
    return [next(values) if frame is not None else None for frame in stored], [*notes, *sorted(padded)]


def _padded(values: NDArray, file: PixelFile, frame: Frame, said: set[str]) -> NDArray:
    """Return stored values whose padding stays dark: it is kept as stored, but where black and white are exchanged."""
    span = padding_range(file.data)
    if span is None or file.format.is_colour or values.dtype.kind == "f":
        return values
    low, high = sorted(as_pixel_value(value, values.dtype) for value in span)
    padding = (values >= low) & (values <= high)
    if not padding.any():
        return values
    if frame.values.inverted is None:
        said.add("Voxels outside the scanned area hold a padding value, kept as it is stored.")
        return values
    if padding.all():
        return values
    return np.where(padding, values[~padding].max(), values)


def _on_grid(frames: Sequence[NDArray | None], grid: SliceGrid) -> NDArray:
    """Return the slices of one time point on the grid: each as it is, or between its neighbours."""
    first = next(frame for frame in frames if frame is not None)
    array = np.empty((len(grid.below), *first.shape), first.dtype)
    for k, (below, above, share) in enumerate(zip(grid.below, grid.above, grid.share, strict=True)):
        low, high = frames[below], frames[above]
        assert low is not None
        assert high is not None
        if share == 0:
            array[k] = low
            continue
        between = low.astype(np.float64) * (1 - share) + high.astype(np.float64) * share
        array[k] = np.rint(between) if first.dtype.kind in "bui" else between
    return array


def _placed(frame: Frame, grid: SliceGrid, slices: int) -> VolumeGeometry:
    """Return the geometry of slices with places; k runs through the places, so a tilted gantry keeps its shear."""
    matrix = np.eye(4)
    down, across = frame.spacing or (1.0, 1.0)
    turn = _directions(frame, grid.step)
    matrix[:3, 0], matrix[:3, 1] = turn[0] * across, turn[1] * down
    matrix[:3, 2], matrix[:3, 3] = grid.step, grid.origin
    return VolumeGeometry((slices, frame.rows, frame.columns), matrix)


def _directions(frame: Frame, step: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the directions of rows and columns; where the file has none, axes across the one that slices run along."""
    if frame.orientation is not None:
        return frame.orientation
    along = int(np.abs(step).argmax())
    return np.eye(3)[[axis for axis in range(3) if axis != along]]


def _unplaced(stack: Stack, count: int) -> tuple[VolumeGeometry, bool, str]:
    """Return the geometry of a single slice, of frames in time or of slices without places; whether k's distance is
    stated, and by what."""
    frame = stack.frames[0]
    stated, tag = frame.thickness if count == 1 else frame.distance
    down, across = frame.spacing or (1.0, 1.0)
    step = 1.0 if stated is None or stack.in_time else stated
    matrix = np.diag([across, down, step, 1.0])
    if frame.orientation is not None:
        normal = np.cross(*frame.orientation)
        matrix[:3, :3] = np.column_stack([frame.orientation[0] * across, frame.orientation[1] * down, normal * step])
    if frame.position is not None:
        matrix[:3, 3] = frame.position
    geometry = VolumeGeometry((count, frame.rows, frame.columns), matrix)
    if stack.in_time or stated is None:
        return geometry, False, ""
    return geometry, True, f"The slices state no places; {tag} says {stated:g} mm." if count > 1 else ""


def _sentences(stack: Stack, count: int) -> Iterator[str]:
    frame = stack.frames[0]
    if stack.in_time and count > 1:
        if frame.position is None:
            yield f"Cine: {count} frames in time."
        else:
            yield f"{count} frames in time, all at one place."
    elif count > 1 and frame.position is None:
        yield "They are in the order of their numbers, since the slices state no places."
    if frame.position is not None and frame.orientation is None and count > 1:
        yield "The slices state no orientation; their axes were taken along the patient's."
