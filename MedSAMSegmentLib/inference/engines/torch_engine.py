"""The image encoder in torch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from ..device import DeviceChoice, reduced_precision
from ..slice_networks import SliceNetwork
from .base import Features
from .precision import Precision


class TorchEngine:
    """Runs the network itself; below float32 inside an autocast region."""

    name = "torch"
    decode = None
    memory_steps = None

    def __init__(self, network: SliceNetwork, device: DeviceChoice) -> None:
        self.device = device
        self._network = network

    @property
    def precision(self) -> Precision:
        return Precision(self.device.dtype)

    @torch.inference_mode()
    def encode(self, images: Tensor) -> Features:
        """Encode (1,3,S,S) float32, on any device, to the features, float32, on this engine's device."""
        with reduced_precision(self.device.device, self.device.dtype):
            features = self._network.encode(images.to(self.device.device))
        return tuple(feature.float() for feature in features)
