"""Image embedding and prompt tokens -> mask logits and their predicted quality, for SAM and SAM 2 alike."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import MLP, DerivedTensors, LayerNorm2d, as_tokens
from .two_way_transformer import TwoWayTransformer, sam2_feed_forward, sam_feed_forward

NUM_MASKS = 4
SINGLE, CANDIDATES = slice(0, 1), slice(1, None)
"""Mask 0 answers unambiguous prompts, masks 1 to 3 are the candidates for an ambiguous one."""


@dataclass(frozen=True)
class DecodedMasks:
    """All masks of B prompts: `logits` (B,M,4h,4w), `ious` (B,M), `tokens` (B,M,C), `object_score` (B,1) or None."""

    logits: Tensor
    ious: Tensor
    tokens: Tensor
    object_score: Tensor | None

    def select(self, multimask: bool) -> DecodedMasks:
        """Return the masks 1 to 3 for an ambiguous prompt, else mask 0."""
        chosen = CANDIDATES if multimask else SINGLE
        return DecodedMasks(self.logits[:, chosen], self.ious[:, chosen], self.tokens[:, chosen], self.object_score)


class MaskDecoder(DerivedTensors):
    """The SAM decoder, and with `sam2=True` that of SAM 2: an object score and IoUs through a sigmoid.

    `high_res_features` adds the two skip convolutions of Hiera (`conv_s0`, `conv_s1`). Whoever makes the image
    features applies them, once for an image; `forward` takes their results.
    """

    def __init__(self, dim: int = 256, *, sam2: bool = False, high_res_features: bool = False) -> None:
        super().__init__()
        feed_forward = sam2_feed_forward if sam2 else sam_feed_forward
        self.transformer = TwoWayTransformer(dim=dim, feed_forward=feed_forward)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(NUM_MASKS, dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, kernel_size=2, stride=2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(MLP(dim, dim, dim // 8, 3) for _ in range(NUM_MASKS))
        self.iou_prediction_head = MLP(dim, dim, NUM_MASKS, 3, sigmoid_output=sam2)
        self.has_object_score = sam2
        if sam2:
            self.obj_score_token = nn.Embedding(1, dim)
            self.pred_obj_score_head = MLP(dim, dim, 1, 3)
        if high_res_features:
            self.conv_s0 = nn.Conv2d(dim, dim // 8, kernel_size=1)
            self.conv_s1 = nn.Conv2d(dim, dim // 4, kernel_size=1)

    def forward(
        self,
        image_embedding: Tensor,
        image_pe: Tensor,
        sparse: Tensor,
        dense: Tensor,
        high_res: tuple[Tensor, Tensor] | None = None,
    ) -> DecodedMasks:
        """Decode all four masks of B prompts.

        `image_embedding` (1 or B,C,h,w); `image_pe` (1,C,h,w); `sparse` (B,T,C) and `dense` from the prompt encoder;
        `high_res` = (level 0 (1 or B,C/8,4h,4w), level 1 (1 or B,C/4,2h,2w)), already through `conv_s0` and `conv_s1`.
        One image serves all B prompts without being repeated up to the first attention from image to tokens.
        """
        return self.answer(as_tokens(image_embedding).contiguous() + dense, image_pe, sparse, high_res)

    def answer(
        self,
        cells: Tensor,
        image_pe: Tensor,
        sparse: Tensor,
        high_res: tuple[Tensor, Tensor] | None = None,
        *,
        part: tuple[Tensor, Tensor] | None = None,
    ) -> DecodedMasks:
        """Run `forward` from the image's cells (1 or B,h*w,C) on, with what the prompts' masks add to them.

        `part` = indices of rows (r,) and columns (c,) of the embedding: logits (B,M,4r,4c) of these cells alone, whose
        numbers are those that the whole has there. Not together with `high_res`.
        """
        own = [self.iou_token.weight, self.mask_tokens.weight]
        if self.has_object_score:
            own.insert(0, self.obj_score_token.weight)
        own_tokens = torch.cat(own)[None].expand(sparse.shape[0], -1, -1)
        tokens = torch.cat([own_tokens, sparse.to(own_tokens.dtype)], dim=1)

        grid = (int(image_pe.shape[-2]), int(image_pe.shape[-1]))
        tokens, image = self.transformer(cells, image_pe, tokens)
        cells = image.unflatten(1, grid)
        if part is not None:
            cells = cells.index_select(1, part[0]).index_select(2, part[1])
        upscaled = self._upscale(cells, high_res)

        first = 1 if self.has_object_score else 0
        mask_tokens = tokens[:, first + 1 : first + 1 + NUM_MASKS]
        weights = torch.stack([mlp(mask_tokens[:, i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1)
        scores = (upscaled.flatten(1, -2) @ weights.transpose(1, 2)).unflatten(1, upscaled.shape[1:-1])
        return DecodedMasks(
            logits=_put_cells_together(scores),
            ious=self.iou_prediction_head(tokens[:, first]),
            tokens=mask_tokens,
            object_score=self.pred_obj_score_head(tokens[:, 0]) if self.has_object_score else None,
        )

    def _upscale(self, image: Tensor, high_res: tuple[Tensor, Tensor] | None) -> Tensor:
        """Upscale (B,h,w,C) to (B,h,w,2,2,2,2,C/8): each cell becomes 2x2 cells, and each of those 2x2 pixels.

        A transposed convolution whose stride is its kernel is one product for each cell. Cells stay where they are
        and channels stay last: only the few masks are put in order, at the end.
        """
        first, norm, activation, second, last_activation = self.output_upscaling
        level_0, level_1 = high_res if high_res is not None else (None, None)
        cells = self._to_cells(first, "first", image)
        if level_1 is not None:
            cells = cells + _split_into_cells(level_1, 1)
        assert isinstance(norm, LayerNorm2d)
        cells = activation(F.layer_norm(cells, norm.weight.shape, norm.weight, norm.bias, norm.eps))
        pixels = self._to_cells(second, "second", cells)
        if level_0 is not None:
            pixels = pixels + _split_into_cells(level_0, 2)
        return last_activation(pixels)

    def _to_cells(self, layer: nn.Module, name: str, x: Tensor) -> Tensor:
        """Apply a transposed convolution with kernel 2 and stride 2: (...,C) -> (...,2,2,C_out), row before column."""
        assert isinstance(layer, nn.ConvTranspose2d)
        assert layer.bias is not None
        own_weight, own_bias = layer.weight, layer.bias
        weight = self.derived(f"{name} weight", lambda: own_weight.permute(2, 3, 1, 0).flatten(0, 2).contiguous())
        bias = self.derived(f"{name} bias", lambda: own_bias.repeat(4))
        return F.linear(x, weight, bias).unflatten(-1, (2, 2, -1))


def _split_into_cells(x: Tensor, times: int) -> Tensor:
    """Reshape (B,C,H,W) to (B,h,w,2,2,C), or with `times` = 2 (B,h,w,2,2,2,2,C), as `_to_cells` orders them."""
    sides = (-1, *[2] * times)
    x = x.permute(0, 2, 3, 1).unflatten(2, sides).unflatten(1, sides)
    return x.permute(0, 1, 3, 2, 4, 5) if times == 1 else x.permute(0, 1, 4, 2, 5, 3, 6, 7)


def _put_cells_together(x: Tensor) -> Tensor:
    """Reshape (B,h,w,2,2,2,2,M), places within a cell as row, column, row, column -> (B,M,4h,4w)."""
    return x.permute(0, 7, 1, 3, 5, 2, 4, 6).flatten(5, 7).flatten(2, 4)
