"""A LiteMedSAM small enough for unit tests: all its parts at 64 pixels, with fixed random weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.inference.device import DeviceChoice
from MedSAMSegmentLib.inference.engines.base import EngineFiles
from MedSAMSegmentLib.inference.engines.choose import Encoder
from MedSAMSegmentLib.inference.slice_networks import slice_network
from MedSAMSegmentLib.models.mask_decoder import MaskDecoder
from MedSAMSegmentLib.models.prompt_encoder import PromptEncoder
from MedSAMSegmentLib.models.sam import Sam
from MedSAMSegmentLib.models.tiny_vit import Stage, TinyViT

CPU = DeviceChoice(torch.device("cpu"), torch.float32, "asked for")


def toy_sam() -> Sam:
    torch.manual_seed(0)
    stages = (Stage(32, 1, window=3, next_dim=64, next_stride=2), Stage(64, 1, window=5))
    encoder = TinyViT(dim=8, depth=1, stages=stages, out_dim=16)
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            module.running_mean.uniform_(-0.2, 0.2)
    return Sam(encoder, PromptEncoder(16, (16, 16), (64, 64)), MaskDecoder(16)).eval()


def toy_encoder(folder: Path | None, module: torch.nn.Module | None = None, device: DeviceChoice = CPU) -> Encoder:
    module = module or toy_sam()
    entry = dataclasses.replace(registry.get("lite_medsam"), input_size=64)
    return Encoder(slice_network(module), module, device, EngineFiles(entry, "0123456789abcdef", folder))
