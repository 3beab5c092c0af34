"""Prompts on one image -> tokens and a dense map, for SAM and SAM 2 alike (Kirillov et al. 2023, appendix A)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import DerivedTensors, LayerNorm2d, as_tokens

PADDING, BOX_FIRST, BOX_LAST = -1, 2, 3
"""Labels of a point. A box is its two corners with the last two labels."""


class RandomPositionEncoding(nn.Module):
    """Random Fourier features of positions in the unit square (Tancik et al. 2020)."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, features))

    def forward(self, unit_xy: Tensor) -> Tensor:
        """(..., 2) in 0..1 -> (..., 2 * features), sines first."""
        angle = 2 * math.pi * ((2 * unit_xy - 1) @ self.positional_encoding_gaussian_matrix)
        return torch.cat([angle.sin(), angle.cos()], dim=-1)

    def grid(self, height: int, width: int) -> Tensor:
        """Return the encoding of the cell centres of a grid: (1, 2 * features, height, width)."""
        matrix = self.positional_encoding_gaussian_matrix
        y = (torch.arange(height, device=matrix.device, dtype=matrix.dtype) + 0.5) / height
        x = (torch.arange(width, device=matrix.device, dtype=matrix.dtype) + 0.5) / width
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        return self(torch.stack([columns, rows], dim=-1)).permute(2, 0, 1)[None]


class PromptEncoder(DerivedTensors):
    """Points, boxes and masks of B prompts on one image.

    Coordinates are x, y in pixels of the network's input, where a pixel's centre is a whole number.
    """

    def __init__(
        self,
        embed_dim: int,
        image_embedding_size: tuple[int, int],
        input_image_size: tuple[int, int],
        mask_channels: int = 16,
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.image_embedding_size = image_embedding_size
        self.input_image_size = input_image_size
        self.pe_layer = RandomPositionEncoding(embed_dim // 2)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, embed_dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, embed_dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_channels // 4, kernel_size=2, stride=2),
            LayerNorm2d(mask_channels // 4),
            nn.GELU(),
            nn.Conv2d(mask_channels // 4, mask_channels, kernel_size=2, stride=2),
            LayerNorm2d(mask_channels),
            nn.GELU(),
            nn.Conv2d(mask_channels, embed_dim, kernel_size=1),
        )
        self.no_mask_embed = nn.Embedding(1, embed_dim)

    @property
    def mask_input_size(self) -> tuple[int, int]:
        """Height and width of a mask prompt."""
        return (4 * self.image_embedding_size[0], 4 * self.image_embedding_size[1])

    def dense_position_encoding(self) -> Tensor:
        """Return the position code of the image embedding: (1, embed_dim, h, w)."""
        return self.derived("dense_pe", self._dense_position_encoding)

    def _dense_position_encoding(self) -> Tensor:
        # Channels last in memory, as the decoder's tokens are.
        return self.pe_layer.grid(*self.image_embedding_size).contiguous(memory_format=torch.channels_last)

    def forward(
        self,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode `points` (B,N,2) with `labels` (B,N), `boxes` (B,4) as x0,y0,x1,y1, `masks` (B,1,4h,4w) logits.

        Returns the sparse tokens (B,T,embed_dim), points first, and what `encode_masks` adds to the image's cells.
        Points without a box get a padding point, as in training.
        """
        parts: list[Tensor] = []
        if points is not None and labels is not None:
            if boxes is None:
                points = torch.cat([points, points.new_zeros(points.shape[0], 1, 2)], dim=1)
                labels = torch.cat([labels, labels.new_full((labels.shape[0], 1), PADDING)], dim=1)
            parts.append(self.encode_points(points, labels))
        if boxes is not None:
            corners = boxes.reshape(-1, 2, 2)
            corner_labels = torch.tensor([[BOX_FIRST, BOX_LAST]], device=boxes.device).expand(len(corners), 2)
            parts.append(self.encode_points(corners, corner_labels))
        if parts:
            sparse = torch.cat(parts, dim=1)
        else:
            batch = 1 if masks is None else masks.shape[0]
            sparse = self.no_mask_embed.weight.new_zeros(batch, 0, self.embed_dim)
        return sparse, self.encode_masks(masks)

    def encode_points(self, points: Tensor, labels: Tensor) -> Tensor:
        """Return the tokens (B,N,embed_dim) of `points` (B,N,2) with `labels` (B,N) from -1 to 3; no padding point is
        added."""
        height, width = self.input_image_size
        weight = self.not_a_point_embed.weight
        size = torch.tensor([width, height], device=points.device, dtype=weight.dtype)
        encoded = self.pe_layer((points.to(weight.dtype) + 0.5) / size)
        table = torch.cat([weight, *self.point_embeddings.parameters()])
        labels = labels.to(torch.int64)
        return torch.where((labels == PADDING)[..., None], 0.0, encoded) + table[labels + 1]

    def encode_masks(self, masks: Tensor | None) -> Tensor:
        """Encode (B,1,4h,4w) logits -> (B,h*w,embed_dim); None -> (1,1,embed_dim), the same for every cell."""
        if masks is None:
            return self.no_mask_embed.weight[None]
        *layers, last = self.mask_downscaling
        assert isinstance(last, nn.Conv2d)
        for layer in layers:
            masks = layer(masks)
        # The last convolution is pointwise: a product for each cell leaves the cells as they are wanted.
        return F.linear(as_tokens(masks), last.weight.flatten(1), last.bias)
