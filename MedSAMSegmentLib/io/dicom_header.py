"""DICOM headers through pydicom: opened, refused by name when they hold no image, and read without surprises.

A tag that is missing, empty or not what its type says is None here; what follows from that is decided by the caller.
"""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
MAX_DEFLATED = 16 << 30

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_CLASSES = (
    (f"{_STORAGE}66.4", "a segmentation (SEG)"),
    (f"{_STORAGE}66.7", "a segmentation (SEG)"),
    (f"{_STORAGE}66.5", "a surface segmentation (SEG)"),
    (f"{_STORAGE}66.6", "a set of fibre tracts"),
    (f"{_STORAGE}66.1", "a registration (REG)"),
    (f"{_STORAGE}66.3", "a registration (REG)"),
    (f"{_STORAGE}66", "raw data"),
    (f"{_STORAGE}67", "a value mapping (RWV)"),
    (f"{_STORAGE}68", "a mesh"),
    (f"{_STORAGE}481.2", ""),
    (f"{_STORAGE}481.1", ""),
    (f"{_STORAGE}481.3", "a set of contours (RTSTRUCT)"),
    (f"{_STORAGE}481.5", "a radiotherapy plan (RTPLAN)"),
    (f"{_STORAGE}481.8", "a radiotherapy plan (RTPLAN)"),
    (f"{_STORAGE}481", "a radiotherapy record"),
    (f"{_STORAGE}88.59", "a list of key images (KO)"),
    (f"{_STORAGE}88", "a structured report (SR)"),
    (f"{_STORAGE}104", "a document (DOC)"),
    (f"{_STORAGE}11", "a presentation state (PR)"),
    (f"{_STORAGE}9", "a waveform"),
    (f"{_STORAGE}77.1.6", "a whole-slide image (SM), kept in tiles"),
    (DIRECTORY_CLASS, "a directory (DICOMDIR)"),
)
"""Names of SOP classes by their beginning; the first that fits. An empty name: an image after all."""

_MODALITIES = {
    "SEG": "a segmentation (SEG)",
    "SR": "a structured report (SR)",
    "RTSTRUCT": "a set of contours (RTSTRUCT)",
    "RTPLAN": "a radiotherapy plan (RTPLAN)",
    "RTRECORD": "a radiotherapy record",
    "KO": "a list of key images (KO)",
    "PR": "a presentation state (PR)",
    "REG": "a registration (REG)",
    "RWV": "a value mapping (RWV)",
    "DOC": "a document (DOC)",
    "ECG": "a waveform",
    "SM": "a whole-slide image (SM), kept in tiles",
}


def is_dicom_file(path: Path) -> bool:
    """Return whether the file has DICOM's mark after its preamble."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error


def may_be_dicom(head: bytes) -> bool:
    """Return whether a file's first 132 bytes are DICOM's: with the mark, or without it the groups 0002 or 0008."""
    return head[128:132] == b"DICM" or (len(head) == 132 and head[:4] in _BARE)


_BARE = tuple(
    struct.pack(order + "HH", group, element)
    for order in "<>"
    for group, elements in ((2, (0, 1, 2, 3, 0x10)), (8, (0, 1, 5, 8, 0x12, 0x16, 0x18)))
    for element in elements
)
"""First tags of files that were written without preamble and mark."""


@cache
def damage() -> tuple[type[Exception], ...]:
    """Return the exceptions that pydicom's parser and decoders raise for damage."""
    from pydicom.errors import BytesLengthException, InvalidDicomError

    return (InvalidDicomError, BytesLengthException, *_DAMAGE)


@contextmanager
def dicom_errors(path: Path) -> Iterator[None]:
    """Raise what pydicom raises as `InputError`, and keep its warnings off the terminal."""
    try:
        kinds = damage()
    except ImportError as error:
        raise InputError(f"{path.name} is DICOM, and pydicom is missing.", "Install pydicom.") from error
    try:
        with silence():
            yield
    except MemoryError as error:
        raise InputError(f"{path.name} does not fit in memory.", "Crop or downsample it.") from error
    except kinds as error:
        raise InputError(f"{path.name} cannot be read as DICOM.", "Export it again.", str(error)) from error


