"""A tracker small enough for unit tests: all parts of EfficientTAM at 64 pixels, with fixed random weights."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from MedSAMSegmentLib.inference.frame_features import FrameFeatures
from MedSAMSegmentLib.inference.memory_tracker import MemoryTracker
from MedSAMSegmentLib.inference.tracker_options import TrackerOptions
from MedSAMSegmentLib.models.fpn_neck import FpnNeck, ImageEncoder, PlainNeck
from MedSAMSegmentLib.models.hiera import Hiera, HieraConfig
from MedSAMSegmentLib.models.plain_vit import PlainViT
from MedSAMSegmentLib.models.sam2 import Sam2, Sam2Config

PARITY = str(Path(__file__).resolve().parents[1] / "parity")
sys.path.insert(0, PARITY)
try:
    from frame_encoder import FrameEncoder
finally:
    sys.path.remove(PARITY)

SHAPE = (40, 48)


def toy_model(high_res: bool = False) -> Sam2:
    """With `high_res` its trunk is a Hiera, else a plain ViT."""
    encoder = ImageEncoder(PlainViT(64, depth=2, window=3, global_blocks=(1,)), PlainNeck(64))
    if high_res:
        hiera = HieraConfig(embed_dim=16, num_heads=1, stages=(1, 1, 1, 1), global_blocks=(2,))
        encoder = ImageEncoder(Hiera(hiera), FpnNeck(hiera.channels))
    model = Sam2(encoder, Sam2Config(image_size=64, high_res_features=high_res))
    random = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            fan_in = max(1, parameter[0].numel()) if parameter.ndim > 1 else 1
            noise = torch.randn(parameter.shape, generator=random)
            norm_scale = parameter.ndim == 1 and name.endswith("weight")
            parameter.copy_(
                1 + 0.1 * noise if norm_scale else (1.4 if parameter.ndim > 1 else 0.1) * noise / fan_in**0.5
            )
        model.sam_mask_decoder.pred_obj_score_head.layers[2].bias.fill_(6.0)
    return model.eval()


def toy_volume(depth: int) -> NDArray[np.uint8]:
    """Two bright discs that move through noise."""
    random = np.random.default_rng(3)
    volume = random.integers(20, 60, size=(depth, *SHAPE))
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for z in range(depth):
        volume[z][(x - 14 - z % 8) ** 2 + (y - 14) ** 2 < 49] += 150
        volume[z][(x - 34) ** 2 + (y - 26 - z % 6) ** 2 < 25] += 100
    return volume.astype(np.uint8)


class ToyFrames:
    """The features of a toy volume, encoded when they are first asked for; `encoder.encodes` counts."""

    def __init__(self, model: Sam2, depth: int) -> None:
        self.encoder = FrameEncoder(model)
        self.volume = toy_volume(depth)
        self.kept: dict[int, FrameFeatures] = {}

    def __call__(self, index: int) -> FrameFeatures:
        if index not in self.kept:
            self.kept[index] = self.encoder.encode_frame(self.volume[index])
        return self.kept[index]


def toy_tracker(model: Sam2, depth: int = 12, options: TrackerOptions | None = None) -> MemoryTracker:
    return MemoryTracker(model, ToyFrames(model, depth), depth, SHAPE, options)
