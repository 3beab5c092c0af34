"""Networks by name, as the registry calls them. Modules are imported when their model is built."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode

from ..errors import UsageError
from .mask_decoder import MaskDecoder
from .prompt_encoder import PromptEncoder
from .sam import Sam

_BUILDERS: Mapping[str, str] = {
    "lite_medsam": "builders:build_lite_medsam",
    "sam_vit_b": "builders:build_sam_vit_b",
    "sam_vit_l": "builders:build_sam_vit_l",
    "sam_vit_h": "builders:build_sam_vit_h",
    "sam2_hiera_t": "sam2_builders:sam2_hiera_t",
    "sam2_hiera_s": "sam2_builders:sam2_hiera_s",
    "sam2_hiera_b_plus": "sam2_builders:sam2_hiera_b_plus",
    "sam2_hiera_l": "sam2_builders:sam2_hiera_l",
    "efficienttam_ti": "sam2_builders:efficienttam_ti",
    "efficienttam_s": "sam2_builders:efficienttam_s",
}


class _SkipRandomStart(TorchFunctionMode):
    """Leaves out the random initialisation of weights that a checkpoint replaces anyway; seconds for large models."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return (kwargs or {}).get("tensor", args[0] if args else None)
        return func(*args, **(kwargs or {}))


def build(name: str, **options: Any) -> nn.Module:
    """Return the network `name` in eval mode; `options` go to its build function.

    Its weights hold no meaningful values until a checkpoint is loaded. Raises `UsageError` for an unknown name.
    """
    if name not in _BUILDERS:
        raise UsageError(f"There is no network named {name!r}.", f"Known networks: {', '.join(_BUILDERS)}.")
    module_name, function = _BUILDERS[name].split(":")
    build_function = getattr(import_module(f".{module_name}", __package__), function)
    with _SkipRandomStart():
        return build_function(**options).eval()


def build_lite_medsam() -> Sam:
    """Build LiteMedSAM: TinyViT at 256 pixels."""
    from .tiny_vit import TinyViT

    return _sam(TinyViT(), image_size=256)


def build_sam_vit_b(image_size: int = 1024) -> Sam:
    """Build SAM ViT-B, which MedSAM is a fine-tuned copy of."""
    return _sam_vit(image_size, dim=768, depth=12, heads=12)


def build_sam_vit_l(image_size: int = 1024) -> Sam:
    return _sam_vit(image_size, dim=1024, depth=24, heads=16)


def build_sam_vit_h(image_size: int = 1024) -> Sam:
    return _sam_vit(image_size, dim=1280, depth=32, heads=16)


def _sam_vit(image_size: int, *, dim: int, depth: int, heads: int) -> Sam:
    from .sam_vit import SamViT

    global_blocks = range(depth // 4 - 1, depth, depth // 4)
    encoder = SamViT(dim=dim, depth=depth, heads=heads, global_blocks=global_blocks, image_size=image_size)
    return _sam(encoder, image_size=image_size, stride=16)


def _sam(image_encoder: nn.Module, *, image_size: int, stride: int = 4) -> Sam:
    side = image_size // stride
    prompt_encoder = PromptEncoder(256, (side, side), (image_size, image_size))
    return Sam(image_encoder, prompt_encoder, MaskDecoder(256))
