"""The `.npz` of the CVPR 2025 challenge of interactive segmentation in 3D: boxes and clicks of each class.

Beside `imgs`, `spacing` (x,y,z) and, in training files, `gts` (z,y,x) a file holds

- `boxes`: for each class a dictionary with `z_min`, `z_max` and, on the slice `z_mid`, `z_mid_x_min` and so on; all
  inclusive. Absent where a box says little, of vessels for example;
- `clicks`: for each class lists `fg` and `bg` of three indices; `clicks_order`: for each class "fg", "bg" or None,
  the last where nothing was wrong;
- `prev_pred`: the labels of the step before; `text_prompts`: of the challenge's other task.

These are object arrays. `plain_objects` reads them; no pickle is ever loaded.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..prompts import Box, Point
from .challenge_npz import IMAGE_ARRAYS, labels_of, npy_header, read_npz, rows_to_boxes, volume_of
from .plain_objects import MAX_PICKLE_BYTES, MAX_VALUES, read_plain_objects, require_texts
from .volume import MAX_BYTES, Volume

ClickAxes = Literal["zyx", "xyz"]
"""Order of a click's three indices: as the evaluator writes them, or as its text says."""

CLICK_AXES: tuple[ClickAxes, ...] = ("zyx", "xyz")

MAX_CLASSES = 10_000


@dataclass(frozen=True)
class MiddleBox:
    """A box drawn on the slice `middle`; `box` has its columns and rows, and the first and last slice of the object.

    The object may reach beyond the columns and rows on other slices.
    """

    box: Box
    middle: int


@dataclass(frozen=True, eq=False)
class InteractiveCase:
    """A volume with the prompts of its classes: class n + 1 is `boxes[n]` and `clicks[n]`, in the order of clicking.

    `boxes` is empty where the file has none, `clicks` before the first. `reference` and `previous` are labels (z,y,x).
    """

    volume: Volume
    boxes: tuple[MiddleBox, ...] = ()
    clicks: tuple[tuple[Point, ...], ...] = ()
    reference: NDArray | None = None
    previous: NDArray | None = None
    texts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def class_count(self) -> int:
        return max(len(self.boxes), len(self.clicks))


def read_interactive_npz(
    path: str | Path, *, click_axes: ClickAxes = "zyx", max_bytes: int = MAX_BYTES
) -> InteractiveCase:
    """Read a case. Plain rows of boxes, as the challenge of 2024 has them, are taken, too. Raises `InputError`."""
    path = Path(path)
    arrays = read_npz(path, (*IMAGE_ARRAYS, "gts", "prev_pred"), max_bytes=max_bytes)
    volume = volume_of(arrays, path)
    objects = read_npz_objects(path, ("boxes", "clicks", "clicks_order", "text_prompts"))
    texts = objects.get("text_prompts")
    return InteractiveCase(
        volume,
        _boxes(objects.get("boxes"), volume, path),
        _clicks(objects.get("clicks"), objects.get("clicks_order"), click_axes, path),
        labels_of(arrays, "gts", volume, path),
        labels_of(arrays, "prev_pred", volume, path),
        {str(key): value for key, value in texts.items()} if isinstance(texts, dict) else {},
    )


