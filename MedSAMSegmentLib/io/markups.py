"""Prompts from Slicer's markups files (`.mrk.json`): ROI to box, point list to points, line to RECIST line.

A point is negative when its label, its description or its list's name says so (`prompts.is_negative_label`). Points
that are not selected, or not placed yet, take no part. The file's `coordinateSystem` (LPS or RAS) is honoured.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..geometry import VolumeGeometry
from ..prompts import Box, Line, Point, Prompt, is_negative_label

MAX_BYTES = 32 << 20
POINT_TYPES = ("Fiducial", "PointList")


def read_markups(path: str | Path, geometry: VolumeGeometry) -> list[Prompt]:
    """Return the prompts of a markups file on the grid of `geometry`, in file order.

    Raises `InputError` for a file that is not a markups file and `PromptError` for one that does not fit the volume.
    """
    path = Path(path)
    prompts: list[Prompt] = []
    for markup in _markups(path):
        prompts.extend(_prompts_of(markup, geometry, path))
    if not prompts:
        raise InputError(f"{path.name} holds no placed box, point or line.", "Place one in Slicer and save it.")
    return prompts


def _markups(path: Path) -> list[Mapping[str, Any]]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path.name} is too large for a markups file.", "Save the markups alone.")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name} is not valid JSON.", "Save it from Slicer again.", str(error)) from error
    markups = content.get("markups") if isinstance(content, dict) else None
    if not isinstance(markups, list) or not all(isinstance(m, dict) for m in markups):
        raise InputError(f"{path.name} is not a Slicer markups file.", "Save an ROI, points or a line from Slicer.")
    return markups


def _prompts_of(markup: Mapping[str, Any], geometry: VolumeGeometry, path: Path) -> list[Prompt]:
    kind = markup.get("type")
    to_lps = _to_lps(markup, path)
    if kind == "ROI":
        return [_box(markup, geometry, to_lps, path)]
    points = [p for p in _list(markup, "controlPoints", path) if _takes_part(p, path)]
    places = [geometry.lps_to_ijk(to_lps @ _numbers(p, "position", 3, path))[0] for p in points]
    if kind == "Line":
        if len(places) != 2:
            raise InputError(f"The line in {path.name} has {len(places)} placed ends.", "Place both ends.")
        start, end = (_triple(place) for place in places)
        return [Line(start, end).fitted(geometry.shape_zyx)]
    if kind in POINT_TYPES:
        name = _text(markup, "name")
        said = [is_negative_label(name, _text(p, "label"), _text(p, "description")) for p in points]
        return [
            Point(*_triple(place), positive=not negative).fitted(geometry.shape_zyx)
            for negative, place in zip(said, places, strict=True)
        ]
    raise InputError(f"{path.name} holds a markup of type {kind!r}.", "Use an ROI, a point list or a line.")


def _box(markup: Mapping[str, Any], geometry: VolumeGeometry, to_lps: NDArray[np.float64], path: Path) -> Box:
    """Return the eight corners of the ROI, through its orientation and the volume's, as one box of whole voxels."""
    size = _numbers(markup, "size", 3, path)
    if (size <= 0).any():
        raise InputError(f"The ROI in {path.name} has the size {size.tolist()}.", "Place it in Slicer first.")
    axes, centre = _object_frame(markup, path)
    signs = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    # Numbers near the largest overflow; the box refuses what is not finite.
    with np.errstate(over="ignore", invalid="ignore"):
        corners = (centre + (signs * size) @ axes.T) @ to_lps.T
    return Box.enclosing(geometry.lps_to_ijk(corners)).fitted(geometry.shape_zyx)


def _object_frame(markup: Mapping[str, Any], path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the axes (3,3), one a column, and centre (3,) of the ROI in the file's coordinate system."""
    centre = _numbers(markup, "center", 3, path)
    if "orientation" not in markup:
        return np.eye(3), centre
    axes = _numbers(markup, "orientation", 9, path).reshape(3, 3)
    with np.errstate(over="ignore", invalid="ignore"):
        volume = abs(np.linalg.det(axes))
    if not 1e-6 <= volume < np.inf:
        raise InputError(f"The ROI in {path.name} has axes in one plane.", "Save it from Slicer again.")
    return axes, centre


def _to_lps(markup: Mapping[str, Any], path: Path) -> NDArray[np.float64]:
    if markup.get("coordinateUnits", "mm") not in ("mm", ["mm", "mm", "mm"]):
        raise InputError(f"{path.name} is not in millimetres.", "Save it with the unit mm.")
    system = markup.get("coordinateSystem", "LPS")
    if system in ("LPS", "RAS"):
        return np.diag([-1.0, -1.0, 1.0]) if system == "RAS" else np.eye(3)
    raise InputError(f"{path.name} has the coordinate system {system!r}.", "Save it as LPS or RAS.")


def _takes_part(point: Mapping[str, Any], path: Path) -> bool:
    if not isinstance(point, dict):
        raise InputError(f"{path.name} has a control point that is not an object.", "Save it from Slicer again.")
    return point.get("positionStatus", "defined") == "defined" and point.get("selected", True) is not False


def _text(source: Mapping[str, Any], key: str) -> str | None:
    value = source.get(key)
    return value if isinstance(value, str) else None


def _list(markup: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    value = markup.get(key)
    if not isinstance(value, list):
        raise InputError(f"{path.name} has no list of {key}.", "Save it from Slicer again.")
    return value


def _numbers(source: Mapping[str, Any], key: str, count: int, path: Path) -> NDArray[np.float64]:
    value = source.get(key)
    if isinstance(value, list) and len(value) == count and all(map(_is_number, value)):
        return np.array(value, np.float64)
    raise InputError(f"{path.name}: {key} is not {count} finite numbers.", "Save it from Slicer again.")


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _triple(values: Sequence[float] | NDArray) -> tuple[float, float, float]:
    i, j, k = (float(v) for v in values)
    return (i, j, k)