@contextmanager
def silence() -> Iterator[None]:
    """Keep warnings and log lines of pydicom and highdicom off the terminal: they quote values, also the patient's."""
    loggers = [logging.getLogger(name) for name in ("pydicom", "highdicom")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def read_dataset(path: Path, *, pixels: bool) -> FileDataset:
    """Return a file's tags, with or without its pixel data. Raises `InputError`."""
    with dicom_errors(path):
        import pydicom

        data = pydicom.dcmread(path, stop_before_pixels=not pixels, force=not is_dicom_file(path))
        if len(data) == 0 and not data.file_meta:
            raise ValueError("no tags")
    return data


def transfer_syntax(data: Dataset) -> str:
    """Return the transfer syntax's UID; that in which the tags were found where the file does not say."""
    named = str(getattr(data, "file_meta", {}).get("TransferSyntaxUID") or "").strip()
    if named:
        return named
    implicit, little = data.original_encoding
    if implicit:
        return IMPLICIT_LITTLE
    return EXPLICIT_LITTLE if little or little is None else EXPLICIT_BIG


def is_directory(path: Path) -> bool:
    """Return whether a DICOM file is a DICOMDIR. Raises `InputError`."""
    data = read_dataset(path, pixels=False)
    with dicom_errors(path):
        return sop_class(data) == DIRECTORY_CLASS


def sop_class(data: Dataset) -> str:
    return text(data, "SOPClassUID") or str(getattr(data, "file_meta", {}).get("MediaStorageSOPClassUID") or "")


def name_other_than_image(data: Dataset) -> str:
    """Return what the file holds if that is no image, such as "a structured report (SR)"; "" for an image."""
    uid = sop_class(data)
    for start, name in _CLASSES:
        if uid == start or uid.startswith(start + "."):
            return name
    named = _MODALITIES.get(text(data, "Modality").upper(), "")
    if named or integer(data, "Rows") is not None:
        return named
    if uid:
        from pydicom.uid import UID

        # Of an image that lacks its rows, the header is damaged.
        return "" if "Image Storage" in UID(uid).name else f"no image ({UID(uid).name})"
    return "no image"


def refuse_other_than_image(data: Dataset, path: Path) -> None:
    """Raise `InputError`, with what it is, for a file that holds no image."""
    refuse_kind(name_other_than_image(data), path)


def refuse_kind(name: str, path: Path) -> None:
    """Raise `InputError` for a file that holds what `name_other_than_image` gave, if it gave anything."""
    if name:
        said = f"{path.name} holds {name}." if name.startswith("no image") else f"{path.name} is {name}, not an image."
        cure = "the image it was drawn on" if "segmentation" in name else "the image series itself, or its folder"
        raise InputError(said, f"Give {cure}.")


def text(data: Dataset | None, name: str) -> str:
    """Return a tag as text, values of a list between backslashes; "" when it is missing."""
    value = _value(data, name)
    if value is None:
        return ""
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        return "\\".join(str(part) for part in value)
    return str(value).strip()


def is_stated(data: Dataset | None, name: str) -> bool:
    """Return whether a tag has a value, be it one that cannot be understood."""
    if data is None or name not in data:
        return False
    try:
        return data[name].value not in (None, "", b"")
    except damage():
        return True


def numbers(data: Dataset | None, name: str, count: int | None = None) -> tuple[float, ...] | None:
    """Return a tag's finite numbers; None when there are not `count` (or none at all)."""
    parts = text(data, name).replace(",", "\\").strip("[]() ").split("\\")
    try:
        found = tuple(float(part) for part in parts)
    except ValueError:
        return None
    wanted = len(found) if count is None else count
    return found if len(found) == wanted and np.isfinite(found).all() else None


def number(data: Dataset | None, name: str) -> float | None:
    found = numbers(data, name)
    return found[0] if found else None


def integer(data: Dataset | None, name: str) -> int | None:
    found = number(data, name)
    return int(found) if found is not None and found == int(found) else None


def first_item(data: Dataset | None, name: str) -> Dataset | None:
    """Return the first data set of a sequence."""
    value = _value(data, name)
    try:
        return value[0] if value else None
    except damage():
        return None


def _value(data: Dataset | None, name: str) -> Any:
    """Return a tag's value, None also where its bytes are no value of its type."""
    if data is None:
        return None
    try:
        return data.get(name)
    except damage():
        return None
