"""The yardstick: the same networks as plain eager float32, written the obvious way, without what makes ours faster.

Batch norms stay by themselves, tensors keep the channels-first layout, SAM's attention materialises its scores as the
published encoders do, memories and image cells are projected before they are attended to, and a prompt is answered for
the whole slice. The numbers are the same; only the way there is plain.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from plain_trunks import plain_pyramid, plain_trunk
from torch import Tensor, nn

from MedSAMSegmentLib.inference.engines.precision import Precision
from MedSAMSegmentLib.inference.slice_networks import Features, SliceNetwork, slice_network
from MedSAMSegmentLib.models import layers, sam_vit, tiny_vit
from MedSAMSegmentLib.models.fpn_neck import FpnNeck
from MedSAMSegmentLib.models.mask_decoder import NUM_MASKS, DecodedMasks, MaskDecoder
from MedSAMSegmentLib.models.memory_attention import RotaryAttention
from MedSAMSegmentLib.models.position_encoding import RotaryEmbedding
from MedSAMSegmentLib.models.sam import Decode, Sam
from MedSAMSegmentLib.models.sam2 import MemorySteps, Sam2


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
    precision = Precision()

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._network: SliceNetwork = slice_network(module)
        module.requires_grad_(False)

    @property
    def decode(self) -> Decode | None:
        return self._plain_answer if isinstance(self._module, Sam) else None

    @property
    def memory_steps(self) -> MemorySteps | None:
        if not isinstance(self._module, Sam2):
            return None
        return MemorySteps(self._plain_attend_to_memories, self._plain_decode, self._module.memory_encoder)

    @torch.enable_grad()
    def encode(self, images: Tensor) -> Features:
        """With gradients on, though nothing asks for one: the networks then fold no batch norms and keep no tables."""
        if not isinstance(self._module, Sam):
            return self._encode_frame(images)
        patched = layers, sam_vit
        for module in patched:
            module.F = _Functional()  # type: ignore[assignment]
        try:
            return (self._plain_sam(self._module.image_encoder, images),)
        finally:
            for module in patched:
                module.F = F

    @torch.inference_mode()
    def _encode_frame(self, images: Tensor) -> Features:
        assert isinstance(self._module, Sam2)
        trunk, neck = self._module.image_encoder.trunk, self._module.image_encoder.neck
        trunk.forward = lambda images: plain_trunk(trunk, images)
        if isinstance(neck, FpnNeck):
            neck.forward = lambda maps, *heads: plain_pyramid(neck, maps, heads)
        try:
            return self._network.encode(images)
        finally:
            del trunk.forward
            neck.__dict__.pop("forward", None)

    @staticmethod
    def _plain_sam(encoder: nn.Module, images: Tensor) -> Tensor:
        if not isinstance(encoder, tiny_vit.TinyViT):
            return encoder(images)
        x = encoder.patch_embed(images)  # TinyViT.forward would rotation the layout to channels-last here
        for layer in encoder.layers:
            x = layer(x)
        return encoder.neck(x)

    def _plain_answer(self, image: Tensor, sparse: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        assert isinstance(self._module, Sam)
        position = self._module.prompt_encoder.dense_position_encoding()
        decoded = _decoded(self._module.mask_decoder, image, position, sparse)
        places = ((4 * part[:, None] + torch.arange(4)).flatten() for part in (rows, columns))
        return decoded.logits.index_select(2, next(places)).index_select(3, next(places)), decoded.ious

    def _plain_decode(self, image: Tensor, sparse: Tensor, high_res: tuple[Tensor, Tensor] | None) -> DecodedMasks:
        assert isinstance(self._module, Sam2)
        position = self._module.sam_prompt_encoder.dense_position_encoding()
        return _decoded(self._module.sam_mask_decoder, image, position, sparse, high_res)

    def _plain_attend_to_memories(
        self, x: Tensor, key: Tensor, memory: Tensor, key_rotation: RotaryEmbedding
    ) -> Tensor:
        assert isinstance(self._module, Sam2)
        attention = self._module.memory_attention
        rotation = attention.key_rotation(x.shape[1], 0)
        for layer in attention.layers:
            normed = layer.norm1(x)
            x = x + _attend(layer.self_attn, normed, normed, normed, (rotation, rotation))
            x = x + _attend(layer.cross_attn_image, layer.norm2(x), key, memory, (rotation, key_rotation))
            x = x + layer.linear2(F.relu(layer.linear1(layer.norm3(x))))
        return attention.norm(x)


def _attend(
    attention: RotaryAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    rotations: tuple[RotaryEmbedding, RotaryEmbedding],
) -> Tensor:
    query, key, value = attention.q_proj(query), attention.k_proj(key), attention.v_proj(value)
    query, key = _rotated(query, rotations[0]), _rotated(key, rotations[1])
    attended = F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None])
    return attention.out_proj(attended[:, 0])


def _rotated(x: Tensor, rotation: RotaryEmbedding) -> Tensor:
    pairs = x.unflatten(-1, (-1, 2))
    quarter = torch.stack([-pairs[..., 1], pairs[..., 0]], dim=-1).flatten(-2)
    return rotation.apply(x, quarter)


def _decoded(
    decoder: MaskDecoder,
    image: Tensor,
    image_pe: Tensor,
    sparse: Tensor,
    high_res: tuple[Tensor, Tensor] | None = None,
) -> DecodedMasks:
    """`MaskDecoder.answer` as Kirillov et al. (2023) describe it, on cells (1,N,C) and prompts' tokens (1,T,C)."""
    own = [decoder.iou_token.weight, decoder.mask_tokens.weight]
    if decoder.has_object_score:
        own.insert(0, decoder.obj_score_token.weight)
    first = int(decoder.has_object_score)
    placed = tokens = torch.cat([*own, sparse[0]])[None]
    places = image_pe.flatten(2).transpose(1, 2)
    for layer in decoder.transformer.layers:
        query = tokens if layer.is_first else tokens + placed
        change = layer.self_attn(query, query, tokens)
        tokens = layer.norm1(change if layer.is_first else tokens + change)
        seen = layer.cross_attn_token_to_image(tokens + placed, image + places, image)
        tokens = layer.norm2(tokens + seen)
        tokens = layer.norm3(tokens + layer.mlp(tokens))
        image = layer.norm4(image + layer.cross_attn_image_to_token(image + places, tokens + placed, tokens))
    last = decoder.transformer
    tokens = last.norm_final_attn(tokens + last.final_attn_token_to_image(tokens + placed, image + places, image))
    enlarge, norm, activation, enlarge_again, last_activation = decoder.output_upscaling
    pixels = enlarge(image.transpose(1, 2).unflatten(2, image_pe.shape[-2:]))
    pixels = activation(norm(pixels if high_res is None else pixels + high_res[1]))
    pixels = enlarge_again(pixels)
    pixels = last_activation(pixels if high_res is None else pixels + high_res[0])
    mask_tokens = tokens[:, first + 1 : first + 1 + NUM_MASKS]
    weights = [mlp(mask_tokens[:, index]) for index, mlp in enumerate(decoder.output_hypernetworks_mlps)]
    return DecodedMasks(
        logits=(torch.stack(weights, dim=1) @ pixels.flatten(2)).unflatten(2, pixels.shape[-2:]),
        ious=decoder.iou_prediction_head(tokens[:, first]),
        tokens=mask_tokens,
        object_score=decoder.pred_obj_score_head(tokens[:, 0]) if decoder.has_object_score else None,
    )
