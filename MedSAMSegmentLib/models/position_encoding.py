"""Fixed position codes: sines of a grid and of a time distance, and axial rotations, without complex numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 10000.0


def sine_grid(height: int, width: int, channels: int) -> Tensor:
    """Return the sine code of a grid, (1,channels,height,width); the first half of the channels codes y, the second x.

    Positions run from 1 and are scaled to 2 pi; sines and cosines alternate (Carion et al. 2020, DETR).
    """
    half = channels // 2
    steps = _frequencies(half)

    def code(size: int) -> Tensor:
        position = torch.arange(1, size + 1, dtype=torch.float32)
        angle = (position / (position[-1] + 1e-6) * (2 * math.pi))[:, None] / steps
        return torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()], dim=2).flatten(1)

    y = code(height)[:, None, :].expand(height, width, half)
    x = code(width)[None, :, :].expand(height, width, half)
    return torch.cat([y, x], dim=2).permute(2, 0, 1)[None].contiguous()


def sine_of_distance(distance: Tensor, channels: int) -> Tensor:
    """Return the sine code (n,channels) of n numbers: all sines, then all cosines."""
    angle = distance[:, None] / _frequencies(channels // 2).to(distance.device)
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def axial_rotations(height: int, width: int, channels: int) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines (height*width, channels/2) by which pairs of channels turn: half the pairs by x,
    half by y."""
    frequencies = 1.0 / (TEMPERATURE ** (torch.arange(0, channels, 4, dtype=torch.float32) / channels))
    index = torch.arange(height * width)
    x = (index % width).float()
    y = torch.div(index, width, rounding_mode="floor").float()
    angle = torch.cat([x[:, None] * frequencies, y[:, None] * frequencies], dim=1)
    return angle.cos(), angle.sin()


@dataclass(frozen=True)
class RotaryEmbedding:
    """Rotations of n tokens' pairs of adjacent channels: `cosines` and `sines` (n,C), alike within a pair."""

    cosines: Tensor
    sines: Tensor

    @classmethod
    def of_grid(cls, height: int, width: int, channels: int) -> RotaryEmbedding:
        """Return the rotations by the place in a grid, row by row."""
        return cls(*(table.repeat_interleave(2, dim=1) for table in axial_rotations(height, width, channels)))

    def repeated(self, times: int, still: int) -> RotaryEmbedding:
        """Return the rotations of several grids one after the other, then `still` tokens that do not turn."""
        channels = self.cosines.shape[1]
        cosines = torch.cat([self.cosines.repeat(times, 1), self.cosines.new_ones(still, channels)])
        return RotaryEmbedding(cosines, torch.cat([self.sines.repeat(times, 1), self.sines.new_zeros(still, channels)]))

    def apply(self, x: Tensor, quarter: Tensor) -> Tensor:
        """Rotate `x` (...,n,C); `quarter` is `x` with each pair turned by 90 degrees."""
        return x * self.cosines + quarter * self.sines


def rotate_pairs(x: Tensor) -> Tensor:
    """Rotate each pair of adjacent rows (a, b) of (C,...) to (-b, a)."""
    pairs = x.unflatten(0, (-1, 2))
    return torch.stack([-pairs[:, 1], pairs[:, 0]], dim=1).flatten(0, 1)


def resize_position_table(table: Tensor, height: int, width: int) -> Tensor:
    """Resize (1,C,h,w) by bicubic interpolation to (1,C,height,width). Metal has no bicubic kernel: there the CPU does
    it."""
    if table.shape[-2:] == (height, width):
        return table
    source = table.cpu() if table.device.type == "mps" else table
    return F.interpolate(source, size=(height, width), mode="bicubic", align_corners=False).to(table.device)


def _frequencies(count: int) -> Tensor:
    index = torch.arange(count, dtype=torch.float32)
    return TEMPERATURE ** (2 * torch.div(index, 2, rounding_mode="floor") / count)
