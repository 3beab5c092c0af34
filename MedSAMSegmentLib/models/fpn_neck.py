"""Necks: the maps of a trunk -> maps of one width, and the image encoder that joins a trunk and a neck."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from .layers import LayerNorm2d


class Lateral(nn.Module):
    """A 1x1 convolution under the name that the checkpoints give it."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, dim, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class FpnNeck(nn.Module):
    """The feature pyramid of SAM 2. Stride 16 = its own lateral + the enlarged stride 32, which is then dropped.

    `trunk_channels` are those of the trunk, finest first; `convs` counts from the coarsest, as in the checkpoints.
    """

    def __init__(self, trunk_channels: Sequence[int], dim: int = 256) -> None:
        super().__init__()
        self.convs = nn.ModuleList(Lateral(channels, dim) for channels in reversed(trunk_channels))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Four maps -> three (B,dim,h,w) at strides 4, 8, 16."""
        coarsest, stride_16, stride_8, stride_4 = (conv(x) for conv, x in zip(self.convs, reversed(maps), strict=True))
        fused = stride_16 + F.interpolate(coarsest, scale_factor=2.0, mode="nearest")
        return [stride_4, stride_8, fused]


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
    """Trunk and neck: (B,3,H,W) -> maps (B,dim,h,w), finest first, the last one at stride 16."""

    def __init__(self, trunk: nn.Module, neck: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.neck = neck

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.neck(self.trunk(images))
