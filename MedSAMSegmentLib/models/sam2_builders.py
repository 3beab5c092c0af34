"""SAM 2.1, MedSAM2 and EfficientTAM by name. MedSAM2 is SAM 2.1 tiny at 512 pixels; stock SAM 2.1 works at 1024."""

from __future__ import annotations

from .fpn_neck import FpnNeck, ImageEncoder, PlainNeck
from .hiera import Hiera, HieraConfig
from .plain_vit import PlainViT
from .sam2 import Sam2, Sam2Config

TINY = HieraConfig(embed_dim=96, num_heads=1, stages=(1, 2, 7, 2), global_blocks=(5, 7, 9))
SMALL = HieraConfig(embed_dim=96, num_heads=1, stages=(1, 2, 11, 2), global_blocks=(7, 10, 13))
BASE_PLUS = HieraConfig(
    embed_dim=112, num_heads=2, stages=(2, 3, 16, 3), global_blocks=(12, 16, 20), background_size=(14, 14)
)
LARGE = HieraConfig(
    embed_dim=144, num_heads=2, stages=(2, 6, 36, 4), global_blocks=(23, 33, 43), window_sizes=(8, 4, 16, 8)
)


def sam2_hiera_t(image_size: int = 512) -> Sam2:
    return _with_hiera(TINY, image_size)


def sam2_hiera_s(image_size: int = 512) -> Sam2:
    return _with_hiera(SMALL, image_size)


def sam2_hiera_b_plus(image_size: int = 512) -> Sam2:
    return _with_hiera(BASE_PLUS, image_size)


def sam2_hiera_l(image_size: int = 512) -> Sam2:
    return _with_hiera(LARGE, image_size)


def efficienttam_ti(image_size: int = 512) -> Sam2:
    return _with_plain_vit(192, image_size)


def efficienttam_s(image_size: int = 512) -> Sam2:
    return _with_plain_vit(384, image_size)


def _with_hiera(hiera: HieraConfig, image_size: int) -> Sam2:
    encoder = ImageEncoder(Hiera(hiera), FpnNeck(hiera.channels))
    return Sam2(encoder, Sam2Config(image_size)).eval()


def _with_plain_vit(dim: int, image_size: int) -> Sam2:
    encoder = ImageEncoder(PlainViT(dim), PlainNeck(dim))
    config = Sam2Config(image_size, high_res_features=False, pointer_time_code=False, absent_code=False)
    return Sam2(encoder, config).eval()
