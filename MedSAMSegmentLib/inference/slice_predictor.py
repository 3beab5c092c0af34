"""Masks on single slices: encode a slice once, answer as many prompts as wanted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import UsageError
from ..models.sam2 import Sam2
from ..registry import ModelEntry
from .device import DeviceChoice
from .engines.base import ImageEncoderEngine
from .engines.torch_engine import TorchEngine
from .preprocessing import SliceTransform, make_transform
from .slice_networks import Features, NetworkPrompts, slice_network
from .slice_prompts import SlicePrompts

STABILITY_OFFSET = 1.0

SMOOTHING = 1.0
"""Standard deviation in low-res pixels, of which the network's upsampling makes four from each cell."""

SUREST_LOGIT = 12.0
"""Logits are cut to this before they are smoothed, so that one value does not drown its neighbours."""


@dataclass(frozen=True)
class SliceEmbedding:
    """An encoded slice: the network's features (float32, on its device) and the way back to the slice's pixels."""

    features: Features
    transform: SliceTransform

    @property
    def nbytes(self) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in self.features)


@dataclass(frozen=True, eq=False)
class SlicePrediction:
    """One object on one slice.

    `mask` (H,W) bool; `score` the IoU that the network predicts for it; `stability` how little the mask depends on
    the threshold, 0..1; `low_res_logits` (h,w) float32, which can be the `mask_logits` of a later prompt.
    """

    mask: NDArray[np.bool_]
    score: float
    low_res_logits: NDArray[np.float32]
    stability: float


class SlicePredictor:
    """A network with loaded weights on a device. Thread-safe as far as torch is: nothing is kept between calls.

    `engine` runs the costly parts; None is torch. `weights_note` says how the model of an unnamed file was recognised.
    """

    def __init__(
        self,
        module: nn.Module,
        entry: ModelEntry,
        device: DeviceChoice,
        *,
        weights_sha256: str = "",
        weights_note: str = "",
        engine: ImageEncoderEngine | None = None,
    ) -> None:
        self.module = module.to(device.device).eval()
        self.entry = entry
        self.device = device
        self.weights_sha256 = weights_sha256
        self.weights_note = weights_note
        self.engine = engine or TorchEngine(slice_network(self.module), device)
        self._network = slice_network(self.module, self.engine.decode, self.engine.memory_steps)

    @property
    def title(self) -> str:
        """Device, precision and engine of the image encoder in words."""
        return f"{self.device.device.type} {self.engine.precision}, {self.engine.name}"

    def with_torch(self) -> SlicePredictor:
        """Return the same weights with the encoder in torch and float32: the official code's numbers."""
        device = replace(self.device, dtype=torch.float32)
        return SlicePredictor(
            self.module, self.entry, device, weights_sha256=self.weights_sha256, weights_note=self.weights_note
        )

    def move_to(self, device: DeviceChoice) -> None:
        """Go on elsewhere, in torch. Embeddings made before cannot be used with it any more."""
        self.module.to(device.device)
        self.device = device
        self._network = slice_network(self.module)
        self.engine = TorchEngine(self._network, device)

    @property
    def sam2(self) -> Sam2:
        """The network, for a memory tracker. Raises `UsageError` for networks without a memory."""
        if not isinstance(self.module, Sam2):
            raise UsageError(f"{self.entry.title} has no memory.", "Use a model of the MedSAM2 family.")
        return self.module

    def transform(self, shape: tuple[int, int]) -> SliceTransform:
        """Return the transform for slices with `shape` rows and columns."""
        return make_transform(self.entry, shape)

    @torch.inference_mode()
    def encode(self, image: NDArray[np.uint8]) -> SliceEmbedding:
        """Encode a slice (H,W) or (H,W,3), uint8. Raises `InputError` for anything else."""
        transform = self.transform((image.shape[0], image.shape[1]))
        network_input = torch.from_numpy(transform.network_input(image))[None]
        return SliceEmbedding(self.engine.encode(network_input), transform)

    @torch.inference_mode()
    def predict(self, embedding: SliceEmbedding, prompts: SlicePrompts, multimask: bool = False) -> SlicePrediction:
        """Return one object's mask; with `multimask` the best of the three candidates for an ambiguous prompt."""
        network_prompts = self._to_network(embedding.transform, prompts)
        logits, scores = self._network.answer(embedding.features, network_prompts, multimask)
        mask = embedding.transform.mask_to_image(logits)[0].cpu().numpy()
        inner, outer = ((logits[0] > offset).sum() for offset in (STABILITY_OFFSET, -STABILITY_OFFSET))
        stability = float(inner / outer.clamp(min=1))
        return SlicePrediction(mask, float(scores[0]), logits[0].float().cpu().numpy(), stability)

    def smooth(self, prediction: SlicePrediction, transform: SliceTransform) -> NDArray[np.bool_]:
        """Return the mask (H,W) of an answer's logits that a Gaussian of `SMOOTHING` low-res pixels has passed over.

        A prompted mask leaves combs and checkerboards of the decoder's four-fold upsampling in the logits.
        """
        from scipy import ndimage

        logits = np.clip(prediction.low_res_logits, -SUREST_LOGIT, SUREST_LOGIT)
        smooth = torch.from_numpy(ndimage.gaussian_filter(logits, SMOOTHING))[None]
        return np.asarray(transform.mask_to_image(smooth)[0].numpy())

    def _to_network(self, transform: SliceTransform, prompts: SlicePrompts) -> NetworkPrompts:
        points = labels = boxes = masks = None
        if prompts.points_xy is not None and prompts.labels is not None and len(prompts.labels):
            points = self._tensor(transform.points_to_network(prompts.points_xy))[None]
            labels = torch.from_numpy(prompts.labels)[None].to(self.device.device)
        if prompts.network_box is not None:
            boxes = self._tensor([prompts.network_box])
        elif prompts.box_xyxy is not None:
            boxes = self._tensor([transform.box_to_network(prompts.box_xyxy)])
        if prompts.mask_logits is not None:
            masks = self._tensor(prompts.mask_logits)[None, None]
        within = None if prompts.within is None else transform.box_to_network(prompts.within)
        return NetworkPrompts(points, labels, boxes, masks, within)

    def _tensor(self, values: object) -> Tensor:
        return torch.from_numpy(np.array(values, dtype=np.float32)).to(self.device.device)
