"""The plain vision transformer of EfficientTAM: one resolution, most blocks in windows (Li et al. 2022, ViTDet)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import MLP, DerivedTensors, JointProjection, as_image, attend, join_windows, project_windows
from .position_encoding import resize_position_table

NORM_EPS = 1e-6
PATCH = 16
PRETRAINED_GRID = 14
HEAD_WIDTH = 64


class PatchEmbed(nn.Module):
    """(B,3,H,W) -> (B,H/16,W/16,C)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=PATCH, stride=PATCH)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).permute(0, 2, 3, 1)


class Attention(JointProjection):
    """Self-attention over all cells of a window or of the whole grid."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__(dim, dim, num_heads)

    def forward(self, x: Tensor, shape: tuple[int, int], window: int) -> Tensor:
        """(B,H*W,C) with `shape` = (H,W) -> the same, before the last projection. `window` 0 means the whole grid."""
        if not window:
            return self._attend(F.linear(x, *self.projection(part)) for part in range(3))
        cells = x.unflatten(1, shape)
        attended = self._attend(project_windows(cells, *self.projection(part), window) for part in range(3))
        return join_windows(attended.unflatten(1, (window, window)), window, shape).flatten(1, 2)

    def _attend(self, parts: Iterable[Tensor]) -> Tensor:
        query, key, value = (self._heads(part) for part in parts)
        return attend(query, key, value).transpose(1, 2).flatten(2)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class Block(nn.Module):
    """Attention and an MLP, normed before; `window` 0 means the whole grid."""

    def __init__(self, dim: int, num_heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = MLP(dim, dim * 4, dim, num_layers=2, activation=nn.GELU)

    def forward(self, x: Tensor, shape: tuple[int, int]) -> Tensor:
        """(B,H*W,C) with `shape` = (H,W)."""
        x = x + self.attn.proj(self.attn(self.norm1(x), shape, self.window))
        return x + self.mlp(self.norm2(x))


class PlainViT(DerivedTensors):
    """The trunk: (B,3,H,W) -> one map (B,C,H/16,W/16)."""

    def __init__(
        self, dim: int, depth: int = 12, window: int = 14, global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, PRETRAINED_GRID**2 + 1, dim))
        self.blocks = nn.ModuleList(
            Block(dim, dim // HEAD_WIDTH, 0 if index in global_blocks else window) for index in range(depth)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.patch_embed(images)
        height, width = x.shape[1:3]
        x = x + self.derived(f"position {height}x{width}", lambda: self._position(height, width))
        x, shape = x.flatten(1, 2), (int(height), int(width))
        for block in self.blocks:
            x = block(x, shape)
        return [as_image(x, shape)]

    def _position(self, height: int, width: int) -> Tensor:
        """Return the pretrained table without its class token, stretched over the grid: (1,height,width,C)."""
        table = self.pos_embed[:, 1:]
        side = math.isqrt(table.shape[1])
        grid = table.unflatten(1, (side, side)).permute(0, 3, 1, 2)
        return resize_position_table(grid, height, width).permute(0, 2, 3, 1)
