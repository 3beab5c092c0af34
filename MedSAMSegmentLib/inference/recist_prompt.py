"""From a RECIST diameter to a box, points and a range of slices, as MedSAM2's RECIST scripts do.

Facts from `medsam2_infer_CT_lesion_npz_recist.py` and `eff_medsam2_infer_CT_lesion_npz_recist.py`. Points are x, y
(columns, rows) in pixels of the line's slice.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import PromptError, UsageError

if TYPE_CHECKING:
    from .memory_tracker import MemoryTracker, ObjectOnFrame

PointXY: TypeAlias = tuple[float, float]
PointKind: TypeAlias = Literal["centre", "three", "grid"]

GRID_SIDE = 3


@dataclass(frozen=True)
class RecistLine:
    """A diameter by its two ends."""

    start: PointXY
    end: PointXY

    @classmethod
    def from_mask(cls, line_mask: NDArray[np.bool_], *, reference: bool = False) -> RecistLine:
        """Return the two pixels of a drawn line (rows, columns) that are furthest apart.

        `reference`: the first and the last pixel in raster order, as the official scripts have it; for lines flatter
        than 45 degrees these are not the ends. Raises `PromptError` for fewer than two pixels.
        """
        rows, columns = np.nonzero(line_mask)
        if len(rows) < 2:
            raise PromptError("The RECIST line has fewer than two pixels.", "Draw it from edge to edge of the object.")
        pixels = np.stack([columns, rows], axis=1).astype(np.float64)
        first, last = (0, len(pixels) - 1) if reference else _furthest_pair(pixels)
        return cls(*((float(x), float(y)) for x, y in pixels[[first, last]]))

    @property
    def length(self) -> float:
        """In pixels, between the centres of the end pixels."""
        return math.dist(self.start, self.end)

    @property
    def centre(self) -> PointXY:
        return ((self.start[0] + self.end[0]) / 2, (self.start[1] + self.end[1]) / 2)

    def box(self, shape: tuple[int, int], aspect: float = 1.0) -> tuple[int, int, int, int]:
        """Return the square around the line: x0, y0, x1, y1, inclusive, cut at the borders of a slice of (rows,
        columns).

        `aspect` is a pixel's height divided by its width; the square is one in mm.
        """
        (x0, y0), (x1, y1) = self.start, self.end
        x, y = (int(value) for value in self.centre)
        length = math.hypot(x1 - x0, (y1 - y0) * aspect)
        across, down = int(length / 2), int(length / aspect / 2)
        rows, columns = shape
        return (max(0, x - across), max(0, y - down), min(columns - 1, x + across), min(rows - 1, y + down))

    def points(self, kind: PointKind, shape: tuple[int, int]) -> NDArray[np.float64]:
        """Return the positive points (n,2): the centre, the centre and both ends, or a grid of 3x3 over the box."""
        if kind == "centre":
            return np.array([self.centre])
        if kind == "three":
            return np.array([self.centre, self.start, self.end])
        if kind != "grid":
            raise UsageError(f"The kind of points {kind!r} is not known.", "Use centre, three or grid.")
        x0, y0, x1, y1 = self.box(shape)
        columns = np.linspace(x0, x1, GRID_SIDE, dtype=int)
        rows = np.linspace(y0, y1, GRID_SIDE, dtype=int)
        return np.array([(x, y) for y in rows for x in columns], dtype=np.float64)

    def slice_range(
        self, index: int, depth: int, spacing_zyx: tuple[float, float, float], *, reference: bool = False
    ) -> tuple[int, int]:
        """Return the first and last slice of a ball with this diameter around slice `index` of `depth`.

        `reference` repeats the official script, which divides by the ratio of spacings and reads them in the wrong
        order: for 5 mm slices it covers almost twice the extent.
        """
        z, y, x = spacing_zyx
        slices = self.length / ((y + z) / 2 / x) if reference else self.length * (y + x) / 2 / z
        half = int(slices / 2)
        return (max(0, index - half), min(depth - 1, index + half))


def prompt_by_line(
    tracker: MemoryTracker, object_id: Hashable, frame: int, line: RecistLine, aspect: float = 1.0
) -> ObjectOnFrame:
    """Prompt an object as the official RECIST flow: the line's box gives a mask, and that mask becomes the prompt.

    The predicted IoU of the result is that of the box's mask.
    """
    box = line.box(tracker.frame_shape, aspect)
    answer = tracker.add_points(object_id, frame, box_xyxy=box)
    return replace(tracker.add_mask(object_id, frame, answer.mask), iou=answer.iou, ious=answer.ious)


def _furthest_pair(pixels: NDArray[np.float64]) -> tuple[int, int]:
    """Return the indices of the two points (n,2), in raster order, with the largest distance; the first such pair in
    order."""
    rows = pixels[:, 1]
    # Only the ends of a row can be furthest: an area that was painted instead of a line fills no memory.
    ends = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]] | np.r_[rows[1:] != rows[:-1], True])
    apart = np.square(pixels[ends, None] - pixels[ends]).sum(axis=-1)
    first, last = divmod(int(apart.argmax()), len(ends))
    return int(ends[first]), int(ends[last])
