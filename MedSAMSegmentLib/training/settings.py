"""The settings of a training, apart from its data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TrainingSettings:
    """`steps` of `batch` prompts each; `encoder` is "frozen" or "lora".

    `pull` is the strength of L2-SP (Li et al. 2018): what a step takes off the distance to the published weights, in
    terms of the learning rate. `click_share` of the batches have a click beside each box. With each batch go
    `rehearsal` boxes around what the network saw in the images before, which it is to answer as it did (Li and Hoiem
    2016); `rehearsal_weight` is that of their loss.
    """

    steps: int = 100
    batch: int = 4
    seed: int = 0
    encoder: str = "frozen"
    learning_rate: float = 1e-4
    warm_up: float = 0.1
    gradient_norm: float = 1.0
    average: float = 0.98
    pull: float = 2.0
    click_share: float = 0.2
    rehearsal: int = 4
    rehearsal_weight: float = 1.0
    score_every: int = 25
    patience: int = 5
    save_every: int = 25

    def facts(self) -> dict[str, Any]:
        return asdict(self)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, from 0: a line up, then half a cosine down to nothing."""
        warm = max(1, round(self.warm_up * self.steps))
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        part = (step - warm) / max(1, self.steps - warm)
        return self.learning_rate * 0.5 * (1 + float(np.cos(np.pi * part)))

    def averaging(self, step: int) -> float:
        """Return what the moving average keeps of itself at a step; little at first."""
        return min(self.average, (1 + step) / (10 + step))