def read_npz_objects(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Return the named arrays of an .npz as plain values, be they of objects, texts or numbers. Raises `InputError`."""
    found: dict[str, Any] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            for name in names:
                if name in members:
                    found[name] = _plain(archive, members[name], path)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, RuntimeError) as error:
        raise InputError(f"{path.name} is not a sound .npz file.", "Save it again.", str(error)) from error
    return found


def _plain(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Any:
    label = f"{path.name}: {member.filename.removesuffix('.npy')}"
    if member.file_size > MAX_PICKLE_BYTES:
        raise InputError(f"{label} holds {member.file_size} bytes.", "Boxes and clicks need some thousand.")
    with archive.open(member) as file:
        shape, dtype = npy_header(file)
        if dtype == np.dtype(object):
            return read_plain_objects(file.read(), label)
        size = member.file_size - file.tell()
    if dtype.kind not in "biufU" or dtype.itemsize == 0:
        raise InputError(f"{label} holds {dtype}.", "Save plain lists and dictionaries.")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size:
        raise InputError(f"{label} is cut or lies about its size.", "Save it again.")
    if math.prod(max(n, 1) for n in shape) > MAX_VALUES:
        raise InputError(f"{label} has the shape {shape}.", "Boxes and clicks need some thousand numbers.")
    with archive.open(member) as file:
        values = np.lib.format.read_array(file, allow_pickle=False)
    require_texts(values)
    return values.tolist()


def _boxes(values: Any, volume: Volume, path: Path) -> tuple[MiddleBox, ...]:
    if values is None:
        return ()
    if isinstance(values, list) and values and isinstance(values[0], dict):
        return tuple(_middle_box(value, path) for value in _some(values, "boxes", path))
    try:
        rows = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path.name}: boxes are neither dictionaries nor rows of numbers.", "Repair it.") from error
    return tuple(MiddleBox(box, (box.k[0] + box.k[1]) // 2) for box in rows_to_boxes(rows, volume.shape_zyx, path))


def _middle_box(value: Any, path: Path) -> MiddleBox:
    wanted = ("x_min", "x_max", "y_min", "y_max")
    names = ("z_min", "z_max", "z_mid", *(f"z_mid_{name}" for name in wanted))
    if not isinstance(value, dict) or any(name not in value for name in names):
        raise InputError(f"{path.name}: a box has not all of {', '.join(names)}.", "Repair it.")
    first, last, middle, x0, x1, y0, y1 = (_whole(value[name], f"boxes, {name}", path) for name in names)
    if not first <= middle <= last:
        raise InputError(f"{path.name}: the middle slice {middle} lies outside {first} to {last}.", "Repair it.")
    return MiddleBox(Box(i=(x0, x1), j=(y0, y1), k=(first, last)), middle)


def _clicks(values: Any, orders: Any, axes: ClickAxes, path: Path) -> tuple[tuple[Point, ...], ...]:
    """Return for each class its clicks in the order of clicking; where the file does not say, the positive ones
    first."""
    if values is None:
        return ()
    classes = _some(values, "clicks", path)
    if orders is not None and (not isinstance(orders, list) or len(orders) != len(classes)):
        raise InputError(f"{path.name}: clicks_order is not for {len(classes)} classes.", "Repair it.")
    ordered = orders if orders is not None else [None] * len(classes)
    return tuple(_of_class(value, order, axes, path) for value, order in zip(classes, ordered, strict=True))


def _of_class(value: Any, order: Any, axes: ClickAxes, path: Path) -> tuple[Point, ...]:
    if not isinstance(value, dict) or not set(value) <= {"fg", "bg"}:
        raise InputError(f"{path.name}: the clicks of a class are no dictionary of fg and bg.", "Repair it.")
    waiting = {kind: [_point(c, kind == "fg", axes, path) for c in _some(value.get(kind, []), "clicks", path)]
               for kind in ("fg", "bg")}  # fmt: skip
    if order is None:
        return (*waiting["fg"], *waiting["bg"])
    kinds = [kind for kind in order if isinstance(kind, str)] if isinstance(order, (list, tuple)) else []
    if sorted(kinds) != ["bg"] * len(waiting["bg"]) + ["fg"] * len(waiting["fg"]):
        raise InputError(f"{path.name}: clicks_order and clicks of a class differ.", "Repair it.")
    queues = {kind: iter(points) for kind, points in waiting.items()}
    return tuple(next(queues[kind]) for kind in kinds)


def _point(value: Any, positive: bool, axes: ClickAxes, path: Path) -> Point:
    numbers = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(numbers, (list, tuple)) or len(numbers) != 3:
        raise InputError(f"{path.name}: a click has no three indices.", "Repair it.")
    first, second, third = (_whole(number, "a click", path) for number in numbers)
    k, j, i = (first, second, third) if axes == "zyx" else (third, second, first)
    return Point(i=i, j=j, k=k, positive=positive)


def _some(values: Any, what: str, path: Path) -> list[Any]:
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if not isinstance(values, (list, tuple)) or len(values) > MAX_CLASSES:
        raise InputError(f"{path.name}: {what} are no list of at most {MAX_CLASSES}.", "Repair it.")
    return list(values)


def _whole(value: Any, what: str, path: Path) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{path.name}: {what} is not a number.", "Repair it.")
    return int(value)
