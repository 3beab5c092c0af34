"""Automatic intensity that also looks into the box: a box full of lung is segmented with the lung window.

The library's own choice sees the whole volume, where a chest CT is a CT like any other. What was outlined says more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..prompts import Box, Line, Prompt

AIR_HU = -500
"""A slice that holds such low whole numbers is a CT."""

LUNG_HU = (-980, -300)
"""Medians of boxes that are mostly lung, with or without a nodule in them."""

CT_LUNG = "ct-lung"


def window_of_prompts(volume: NDArray[Any], modality: str | None, prompts: Iterable[Prompt]) -> str:
    """ "ct-lung" or "auto" for a volume (z,y,x[,3])."""
    box = next((b for b in map(_box, prompts) if b is not None), None)
    if box is None or modality not in (None, "CT") or volume.ndim != 3:
        return "auto"
    (k0, k1), (j0, j1), (i0, i1) = box.fitted(volume.shape).bounds_zyx
    middle = (k0 + k1) // 2
    if modality is None and not _is_ct(volume[middle] if k0 != k1 or j0 != j1 else volume):
        return "auto"
    inside = float(np.median(volume[k0 : k1 + 1, j0 : j1 + 1, i0 : i1 + 1]))
    return CT_LUNG if LUNG_HU[0] <= inside <= LUNG_HU[1] else "auto"


def _is_ct(values: NDArray[Any]) -> bool:
    return bool(values.min() <= AIR_HU and (values.dtype.kind in "iu" or np.all(values == np.rint(values))))


def _box(prompt: Prompt) -> Box | None:
    if isinstance(prompt, Box):
        return prompt
    return Box.enclosing(np.array([prompt.start, prompt.end])) if isinstance(prompt, Line) else None
