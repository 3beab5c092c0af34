"""Read a volume from whatever holds it: the reader is found by the path."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError, UsageError
from .challenge_npz import read_challenge_npz
from .dicom import find_series, is_dicom_file, read_dicom_file, read_dicom_series
from .file_kinds import DICOM_SUFFIXES, IMAGE_SUFFIXES, ITK_KINDS, file_kind, image_suffix
from .itk import read_itk
from .nifti import read_nifti
from .plain_images import read_frames, read_image
from .volume import MAX_BYTES, Volume


def read_volume(
    path: str | Path, *, series: str | None = None, max_bytes: int = MAX_BYTES, text_order: bool = False
) -> Volume:
    """Read NIfTI, NRRD, MetaImage, DICOM (a folder or a file), PNG/JPEG/TIFF, a folder of frames or a challenge .npz.

    `series` is the UID of the DICOM series to take from a folder that holds several; by default the largest, and
    `Volume.notes` says so. `text_order` takes the frames of a folder in the order of their names as text. Raises
    `InputError` with the reason for what cannot be read.
    """
    if not str(path).strip():
        raise UsageError("The path of the image is empty.", "Give the file or the folder of the image.")
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist.", "Check the path.")
    if path.is_dir():
        return _read_folder(path, series, max_bytes, text_order)
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
        return read_dicom_file(path, max_bytes)
    known = ", ".join((*ITK_KINDS, *IMAGE_SUFFIXES, *DICOM_SUFFIXES, ".npz"))
    raise InputError(f"{path.name} is of a kind that is not known.", f"Use a DICOM folder or one of {known}.")


def _read_folder(folder: Path, series: str | None, max_bytes: int, text_order: bool) -> Volume:
    found = find_series(folder)
    if found:
        return read_dicom_series(folder, found, series, max_bytes)
    images = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    if images:
        return read_frames(folder, images, max_bytes, text_order=text_order)
    volumes = [p.name for p in sorted(folder.iterdir()) if image_suffix(p) in (*ITK_KINDS, ".npz")]
    cure = f"Give the file, such as {volumes[0]}." if volumes else "Give a DICOM folder or a folder of PNG frames."
    raise InputError(f"{folder} holds no DICOM series and no frames.", cure)
