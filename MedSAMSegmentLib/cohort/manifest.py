"""The list of cases: CSV or JSON lines, every row checked before anything runs.

One row is one object; several rows with one id are several objects of one case. Paths are relative to the manifest.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import InputError, MedSAMError
from ..geometry import axis_from_name
from ..intensity import parse_window
from ..io.write_segmentation import segmentation_files
from ..registry import get
from ..runs.options import PromptOption
from .cases import Case, CaseObject

COLUMNS = (
    "id", "image", "output", "model", "window", "axis", "box", "roi", "points", "line", "mask", "name", "reference",
    "series",
)  # fmt: skip
OF_THE_CASE = ("image", "output", "model", "window", "axis", "series")
"""Columns that are alike in all rows of one id; a later row may leave them empty."""

OUTPUT_FOLDER = "segmentations"
OWN_FOLDERS = ("sidecars", "thumbnails")
"""Folders of the cohort's own, which are no place for an output."""

MOST_SAID = 5
"""Wrong rows that an error names; of the others it says how many there are."""

_ID = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,78}[A-Za-z0-9_-])?")
_MASK = re.compile(r"(.+):(\d+)")


@dataclass(frozen=True)
class Row:
    """The cells of a row that are not empty, as text, and the line that it ends on."""

    line: int
    cells: Mapping[str, str]


class RowError(Exception):
    """A row that cannot be used, with the reason."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")


def read_manifest(path: str | Path) -> list[Case]:
    """Return the cases in the order of their first rows. Raises `InputError` that names the lines of wrong rows."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InputError(f"{path} cannot be read: {reason}.", "Give a CSV or JSONL file in UTF-8.") from error
    wrong: list[RowError] = []
    rows = list(_json_rows(text, wrong) if path.suffix.lower() in (".jsonl", ".ndjson") else _csv_rows(text, path))
    groups: dict[str, list[Row]] = {}
    for row in rows:
        try:
            groups.setdefault(_checked_id(row), []).append(row)
        except RowError as error:
            wrong.append(error)
    cases = _cases(groups, path.parent, wrong)
    if wrong:
        wrong.sort(key=lambda error: int(str(error).split(":")[0].split()[1]))
        more = f"; and {len(wrong) - MOST_SAID} more" if len(wrong) > MOST_SAID else ""
        said = "; ".join(map(str, wrong[:MOST_SAID]))
        raise InputError(f"{path.name}, {said}{more}.", "Correct the manifest; nothing was run.")
    if not cases:
        raise InputError(f"{path.name} has no rows.", f"Its columns are {', '.join(COLUMNS)}; id and image are needed.")
    return cases


def _csv_rows(text: str, path: Path) -> Iterator[Row]:
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        _check_columns(names, path)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                if len(cells) > len(names):
                    raise InputError(
                        f"{path.name}, line {reader.line_num}: {len(cells)} cells for {len(names)} columns.",
                        'Put what holds a comma into quotes: "1 2 3 4 5 6".',
                    )
                found = {name: cell.strip() for name, cell in zip(names, cells, strict=False) if cell.strip()}
                yield Row(reader.line_num, found)
    except csv.Error as error:
        raise InputError(f"{path.name}, line {reader.line_num}: {error}.", "Save it as CSV again.") from error


def _check_columns(names: Sequence[str], path: Path) -> None:
    for name in names:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, 1)
            meant = f"Did you mean {near[0]}? " if near else ""
            raise InputError(
                f"{path.name}, line 1: there is no column {name!r}.", f"{meant}The columns are {', '.join(COLUMNS)}."
            )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice or not {"id", "image"} <= set(names):
        fault = f"the column {twice} is there twice" if twice else "the columns id and image are needed"
        raise InputError(f"{path.name}, line 1: {fault}.", "Correct the first line.")


def _json_rows(text: str, wrong: list[RowError]) -> Iterator[Row]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            wrong.append(RowError(number, f"this is not JSON ({error})"))
            continue
        unknown = sorted(set(fields) - set(COLUMNS)) if isinstance(fields, dict) else []
        if not isinstance(fields, dict) or unknown:
            reason = f"there is no field {unknown[0]!r}" if unknown else "this is not an object in {}"
            wrong.append(RowError(number, reason))
            continue
        yield Row(number, {name: text for name, value in fields.items() if (text := _as_text(value))})


def _as_text(value: Any) -> str:
    """Return a value of JSON as it stands in a cell: numbers apart by spaces, points by semicolons."""
    if isinstance(value, list):
        nested = any(isinstance(item, list) for item in value)
        return ("; " if nested else " ").join(map(_as_text, value))
    return "" if value is None else str(value).strip()


