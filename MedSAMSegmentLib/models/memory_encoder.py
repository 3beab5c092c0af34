"""A frame's features and mask -> the memory that later frames attend to (Ravi et al. 2024, SAM 2, "Memory encoder")."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layers import LayerNorm2d, as_image, as_tokens


class MaskDownsampler(nn.Module):
    """A mask (B,1,16h,16w) -> (B,dim,h,w): four convolutions of stride 2, each of four times the channels."""

    def __init__(self, dim: int = 256) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for _ in range(4):
            layers += [nn.Conv2d(channels, channels * 4, kernel_size=3, stride=2, padding=1)]
            channels *= 4
            layers += [LayerNorm2d(channels), nn.GELU()]
        layers.append(nn.Conv2d(channels, dim, kernel_size=1))
        self.encoder = nn.Sequential(*layers)

    def forward(self, mask: Tensor) -> Tensor:
        return self.encoder(mask)


class ConvNeXtBlock(nn.Module):
    """Depthwise 7x7 convolution, norm, two linear layers, a learned scale, a residual (Liu et al. 2022)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = LayerNorm2d(dim)
        self.pwconv1 = nn.Linear(dim, dim * 4)
        self.act = nn.GELU()
        self.pwconv2 = nn.Linear(dim * 4, dim)
        self.gamma = nn.Parameter(torch.full((dim,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        inner = as_tokens(self.norm(self.dwconv(x)))
        inner = self.gamma * self.pwconv2(self.act(self.pwconv1(inner)))
        return x + as_image(inner, x.shape[2:])


class Fuser(nn.Module):
    def __init__(self, dim: int, num_layers: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ConvNeXtBlock(dim) for _ in range(num_layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class MemoryEncoder(nn.Module):
    """Image features (B,dim,h,w) and mask (B,1,16h,16w) -> memory (B,memory_dim,h,w)."""

    def __init__(self, dim: int = 256, memory_dim: int = 64) -> None:
        super().__init__()
        self.mask_downsampler = MaskDownsampler(dim)
        self.pix_feat_proj = nn.Conv2d(dim, dim, kernel_size=1)
        self.fuser = Fuser(dim)
        self.out_proj = nn.Conv2d(dim, memory_dim, kernel_size=1)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        return self.out_proj(self.fuser(self.pix_feat_proj(features) + self.mask_downsampler(mask)))
