"""Necks: the maps of a trunk -> maps of one width, and the image encoder that joins a trunk and a neck."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import DerivedTensors, LayerNorm2d


class Lateral(nn.Module):
    """A 1x1 convolution under the name that the checkpoints give it."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, dim, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class FpnNeck(DerivedTensors):
    """The feature pyramid of SAM 2. Stride 16 = its own lateral + the enlarged stride 32, which is then dropped.

    `trunk_channels` are those of the trunk, finest first; `convs` counts from the coarsest, as in the checkpoints.
    """

    def __init__(self, trunk_channels: Sequence[int], dim: int = 256) -> None:
        super().__init__()
        self.convs = nn.ModuleList(Lateral(channels, dim) for channels in reversed(trunk_channels))

    def forward(self, maps: Sequence[Tensor], head_4: nn.Conv2d, head_8: nn.Conv2d) -> list[Tensor]:
        """Four maps -> strides 4 and 8, through the 1x1 convolutions `head_4` and `head_8`, and 16 (B,dim,h,w)."""
        stride_4, stride_8, stride_16, coarsest = maps
        fused = self.convs[1](stride_16) + F.interpolate(self.convs[0](coarsest), scale_factor=2.0, mode="nearest")
        return [self._through("4", 3, head_4, stride_4), self._through("8", 2, head_8, stride_8), fused]

    def _through(self, name: str, level: int, head: nn.Conv2d, x: Tensor) -> Tensor:
        lateral = self.convs[level].conv
        assert isinstance(lateral, nn.Conv2d)
        weight = self.derived(f"weight {name}", lambda: _joint(lateral, head)[0])
        return F.conv2d(x, weight, self.derived(f"bias {name}", lambda: _joint(lateral, head)[1]))


def _joint(first: nn.Conv2d, second: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Return the weight and bias of two 1x1 convolutions with nothing between them, as one: here with a tenth of the
    products."""
    assert first.bias is not None
    assert second.bias is not None
    weight = torch.einsum("om...,mi...->oi...", second.weight, first.weight)
    return weight, second.weight[:, :, 0, 0] @ first.bias + second.bias


class ProjectionStack(nn.Module):
    """1x1 convolution, norm, 3x3 convolution, norm."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.conv_1x1 = nn.Conv2d(channels, dim, kernel_size=1, bias=False)
        self.norm_0 = LayerNorm2d(dim)
        self.conv_3x3 = nn.Conv2d(dim, dim, kernel_size=3, padding=1, bias=False)
        self.norm_1 = LayerNorm2d(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm_1(self.conv_3x3(self.norm_0(self.conv_1x1(x))))


class PlainNeck(nn.Module):
    """The neck of EfficientTAM: one map (B,C,h,w) -> one map (B,dim,h,w)."""

    def __init__(self, channels: int, dim: int = 256) -> None:
        super().__init__()
        self.convs = nn.ModuleList([ProjectionStack(channels, dim)])

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        return [self.convs[0](maps[0])]


class ImageEncoder(nn.Module):
    """Trunk and neck: (B,3,H,W) -> maps, finest first, the last one (B,dim,h,w) at stride 16."""

    def __init__(self, trunk: nn.Module, neck: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.neck = neck

    def forward(self, images: Tensor, *heads: nn.Conv2d) -> list[Tensor]:
        """`heads` are those that the neck takes."""
        return self.neck(self.trunk(images), *heads)
