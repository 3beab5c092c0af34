"""The folders of a challenge: cases, references and answers by one name, checked before anything is computed."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from numpy.typing import NDArray

from ..errors import InputError, OutputError
from ..io.atomic import atomic_write
from ..io.challenge_npz import read_npz


def cases_in(folder: str | Path) -> list[Path]:
    """Return the cases of a folder, or the one that is named, by name. Raises `InputError` where there is none."""
    folder = Path(folder)
    if folder.is_file() and folder.suffix.lower() == ".npz":
        return [folder]
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder of cases.", "Give a folder with .npz files, or one of them.")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".npz" and not path.name.startswith("."))
    if not found:
        raise InputError(f"{folder} holds no .npz file.", "Give the folder with the cases.")
    return found


def output_folder(folder: str | Path) -> Path:
    """Return the folder for answers, made if its parent is there. Raises `OutputError`."""
    folder = Path(folder)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        cure = "Give a folder whose parent exists."
        raise OutputError(f"{folder} cannot be made: {error.strerror}.", cure) from error
    return folder


@dataclass(frozen=True, eq=False)
class Reference:
    """Labels (z,y,x) or (y,x), and the spacing x,y,z in mm as the file has it; None where it has none."""

    labels: NDArray
    spacing_xyz: tuple[float, float, float] | None


def read_reference(path: Path, image: Path | None = None) -> Reference:
    """Read `gts` and `spacing`, the latter from the `image` where the file has none. Raises `InputError`."""
    arrays = read_npz(path, ("gts", "spacing"))
    if "gts" not in arrays:
        raise InputError(f"{path.name} has no reference (gts).", "Give the folder that has them.")
    spacing = arrays.get("spacing")
    if spacing is None and image is not None and image.is_file():
        spacing = read_npz(image, ("spacing",)).get("spacing")
    if spacing is None:
        return Reference(arrays["gts"], None)
    values = spacing.ravel().tolist()
    if len(values) != 3 or not all(math.isfinite(value) and value > 0 for value in values):
        raise InputError(f"{path.name}: spacing is not three positive numbers.", "Repair it.")
    return Reference(arrays["gts"], (float(values[0]), float(values[1]), float(values[2])))


def read_answer(path: Path) -> tuple[NDArray, NDArray | None]:
    """Return `segs`, and `all_segs` of an interactive run if there are. Raises `InputError`."""
    arrays = read_npz(path, ("segs", "all_segs"))
    if "segs" not in arrays:
        raise InputError(f"{path.name} has no answer (segs).", "Give the folder with the answers.")
    return arrays["segs"], arrays.get("all_segs")


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows of equal columns as CSV, nan as nothing, as the published tables have it. Raises `OutputError`."""
    with atomic_write(path, ".csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def mean_of(values: Iterable[float]) -> float:
    """Return the mean of the values that are numbers; nan where there is none."""
    kept = [value for value in values if not math.isnan(value)]
    return sum(kept) / len(kept) if kept else math.nan


def _cell(value: object) -> object:
    return "" if isinstance(value, float) and math.isnan(value) else value
