"""Frames to features without a session around them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from MedSAMSegmentLib.inference.frame_features import FrameFeatures
from MedSAMSegmentLib.inference.preprocessing import Sam2Transform
from MedSAMSegmentLib.models.sam2 import Sam2


class FrameEncoder:
    """Runs the image encoder of `model` in float32; `encodes` counts how often."""

    def __init__(self, model: Sam2) -> None:
        self.model = model
        self.encodes = 0

    @torch.inference_mode()
    def encode_frame(self, frame_u8: NDArray[np.uint8]) -> FrameFeatures:
        """A slice (H,W) or (H,W,3), uint8 -> its features."""
        shape = (frame_u8.shape[0], frame_u8.shape[1])
        network_input = Sam2Transform(shape, self.model.image_size).network_input(frame_u8)
        features = self.model.encode_image(torch.from_numpy(network_input)[None])
        self.encodes += 1
        return FrameFeatures(features, shape)
