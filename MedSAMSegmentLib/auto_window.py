"""Automatic intensity that also looks at what was outlined: a box full of lung is segmented with the lung window.

The choice of `intensity.to_uint8` sees the whole volume, where a chest CT is a CT like any other. What was outlined
says more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .geometry import take_slice
from .prompts import Box, Line, MaskPrompt, Prompt

AIR_HU = -500
"""A slice that holds such low whole numbers is a CT."""

LUNG_HU = (-980, -300)
"""Medians of boxes that are mostly lung, with or without a nodule in them."""

CT_LUNG = "ct-lung"


def window_of_prompts(volume: NDArray[Any], modality: str | None, prompts: Iterable[Prompt]) -> str:
    """Return "ct-lung" or "auto" for a volume (z,y,x[,3])."""
    if modality not in (None, "CT") or volume.ndim != 3:
        return "auto"
    found = next((v for v in (_outlined(volume, p) for p in prompts) if v is not None and v[0].size), None)
    if found is None or (modality is None and not _is_ct(found[1])):
        return "auto"
    return CT_LUNG if LUNG_HU[0] <= float(np.median(found[0])) <= LUNG_HU[1] else "auto"


def _outlined(volume: NDArray[Any], prompt: Prompt) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return the values within the outline, and those of its slice; None for what outlines nothing."""
    if isinstance(prompt, MaskPrompt):
        image = take_slice(volume, prompt.axis, prompt.index)
        return image[prompt.mask], image
    box = _box(prompt)
    if box is None:
        return None
    # The box of a line that is drawn straight has no area, which is no fault here.
    inside = [(max(first, 0), min(last, n - 1)) for (first, last), n in zip(box.bounds_zyx, volume.shape, strict=True)]
    if any(first > last for first, last in inside):
        return None
    (k0, k1), (j0, j1), (i0, i1) = inside
    around = volume[(k0 + k1) // 2] if k0 != k1 or j0 != j1 else volume
    return volume[k0 : k1 + 1, j0 : j1 + 1, i0 : i1 + 1], around


def _is_ct(values: NDArray[Any]) -> bool:
    return bool(values.min() <= AIR_HU and (values.dtype.kind in "iu" or np.all(values == np.rint(values))))


def _box(prompt: Prompt) -> Box | None:
    if isinstance(prompt, Box):
        return prompt
    return Box.enclosing(np.array([prompt.start, prompt.end])) if isinstance(prompt, Line) else None
