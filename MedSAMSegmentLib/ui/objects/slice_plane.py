"""One slice of a volume, by axis and index."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SlicePlane:
    """Slice `index` across array axis `axis` (0 = k, 1 = j, 2 = i)."""

    axis: int
    index: int
