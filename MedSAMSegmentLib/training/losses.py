"""The loss that LiteMedSAM was trained with: Dice, cross-entropy and the error of the predicted IoU, one to one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SMOOTHING = 1e-5
"""Added to both sides of the Dice ratio, as in the published training."""


@dataclass(frozen=True)
class LossParts:
    """The three terms, each a scalar; `total` is their sum."""

    dice: Tensor
    cross_entropy: Tensor
    iou: Tensor

    @property
    def total(self) -> Tensor:
        return self.dice + self.cross_entropy + self.iou


def mask_loss(logits: Tensor, predicted_ious: Tensor, targets: Tensor) -> LossParts:
    """Return the loss of masks.

    `logits` (B,1,h,w), `predicted_ious` (B,1), `targets` (B,1,h,w) of 0 and 1. Each term is a mean over the batch.
    """
    targets = targets.to(logits.dtype)
    return LossParts(
        soft_dice_loss(logits, targets),
        F.binary_cross_entropy_with_logits(logits, targets),
        F.mse_loss(predicted_ious, iou_of_masks(logits, targets)),
    )


def rehearsal_loss(logits: Tensor, predicted_ious: Tensor, known_logits: Tensor, known_ious: Tensor) -> Tensor:
    """Return how far answers are from those that the network gave before, which have no gradient; shapes as in
    `mask_loss`."""
    known = known_logits.sigmoid()
    masks = soft_dice_loss(logits, known) + F.binary_cross_entropy_with_logits(logits, known)
    return masks + F.mse_loss(predicted_ious, known_ious)


def soft_dice_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return one minus the Dice of the probabilities, whose sizes are sums of squares; a mean over the batch."""
    probabilities = logits.sigmoid().flatten(1)
    wanted = targets.flatten(1)
    overlap = (probabilities * wanted).sum(dim=1)
    sizes = probabilities.square().sum(dim=1) + wanted.square().sum(dim=1)
    return (1 - (2 * overlap + SMOOTHING) / (sizes + SMOOTHING)).mean()


@torch.no_grad()
def iou_of_masks(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the IoU (B,1) of the masks that the logits stand for; 0 where both are empty."""
    found, wanted = logits.sigmoid().flatten(1) > 0.5, targets.flatten(1) > 0.5
    union = (found | wanted).sum(dim=1)
    return ((found & wanted).sum(dim=1) / union.clamp(min=1)).unsqueeze(1).to(logits.dtype)