def _checked_id(row: Row) -> str:
    found = row.cells.get("id", "")
    if not _ID.fullmatch(found):
        said = f"{found!r} is no id" if found else "the id is missing"
        raise RowError(row.line, f"{said}; use up to 80 of A-Z a-z 0-9 . _ -, it names files")
    return found


def _cases(groups: Mapping[str, Sequence[Row]], root: Path, wrong: list[RowError]) -> list[Case]:
    cases = []
    ids: dict[str, str] = {}
    outputs: dict[str, str] = {}
    for name, rows in groups.items():
        try:
            other = ids.setdefault(name.casefold(), name)
            if other != name:
                raise RowError(rows[0].line, f"{name} and {other} differ in upper and lower case alone")
            case = _case(name, rows, root)
            for file in segmentation_files(case.output):
                other = outputs.setdefault(str(file).casefold(), name)
                if other != name:
                    raise RowError(rows[0].line, f"{name} and {other} would both write {file}")
        except RowError as error:
            wrong.append(error)
        else:
            cases.append(case)
    return cases


def _case(name: str, rows: Sequence[Row], root: Path) -> Case:
    shared: dict[str, str] = {}
    for row in rows:
        for column in OF_THE_CASE:
            cell = row.cells.get(column, "")
            if cell and shared.setdefault(column, cell) != cell:
                raise RowError(row.line, f"the {column} of {name} was {shared[column]!r} before")
    line = rows[0].line
    if "image" not in shared:
        raise RowError(line, "the image is missing")
    for column, check in (("model", _check_model), ("window", parse_window), ("axis", _check_axis)):
        if column in shared:
            _checked(check, shared[column], line)
    output = shared.setdefault("output", f"{OUTPUT_FOLDER}/{name}.seg.nrrd")
    _check_output(output, line)
    objects = tuple(_object(row) for row in rows)
    brings_boxes = shared["image"].lower().endswith(".npz") and len(rows) == 1
    for row, item in zip(rows, objects, strict=True):
        if not item.prompts and not brings_boxes:
            raise RowError(row.line, "there is no prompt: fill box, roi, points, line or mask")
    case = Case(name, objects=objects, **shared)
    for part, file in case.files().items():
        if not (root / file).exists():
            raise RowError(_line_of(part, rows), f"{root / file} does not exist")
    return case


def _line_of(part: str, rows: Sequence[Row]) -> int:
    number = part.rpartition(" ")[2]
    return rows[int(number) - 1].line if number.isdigit() else rows[0].line


def _checked(check: Any, text: str, line: int) -> None:
    try:
        check(text)
    except MedSAMError as error:
        raise RowError(line, str(error).rstrip(".")) from error


@cache
def _check_model(model: str) -> None:
    from ..checkpoints.custom_models import CustomModels, is_custom

    if is_custom(model):
        CustomModels().get(model)
    else:
        get(model)


def _check_axis(axis: str) -> None:
    if axis != "time":
        axis_from_name(axis)


def _check_output(output: str, line: int) -> None:
    parts = PurePosixPath(output.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in output:
        raise RowError(line, f"the output {output} is not below the cohort's folder")
    if len(parts.parts) > 1 and parts.parts[0].casefold() in OWN_FOLDERS:
        raise RowError(line, f"the folder {parts.parts[0]} is the cohort's own")
    _checked(segmentation_files, output, line)


def _object(row: Row) -> CaseObject:
    """Return the object of a row: an outline first, then its points."""
    cells, prompts = row.cells, list[PromptOption]()
    for kind in ("box", "line"):
        if kind in cells:
            prompts.append((kind, _numbers(cells[kind], (4, 6), kind, row.line)))
    if "mask" in cells:
        found = _MASK.fullmatch(cells["mask"])
        if not found:
            raise RowError(row.line, f"the mask {cells['mask']!r} names no slice; write FILE:SLICE, as in m.nii.gz:12")
        prompts.append(("mask", [found[1], found[2]]))
    if "roi" in cells:
        prompts.append(("markups", cells["roi"]))
    for words in filter(None, (part.strip() for part in cells.get("points", "").split(";"))):
        negative = words.startswith("- ")
        numbers = _numbers(words[2:] if negative else words, (2, 3), "points", row.line)
        prompts.append(("negative-point" if negative else "point", numbers))
    return CaseObject(tuple(prompts), cells.get("name", ""), cells.get("reference", ""))


def _numbers(text: str, counts: tuple[int, int], column: str, line: int) -> list[float]:
    words = text.replace(",", " ").split()
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) not in counts or not all(abs(number) < 1e9 for number in numbers):
        raise RowError(line, f"{column} {text!r} is not {counts[0]} or {counts[1]} numbers")
    return numbers
