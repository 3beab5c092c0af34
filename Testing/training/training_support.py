"""A small SAM and made-up slices."""

from __future__ import annotations

import numpy as np
import torch

from MedSAMSegmentLib.models.mask_decoder import MaskDecoder
from MedSAMSegmentLib.models.prompt_encoder import PromptEncoder
from MedSAMSegmentLib.models.sam import Sam
from MedSAMSegmentLib.models.tiny_vit import Stage, TinyViT
from MedSAMSegmentLib.training.network import TrainableSam
from MedSAMSegmentLib.training.views import SliceView

SIDE, CELLS, CHANNELS = 32, 8, 32


def small_sam(seed: int = 0) -> Sam:
    torch.manual_seed(seed)
    stages = (Stage(dim=32, depth=1, window=7, next_dim=32, next_stride=2), Stage(dim=32, depth=1, window=7))
    encoder = TinyViT(dim=8, depth=1, stages=stages, out_dim=CHANNELS)
    return Sam(encoder, PromptEncoder(CHANNELS, (CELLS, CELLS), (SIDE, SIDE)), MaskDecoder(CHANNELS)).eval()


def small_network(encoder: str = "frozen", seed: int = 0) -> TrainableSam:
    return TrainableSam(small_sam(seed), encoder, torch.device("cpu"))


def disc(row: int, column: int, radius: int = 6) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def views(count: int = 6, patient: str = "a") -> list[SliceView]:
    found = []
    for k in range(count):
        mask = disc(10 + k % 3 * 5, 12 + k % 4 * 3)
        image = np.where(mask, 200, 50).astype(np.uint8)
        found.append(SliceView(patient, k, "whole", image, mask))
    return found
