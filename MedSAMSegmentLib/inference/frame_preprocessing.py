"""Slices and prompts in their own pixels -> what a SAM 2 network takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError, PromptError
from ..models.prompt_encoder import BOX_FIRST, BOX_LAST
from ..models.sam2 import PointPrompt, resize_antialiased

MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


def network_frame(frame_u8: NDArray[np.uint8], size: int) -> Tensor:
    """A slice (H,W) or (H,W,3), uint8 -> (1,3,size,size) float32, normalised.

    Resized by PIL's bicubic filter without keeping the aspect, as in `medsam2_infer_3D_CT.py`. Raises `InputError`.
    """
    from PIL import Image

    if frame_u8.dtype != np.uint8 or frame_u8.ndim not in (2, 3) or frame_u8.shape[2:] not in ((), (3,)):
        raise InputError(
            f"A frame of {frame_u8.dtype} with the shape {frame_u8.shape} cannot be used.",
            "Give rows and columns, with 3 channels for colour, as unsigned bytes.",
        )
    image = Image.fromarray(np.ascontiguousarray(frame_u8))
    resized = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
    channels = [resized] * 3 if resized.ndim == 2 else np.moveaxis(resized, 2, 0)
    table = _normalised_levels()
    return torch.from_numpy(np.stack([table[n][channels[n]] for n in range(3)]))[None]


def point_prompt(
    frame_shape: tuple[int, int],
    size: int,
    points_xy: NDArray | Sequence[Sequence[float]] | None = None,
    labels: NDArray | Sequence[int] | None = None,
    box_xyxy: Sequence[float] | None = None,
) -> PointPrompt:
    """Clicks (n,2) x, y with labels (n,), 1 inside and 0 outside, and a box; in the slice's own pixels.

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
    unit = torch.from_numpy(points).float() / torch.tensor([width, height])
    return PointPrompt((unit * size)[None], torch.from_numpy(kinds)[None])


def network_mask(mask: NDArray[np.bool_], size: int) -> Tensor:
    """A mask (H,W) -> (1,1,size,size) of 0 and 1: a pixel is set where at least half of it is."""
    full = torch.from_numpy(np.ascontiguousarray(mask != 0)).float()[None, None]
    if mask.shape == (size, size):
        return full
    return (resize_antialiased(full, (size, size)) >= 0.5).float()


def _normalised_levels() -> NDArray[np.float32]:
    """The 256 levels of each channel after normalisation, (3,256); in float64 until the end, as officially."""
    levels = np.arange(256) / 255.0
    mean, std = MEAN.astype(np.float64)[:, None], STD.astype(np.float64)[:, None]
    return ((levels - mean) / std).astype(np.float32)
