"""The yardstick: the same networks as plain eager float32, written the obvious way, without what makes ours faster.

Batch norms stay by themselves, tensors keep the channels-first layout, SAM's attention materialises its scores as the
published encoders do, memories are projected before they are attended to. The numbers are the same; only the way there
is plain.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from MedSAMSegmentLib.inference.slice_networks import Features, SliceNetwork, slice_network
from MedSAMSegmentLib.models import layers, sam_vit, tiny_vit
from MedSAMSegmentLib.models.memory_attention import LookBack, RotaryAttention
from MedSAMSegmentLib.models.position_encoding import Turn
from MedSAMSegmentLib.models.sam import Sam
from MedSAMSegmentLib.models.sam2 import Sam2


class _Functional:
    """torch.nn.functional with attention as three steps."""

    def __getattr__(self, name: str) -> object:
        return getattr(torch.nn.functional, name)

    @staticmethod
    def scaled_dot_product_attention(
        q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, scale: float | None = None
    ) -> Tensor:
        scores = (q * (q.shape[-1] ** -0.5 if scale is None else scale)) @ k.transpose(-2, -1)
        if attn_mask is not None:
            scores = scores + attn_mask
        return scores.softmax(dim=-1) @ v


class PlainEager:
    """An engine by its face (`engines.base.ImageEncoderEngine`), for measurements alone."""

    name = "plain eager"
    precision = torch.float32
    decode = None

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._network: SliceNetwork = slice_network(module)
        module.requires_grad_(False)

    @property
    def look_back(self) -> LookBack | None:
        return self._plain_look_back if isinstance(self._module, Sam2) else None

    @torch.enable_grad()
    def encode(self, images: Tensor) -> Features:
        """With gradients on, though nothing asks for one: the networks then fold no batch norms and keep no tables."""
        if not isinstance(self._module, Sam):
            return self._network.encode(images)
        patched = layers, sam_vit
        for module in patched:
            module.F = _Functional()  # type: ignore[assignment]
        try:
            return (self._plain_sam(self._module.image_encoder, images),)
        finally:
            for module in patched:
                module.F = F

    @staticmethod
    def _plain_sam(encoder: nn.Module, images: Tensor) -> Tensor:
        if not isinstance(encoder, tiny_vit.TinyViT):
            return encoder(images)
        x = encoder.patch_embed(images)  # TinyViT.forward would turn the layout to channels-last here
        for layer in encoder.layers:
            x = layer(x)
        return encoder.neck(x)

    def _plain_look_back(self, x: Tensor, key: Tensor, memory: Tensor, key_turn: Turn) -> Tensor:
        assert isinstance(self._module, Sam2)
        attention = self._module.memory_attention
        turn = attention.key_turn(x.shape[1], 0)
        for layer in attention.layers:
            normed = layer.norm1(x)
            x = x + _attend(layer.self_attn, normed, normed, normed, (turn, turn))
            x = x + _attend(layer.cross_attn_image, layer.norm2(x), key, memory, (turn, key_turn))
            x = x + layer.linear2(F.relu(layer.linear1(layer.norm3(x))))
        return attention.norm(x)


def _attend(attention: RotaryAttention, query: Tensor, key: Tensor, value: Tensor, turns: tuple[Turn, Turn]) -> Tensor:
    query, key, value = attention.q_proj(query), attention.k_proj(key), attention.v_proj(value)
    query, key = _turned(query, turns[0]), _turned(key, turns[1])
    attended = F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None])
    return attention.out_proj(attended[:, 0])


def _turned(x: Tensor, turn: Turn) -> Tensor:
    pairs = x.unflatten(-1, (-1, 2))
    quarter = torch.stack([-pairs[..., 1], pairs[..., 0]], dim=-1).flatten(-2)
    return turn.apply(x, quarter)
