"""A table and a page of a cohort: `summary.csv`, and `summary.html` with pictures, which needs no network."""

from __future__ import annotations

import base64
import csv
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..errors import OutputError
from ..io.atomic import atomic_writes
from ..io.output_files import existing
from ..io.report import file_digest, write_report
from .sidecar import thumbnail_path
from .state import known_cases

COLUMNS = (
    "id", "object", "state", "volume_ml", "longest_mm", "perpendicular_mm", "dice", "surface_dice", "hausdorff_95_mm",
    "confidence", "assessment", "flags", "flagged_slices", "seconds", "tries", "peak_memory_mb", "model", "device",
    "output", "error_code", "error", "cure",
)  # fmt: skip

RECORD = ".summary.json"
"""The digests by which the next call knows its own files."""

EMBEDDED = 500
"""Pictures that the page holds itself; those of larger cohorts stay files beside it."""

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""

STYLE = """
body{font:14px/1.4 system-ui,sans-serif;margin:2em;color:#1c1e22;background:#fff}
table{border-collapse:collapse}
td,th{padding:.35em .8em;border-bottom:1px solid #dcdfe4;text-align:left;vertical-align:top}
th{position:sticky;top:0;background:#f4f5f7}td.n{text-align:right;font-variant-numeric:tabular-nums}
img{max-width:128px;display:block;background:#101216}.failed{background:#fdecea}.look{background:#fff7e0}
small{color:#5b616b}
"""

Row = dict[str, Any]


def write_summary(out: Path, *, overwrite: bool = False) -> tuple[Path, Path]:
    """Write both and return their paths.

    Raises `InputError` where there is no cohort, and `OutputError`, also for files that are not as an earlier call
    wrote them, unless `overwrite` says that they may be replaced.
    """
    rows = [row for name, sidecar in known_cases(out) for row in case_rows(name, sidecar)]
    table, page = out / "summary.csv", out / "summary.html"
    known = _known_digests(out)
    own = [path for path in existing((table, page)) if path.is_file() and file_digest(path) in known]
    foreign = [path for path in existing((table, page)) if path not in own]
    if foreign and not overwrite:
        raise OutputError(
            f"{foreign[0]} is not as 'cohort summary' wrote it.", "Move it elsewhere, or give --overwrite."
        )
    with atomic_writes((table, ".csv"), (page, ".html")) as (new_table, new_page):
        with new_table.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows([_cell(row.get(column)) for column in COLUMNS] for row in rows)
        with new_page.open("w", encoding="utf-8") as file:
            file.writelines(_page(rows, out))
        # Known before they are moved into place, beside those that they replace: at no point is one a stranger.
        digests = [file_digest(path) for path in (*own, new_table, new_page)]
        write_report(out / RECORD, {"sha256": digests})
    return table, page


def _known_digests(out: Path) -> list[str]:
    """Return the SHA-256 of the tables and pages that the last call wrote or replaced."""
    try:
        return [str(digest) for digest in json.loads((out / RECORD).read_bytes())["sha256"]]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def case_rows(name: str, sidecar: Mapping[str, Any]) -> list[Row]:
    """Return one row an object; one for a case that has no result."""
    error = sidecar.get("error") or {}
    case: Row = {
        "id": name,
        "state": sidecar.get("state", "pending"),
        "seconds": sidecar.get("seconds"),
        "tries": sidecar.get("tries"),
        "peak_memory_mb": sidecar.get("peak_memory_mb"),
        "model": (sidecar.get("model") or {}).get("id"),
        "device": sidecar.get("device"),
        "output": "; ".join(file["file"] for file in sidecar.get("outputs", [])),
        "error_code": error.get("code"),
        "error": error.get("message"),
        "cure": error.get("cure"),
    }
    if case["state"] != "done":
        return [case]
    return [{**case, **_object_cells(item)} for item in sidecar["objects"]]


