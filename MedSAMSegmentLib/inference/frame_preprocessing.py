"""Prompts in a frame's own pixels -> what a SAM 2 network takes. Images go through `preprocessing.Sam2Transform`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import PromptError
from ..models.prompt_encoder import BOX_FIRST, BOX_LAST
from ..models.sam2 import PointPrompt, resize_antialiased


def point_prompt(
    frame_shape: tuple[int, int],
    size: int,
    points_xy: NDArray | Sequence[Sequence[float]] | None = None,
    labels: NDArray | Sequence[int] | None = None,
    box_xyxy: Sequence[float] | None = None,
) -> PointPrompt:
    """Convert clicks (n,2) x, y with labels (n,), 1 inside and 0 outside, and a box; in the frame's own pixels.

    The box becomes two points before the clicks. Raises `PromptError` when there is neither, or the numbers differ.
    """
    points = np.zeros((0, 2)) if points_xy is None else np.asarray(points_xy, dtype=np.float64).reshape(-1, 2)
    kinds = np.zeros(0, dtype=np.int64) if labels is None else np.asarray(labels, dtype=np.int64).reshape(-1)
    if len(points) != len(kinds):
        raise PromptError(f"There are {len(points)} points and {len(kinds)} labels.", "Give one label a point.")
    if box_xyxy is not None:
        points = np.concatenate([np.asarray(box_xyxy, dtype=np.float64).reshape(2, 2), points])
        kinds = np.concatenate([[BOX_FIRST, BOX_LAST], kinds])
    if not len(points):
        raise PromptError("There is neither a point nor a box.", "Give one of them.")
    height, width = frame_shape
    # Divided and multiplied in float32, as officially.
    unit = torch.from_numpy(points).float() / torch.tensor([width, height])
    return PointPrompt((unit * size)[None], torch.from_numpy(kinds)[None])


def network_mask(mask: NDArray[np.bool_], size: int) -> Tensor:
    """Resize a mask (H,W) to (1,1,size,size) of 0 and 1: a pixel is set where at least half of it is."""
    full = torch.from_numpy(np.ascontiguousarray(mask != 0)).float()[None, None]
    if mask.shape == (size, size):
        return full
    return (resize_antialiased(full, (size, size)) >= 0.5).float()
