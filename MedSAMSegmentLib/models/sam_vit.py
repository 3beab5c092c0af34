"""The plain ViT of SAM and MedSAM: windowed and global attention with relative positions (Li et al. 2022, ViTDet)."""

from __future__ import annotations

from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import FeedForward, LayerNorm2d, join_windows, split_windows

PATCH = 16
BIAS_NUMBERS = 2**24
"""At most so many numbers of attention bias exist at a time (64 MiB as float32): heads take turns."""


class PatchEmbed(nn.Module):
    """(B,3,H,W) -> (B,H/16,W/16,dim)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=PATCH, stride=PATCH)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).permute(0, 2, 3, 1)


class RelativeAttention(nn.Module):
    """Attention over a square of `side` x `side` tokens with decomposed relative positions."""

    def __init__(self, dim: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.side = side
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, dim // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, dim // heads))

    def forward(self, x: Tensor) -> Tensor:
        """(B,side,side,C) -> (B,side,side,C)."""
        batch, side = x.shape[0], self.side
        qkv = self.qkv(x.flatten(1, 2)).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        along_rows, along_columns = self._relative_scores(q)
        together = max(1, BIAS_NUMBERS // (batch * side**4))
        parts = []
        for first in range(0, self.heads, together):
            some = slice(first, first + together)
            bias = along_rows[:, some, ..., None] + along_columns[:, some, :, None]
            parts.append(F.scaled_dot_product_attention(q[:, some], k[:, some], v[:, some], bias.flatten(-2)))
        attended = torch.cat(parts, dim=1).transpose(1, 2)
        return self.proj(attended.reshape(batch, side, side, -1))

    def _relative_scores(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Score unscaled queries (B,heads,N,c) against the rows' and columns' positions: two (B,heads,N,side)."""
        place = torch.arange(self.side, device=q.device)
        apart = place[:, None] - place + self.side - 1
        grid = q.unflatten(2, (self.side, self.side))
        along_rows = torch.einsum("bnyxc,ykc->bnyxk", grid, self.rel_pos_h[apart])
        along_columns = torch.einsum("bnyxc,xkc->bnyxk", grid, self.rel_pos_w[apart])
        return along_rows.flatten(2, 3), along_columns.flatten(2, 3)


class Block(nn.Module):
    """Pre-norm attention and MLP on (B,H,W,C); `window` 0 is global attention over `grid` x `grid` tokens."""

    def __init__(self, dim: int, heads: int, grid: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = RelativeAttention(dim, heads, window or grid)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = FeedForward(dim, 4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))

    def _attend(self, x: Tensor) -> Tensor:
        if not self.window:
            return self.attn(x)
        shape = (int(x.shape[1]), int(x.shape[2]))
        return join_windows(self.attn(split_windows(x, self.window)), self.window, shape)


class SamViT(nn.Module):
    """Image (B,3,S,S) -> embedding (B,out_dim,S/16,S/16)."""

    def __init__(
        self,
        *,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        global_blocks: Collection[int] = (2, 5, 8, 11),
        image_size: int = 1024,
        window: int = 14,
        out_dim: int = 256,
    ) -> None:
        super().__init__()
        grid = image_size // PATCH
        self.patch_embed = PatchEmbed(dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, dim))
        self.blocks = nn.ModuleList(
            Block(dim, heads, grid, 0 if index in global_blocks else window) for index in range(depth)
        )
        self.neck = nn.Sequential(
            nn.Conv2d(dim, out_dim, kernel_size=1, bias=False),
            LayerNorm2d(out_dim),
            nn.Conv2d(out_dim, out_dim, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(out_dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.neck(x.permute(0, 3, 1, 2))