def _object_cells(item: Mapping[str, Any]) -> Row:
    recist = item.get("recist") or {}
    flags = item.get("flags") or {}
    return {
        "object": item["name"],
        "volume_ml": item["volume_ml"],
        "longest_mm": (recist.get("longest") or {}).get("millimetres"),
        "perpendicular_mm": (recist.get("perpendicular") or {}).get("millimetres"),
        **(item.get("metrics") or {}),
        "confidence": item["confidence"],
        "assessment": item["assessment"],
        "flags": "; ".join(sorted(flags)),
        "flagged_slices": " ".join(map(str, item["flagged_slices"])),
    }


def _cell(value: Any) -> Any:
    """Return a cell of the table: text that a spreadsheet would compute begins with an apostrophe."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return "" if value is None else value


def _page(rows: Sequence[Row], out: Path) -> Iterator[str]:
    """Yield the page: cases that failed first, then those to look at."""
    states = {row["id"]: row["state"] for row in rows}
    counts = ", ".join(
        f"{number} {state}"
        for state in ("done", "failed", "running", "pending")
        if (number := list(states.values()).count(state))
    )
    scores = [row["dice"] for row in rows if row.get("dice") is not None]
    mean = f"; mean Dice {statistics.fmean(scores):.3f} of {len(scores)} objects" if scores else ""
    yield (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Cohort</title>'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"script-src 'none'; connect-src 'none'\">"
        f"<style>{STYLE}</style></head><body>\n<h1>{len(states)} cases</h1>\n<p>{escape(counts + mean)}. "
        "Cases that failed come first, then those to look at. For research only.</p>\n<table><thead><tr>"
    )
    for title in ("", "case", "object", "mL", "longest mm", "across mm", "Dice", "look at", "s"):
        yield f"<th>{title}</th>"
    yield "</tr></thead><tbody>\n"
    embedded = len(states) <= EMBEDDED
    shown = ""
    for row in sorted(rows, key=_urgency):
        picture = _picture(row["id"], out, embedded=embedded) if row["id"] != shown and row["state"] == "done" else ""
        shown = row["id"]
        yield _table_row(row, picture)
    yield "</tbody></table>\n</body></html>\n"


def _urgency(row: Row) -> int:
    if row["state"] == "done":
        return 2 if row["assessment"] == "sure" else 1
    return {"failed": 0, "running": 3}.get(row["state"], 4)


def _table_row(row: Row, picture: str) -> str:
    kind = {0: "failed", 1: "look"}.get(_urgency(row), "")
    start = f'<tr class="{kind}"><td>{picture}</td><td>{_text(row["id"])}<br><small>{_text(row["state"])}</small></td>'
    if row["state"] != "done":
        reason = f"{row.get('error') or ''} {row.get('cure') or ''}".strip()
        return f'{start}<td colspan="6">{_text(reason)}</td>{_number(row["seconds"], 1)}</tr>\n'
    numbers = "".join(
        _number(row.get(column), digits)
        for column, digits in (("volume_ml", 2), ("longest_mm", 1), ("perpendicular_mm", 1), ("dice", 3))
    )
    slices = f"slices {row['flagged_slices']}" if row["flagged_slices"] else ""
    look = "<br>".join(_text(part) for part in (row["assessment"], row["flags"], slices) if part)
    return f"{start}<td>{_text(row['object'])}</td>{numbers}<td>{look}</td>{_number(row['seconds'], 1)}</tr>\n"


def _picture(name: str, out: Path, *, embedded: bool) -> str:
    path = thumbnail_path(out, name)
    source = f"{path.parent.name}/{quote(path.name)}"
    if embedded:
        try:
            source = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
        except OSError:
            return ""
    return f'<img loading="lazy" alt="" src="{source}">'


def _text(value: Any) -> str:
    return escape(str(value))


def _number(value: float | None, digits: int) -> str:
    return f'<td class="n">{"" if value is None else f"{value:.{digits}f}"}</td>'
