"""The names that Hugging Face transformers gives to SAM's weights (class `SamModel`), turned into the official ones.

The two differ in names alone: no tensor is split, joined or transposed. transformers keeps the positional encoding
matrix twice, shared between the image and the prompts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

_T = TypeVar("_T")

_SHARED_POSITION = "shared_image_embedding.positional_embedding"
_PROMPT_POSITION = "prompt_encoder.shared_embedding.positional_embedding"

_RULES = (
    (
        r"^prompt_encoder\.shared_embedding\.positional_embedding$",
        "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
    ),
    (r"^vision_encoder\.neck\.conv1\.", "image_encoder.neck.0."),
    (r"^vision_encoder\.neck\.layer_norm1\.", "image_encoder.neck.1."),
    (r"^vision_encoder\.neck\.conv2\.", "image_encoder.neck.2."),
    (r"^vision_encoder\.neck\.layer_norm2\.", "image_encoder.neck.3."),
    (r"^vision_encoder\.patch_embed\.projection\.", "image_encoder.patch_embed.proj."),
    (r"^vision_encoder\.layers\.", "image_encoder.blocks."),
    (r"^vision_encoder\.", "image_encoder."),
    (r"^prompt_encoder\.point_embed\.", "prompt_encoder.point_embeddings."),
    (r"^prompt_encoder\.mask_embed\.conv1\.", "prompt_encoder.mask_downscaling.0."),
    (r"^prompt_encoder\.mask_embed\.layer_norm1\.", "prompt_encoder.mask_downscaling.1."),
    (r"^prompt_encoder\.mask_embed\.conv2\.", "prompt_encoder.mask_downscaling.3."),
    (r"^prompt_encoder\.mask_embed\.layer_norm2\.", "prompt_encoder.mask_downscaling.4."),
    (r"^prompt_encoder\.mask_embed\.conv3\.", "prompt_encoder.mask_downscaling.6."),
    (r"^mask_decoder\.upscale_conv1\.", "mask_decoder.output_upscaling.0."),
    (r"^mask_decoder\.upscale_layer_norm\.", "mask_decoder.output_upscaling.1."),
    (r"^mask_decoder\.upscale_conv2\.", "mask_decoder.output_upscaling.3."),
    # Three layers are proj_in, layers.0, proj_out there, and layers 0, 1, 2 here: the middle one is renamed first.
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.layers\.0\.", r"\1.layers.1."),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.proj_in\.", r"\1.layers.0."),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.proj_out\.", r"\1.layers.2."),
    (r"\.layer_norm(?=\d|_final_attn\.)", ".norm"),
)


def is_huggingface_sam(keys: Iterable[str]) -> bool:
    """Return whether these are the keys of a transformers `SamModel`."""
    return _SHARED_POSITION in set(keys)


def to_official_keys(state_dict: Mapping[str, _T]) -> dict[str, _T]:
    """Return the same values under SAM's official keys."""
    renamed = dict(state_dict)
    shared = renamed.pop(_SHARED_POSITION)
    # safetensors keeps one of two shared tensors; both names mean the same matrix.
    renamed.setdefault(_PROMPT_POSITION, shared)
    return {_official(key): value for key, value in renamed.items()}


def _official(key: str) -> str:
    for pattern, replacement in _RULES:
        key = re.sub(pattern, replacement, key)
    return key
