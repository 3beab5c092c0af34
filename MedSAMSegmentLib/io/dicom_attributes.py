"""Attributes that the DICOM objects we write have in common: codes, names, colours, and who made them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..version import __version__
from .dicom_header import integer
from .segments import Code, Color

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MANUFACTURER = "MedSAMSegment"
SOFTWARE_VERSION = __version__
UNICODE = "ISO_IR 192"
"""Names of segments may be in any alphabet."""

LONGEST_TEXT = 64
_LONGEST_SCHEME = 16
_LONGEST_NUMBER = 2**31 - 1

_D50_FROM_SRGB = np.array(
    [
        (0.4360747, 0.3850649, 0.1430804),
        (0.2225045, 0.7168786, 0.0606169),
        (0.0139322, 0.0971045, 0.7141733),
    ]
)
"""XYZ of the white point D50, which DICOM's CIELab values are relative to, from linear sRGB."""


def long_text(text: str) -> str:
    """Return text as a DICOM value of type LO: one line of up to 64 characters, without backslashes."""
    kept = "".join(letter for letter in text.replace("\\", "/") if letter.isprintable())
    return kept[:LONGEST_TEXT].strip() or "Segment"


def algorithm_name(algorithm: str) -> str:
    """Return the name of what found the segments: the program, and the model where it is given."""
    return long_text(f"{MANUFACTURER}, {algorithm}" if algorithm else MANUFACTURER)


def code_texts(code: Code) -> Code:
    """Return scheme, value and meaning within the lengths of their types."""
    scheme, value, meaning = code
    return (scheme[:_LONGEST_SCHEME], value, long_text(meaning))


def next_series_number(header: Dataset) -> int:
    """Return a number for a series that is derived from that of `header`: 401 beside 4."""
    own = max(0, integer(header, "SeriesNumber") or 0)
    return min(100 * own + 1, _LONGEST_NUMBER)


def cielab(color: Color) -> tuple[float, float, float]:
    """Return the CIELab values (L 0..100, a and b -128..127) of an sRGB colour (0..1), relative to D50."""
    srgb = np.array(color, dtype=np.float64)
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    x, y, z = (_D50_FROM_SRGB @ linear) / _D50_FROM_SRGB.sum(axis=1)
    fx, fy, fz = (np.cbrt(v) if v > (6 / 29) ** 3 else v * (29 / 6) ** 2 / 3 + 4 / 29 for v in (x, y, z))
    lightness = min(100.0, max(0.0, 116 * fy - 16))
    a, b = (min(127.0, max(-128.0, v)) for v in (500 * (fx - fy), 200 * (fy - fz)))
    return float(lightness), float(a), float(b)
