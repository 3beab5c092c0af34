"""The sidecar of a case: all that is known of it, in one JSON file that appears whole or not at all.

A case is done when its sidecar says so, its digest is that of the request and the inputs of today, and its outputs are
there as they were written. A file whose size and time are as recorded is not read again.

An output is the cohort's own when a sidecar knows its bytes, or says that a try was moving it into place, which may
have been killed before it could say more. All else that lies there is the user's.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from ..errors import InputError
from ..io.report import file_digest, to_json_types, write_report
from ..io.write_segmentation import segmentation_files
from ..runs.options import RunOptions
from ..version import __version__
from .cases import Case

FORMAT = 1
FOLDER = "sidecars"
THUMBNAILS = "thumbnails"

CaseState = Literal["pending", "running", "done", "failed"]

NOT_OF_THE_RESULT = ("image", "prompts", "name", "device")
"""Options that are not part of a request: the first three are the case's own, and a device changes no rule."""


def sidecar_path(out: Path, case_id: str) -> Path:
    return out / FOLDER / f"{case_id}.json"


def thumbnail_path(out: Path, case_id: str) -> Path:
    return out / THUMBNAILS / f"{case_id}.png"


def read_sidecar(path: Path) -> dict[str, Any]:
    """Return what a sidecar holds; nothing where there is none, or none that can be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and found.get("format") == FORMAT else {}


def write_sidecar(out: Path, facts: Mapping[str, Any]) -> None:
    """Write the sidecar of the case that `facts` names. Raises `OutputError`."""
    write_report(sidecar_path(out, facts["id"]), {"format": FORMAT, **facts})


def options_digest(shared: RunOptions) -> str:
    """Return the SHA-256 of the options that all cases share and of what interprets them."""
    options = {name: value for name, value in asdict(shared).items() if name not in NOT_OF_THE_RESULT}
    return _sha256([options, __version__])


def request_digest(case: Case, options_sha256: str, weights_sha256: str) -> str:
    """Return the SHA-256 of all that decides on a case's result but the content of its files."""
    return _sha256([asdict(case), options_sha256, weights_sha256])


def result_digest(request: str, inputs: Iterable[Mapping[str, Any]]) -> str:
    """Return the SHA-256 of a request and of the files that it was made from."""
    return _sha256([request, sorted((file["part"], file["sha256"]) for file in inputs)])


def file_facts(part: str, name: str, root: Path) -> dict[str, Any]:
    """Return the part that a file or folder plays, its name, size and time as `stamp`, and its SHA-256.

    Raises `InputError`.
    """
    seen = stamp(root / name)
    return {"part": part, "file": name, "stamp": seen, "sha256": file_digest(root / name)}


def stamp(path: Path) -> str:
    """Return size and modification time of a file, or a digest of those of all files in a folder. Raises
    `InputError`."""
    try:
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file())
            return _sha256([(str(file.relative_to(path)), _size_and_time(file)) for file in files])
        return _size_and_time(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error


def is_current(sidecar: Mapping[str, Any], request: str, case: Case, root: Path, out: Path) -> bool:
    """Return whether a sidecar speaks of this request and of the inputs, and if it is done the outputs, of today."""
    if sidecar.get("request") != request:
        return False
    inputs = sidecar.get("inputs", [])
    names = case.files()
    if sidecar["state"] == "failed":
        # What failed before its files could be read is current as long as the request is.
        return all(names.get(file["part"]) == file["file"] and _is_same(root, file) for file in inputs)
    if {file["part"]: file["file"] for file in inputs} != names:
        return False
    outputs = sidecar.get("outputs", [])
    if not outputs or sidecar.get("digest") != result_digest(request, inputs):
        return False
    return all(_is_same(root, file) for file in inputs) and all(_is_same(out, file) for file in outputs)


def foreign_outputs(sidecar: Mapping[str, Any], case: Case, out: Path) -> list[Path]:
    """Return the files at a case's outputs that no try of it wrote, or that were changed since."""
    known = {file["file"]: file for file in (*sidecar.get("outputs", []), *sidecar.get("written", []))}
    found = []
    for name in map(str, segmentation_files(case.output)):
        own = name in sidecar.get("writing", []) or (name in known and _is_same(out, known[name]))
        if not own and os.path.lexists(out / name):
            found.append(out / name)
    return found


def own_outputs(sidecar: Mapping[str, Any], out: Path) -> list[dict[str, Any]]:
    """Return the facts of all outputs that a case's tries wrote and that are there as they were written."""
    known = {file["file"]: file for file in (*sidecar.get("written", []), *sidecar.get("outputs", []))}
    found = [file for name, file in known.items() if name not in sidecar.get("writing", []) and _is_same(out, file)]
    for name in sidecar.get("writing", []):
        with contextlib.suppress(InputError, OSError):
            found.append(file_facts("output", name, out))
    return found


def _is_same(root: Path, known: Mapping[str, Any]) -> bool:
    """Return whether a file is as it was; of one that only its size and time are known of, whether these are."""
    path = root / known["file"]
    try:
        return bool(stamp(path) == known["stamp"] or (known["sha256"] and file_digest(path) == known["sha256"]))
    except InputError:
        return False


def _size_and_time(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def _sha256(value: Any) -> str:
    text = json.dumps(to_json_types(value), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
