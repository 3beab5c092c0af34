"""The state of a training on disk: a safetensors file, which holds numbers and nothing that could run.

The tensors are named `weights/NAME`, `averaged/NAME`, `best/NAME` and `optimizer/NUMBER/NAME`; the rest is JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import InputError
from ..io.atomic import atomic_write

LARGEST_STATE = 1_000_000_000
"""Bytes: five times the learning part of LiteMedSAM is a tenth of it."""

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class CurveRow:
    """One step: the loss and its parts, that of what is rehearsed, the learning rate, and the Dice of the validation
    where it was scored."""

    step: int
    loss: float
    dice_loss: float
    cross_entropy: float
    iou_loss: float
    rehearsal_loss: float
    learning_rate: float
    validation_dice: float | None = None


@dataclass(eq=False)
class TrainingState:
    """The state that goes on from step to step. `averaged` is the moving average of the weights.

    `best` are the averaged weights with the best score so far, None where nothing was scored yet.
    """

    step: int
    averaged: dict[str, Tensor]
    curve: list[CurveRow] = field(default_factory=list)
    best: dict[str, Tensor] | None = None
    best_score: float = -1.0
    best_step: int = 0
    stopped_early: bool = False
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class KeptState:
    """A state with the weights being trained and the optimizer's moments, by the parameters' numbers."""

    key: str
    state: TrainingState
    weights: Mapping[str, Tensor]
    moments: Mapping[int, Mapping[str, Tensor]]


def write_state(path: Path, kept: KeptState) -> None:
    """Write a state whole or not at all. Raises `OutputError`."""
    from safetensors.torch import save_file

    state = kept.state
    groups = {"weights": kept.weights, "averaged": state.averaged, "best": state.best or {}}
    tensors = {f"{group}/{name}": value for group, values in groups.items() for name, value in values.items()}
    for number, moments in kept.moments.items():
        tensors |= {f"optimizer/{number}/{name}": value for name, value in moments.items()}
    facts = {
        "key": kept.key,
        "step": state.step,
        "best_score": state.best_score,
        "best_step": state.best_step,
        "stopped_early": state.stopped_early,
        "seconds": state.seconds,
        "curve": [asdict(row) for row in state.curve],
    }
    with atomic_write(path, ".safetensors") as temporary:
        # Copies: parameters that the optimizer steps through share no memory with what is written.
        plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        save_file(plain, temporary, metadata={"training": json.dumps(facts)})


def read_state(path: Path, key: str, parameters: Mapping[str, Tensor]) -> KeptState:
    """Read a state for these parameters, on their devices.

    Raises `InputError` for a file that is damaged, or of another key.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if path.stat().st_size > LARGEST_STATE:
            raise _damaged(path, "it is too large")
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["training"])
            if facts["key"] != key:
                raise InputError(
                    f"{path.parent} is of a training with other data or options.",
                    "Give the same ones, or start again with --overwrite in place of --resume.",
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        return _kept(facts, tensors, parameters)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _damaged(path, str(error)) from error


def _kept(facts: Mapping[str, Any], tensors: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> KeptState:
    """Raise KeyError, TypeError or ValueError for what no state can be."""

    def group(name: str) -> dict[str, Tensor]:
        return {key: _fitting(tensors[f"{name}/{key}"], like) for key, like in parameters.items()}

    state = TrainingState(
        step=int(facts["step"]),
        averaged=group("averaged"),
        curve=[CurveRow(**row) for row in facts["curve"]],
        best=group("best") if any(name.startswith("best/") for name in tensors) else None,
        best_score=float(facts["best_score"]),
        best_step=int(facts["best_step"]),
        stopped_early=bool(facts["stopped_early"]),
        seconds=float(facts["seconds"]),
    )
    moments: dict[int, dict[str, Tensor]] = {}
    for number, like in enumerate(parameters.values()):
        found = {name: tensors.get(f"optimizer/{number}/{name}") for name in MOMENTS}
        step, first, second = (found[name] for name in MOMENTS)
        # What no loss reaches, as the masks that were not asked for, has none.
        if step is not None and first is not None and second is not None:
            moments[number] = {
                "step": step,
                "exp_avg": _fitting(first, like),
                "exp_avg_sq": _fitting(second, like),
            }
    return KeptState(str(facts["key"]), state, group("weights"), moments)


def _fitting(value: Tensor, like: Tensor) -> Tensor:
    if value.shape != like.shape or value.dtype != like.dtype or not bool(value.isfinite().all()):
        raise ValueError("a tensor does not fit the network")
    return value.to(like.device)


def _damaged(path: Path, detail: str) -> InputError:
    return InputError(f"{path} is damaged.", "Start again, with --overwrite in place of --resume.", detail)
