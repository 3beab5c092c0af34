"""Scores of a network in training: Dice on whole slices, from a box each, on the square that the network sees."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch

from ..cancellation import CancelCheck, never_cancel, raise_if_cancelled
from .network import TrainableSam
from .sampling import sample_prompt
from .store import ViewStore
from .views import PLAIN_VIEWS

BATCH = 4
_BOX_SEED = 4711
"""Boxes are the same each time, so that two scores can be compared."""


@dataclass(frozen=True)
class Scores:
    """Dice over all scored slices of each patient, and `mean` over the patients."""

    by_patient: dict[str, float]

    @property
    def mean(self) -> float:
        return sum(self.by_patient.values()) / len(self.by_patient)


@torch.inference_mode()
def score(network: TrainableSam, store: ViewStore, cancel: CancelCheck = never_cancel) -> Scores:
    """Return the scores on the plain views of a store."""
    network.forget_derived()
    overlap: defaultdict[str, int] = defaultdict(int)
    sizes: defaultdict[str, int] = defaultdict(int)
    chosen = [row for row, record in enumerate(store.records) if record.view in PLAIN_VIEWS]
    for first in range(0, len(chosen), BATCH):
        raise_if_cancelled(cancel)
        rows = chosen[first : first + BATCH]
        prompts = [
            sample_prompt(np.asarray(store.targets[row]), np.random.default_rng([_BOX_SEED, row]), with_click=False)
            for row in rows
        ]
        features = torch.from_numpy(np.stack([store.features[row] for row in rows]).astype(np.float32))
        logits, _ = network.answer(features.to(network.device), prompts)
        for row, prompt, found in zip(rows, prompts, (logits[:, 0] > 0).cpu().numpy(), strict=True):
            patient = store.records[row].patient
            overlap[patient] += int((found & prompt.target).sum())
            sizes[patient] += int(found.sum()) + int(prompt.target.sum())
    return Scores({patient: 2 * overlap[patient] / max(sizes[patient], 1) for patient in sorted(sizes)})
