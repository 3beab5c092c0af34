"""One face for the networks that answer prompts on a single slice: SAM's relatives and SAM 2's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..models.layers import as_tokens
from ..models.mask_decoder import CANDIDATES, SINGLE
from ..models.prompt_encoder import BOX_FIRST, BOX_LAST
from ..models.sam import Decode, Sam
from ..models.sam2 import ImageFeatures, MemorySteps, PointPrompt, Sam2


@dataclass(frozen=True)
class NetworkPrompts:
    """B objects' prompts as tensors in network pixels: points (B,N,2), labels (B,N), boxes (B,4), masks (B,1,h,w).

    `within` x0, y0, x1, y1: what lies further than a cell of the embedding from it need not be answered.
    """

    points: Tensor | None = None
    labels: Tensor | None = None
    boxes: Tensor | None = None
    masks: Tensor | None = None
    within: tuple[float, float, float, float] | None = None


Features = tuple[Tensor, ...]

NOT_ANSWERED = -32.0
"""Logit outside the part of a slice that was asked for."""


class SliceNetwork(Protocol):
    def encode(self, images: Tensor) -> Features:
        """Encode (1,3,S,S) to what `answer` needs of the image."""

    def answer(self, features: Features, prompts: NetworkPrompts, multimask: bool) -> tuple[Tensor, Tensor]:
        """Return the masks' logits (B,h,w) and predicted IoUs (B,): of mask 0, or with `multimask` of the best
        candidate."""


class SamAdapter:
    """SAM, MedSAM and LiteMedSAM. What every prompt on the slice at hand shares is computed once and kept.

    `decode` answers single prompts in place of the network itself.
    """

    def __init__(self, sam: Sam, decode: Decode | None = None) -> None:
        self.sam = sam
        self._decode = decode
        self._kept: tuple[Features, Tensor, Tensor] | None = None

    def encode(self, images: Tensor) -> Features:
        return self.sam.encode(images)

    def answer(self, features: Features, prompts: NetworkPrompts, multimask: bool) -> tuple[Tensor, Tensor]:
        sparse, dense = self.sam.prompt_encoder(prompts.points, prompts.labels, prompts.boxes, prompts.masks)
        bare, without_mask = self._cells_of(features)
        cells = without_mask if prompts.masks is None else bare + dense
        decode = self._decode if self._decode is not None and len(sparse) == 1 else self.sam.answer
        rows, columns = self._cells(prompts.within)
        places = (torch.arange(part.start, part.stop, device=sparse.device) for part in (rows, columns))
        logits, ious = (answer[:, CANDIDATES if multimask else SINGLE] for answer in decode(cells, sparse, *places))
        best = ious.argmax(dim=1)
        each = torch.arange(len(best), device=best.device)
        return self._extend_to_whole(logits[each, best], rows, columns), ious[each, best]

    def _cells(self, within: tuple[float, float, float, float] | None) -> tuple[slice, slice]:
        """Return the rows and columns of the embedding that a box in network pixels covers, and one more on each
        side."""
        height, width = self.sam.prompt_encoder.image_embedding_size
        if within is None:
            return slice(0, height), slice(0, width)
        cell = self.sam.image_size / width
        x0, y0, x1, y1 = (int(value // cell) for value in within)
        return _around(y0, y1, height), _around(x0, x1, width)

    def _extend_to_whole(self, part: Tensor, rows: slice, columns: slice) -> Tensor:
        """Extend logits (B,4r,4c) of a part to (B,4h,4w), surely outside where nothing was answered."""
        height, width = self.sam.prompt_encoder.mask_input_size
        if part.shape[1:] == (height, width):
            return part
        whole = part.new_full((len(part), height, width), NOT_ANSWERED)
        whole[:, 4 * rows.start : 4 * rows.stop, 4 * columns.start : 4 * columns.stop] = part
        return whole

    def _cells_of(self, features: Features) -> tuple[Tensor, Tensor]:
        """Return the image's cells (1,N,C), alone and as a prompt without a mask sees them."""
        kept = self._kept
        # One assignment, so that two threads at worst compute it twice.
        if kept is None or kept[0] is not features:
            bare = as_tokens(features[0]).contiguous()
            kept = self._kept = (features, bare, bare + self.sam.prompt_encoder.encode_masks(None))
        return kept[1:]


def _around(first: int, last: int, count: int) -> slice:
    """Return the range from one before `first` to one after `last`, as far as there are any; never empty."""
    start = min(max(first - 1, 0), count - 1)
    return slice(start, max(min(last + 2, count), start + 1))


class Sam2Adapter:
    """SAM 2, MedSAM2 and EfficientTAM without memory: a single click lets the candidates compete by itself."""

    def __init__(self, sam2: Sam2, steps: MemorySteps | None = None) -> None:
        self.sam2 = sam2
        self._steps = steps

    def encode(self, images: Tensor) -> Features:
        features = self.sam2.encode_image(images)
        return (features.embedding, *(features.high_res or ()))

    def answer(self, features: Features, prompts: NetworkPrompts, multimask: bool) -> tuple[Tensor, Tensor]:
        embedding, *skips = features
        image = ImageFeatures(embedding, (skips[0], skips[1]) if skips else None)
        answers = [
            self.sam2.decode(self.sam2.without_memory(image), image, prompt, mask, steps=self._steps)
            for prompt, mask in _as_points(prompts)
        ]
        logits = torch.cat([answer.low_res_logits[:, 0] for answer in answers])
        return logits, torch.tensor([answer.iou for answer in answers])


def _as_points(prompts: NetworkPrompts) -> list[tuple[PointPrompt | None, Tensor | None]]:
    """Return a box as its two corners, as SAM 2 takes it, before the clicks; one prompt an object."""
    points, labels = [], []
    if prompts.boxes is not None:
        points.append(prompts.boxes.reshape(-1, 2, 2))
        corner_labels = torch.tensor([[BOX_FIRST, BOX_LAST]], device=prompts.boxes.device)
        labels.append(corner_labels.expand(len(prompts.boxes), 2))
    if prompts.points is not None and prompts.labels is not None:
        points.append(prompts.points)
        labels.append(prompts.labels)
    masks = prompts.masks
    if not points:
        return [(None, mask[None]) for mask in masks] if masks is not None else []
    all_points, all_labels = torch.cat(points, dim=1), torch.cat(labels, dim=1)
    return [
        (
            PointPrompt(all_points[index : index + 1], all_labels[index : index + 1]),
            None if masks is None else masks[index : index + 1],
        )
        for index in range(len(all_points))
    ]


def slice_network(
    module: torch.nn.Module, decode: Decode | None = None, steps: MemorySteps | None = None
) -> SliceNetwork:
    """Return the face of a built network. `decode` (SAM's relatives) or `steps` (SAM 2's) run parts of it elsewhere."""
    if isinstance(module, Sam2):
        return Sam2Adapter(module, steps)
    assert isinstance(module, Sam)
    return SamAdapter(module, decode)
