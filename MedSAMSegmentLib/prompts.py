"""Prompts: a box, a point, a RECIST line or a painted slice.

Coordinates are voxel indices i (columns, x), j (rows, y), k (slices, z) of the volume that is segmented.
Every class checks itself when it is made and `fitted` checks it against a volume.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import PromptError
from .geometry import IN_PLANE_AXES, slice_shape

Shape3: TypeAlias = tuple[int, int, int]

_NEGATIVE = re.compile(r"\s*(-(?!\d)|neg)", re.IGNORECASE)


@dataclass(frozen=True)
class Box:
    """Inclusive voxel bounds on each axis: `i=(first, last)`, likewise `j` and `k`. A slice box has first == last."""

    i: tuple[int, int]
    j: tuple[int, int]
    k: tuple[int, int]

    def __post_init__(self) -> None:
        for name in "ijk":
            pair = getattr(self, name)
            first, last = _whole_pair(pair, name)
            if first > last:
                raise PromptError(
                    f"The box is reversed on {name}: {first} comes after {last}.",
                    "Give the lower bound first.",
                )
            object.__setattr__(self, name, (first, last))

    @classmethod
    def from_corners(cls, lower_ijk: Sequence[float], upper_ijk: Sequence[float]) -> Box:
        """Return the box between two corners given as i,j,k. Values must be whole numbers."""
        if len(lower_ijk) != 3 or len(upper_ijk) != 3:
            raise PromptError(
                f"The box's corners have {len(lower_ijk)} and {len(upper_ijk)} coordinates.", "Give i, j and k of each."
            )
        i, j, k = (
            _whole_pair(pair, name) for name, pair in zip("ijk", zip(lower_ijk, upper_ijk, strict=True), strict=True)
        )
        return cls(i=i, j=j, k=k)

    @classmethod
    def around(cls, mask_zyx: NDArray[np.bool_]) -> Box:
        """Return the tight box of a mask (z,y,x). Raises `PromptError` when it is empty."""
        if not mask_zyx.any():
            raise PromptError("The mask is empty.", "Paint at least one voxel.")
        bounds = []
        for axis in range(3):
            other = tuple(a for a in range(3) if a != axis)
            inside = np.flatnonzero(mask_zyx.any(axis=other))
            bounds.append((int(inside[0]), int(inside[-1])))
        return cls(k=bounds[0], j=bounds[1], i=bounds[2])

    @classmethod
    def enclosing(cls, points_ijk: NDArray[np.float64]) -> Box:
        """Return the voxels whose centres lie within the bounds of points (n,3) in continuous i,j,k: of an ROI's
        corners.

        Rounded once, here: where the extent is thinner than a voxel, the nearest one. Raises `PromptError` when a
        point is not finite.
        """
        points = np.atleast_2d(np.asarray(points_ijk, dtype=np.float64))
        if points.size == 0 or points.shape[-1] != 3 or not np.isfinite(points).all():
            raise PromptError("The box's corners are not finite points.", "Place the box again.")
        # A corner on a voxel's centre must count whatever the last bit of the transform says.
        tolerance = 1e-6
        bounds = []
        for lowest, highest in zip(points.min(axis=0), points.max(axis=0), strict=True):
            first, last = math.ceil(lowest - tolerance), math.floor(highest + tolerance)
            if first > last:
                first = last = math.floor((lowest + highest) / 2 + 0.5)
            bounds.append((first, last))
        return cls(i=bounds[0], j=bounds[1], k=bounds[2])

    @property
    def bounds_zyx(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        return (self.k, self.j, self.i)

    @property
    def shape_zyx(self) -> Shape3:
        k, j, i = (last - first + 1 for first, last in self.bounds_zyx)
        return (k, j, i)

    def along(self, axis: int) -> tuple[int, int]:
        """Return the first and last slice across `axis` (0 = k, 1 = j, 2 = i)."""
        return self.bounds_zyx[axis]

    def in_plane(self, axis: int) -> tuple[int, int, int, int]:
        """Return x0, y0, x1, y1 (columns and rows, inclusive) of the box on a slice across `axis`."""
        rows, columns = IN_PLANE_AXES[axis]
        (y0, y1), (x0, x1) = self.bounds_zyx[rows], self.bounds_zyx[columns]
        return (x0, y0, x1, y1)

    def fitted(self, shape_zyx: Shape3) -> Box:
        """Return the part inside the volume. Raises `PromptError` when there is none or nothing of it has an area."""
        clipped: dict[str, tuple[int, int]] = {}
        for name, (first, last), size in zip("kji", self.bounds_zyx, shape_zyx, strict=True):
            if last < 0 or first >= size:
                # Without all the digits of a corner that lies absurdly far away.
                span = f"{first:.9g} to {last:.9g}"
                raise PromptError(
                    f"The box lies outside the volume: {name} is {span}, but runs from 0 to {size - 1}.",
                    "Draw the box on the image.",
                )
            clipped[name] = (max(first, 0), min(last, size - 1))
        box = Box(**clipped)
        if sum(n > 1 for n in box.shape_zyx) < 2 <= sum(n > 1 for n in shape_zyx):
            raise PromptError("The box is a line or a single voxel.", "Draw a box with a width and a height.")
        return box

    def require_area(self, axis: int, shape_zyx: Shape3) -> None:
        """Raise `PromptError` when the box is one voxel wide or high on the slices across `axis`.

        One slice thick is right: that is a box on a slice.
        """
        for along in IN_PLANE_AXES[axis]:
            first, last = self.along(along)
            if first == last and shape_zyx[along] > 1:
                raise PromptError(
                    f"The box has no area on its slices: {'kji'[along]} is {first} only.",
                    "Draw a box with a width and a height.",
                )


@dataclass(frozen=True)
class Point:
    """A voxel that belongs to the object (`positive`) or does not."""

    i: float
    j: float
    k: float
    positive: bool = True

    def __post_init__(self) -> None:
        for name in "ijk":
            _finite(getattr(self, name), f"The point's {name}")

    @property
    def zyx(self) -> tuple[float, float, float]:
        return (self.k, self.j, self.i)

    def slice_index(self, axis: int) -> int:
        """Return the nearest slice across `axis`."""
        return math.floor(self.zyx[axis] + 0.5)

    def in_plane(self, axis: int) -> tuple[float, float]:
        """Return x, y (column, row) on a slice across `axis`."""
        rows, columns = IN_PLANE_AXES[axis]
        return (self.zyx[columns], self.zyx[rows])

    def fitted(self, shape_zyx: Shape3) -> Point:
        for name, value, size in zip("kji", self.zyx, shape_zyx, strict=True):
            # Half open, so that the nearest slice of a point that fits is always a slice of the volume.
            if not -0.5 <= value < size - 0.5:
                raise PromptError(
                    f"The point lies outside the volume: {name} is {value:g}, but runs from 0 to {size - 1}.",
                    "Place it on the image.",
                )
        return self


@dataclass(frozen=True)
class Line:
    """A RECIST diameter: its two ends, each i,j,k, on one slice."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            point = tuple(_finite(v, f"The line's {name}") for v in getattr(self, name))
            if len(point) != 3:
                raise PromptError(f"The line's {name} has {len(point)} coordinates.", "Give i, j and k.")
            object.__setattr__(self, name, point)
        if self.start == self.end:
            raise PromptError("The line has no length.", "Draw it from one edge of the object to the other.")

    @property
    def points(self) -> tuple[Point, Point]:
        return (Point(*self.start), Point(*self.end))

    def slice_index(self, axis: int) -> int:
        """Return the slice across `axis` that holds both ends. Raises `PromptError` when they lie on two."""
        first, last = (p.slice_index(axis) for p in self.points)
        if first != last:
            raise PromptError(
                f"The line's ends lie on the slices {first} and {last}.", "Draw the line within one slice."
            )
        return first

    def fitted(self, shape_zyx: Shape3) -> Line:
        for point in self.points:
            point.fitted(shape_zyx)
        return self


