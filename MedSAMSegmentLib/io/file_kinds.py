"""The kind of a file: by its suffix, else by its first bytes."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from .nifti_header import parse_nifti

ITK_KINDS = {
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".hdr": "nifti",
    ".img": "nifti",
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",
    ".mha": "metaimage",
    ".mhd": "metaimage",
}
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
HEAD_BYTES = 4096

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"II+\0": ".tif",
    b"MM\0+": ".tif",
    b"NRRD000": ".nrrd",
    b"PK\x03\x04": ".npz",
}
_META = re.compile(rb"\s*(ObjectType|NDims|Comment|ObjectSubType)\s*=")


def image_suffix(path: Path) -> str:
    """Return the suffix in lower case, with ".nii.gz" and ".seg.nrrd" kept whole."""
    name = path.name.lower()
    return next((double for double in (".nii.gz", ".seg.nrrd") if name.endswith(double)), path.suffix.lower())


def file_kind(path: Path) -> str:
    """Return the suffix that the file has or, where it is none of an image, should have by its content; "" for a file
    of no known kind. Raises OSError."""
    suffix = image_suffix(path)
    known = suffix in (".seg.nrrd", ".npz", *ITK_KINDS, *IMAGE_SUFFIXES, *DICOM_SUFFIXES)
    return suffix if known else kind_by_content(path)


def kind_by_content(path: Path) -> str:
    """Return the suffix that the file's first bytes ask for; "" when they say nothing. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head[128:132] == b"DICM":
        return ".dcm"
    found = next((suffix for start, suffix in _SIGNATURES.items() if head.startswith(start)), "")
    if found:
        return found
    if _META.match(head):
        return ".mha"
    if head[:2] == b"\x1f\x8b":
        head = _unpacked(path)
    header = parse_nifti(head)
    return ".nii" if header is not None and not header.is_analyze else ""


def _unpacked(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.read(HEAD_BYTES)
    except (OSError, EOFError, zlib.error):
        return b""
