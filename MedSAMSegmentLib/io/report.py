"""JSON reports, and the digests that say which input a result came from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .atomic import replacing

BLOCK = 1 << 20


def write_report(path: str | Path, report: Mapping[str, Any]) -> None:
    """Write `report` as JSON; numpy values, paths and dataclasses are allowed, what is not finite becomes null.

    Raises `OutputError`.
    """
    text = json.dumps(plain(report), indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(path, ".json") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def plain(value: Any) -> Any:
    """`value` in JSON's own types."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file; of a folder, that of its files' names and digests in name order. Raises `InputError`."""
    path = Path(path)
    try:
        if path.is_dir():
            lines = (f"{_file_sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in _files(path))
            return hashlib.sha256("".join(lines).encode()).hexdigest()
        return _file_sha256(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error


def _files(folder: Path) -> list[Path]:
    return sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.relative_to(folder).as_posix())


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