@dataclass(frozen=True, eq=False)
class MaskPrompt:
    """The object's outline on one slice: `mask` (rows, columns), bool, of slice `index` across `axis`."""

    axis: int
    index: int
    mask: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.axis not in IN_PLANE_AXES:
            raise PromptError(f"The mask's axis is {self.axis}.", "Use 0, 1 or 2.")
        mask = np.array(self.mask)
        if mask.ndim != 2:
            raise PromptError(f"The mask prompt has {mask.ndim} axes.", "Give the mask of one slice.")
        mask = mask != 0
        if not mask.any():
            raise PromptError("The mask prompt is empty.", "Paint the object on this slice.")
        mask.setflags(write=False)
        object.__setattr__(self, "mask", mask)

    def fitted(self, shape_zyx: Shape3) -> MaskPrompt:
        expected = slice_shape(shape_zyx, self.axis)
        if self.mask.shape != expected:
            raise PromptError(
                f"The mask prompt has {self.mask.shape} rows and columns, but the slice has {expected}.",
                "Give the mask on the volume's own grid.",
            )
        if not 0 <= self.index < shape_zyx[self.axis]:
            raise PromptError(
                f"The mask prompt's slice {self.index} is outside 0 to {shape_zyx[self.axis] - 1}.",
                "Give a slice of the volume.",
            )
        return self


Prompt: TypeAlias = Box | Point | Line | MaskPrompt

ObjectPrompts: TypeAlias = Prompt | Sequence[Prompt]
"""One object: a prompt, or prompts that belong together."""


def is_negative_label(*texts: str | None) -> bool:
    """Return whether a point's label or description, or its list's name, makes it negative: one begins with "-" or
    "neg".

    Any case; "-1" and the like do not count, since Slicer numbers the points of a list without a name so.
    """
    return any(text is not None and _NEGATIVE.match(text) for text in texts)


def _finite(value: object, what: str) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise PromptError(f"{what} is {value!r}, not a number.", "Give finite voxel indices.") from error
    if not math.isfinite(number):
        raise PromptError(f"{what} is {number}.", "Give finite voxel indices.")
    return number


def _whole_pair(pair: object, name: str) -> tuple[int, int]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise PromptError(f"The box's {name} needs two bounds.", "Give first and last voxel.")
    first, last = (_finite(value, f"The box's {name}") for value in pair)
    if first != int(first) or last != int(last):
        raise PromptError(f"The box's {name} bounds {first:g} and {last:g} are not whole voxels.", "Round them first.")
    return (int(first), int(last))
