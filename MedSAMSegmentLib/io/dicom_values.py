"""DICOM's statements about grey values and frames, whichever library decoded them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CINE_MODALITIES = frozenset(("US", "IVUS", "XA", "RF", "ES", "XC", "OP", "OPT", "IVOCT"))
"""Modalities whose frames follow each other in time, not in space."""

INVERTED = "MONOCHROME1: the grey values were inverted."


def invert_monochrome1(array: NDArray, photometric: str) -> tuple[NDArray, tuple[str, ...]]:
    """Invert MONOCHROME1, which stores white as low, so that bright is high as in every other image; and say so."""
    if photometric != "MONOCHROME1":
        return array, ()
    lowest, highest = array.min(), array.max()
    # Above the lowest value first: the sum of both ends could leave the type, this cannot.
    turned = highest - (array - lowest)
    return turned.astype(array.dtype, copy=False), (INVERTED,)


def is_cine(modality: str, *, timed: bool) -> bool:
    """Return whether a multi-frame image runs in time; `timed` when it names a frame time."""
    return timed or modality in CINE_MODALITIES


def first_number(value: object, default: float) -> float:
    """Return a tag's number, `default` when it is missing or empty."""
    text = str(value).strip() if value is not None else ""
    return float(np.float64(text)) if text else default
