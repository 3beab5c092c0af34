"""The image encoders of SAM 2 and EfficientTAM in plain steps: one joint projection, on the cells of padded windows."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from MedSAMSegmentLib.models.fpn_neck import FpnNeck
from MedSAMSegmentLib.models.hiera import Hiera, MultiScaleAttention, MultiScaleBlock
from MedSAMSegmentLib.models.layers import join_windows, split_windows
from MedSAMSegmentLib.models.plain_vit import Attention, PlainViT


def plain_trunk(trunk: nn.Module, images: Tensor) -> list[Tensor]:
    """What `trunk(images)` gives."""
    if isinstance(trunk, Hiera):
        return _plain_hiera(trunk, images)
    assert isinstance(trunk, PlainViT)
    x = trunk.patch_embed(images)
    x = x + trunk._position(x.shape[1], x.shape[2])
    for block in trunk.blocks:
        x = x + _attended(block.attn, block.norm1(x), block.window, pool=False)
        x = x + block.mlp(block.norm2(x))
    return [x.permute(0, 3, 1, 2)]


def plain_pyramid(neck: FpnNeck, maps: Sequence[Tensor], heads: Sequence[nn.Module]) -> list[Tensor]:
    """What `neck(maps, *heads)` gives, a convolution after the other."""
    coarsest, stride_16, stride_8, stride_4 = (conv(x) for conv, x in zip(neck.convs, reversed(maps), strict=True))
    fused = stride_16 + F.interpolate(coarsest, scale_factor=2.0, mode="nearest")
    return [heads[0](stride_4), heads[1](stride_8), fused]


def _plain_hiera(trunk: Hiera, images: Tensor) -> list[Tensor]:
    x = trunk.patch_embed(images)
    x = x + trunk._position(x.shape[1], x.shape[2])
    maps = []
    for index, block in enumerate(trunk.blocks):
        assert isinstance(block, MultiScaleBlock)
        normed = block.norm1(x)
        shortcut = block.proj(normed) if block.changes_width else x
        x = (_halved(shortcut) if block.pool else shortcut) + _attended(block.attn, normed, block.window, block.pool)
        x = x + block.mlp(block.norm2(x))
        if index in trunk.stage_ends:
            maps.append(x.permute(0, 3, 1, 2))
    return maps


def _attended(attention: MultiScaleAttention | Attention, x: Tensor, window: int, pool: bool) -> Tensor:
    """(B,H,W,C) -> (B,H',W',C')."""
    height, width = x.shape[1:3]
    qkv = attention.qkv(split_windows(x, window) if window else x)
    query, key, value = qkv.unflatten(-1, (3, -1)).unbind(-2)
    if pool:
        query, window = _halved(query), window // 2
        height, width = height // 2, width // 2
    heads = [
        part.flatten(1, 2).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for part in (query, key, value)
    ]
    attended = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
    answer = attention.proj(attended.unflatten(1, query.shape[1:3]))
    return join_windows(answer, window, (height, width)) if window else answer


def _halved(x: Tensor) -> Tensor:
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
