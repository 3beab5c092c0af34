"""Write segments in the format that the file's name asks for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from numpy.typing import NDArray

from ..errors import OutputError, UsageError
from ..geometry import VolumeGeometry
from .challenge_npz import write_challenge_npz
from .dicom_output import DICOM_OUTPUT_SUFFIX, DicomOutput, check_dicom_output, write_dicom
from .itk import require_right_angles
from .label_map import LABEL_MAP_SUFFIXES, NIFTI_SUFFIXES, merged_labels, sidecar_path, write_label_map
from .mask_picture import PICTURE_SUFFIXES, check_picture_grid, write_mask_picture
from .nifti import can_hold
from .nifti_header import NiftiForms
from .seg_nrrd import write_seg_nrrd
from .segments import Color, SegmentToWrite, Terminology

SEGMENTATION_SUFFIXES = (".seg.nrrd", *LABEL_MAP_SUFFIXES, ".npz", DICOM_OUTPUT_SUFFIX, *PICTURE_SUFFIXES)


def write_segmentation(
    path: str | Path,
    segments: Sequence[SegmentToWrite],
    geometry: VolumeGeometry,
    nifti_forms: NiftiForms | None = None,
    dicom: DicomOutput | None = None,
) -> tuple[Path, ...]:
    """Write segments in the format of the path's suffix; the files written. Raises `UsageError`, `OutputError`.

    `nifti_forms` is what the image's own file says about its place; a NIfTI file on its grid says the same. `dicom` is
    what a `.dcm` refers to; segments that are empty are left out of it.
    """
    path, suffix = Path(path), segmentation_suffix(path)
    if suffix == ".seg.nrrd":
        write_seg_nrrd(path, segments, geometry)
    elif suffix in PICTURE_SUFFIXES:
        write_mask_picture(path, segments, geometry)
    elif suffix == DICOM_OUTPUT_SUFFIX:
        write_dicom(path, segments, geometry, dicom)
    elif suffix == ".npz":
        write_challenge_npz(path, merged_labels(segments, geometry), geometry.spacing_zyx)
    else:
        return (path, write_label_map(path, segments, geometry, nifti_forms))
    return (path,)


def segmentation_files(path: str | Path) -> tuple[Path, ...]:
    """Return the files that `write_segmentation` would write for a path. Raises `UsageError` for an unknown suffix."""
    path = Path(path)
    return (path, sidecar_path(path)) if segmentation_suffix(path) in LABEL_MAP_SUFFIXES else (path,)


def segmentation_suffix(path: str | Path) -> str:
    """Return the suffix that chooses a segmentation's format. Raises `UsageError` for an unknown one."""
    return file_suffix(path, SEGMENTATION_SUFFIXES)


def check_output_path(path: str | Path, suffixes: Sequence[str] = SEGMENTATION_SUFFIXES) -> None:
    """Refuse, before the work starts, a kind that is not among `suffixes` or a folder that is missing or closed.

    Raises `UsageError`, `OutputError`.
    """
    file_suffix(path, suffixes)
    check_output_place(Path(path))


def check_output_place(path: Path) -> None:
    """Refuse a file whose folder is missing or closed, or whose name a folder has. Raises `OutputError`."""
    if not path.parent.is_dir():
        raise OutputError(f"The folder {path.parent} does not exist.", "Create it, or choose another place.")
    if path.is_dir():
        raise OutputError(f"{path} is a folder.", "Give the name of a file.")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"The folder {path.parent} cannot be written to.", "Choose another folder.")


def check_output_grid(
    path: str | Path,
    geometry: VolumeGeometry,
    nifti_forms: NiftiForms | None = None,
    dicom: DicomOutput | None = None,
) -> None:
    """Refuse, before the work starts, a format that cannot hold the grid. Raises `UsageError`, `OutputError`."""
    suffix = segmentation_suffix(path)
    if suffix == DICOM_OUTPUT_SUFFIX:
        check_dicom_output(dicom, geometry)
    if suffix in NIFTI_SUFFIXES and can_hold(geometry, nifti_forms):
        return
    if suffix in PICTURE_SUFFIXES:
        check_picture_grid(Path(path), geometry)
    elif suffix in LABEL_MAP_SUFFIXES:
        require_right_angles(geometry)


def segments_from(
    names: Sequence[str],
    masks: Sequence[NDArray],
    *,
    terminologies: Sequence[str] = (),
    colors: Sequence[Color] = (),
) -> list[SegmentToWrite]:
    """Return the segments from names, masks (z,y,x) and, for the first so many, codes such as "SCT:10200004:Liver" and
    colours.

    Raises `UsageError` when there are more codes or colours than segments.
    """
    _require_at_most("colours", len(colors), len(names))
    codes = parse_terminologies(terminologies, len(names))
    return [
        SegmentToWrite(
            name,
            mask,
            colors[index] if index < len(colors) else None,
            codes[index],
        )
        for index, (name, mask) in enumerate(zip(names, masks, strict=True))
    ]


def parse_terminologies(texts: Sequence[str], count: int) -> list[Terminology]:
    """Return one entry for each of `count` segments: the codes in order, then Tissue. Raises `UsageError`."""
    _require_at_most("codes", len(texts), count)
    return [Terminology.parse(text) for text in texts] + [Terminology()] * (count - len(texts))


def _require_at_most(what: str, given: int, count: int) -> None:
    if given > count:
        raise UsageError(f"There are {given} {what} for {count} segments.", "Give at most one a segment.")


def file_suffix(path: str | Path, known: Sequence[str]) -> str:
    """Return the longest of the known suffixes that the file's name ends with. Raises `UsageError` when there is
    none."""
    path = Path(path)
    name = path.name.lower()
    for suffix in sorted(known, key=len, reverse=True):
        if name.endswith(suffix) and name != suffix:
            return suffix
    raise UsageError(f"{path.name} is of a kind that cannot be written.", f"Use one of {', '.join(known)}.")
