"""The training loop: it can be stopped at any step, and goes on to the same weights, bit for bit.

Everything random at a step follows from the seed and the step's number, so what is kept of a training is its numbers
alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..cancellation import CancelCheck, never_cancel
from ..errors import Cancelled
from .losses import LossParts, mask_loss, rehearsal_loss
from .network import TrainableSam, swapped
from .sampling import SampledPrompt, around_answer, random_prompt, sample_prompt
from .scores import score
from .settings import TrainingSettings
from .state import CurveRow, KeptState, TrainingState, read_state, write_state
from .store import ViewStore
from .views import OTHER

_CLICKS, _CHOICES, _REHEARSED = 1, 2, 3
"""Kinds of chance, drawn apart."""


OnStep = Callable[[TrainingState], None]


class Trainer:
    """Trains a network on a store; `validation` None leaves it unvalidated.

    `key` tells data and settings: a state that was kept of others is refused.
    """

    def __init__(
        self,
        network: TrainableSam,
        training: ViewStore,
        validation: ViewStore | None,
        settings: TrainingSettings,
        *,
        key: str = "",
    ) -> None:
        self.network, self.training, self.validation, self.settings = network, training, validation, settings
        self._key = key
        self._learnt = [row for row, record in enumerate(training.records) if record.view != OTHER]
        self._others = sorted(set(range(len(training))) - set(self._learnt)) or self._learnt
        self._parameters = network.parameters()
        self.start = {name: value.detach().clone() for name, value in self._parameters.items()}
        self._optimizer = torch.optim.AdamW(self._parameters.values(), lr=settings.learning_rate, weight_decay=0.0)
        self.state = TrainingState(0, {name: value.clone() for name, value in self.start.items()})

    @property
    def is_done(self) -> bool:
        return self.state.stopped_early or self.state.step >= self.settings.steps

    def run(self, kept: Path | None = None, on_step: OnStep | None = None, cancel: CancelCheck = never_cancel) -> None:
        """Train to the end, or from where the state is. `kept` is the file to keep the state in.

        Raises `Cancelled` between two steps, the state kept.
        """
        started = time.monotonic() - self.state.seconds
        try:
            while not self.is_done:
                if cancel():
                    raise Cancelled
                self._step()
                self.state.seconds = time.monotonic() - started
                if on_step is not None:
                    on_step(self.state)
                if kept is not None and self.state.step % self.settings.save_every == 0:
                    self.save(kept)
        except Cancelled:
            if kept is not None:
                self.save(kept)
            raise

    def chosen_values(self) -> dict[str, Tensor]:
        """Return what the training has come to: the best averaged weights, or the last where nothing was scored."""
        return self.state.best if self.state.best is not None else self.state.averaged

    def loss_of(self, features: Tensor, prompts: list[SampledPrompt]) -> LossParts:
        """Return the parts of the loss of one batch, with their gradients."""
        logits, ious = self.network.answer(features, prompts)
        targets = torch.from_numpy(np.stack([prompt.target for prompt in prompts]))[:, None].to(self.network.device)
        return mask_loss(logits, ious, targets)

    def batch_of(self, step: int) -> tuple[Tensor, list[SampledPrompt]]:
        """Return the features (B,...) and prompts of a step."""
        chance = np.random.default_rng([self.settings.seed, step, _CHOICES])
        rows = [self._row(step * self.settings.batch + place) for place in range(self.settings.batch)]
        clicked = np.random.default_rng([self.settings.seed, step, _CLICKS]).random() < self.settings.click_share
        prompts = [
            sample_prompt(np.asarray(self.training.targets[row]), chance, with_click=bool(clicked)) for row in rows
        ]
        return self._features(rows), prompts

    def rehearsal_of(self, step: int) -> Tensor:
        """Return the loss of a step's boxes around what the network saw at the start, half of them in another window.

        A box anywhere is asked first, and the box around the answer is what is rehearsed: boxes of objects are what the
        network was trained on, and what it will be asked.
        """
        chance = np.random.default_rng([self.settings.seed, step, _REHEARSED])
        number = self.settings.rehearsal
        others = chance.choice(self._others, size=number // 2)
        rows = [*others.tolist(), *chance.integers(len(self.training), size=number - len(others)).tolist()]
        side = self.training.targets.shape[-1]
        prompts = [random_prompt(side, chance) for _ in rows]
        features = self._features(rows)
        with torch.no_grad(), swapped(self._parameters, self.start):
            self.network.forget_derived()
            seen = (self.network.answer(features, prompts)[0][:, 0] > 0).cpu().numpy()
            prompts = [around_answer(prompt, mask, chance) for prompt, mask in zip(prompts, seen, strict=True)]
            known = self.network.answer(features, prompts)
        self.network.forget_derived()
        return rehearsal_loss(*self.network.answer(features, prompts), *known)

    def _features(self, rows: list[int]) -> Tensor:
        features = np.stack([self.training.features[row] for row in rows]).astype(np.float32)
        return torch.from_numpy(features).to(self.network.device)

    def _row(self, place: int) -> int:
        """Return the view at a place of the endless order, in which each view comes once a round."""
        turn, within = divmod(place, len(self._learnt))
        order = np.random.default_rng([self.settings.seed, turn]).permutation(len(self._learnt))
        return self._learnt[int(order[within])]

    def _step(self) -> None:
        state, settings = self.state, self.settings
        rate = settings.rate(state.step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        with torch.enable_grad():
            self._optimizer.zero_grad(set_to_none=True)
            parts = self.loss_of(*self.batch_of(state.step))
            parts.total.backward()
            # One after the other: the gradients add up, and the memory of one is free for the other.
            rehearsed = self.rehearsal_of(state.step) if settings.rehearsal else parts.total.detach() * 0
            if settings.rehearsal:
                (settings.rehearsal_weight * rehearsed).backward()
        torch.nn.utils.clip_grad_norm_(list(self._parameters.values()), settings.gradient_norm)
        self._optimizer.step()
        self._pull_back(rate)
        self._average(state.step)
        state.step += 1
        found = None
        if self.validation is not None and self._is_scored(state.step):
            found = self._score()
        row = CurveRow(
            state.step,
            float(parts.total.detach()),
            float(parts.dice.detach()),
            float(parts.cross_entropy.detach()),
            float(parts.iou.detach()),
            float(rehearsed.detach()),
            rate,
            found,
        )
        state.curve.append(row)

    @torch.no_grad()
    def _pull_back(self, rate: float) -> None:
        """Take a little off the distance to the weights at the start (L2-SP), apart from Adam's scaling."""
        part = min(1.0, rate * self.settings.pull)
        for name, value in self._parameters.items():
            value.lerp_(self.start[name], part)

    @torch.no_grad()
    def _average(self, step: int) -> None:
        keep = self.settings.averaging(step)
        for name, value in self._parameters.items():
            self.state.averaged[name].lerp_(value, 1 - keep)

    def _is_scored(self, step: int) -> bool:
        return step % self.settings.score_every == 0 or step == self.settings.steps

    def _score(self) -> float:
        """Score the averaged weights, keep them if they are the best, and stop where they no longer get better."""
        state = self.state
        assert self.validation is not None
        with swapped(self._parameters, state.averaged):
            found = score(self.network, self.validation).mean
        self.network.forget_derived()
        if found > state.best_score:
            state.best_score, state.best_step = found, state.step
            state.best = {name: value.clone() for name, value in state.averaged.items()}
        elif state.step - state.best_step >= self.settings.patience * self.settings.score_every:
            state.stopped_early = True
        return found

    def save(self, path: Path) -> None:
        """Keep the state. Raises `OutputError`."""
        weights = {name: value.detach() for name, value in self._parameters.items()}
        moments = self._optimizer.state_dict()["state"]
        write_state(path, KeptState(self._key, self.state, weights, moments))

    def load(self, path: Path) -> None:
        """Go on from a state that was kept. Raises `InputError` for one of another training, or a damaged one."""
        kept = read_state(path, self._key, self._parameters)
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(kept.weights[name])
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": kept.moments, "param_groups": groups})
        self.state = kept.state
