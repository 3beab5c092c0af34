"""Hiera, the image encoder of SAM 2: windowed attention, half the resolution at each stage (Ryali et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import MLP, DerivedTensors, JointProjection, as_image, attend, join_windows, project_windows, split_windows
from .position_encoding import resize_position_table

NORM_EPS = 1e-6
Shape = tuple[int, int]


@dataclass(frozen=True)
class HieraConfig:
    """Sizes of a Hiera. `global_blocks` attend to the whole grid; windows of a stage are `window_sizes` wide."""

    embed_dim: int
    num_heads: int
    stages: tuple[int, int, int, int]
    global_blocks: tuple[int, ...]
    window_sizes: tuple[int, int, int, int] = (8, 4, 14, 7)
    background_size: tuple[int, int] = (7, 7)

    @property
    def channels(self) -> tuple[int, int, int, int]:
        """Channels of the four stages, finest first."""
        return (self.embed_dim, self.embed_dim * 2, self.embed_dim * 4, self.embed_dim * 8)


def halve(x: Tensor) -> Tensor:
    """Return the maximum over 2x2 cells of (B,H,W,C), H and W even."""
    rows = torch.maximum(x[:, 0::2], x[:, 1::2])
    return torch.maximum(rows[:, :, 0::2], rows[:, :, 1::2])


class PatchEmbed(nn.Module):
    """Overlapping patches: (B,3,H,W) -> (B,H/4,W/4,C)."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, kernel_size=7, stride=4, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).permute(0, 2, 3, 1)


class MultiScaleAttention(JointProjection):
    """Attention over the cells of a window; with `pool` the queries, and so the result, are halved in size."""

    def __init__(self, dim: int, dim_out: int, num_heads: int, pool: bool) -> None:
        super().__init__(dim, dim_out, num_heads)
        self.pool = pool

    def forward(self, x: Tensor, window: int) -> Tensor:
        """(B,H,W,C) -> (B,H',W',C_out), before the last projection. `window` 0 means the whole grid."""
        height, width = int(x.shape[1]), int(x.shape[2])
        if not window:
            return self._attend(*(F.linear(x, *self.projection(part)) for part in range(3)))
        if height % window or width % window:
            side = (window, window)
            query, key, value = (
                project_windows(x, *self.projection(part), window).unflatten(1, side) for part in range(3)
            )
        else:
            windows = split_windows(x, window)
            query, key, value = (F.linear(windows, *self.projection(part)) for part in range(3))
        attended = self._attend(query, key, value)
        if self.pool:
            return join_windows(attended, window // 2, (height // 2, width // 2))
        return join_windows(attended, window, (height, width))

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if self.pool:
            query = halve(query)
        attended = attend(self._heads(query), self._heads(key), self._heads(value))
        return attended.transpose(1, 2).flatten(2).unflatten(1, query.shape[1:3])

    def _heads(self, x: Tensor) -> Tensor:
        return x.flatten(1, 2).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class MultiScaleBlock(nn.Module):
    """Windowed attention and an MLP, each with a residual. `window` 0 means the whole grid."""

    def __init__(self, dim: int, dim_out: int, num_heads: int, window: int, pool: bool) -> None:
        super().__init__()
        self.window = window
        self.pool = pool
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = MultiScaleAttention(dim, dim_out, num_heads, pool)
        self.norm2 = nn.LayerNorm(dim_out, eps=NORM_EPS)
        self.mlp = MLP(dim_out, dim_out * 4, dim_out, num_layers=2, activation=nn.GELU)
        self.changes_width = dim != dim_out
        if self.changes_width:
            self.proj = nn.Linear(dim, dim_out)

    def forward(self, x: Tensor, shape: Shape) -> tuple[Tensor, Shape]:
        """(B,H*W,C) with `shape` = (H,W) -> (B,H'*W',C_out) and (H',W'), which are half when the block pools."""
        normed = self.norm1(x)
        shortcut = self.proj(normed) if self.changes_width else x
        halved = (shape[0] // 2, shape[1] // 2) if self.pool else shape
        if self.pool:
            shortcut = halve(shortcut.unflatten(1, shape)).flatten(1, 2)
        attended = self.attn(normed.unflatten(1, shape), self.window)
        x = shortcut + self.attn.proj(attended.flatten(1, 2))
        return x + self.mlp(self.norm2(x)), halved


class Hiera(DerivedTensors):
    """The trunk: (B,3,H,W) -> four maps (B,C,h,w) at strides 4, 8, 16 and 32, finest first."""

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(config.embed_dim)
        window = config.window_sizes[0]
        self.pos_embed = nn.Parameter(torch.zeros(1, config.embed_dim, *config.background_size))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, config.embed_dim, window, window))
        self.blocks = nn.ModuleList(_blocks(config))
        self.stage_ends = _stage_ends(config.stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.patch_embed(images)
        height, width = shape = (int(x.shape[1]), int(x.shape[2]))
        position = self.derived(f"position {height}x{width}", lambda: self._position(height, width))
        x = x.flatten(1, 2) + position.flatten(1, 2)
        maps = []
        for index, block in enumerate(self.blocks):
            x, shape = block(x, shape)
            if index in self.stage_ends:
                maps.append(as_image(x, shape))
        return maps

    def _position(self, height: int, width: int) -> Tensor:
        """Return a table stretched over the image plus one repeated in each window: (1,height,width,C)."""
        window = self.pos_embed_window
        tiles = (1, 1, height // window.shape[2], width // window.shape[3])
        return (resize_position_table(self.pos_embed, height, width) + window.tile(tiles)).permute(0, 2, 3, 1)


def _stage_ends(stages: Sequence[int]) -> list[int]:
    return [sum(stages[: n + 1]) - 1 for n in range(len(stages))]


def _blocks(config: HieraConfig) -> list[MultiScaleBlock]:
    """Build all blocks; the first one of a stage pools and doubles the width, and still has the window of the stage
    before."""
    blocks = []
    ends = _stage_ends(config.stages)
    stage, dim, heads = 0, config.embed_dim, config.num_heads
    for index in range(sum(config.stages)):
        window = 0 if index in config.global_blocks else config.window_sizes[stage]
        pool = index - 1 in ends
        dim_out = dim
        if pool:
            stage, dim_out, heads = stage + 1, dim * 2, heads * 2
        blocks.append(MultiScaleBlock(dim, dim_out, heads, window, pool))
        dim = dim_out
    return blocks
