"""A segment on its way to a file: its name, mask, colour and what the mask means."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError, UsageError
from ..geometry import VolumeGeometry

Color = tuple[float, float, float]
Code = tuple[str, str, str]

PALETTE: tuple[Color, ...] = (
    (0.96, 0.32, 0.24),
    (0.20, 0.75, 0.95),
    (0.98, 0.80, 0.18),
    (0.40, 0.86, 0.42),
    (0.86, 0.46, 0.93),
    (0.98, 0.58, 0.20),
    (0.42, 0.58, 1.00),
    (0.72, 0.90, 0.30),
    (1.00, 0.52, 0.70),
    (0.24, 0.82, 0.72),
)
"""Bright colours that stay apart on grey, in the order segments take them."""


def palette_color(index: int) -> Color:
    return PALETTE[index % len(PALETTE)]


@dataclass(frozen=True)
class Terminology:
    """The meaning of a segment: category and type, each (scheme, code, meaning), as DICOM and Slicer name them."""

    category: Code = ("SCT", "85756007", "Tissue")
    type: Code = ("SCT", "85756007", "Tissue")

    @classmethod
    def parse(cls, text: str) -> Terminology:
        """Parse "SCT:10200004:Liver": an anatomical structure of that code. Raises `UsageError`."""
        parts = tuple(part.strip() for part in text.split(":", 2))
        if len(parts) != 3 or not all(parts) or any(set("^~|\n\r") & set(part) for part in parts):
            raise UsageError(
                f"The code {text!r} is not understood.", 'Use SCHEME:CODE:MEANING, as in "SCT:10200004:Liver".'
            )
        scheme, code, meaning = parts
        if (scheme, code) == cls().type[:2]:
            return cls()
        return cls(("SCT", "123037004", "Anatomical Structure"), (scheme, code, meaning))


@dataclass(frozen=True, eq=False)
class SegmentToWrite:
    """`mask_zyx` (z,y,x) bool; `color` red, green, blue in 0..1, None for the next of the palette."""

    name: str
    mask_zyx: NDArray[np.bool_]
    color: Color | None = None
    terminology: Terminology = field(default_factory=Terminology)

    def __post_init__(self) -> None:
        mask = np.asarray(self.mask_zyx)
        if mask.ndim != 3:
            raise OutputError(f"The mask of {self.name} has {mask.ndim} axes.", "Give z,y,x.")
        object.__setattr__(self, "mask_zyx", mask if mask.dtype == np.bool_ else mask != 0)
        # A line break would end the field in a file's header.
        object.__setattr__(self, "name", " ".join(str(self.name).split()) or "Segment")
        if self.color is not None and not all(0 <= part <= 1 for part in self.color):
            raise UsageError(f"The colour {self.color} of {self.name} is not within 0 to 1.", "Give red, green, blue.")

    def shown_color(self, index: int) -> Color:
        """Return the segment's colour, or that of the palette for the segment number `index`."""
        return self.color or palette_color(index)


@dataclass(frozen=True, eq=False)
class SegmentationFile:
    """The content of a segmentation file: its segments in file order, and their common grid."""

    segments: tuple[SegmentToWrite, ...]
    geometry: VolumeGeometry
