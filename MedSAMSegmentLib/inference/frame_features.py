"""The features of a frame: encoded once, used by all objects and both directions."""

from __future__ import annotations

from dataclasses import dataclass

from ..models.sam2 import ImageFeatures
from .slice_predictor import SliceEmbedding


@dataclass(frozen=True)
class FrameFeatures:
    """The features of one frame of `shape` (rows, columns)."""

    image: ImageFeatures
    shape: tuple[int, int]

    @property
    def nbytes(self) -> int:
        return self.image.nbytes

    @classmethod
    def of_embedding(cls, embedding: SliceEmbedding) -> FrameFeatures:
        """Take over what a `SlicePredictor` encoded: preview and tracking share one embedding."""
        first, *skips = embedding.features
        return cls(ImageFeatures(first, (skips[0], skips[1]) if skips else None), embedding.transform.shape)
