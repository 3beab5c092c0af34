"""Read a volume from whatever holds it: the reader is found by the path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError, UsageError
from .challenge_npz import read_challenge_npz
from .dicom import read_dicom_file, read_dicom_folder
from .dicom_header import is_dicom_file, is_directory
from .dicom_series import FoundSeries, find_series, series_of_file
from .file_kinds import DICOM_SUFFIXES, IMAGE_SUFFIXES, ITK_KINDS, file_kind, image_suffix
from .itk import read_itk
from .nifti import read_nifti
from .plain_images import read_frames, read_image
from .spacing import with_spacing
from .volume import MAX_BYTES, Volume


def read_volume(
    path: str | Path,
    *,
    series: str | None = None,
    spacing: Sequence[float] | None = None,
    max_bytes: int = MAX_BYTES,
    text_order: bool = False,
    found: FoundSeries | None = None,
) -> Volume:
    """Read NIfTI, NRRD, MetaImage, DICOM (a folder, a DICOMDIR or a file), PNG/JPEG/TIFF, a folder of frames or a
    challenge .npz.

    `series` is the number or UID of the DICOM series to take where there are several; by default the largest image
    series, and `Volume.notes` says so. `spacing` is the voxel size in mm along i, j, k in place of the file's own.
    `text_order` takes the frames of a folder in the order of their names as text. `found` is what `list_dicom` gave, so
    that a folder is not searched again. Raises `InputError` with the reason for what cannot be read.
    """
    if not str(path).strip():
        raise UsageError("The path of the image is empty.", "Give the file or the folder of the image.")
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist.", "Check the path.")
    if path.is_dir():
        volume = _read_folder(path, series, max_bytes, text_order, found)
    else:
        volume = _read_file(path, series, max_bytes)
    if series is not None and volume.kind != "dicom":
        raise UsageError("A series can be chosen in DICOM only.", "Leave --series out.")
    return with_spacing(volume, spacing) if spacing is not None else volume


def list_dicom(path: str | Path) -> FoundSeries | None:
    """Return the DICOM series in a folder, a DICOMDIR or a file; None where there is no DICOM. Raises `InputError`."""
    path = Path(path)
    if path.is_dir():
        found = find_series(path)
        return found if found or found.others else None
    if not path.is_file() or not is_dicom_file(path):
        return None
    return find_series(path) if is_directory(path) else series_of_file(path)


def _read_file(path: Path, series: str | None, max_bytes: int) -> Volume:
    if path.stat().st_size == 0:
        raise InputError(f"{path.name} is an empty file.", "Export it again.")
    suffix = ".dcm" if is_dicom_file(path) else file_kind(path)
    if suffix == ".seg.nrrd":
        raise InputError(f"{path.name} is a segmentation, not an image.", "Give the image it was drawn on.")
    if ITK_KINDS.get(suffix) == "nifti":
        return read_nifti(path, max_bytes)
    if suffix in ITK_KINDS:
        return read_itk(path, ITK_KINDS[suffix], max_bytes)
    if suffix in IMAGE_SUFFIXES:
        return read_image(path, max_bytes)
    if suffix == ".npz":
        return read_challenge_npz(path, max_bytes=max_bytes).volume
    if suffix in DICOM_SUFFIXES:
        return read_dicom_file(path, max_bytes, series)
    known = ", ".join((*ITK_KINDS, *IMAGE_SUFFIXES, *DICOM_SUFFIXES, ".npz"))
    raise InputError(f"{path.name} is of a kind that is not known.", f"Use a DICOM folder or one of {known}.")


def _read_folder(
    folder: Path, series: str | None, max_bytes: int, text_order: bool, found: FoundSeries | None
) -> Volume:
    found = found or find_series(folder)
    if found:
        return read_dicom_folder(found, series, max_bytes)
    images = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    if images:
        return read_frames(folder, images, max_bytes, text_order=text_order)
    if found.others or found.unreadable:
        return read_dicom_folder(found, series, max_bytes)
    volumes = [p.name for p in sorted(folder.iterdir()) if image_suffix(p) in (*ITK_KINDS, ".npz")]
    cure = f"Give the file, such as {volumes[0]}." if volumes else "Give a DICOM folder or a folder of PNG frames."
    raise InputError(f"{folder} holds no DICOM series and no frames.", cure)
