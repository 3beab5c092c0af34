"""SAM: an image encoder, a prompt encoder and a mask decoder (Kirillov et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor, nn

from .mask_decoder import DecodedMasks, MaskDecoder
from .prompt_encoder import PromptEncoder

Features = tuple[Tensor, ...]
"""What `encode` leaves behind for `decode`."""

Decode: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""`Sam.answer`, or what runs the same elsewhere."""


class Sam(nn.Module):
    """Encode an image once, then decode as many prompts as wanted."""

    def __init__(self, image_encoder: nn.Module, prompt_encoder: PromptEncoder, mask_decoder: MaskDecoder) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder

    @property
    def image_size(self) -> int:
        """Side of the square network input in pixels."""
        return self.prompt_encoder.input_image_size[0]

    def encode(self, images: Tensor) -> Features:
        """Encode normalised images (B,3,S,S), float, to the embedding (B,256,64,64)."""
        return (self.image_encoder(images),)

    def answer(self, image: Tensor, sparse: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Run `decode` from the cells (1 or B,N,C), the prompts' masks added, and the prompts' tokens (B,T,C), for a
        part.

        `rows` (r,) and `columns` (c,), int64, are those of the embedding that are wanted.
        Returns the logits (B,4,4r,4c) and IoUs (B,4) of all four masks.
        """
        position = self.prompt_encoder.dense_position_encoding()
        decoded = self.mask_decoder.answer(image, position, sparse, part=(rows, columns))
        return decoded.logits, decoded.ious

    def decode(
        self,
        features: Features,
        *,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
    ) -> DecodedMasks:
        """Return all four masks (B,4,256,256) of B prompts on one image.

        Coordinates are network pixels: `points` (B,N,2) with `labels` (B,N), `boxes` (B,4); `masks` (B,1,256,256)
        are logits of an earlier answer.
        """
        sparse, dense = self.prompt_encoder(points, labels, boxes, masks)
        position = self.prompt_encoder.dense_position_encoding()
        return self.mask_decoder(features[0], position, sparse, dense)

    def forward(self, images: Tensor, boxes: Tensor) -> Tensor:
        """One image (1,3,S,S) and boxes (B,4) in network pixels -> logits (B,1,256,256) of mask 0."""
        return self.decode(self.encode(images), boxes=boxes).select(multimask=False).logits
