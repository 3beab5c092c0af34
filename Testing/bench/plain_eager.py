"""The yardstick: the same networks as plain eager float32, written the obvious way, without what makes ours faster.

Batch norms stay by themselves, tensors keep the channels-first layout, SAM's attention materialises its scores as the
published encoders do. The numbers are the same; only the way there is plain.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from MedSAMSegmentLib.inference.slice_networks import Features, SliceNetwork, slice_network
from MedSAMSegmentLib.models import sam_vit, tiny_vit
from MedSAMSegmentLib.models.sam import Sam


class _Functional:
    """torch.nn.functional with attention as three steps."""

    def __getattr__(self, name: str) -> object:
        return getattr(torch.nn.functional, name)

    @staticmethod
    def scaled_dot_product_attention(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        if attn_mask is not None:
            scores = scores + attn_mask
        return scores.softmax(dim=-1) @ v


class PlainEager:
    """An engine by its face (`engines.base.ImageEncoderEngine`), for measurements alone."""

    name = "plain eager"
    precision = torch.float32

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._network: SliceNetwork = slice_network(module)
        module.requires_grad_(False)

    @torch.enable_grad()
    def encode(self, images: Tensor) -> Features:
        """With gradients on, though nothing asks for one: the networks then fold no batch norms and keep no tables."""
        if not isinstance(self._module, Sam):
            return self._network.encode(images)
        kept = tiny_vit.F, sam_vit.F
        tiny_vit.F = sam_vit.F = _Functional()  # type: ignore[assignment]
        try:
            return (self._plain_sam(self._module.image_encoder, images),)
        finally:
            tiny_vit.F, sam_vit.F = kept

    @staticmethod
    def _plain_sam(encoder: nn.Module, images: Tensor) -> Tensor:
        if not isinstance(encoder, tiny_vit.TinyViT):
            return encoder(images)
        x = encoder.patch_embed(images)  # TinyViT.forward would turn the layout to channels-last here
        for layer in encoder.layers:
            x = layer(x)
        return encoder.neck(x)
