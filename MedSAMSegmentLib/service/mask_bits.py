"""Masks in JSON: the bits of a slice, row by row, most significant first, in base64."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PromptError

MOST_PIXELS = 1 << 26


def mask_to_json(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return `rows`, `columns` and `bits` of a mask (rows, columns); `numpy.packbits` in base64."""
    rows, columns = mask.shape
    return {"rows": rows, "columns": columns, "bits": base64.b64encode(np.packbits(mask).tobytes()).decode("ascii")}


def mask_from_json(rows: int, columns: int, bits: str) -> NDArray[np.bool_]:
    """Return the mask (rows, columns). Raises `PromptError` for bits that do not fit."""
    pixels = rows * columns
    if not 0 < pixels <= MOST_PIXELS:
        raise PromptError(f"A mask of {rows} rows and {columns} columns is not possible.", "Give that of one slice.")
    try:
        packed = base64.b64decode(bits, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PromptError("The bits of the mask are not base64.", "Encode the packed bits.") from error
    if len(packed) != -(-pixels // 8):
        raise PromptError(
            f"The mask has {len(packed)} bytes, {rows} x {columns} pixels need {-(-pixels // 8)}.",
            "Pack the bits row by row, without gaps.",
        )
    unpacked = np.unpackbits(np.frombuffer(packed, np.uint8), count=pixels)
    return unpacked.reshape(rows, columns).view(bool)
