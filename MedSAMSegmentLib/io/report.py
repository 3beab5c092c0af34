"""JSON reports, and the digests that say which input a result came from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .atomic import atomic_write
from .detached_headers import image_files

if TYPE_CHECKING:
    from .volume import Volume

BLOCK = 1 << 20


def write_report(path: str | Path, report: Mapping[str, Any]) -> None:
    """Write `report` as JSON, see `report_text`. Raises `OutputError`."""
    text = report_text(report)
    with atomic_write(path, ".json") as temporary:
        # A file name need not be UTF-8, a report must.
        temporary.write_text(text, encoding="utf-8", errors="replace")


def report_text(report: Mapping[str, Any]) -> str:
    """Return `report` as JSON; numpy values, paths and dataclasses are allowed, what is not finite becomes null."""
    return json.dumps(to_json_types(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_json_types(value: Any) -> Any:
    """Return `value` in JSON's own types."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json_types(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_json_types(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file; of a header with its data files, and of a folder, see `files_digest`. Raises
    `InputError`."""
    path = Path(path)
    if path.is_dir():
        return files_digest(_files(path), path)
    return files_digest(image_files(path), path.parent)


def volume_digest(volume: Volume) -> str:
    """Return the SHA-256 of the file, or of all files that the volume was read from. Raises `InputError`."""
    if not volume.parts:
        return file_digest(volume.source)
    return files_digest(volume.parts, volume.source if volume.source.is_dir() else volume.source.parent)


def files_digest(files: Sequence[Path], folder: Path) -> str:
    """Return the SHA-256 of one file; of several, that of their names in `folder` and their own digests, in name order.

    Raises `InputError`.
    """
    try:
        if len(files) == 1 and files[0].parent == folder:
            return _file_sha256(files[0])
        lines = sorted((file.relative_to(folder).as_posix(), _file_sha256(file)) for file in files)
    except OSError as error:
        raise InputError(f"{error.filename or folder} cannot be read: {error.strerror}.", "Check the path.") from error
    listing = "".join(f"{digest}  {name}\n" for name, digest in lines)
    return hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest()


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
