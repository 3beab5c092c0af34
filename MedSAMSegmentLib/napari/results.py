"""Masks into a Labels layer, with its own undo, and out of it into files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from ..io.dicom_output import DICOM_OUTPUT_SUFFIX, DicomOutput
from ..io.output_files import check_against_inputs, image_and_companions
from ..io.segments import SegmentToWrite
from ..io.write_segmentation import (
    check_output_grid,
    check_output_path,
    segmentation_files,
    segmentation_suffix,
    write_segmentation,
)
from .layer_image import LayerImage


def write_object(labels: Any, image: LayerImage, mask_zyx: NDArray[np.bool_], number: int) -> None:
    """Make an object of a Labels layer equal to a mask, as one step of the layer's undo.

    Other objects give way, unless the layer is set to preserve its labels.
    """
    view = labels.data[image.place]
    mask = mask_zyx.reshape(view.shape)
    own = view == number
    box = _bounds(mask | own)
    if box is None:
        return
    old = view[box]
    taken = mask[box] & ((old == 0) | own[box]) if labels.preserve_labels else mask[box]
    new = np.where(own[box], 0, old).astype(old.dtype)
    new[taken] = number
    changed = np.nonzero(new != old)
    # Half of what numpy gives: the history of the layer keeps them.
    indices = [(part + side.start).astype(np.int32) for part, side in zip(changed, box, strict=True)]
    frame = [np.full(len(changed[0]), index, np.int32) for index in image.place]
    labels.data_setitem((*frame, *indices), new[changed])


def voxel_count(labels: Any, image: LayerImage, number: int) -> int:
    return int(np.count_nonzero(labels.data[image.place] == number))


def segments_of(
    values_zyx: NDArray[Any], names: dict[int, str], colors: dict[int, tuple[float, float, float]]
) -> list[SegmentToWrite]:
    """Return the labels (z,y,x) as segments, in the order of their numbers; those without a name have their number."""
    present = sorted({int(value) for part in values_zyx for value in np.flatnonzero(np.bincount(part.ravel()))} - {0})
    return [
        SegmentToWrite(names.get(value, f"Segment_{value}"), values_zyx == value, colors.get(value))
        for value in present
    ]


def save(
    path: str | Path,
    image: LayerImage,
    values_zyx: NDArray[Any],
    names: dict[int, str],
    colors: dict[int, tuple[float, float, float]],
    *,
    dicom_kind: str = "seg",
    model: str = "",
) -> tuple[Path, ...]:
    """Write labels (z,y,x) as segments in the format of the suffix; the files written.

    Raises `OutputError`, also where there is nothing to write or a file of the image would be replaced; `UsageError`.
    """
    path, volume = Path(path), image.volume
    check_output_path(path)
    dicom = None
    if segmentation_suffix(path) == DICOM_OUTPUT_SUFFIX:
        if volume is None or not volume.slice_sources:
            raise OutputError("DICOM is written about images that were read from DICOM.", "Choose another format.")
        dicom = DicomOutput.of(volume, dicom_kind, model)
    if volume is not None:
        parts = [file for part in volume.parts or (volume.source,) for file in image_and_companions(part)]
        check_against_inputs(segmentation_files(path), [*parts, volume.source])
    segments = segments_of(values_zyx, names, colors)
    if not segments:
        raise OutputError("There is no object to save.", "Segment one first.")
    forms = volume.nifti_forms if volume is not None else None
    check_output_grid(path, image.geometry, forms, dicom)
    return write_segmentation(path, segments, image.geometry, forms, dicom)


def _bounds(mask: NDArray[np.bool_]) -> tuple[slice, ...] | None:
    """Return the smallest box that holds a mask; None for an empty one.

    Each axis is looked at within the ones before it: of a large volume most is left aside after the first.
    """
    sides: list[slice] = []
    for axis in range(mask.ndim):
        part = mask[tuple(sides)]
        held = np.flatnonzero(part.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        if not held.size:
            return None
        sides.append(slice(int(held[0]), int(held[-1]) + 1))
    return tuple(sides)
