"""A model whose answer is known: the bright pixels inside the box. It stands in where only the engine is tested."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from MedSAMSegmentLib.inference.device import DeviceChoice
from MedSAMSegmentLib.inference.slice_predictor import SlicePrediction, SlicePrompts


@dataclass
class PixelEmbedding:
    pixels: NDArray[np.uint8]

    @property
    def nbytes(self) -> int:
        return self.pixels.nbytes


class BrightPixels:
    """Masks the pixels above a threshold inside the box; without a box, inside a square around the first point."""

    def __init__(self, threshold: int = 127) -> None:
        self.threshold = threshold
        self.entry = SimpleNamespace(id="bright", kind="slice", input_size=64)
        self.device = DeviceChoice.__new__(DeviceChoice)
        self.asked: list[SlicePrompts] = []

    def transform(self, shape: tuple[int, int]) -> BrightPixels:
        return self

    def encode(self, pixels: NDArray[np.uint8]) -> PixelEmbedding:
        return PixelEmbedding(pixels)

    def predict(self, embedding: PixelEmbedding, prompts: SlicePrompts) -> SlicePrediction:
        self.asked.append(prompts)
        x0, y0, x1, y1 = self._box(prompts)
        mask = np.zeros(embedding.pixels.shape[:2], dtype=bool)
        mask[y0 : y1 + 1, x0 : x1 + 1] = embedding.pixels[y0 : y1 + 1, x0 : x1 + 1] > self.threshold
        logits = np.where(mask, 5.0, -5.0).astype(np.float32)
        return SlicePrediction(mask, 0.9, logits, 1.0)

    def smooth(self, prediction: SlicePrediction, transform: BrightPixels) -> NDArray[np.bool_]:
        """Return the answer as it is: nothing of it is rough."""
        return prediction.low_res_logits > 0

    def mask_to_low_res(self, mask: NDArray[np.bool_], plane: tuple[int, int]) -> NDArray[np.bool_]:
        assert plane == mask.shape
        return mask

    def handover_prompts(self, mask: NDArray[np.bool_], label_value: int) -> SlicePrompts | None:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not rows.size:
            return None
        margin = 2
        return SlicePrompts(
            box_xyxy=(
                max(0, int(columns[0]) - margin),
                max(0, int(rows[0]) - margin),
                int(columns[-1]) + margin,
                int(rows[-1]) + margin,
            )
        )

    @staticmethod
    def _box(prompts: SlicePrompts) -> tuple[int, int, int, int]:
        if prompts.box_xyxy is not None:
            return tuple(int(v) for v in prompts.box_xyxy)  # type: ignore[return-value]
        assert prompts.points_xy is not None
        x, y = (int(v) for v in prompts.points_xy[0])
        return (max(0, x - 5), max(0, y - 5), x + 5, y + 5)
