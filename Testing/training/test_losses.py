"""The loss against the published formulas, written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MedSAMSegmentLib.training.losses import iou_of_masks, mask_loss, rehearsal_loss


def published_loss(logits: np.ndarray, ious: np.ndarray, targets: np.ndarray) -> float:
    """DiceLoss(sigmoid, squared_pred, mean) + BCEWithLogitsLoss(mean) + MSELoss(mean), in float64, prompt by prompt."""
    dice, cross_entropy, squares = [], [], []
    for x, iou, t in zip(logits.astype(np.float64), ious.astype(np.float64), targets.astype(np.float64), strict=True):
        p = 1 / (1 + np.exp(-x))
        dice.append(1 - (2 * np.sum(p * t) + 1e-5) / (np.sum(p**2) + np.sum(t**2) + 1e-5))
        cross_entropy.append(np.mean(-(t * np.log(p) + (1 - t) * np.log(1 - p))))
        found, wanted = p > 0.5, t > 0.5
        squares.append((iou[0] - np.count_nonzero(found & wanted) / np.count_nonzero(found | wanted)) ** 2)
    return float(np.mean(dice) + np.mean(cross_entropy) + np.mean(squares))


@pytest.mark.parametrize("seed", range(5))
def test_the_loss_is_the_published_one(seed: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (4, 1, 64, 64)).astype(np.float32)
    ious = random.random((4, 1)).astype(np.float32)
    targets = random.random((4, 1, 64, 64)) < random.random((4, 1, 1, 1))
    found = mask_loss(torch.from_numpy(logits), torch.from_numpy(ious), torch.from_numpy(targets))
    assert float(found.total) == pytest.approx(published_loss(logits, ious, targets), abs=1e-5)


def test_the_iou_is_of_the_masks_and_without_a_gradient() -> None:
    logits = torch.tensor([[[[2.0, -1.0], [3.0, -4.0]]]], requires_grad=True)
    found = iou_of_masks(logits, torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]]))
    assert found.tolist() == [[pytest.approx(1 / 3)]]
    assert not found.requires_grad


def test_two_empty_masks_have_a_loss_that_is_finite() -> None:
    found = mask_loss(torch.full((1, 1, 8, 8), -30.0), torch.zeros(1, 1), torch.zeros(1, 1, 8, 8))
    assert float(found.total) == pytest.approx(0.0, abs=1e-6)


def test_what_is_answered_as_before_has_no_gradient() -> None:
    known, ious = (
        torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 3,
        torch.tensor([[0.5], [0.9]]),
    )
    same, other = known.clone().requires_grad_(), (known + 1).requires_grad_()
    losses = [rehearsal_loss(logits, ious, known, ious) for logits in (same, other)]
    for loss in losses:
        loss.backward()
    assert same.grad is not None
    assert other.grad is not None
    assert float(same.grad.abs().max()) < 1e-7
    assert float(other.grad.abs().max()) > 1e-4
    assert float(losses[0].detach()) < float(losses[1].detach())
