"""Label maps: one number a segment, in NIfTI, NRRD or MetaImage, with the names in a JSON file beside it."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..geometry import VolumeGeometry
from .atomic import atomic_writes
from .file_kinds import ITK_KINDS, file_kind
from .itk import image_from_array, read_itk
from .nifti import can_hold, nifti_labels, read_nifti
from .nifti_header import NiftiForms
from .report import report_text
from .seg_nrrd import check_segments
from .segments import SegmentationFile, SegmentToWrite, Terminology, palette_color
from .volume import Volume

MAX_LABELS = 512
NIFTI_SUFFIXES = (".nii", ".nii.gz")
LABEL_MAP_SUFFIXES = (*NIFTI_SUFFIXES, ".nrrd", ".mha")


def write_label_map(
    path: str | Path,
    segments: Sequence[SegmentToWrite],
    geometry: VolumeGeometry,
    nifti_forms: NiftiForms | None = None,
) -> Path:
    """Write labels 1, 2, ... in the order of `segments`, and the sidecar whose path is returned.

    A NIfTI file on the grid that `nifti_forms` mean says just that about its place.

    A voxel of several segments gets the last one's label; the sidecar says how many each lost. Raises `OutputError`.
    """
    import SimpleITK as sitk

    path = Path(path)
    labels = merged_labels(segments, geometry)
    suffix = next(s for s in sorted(LABEL_MAP_SUFFIXES, key=len, reverse=True) if path.name.lower().endswith(s))
    forms = nifti_forms if suffix in NIFTI_SUFFIXES and can_hold(geometry, nifti_forms) else None
    image = image_from_array(labels, geometry) if forms is None else None
    sidecar = sidecar_path(path)
    with atomic_writes((path, suffix), (sidecar, ".json")) as (temporary, listed):
        listed.write_text(report_text(_sidecar(path, segments, labels)), encoding="utf-8", errors="replace")
        if forms is not None:
            temporary.write_bytes(nifti_labels(labels, geometry, forms, suffix))
        else:
            assert image is not None
            sitk.WriteImage(image, str(temporary), useCompression=suffix != ".nii")
            _require_as_written(temporary, labels)
    return sidecar


def _require_as_written(written: Path, labels: NDArray) -> None:
    """Raise OSError for a file that is not whole: where the disk is full some of ITK's writers end as if all were
    well."""
    try:
        whole = np.array_equal(_read(written).array_zyx, labels)
    except InputError:
        whole = False
    if not whole:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def merged_labels(
    segments: Sequence[SegmentToWrite], geometry: VolumeGeometry
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the labels (z,y,x): the number of the segment, from 1; where segments overlap, the later one's."""
    check_segments(segments, geometry)
    labels = np.zeros(geometry.shape_zyx, np.uint8 if len(segments) < 256 else np.uint16)
    for index, segment in enumerate(segments):
        labels[segment.mask_zyx] = index + 1
    return labels


def sidecar_path(path: Path) -> Path:
    """Return the sidecar's path: `liver.nii.gz` -> `liver.labels.json`."""
    suffix = next((s for s in (".nii.gz", path.suffix) if path.name.lower().endswith(s.lower())), "")
    return path.with_name(path.name[: len(path.name) - len(suffix)] + ".labels.json")


def read_label_map(path: str | Path) -> SegmentationFile:
    """Return the segments of a label map, named by its sidecar if there is one, and their grid. Raises `InputError`."""
    path = Path(path)
    volume = _read(path)
    labels = volume.array_zyx
    if labels.ndim != 3 or labels.min() < 0 or not np.array_equal(labels, np.rint(labels)):
        raise InputError(f"{path.name} is not a label map.", "Use whole numbers from 0, one a segment.")
    known = _read_sidecar(sidecar_path(path), path)
    values = [int(v) for v in np.unique(labels) if v != 0]
    if len(values) > MAX_LABELS:
        # Each becomes a mask of full size: a grey image taken for a label map would fill the memory.
        raise InputError(f"{path.name} holds {len(values)} numbers: an image, not a label map.", "Choose a label map.")
    values += [value for value in known if value not in values]
    segments = tuple(_segment(labels == value, value, known.get(value, {})) for value in sorted(values))
    return SegmentationFile(segments, volume.geometry)


def _read(path: Path) -> Volume:
    kind = ITK_KINDS.get(file_kind(path), "nifti")
    return read_nifti(path) if kind == "nifti" else read_itk(path, kind)


def _segment(mask: NDArray[np.bool_], value: int, fields: dict[str, Any]) -> SegmentToWrite:
    color = fields.get("color")
    code = fields.get("terminology")
    return SegmentToWrite(
        str(fields.get("name", f"Label {value}")),
        mask,
        tuple(color) if color else palette_color(value - 1),
        Terminology.parse(code) if code else Terminology(),
    )


def _sidecar(path: Path, segments: Sequence[SegmentToWrite], labels: NDArray) -> dict[str, Any]:
    kept = np.bincount(labels.ravel(), minlength=len(segments) + 1)
    rows = []
    for index, segment in enumerate(segments):
        voxels = int(np.count_nonzero(segment.mask_zyx))
        rows.append(
            {
                "value": index + 1,
                "name": segment.name,
                "color": list(segment.shown_color(index)),
                "terminology": ":".join(segment.terminology.type),
                "voxels": voxels,
                "voxels_overwritten": voxels - int(kept[index + 1]),
            }
        )
    return {"image": path.name, "background": 0, "overlap": "the later label wins", "labels": rows}


def _read_sidecar(path: Path, image: Path) -> dict[int, dict[str, Any]]:
    """Return the fields of each label; none where the list is that of another file of the same stem."""
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows, owner = content["labels"], Path(str(content.get("image", image.name))).name
        # A file that was renamed with its list keeps it: the name in the list then is no file's.
        if owner != image.name and (image.parent / owner).is_file():
            return {}
        return {int(row["value"]): dict(row) for row in rows}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path.name} is not a list of labels.", "Repair or remove it.", str(error)) from error
