"""Encode a frame once: all objects and both directions use its features."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..models.sam2 import ImageFeatures, Sam2
from .frame_preprocessing import network_frame


@dataclass(frozen=True)
class FrameFeatures:
    """The features of one frame of `shape` (rows, columns)."""

    image: ImageFeatures
    shape: tuple[int, int]

    @property
    def nbytes(self) -> int:
        return self.image.nbytes


class FrameEncoder:
    """Runs the image encoder of `model`; `encodes` counts how often. `dtype` is that of its autocast region."""

    def __init__(self, model: Sam2, dtype: torch.dtype = torch.float32) -> None:
        self.model = model
        self.dtype = dtype
        self.encodes = 0

    @torch.inference_mode()
    def encode_frame(self, frame_u8: NDArray[np.uint8]) -> FrameFeatures:
        """A slice (H,W) or (H,W,3), uint8 -> its features. Raises `InputError`."""
        images = network_frame(frame_u8, self.model.image_size).to(self.model.device)
        with reduced_precision(self.model.device, self.dtype):
            features = self.model.encode_image(images)
        self.encodes += 1
        high_res = features.high_res
        if high_res is not None:
            high_res = (high_res[0].float(), high_res[1].float())
        return FrameFeatures(ImageFeatures(features.embedding.float(), high_res), frame_u8.shape[:2])


def reduced_precision(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """An autocast region, or nothing for float32."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)
