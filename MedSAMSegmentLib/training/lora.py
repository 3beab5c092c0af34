"""Low-rank adapters (Hu et al. 2021) on the linear layers of the encoder's attention, merged into them at the end."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..errors import UsageError
from ..models.tiny_vit import WindowAttention

RANK = 4
LAYERS = ("qkv", "proj")

_ORIGINAL = ".parametrizations.weight.original"
_DOWN, _UP = ".parametrizations.weight.0.down", ".parametrizations.weight.0.up"


class LowRank(nn.Module):
    """A weight (out,in) plus the product of two thin matrices, which is nothing at the start."""

    def __init__(self, weight: Tensor, generator: torch.Generator, rank: int = RANK) -> None:
        super().__init__()
        out, within = weight.shape
        down = torch.randn((rank, within), generator=generator) * within**-0.5
        self.down = nn.Parameter(down.to(weight))
        self.up = nn.Parameter(torch.zeros((out, rank)).to(weight))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def add_lora(encoder: nn.Module, seed: int) -> None:
    """Give each attention of a TinyViT its adapters; nothing else of the encoder learns. Raises `UsageError`."""
    generator = torch.Generator().manual_seed(seed)
    attentions = [module for module in encoder.modules() if isinstance(module, WindowAttention)]
    if not attentions:
        raise UsageError("The encoder of this model takes no adapters.", "Use --encoder frozen, or lite_medsam.")
    for attention in attentions:
        for name in LAYERS:
            layer = getattr(attention, name)
            parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, generator))


def merge_lora(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict with adapters as one without, the products added to the weights."""
    merged: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.endswith(_ORIGINAL):
            layer = name.removesuffix(_ORIGINAL)
            merged[f"{layer}.weight"] = tensor + state[layer + _UP] @ state[layer + _DOWN]
        elif not name.endswith((_DOWN, _UP)):
            merged[name] = tensor
    return merged
