"""Encode a frame once: all objects and both directions use its features."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..models.sam2 import ImageFeatures, Sam2
from .preprocessing import Sam2Transform
from .slice_predictor import SliceEmbedding


@dataclass(frozen=True)
class FrameFeatures:
    """The features of one frame of `shape` (rows, columns)."""

    image: ImageFeatures
    shape: tuple[int, int]

    @property
    def nbytes(self) -> int:
        return self.image.nbytes

    @classmethod
    def of_embedding(cls, embedding: SliceEmbedding) -> FrameFeatures:
        """What a `SlicePredictor` encoded, without encoding it again: preview and tracking share one embedding."""
        first, *skips = embedding.features
        return cls(ImageFeatures(first, (skips[0], skips[1]) if skips else None), embedding.transform.shape)


class FrameEncoder:
    """Runs the image encoder of `model`; `encodes` counts how often. `dtype` is that of its autocast region."""

    def __init__(self, model: Sam2, dtype: torch.dtype = torch.float32) -> None:
        self.model = model
        self.dtype = dtype
        self.encodes = 0

    @torch.inference_mode()
    def encode_frame(self, frame_u8: NDArray[np.uint8]) -> FrameFeatures:
        """A slice (H,W) or (H,W,3), uint8 -> its features. Raises `InputError`."""
        shape = (frame_u8.shape[0], frame_u8.shape[1])
        network_input = Sam2Transform(shape, self.model.image_size).network_input(frame_u8)
        with reduced_precision(self.model.device, self.dtype):
            features = self.model.encode_image(torch.from_numpy(network_input)[None].to(self.model.device))
        self.encodes += 1
        high_res = features.high_res
        if high_res is not None:
            high_res = (high_res[0].float(), high_res[1].float())
        return FrameFeatures(ImageFeatures(features.embedding.float(), high_res), shape)


def reduced_precision(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """An autocast region, or nothing for float32."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)
