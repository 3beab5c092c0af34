"""DSC and NSD of many classes as the challenges' evaluators compute them, each of their quirks a rule with a name.

The evaluators are `evaluation/compute_metrics.py` (CVPR 2024) and `CVPR25_iter_eval.py` (CVPR 2025). `RULES_2024` and
`RULES_2025` give their numbers; `SOUND_RULES` is the same without what is odd in them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .metrics import dice, normalized_surface_dice

Classes = Literal["up-to-highest", "all-but-lowest", "all-but-zero"]
BothEmpty = Literal["nan", "one", "left-out"]
SpacingOrder = Literal["stored", "axes"]

STEPS = 6
"""Answers of an interactive run: one to the box, five to clicks."""

CLICKS = 5


@dataclass(frozen=True)
class ScoreRules:
    """The scoring of an answer.

    `classes`: the labels that are averaged. "up-to-highest" is 1 to the reference's highest, also those that it skips
    (2024); "all-but-lowest" is every value of the reference but the lowest, which is a class where there is no
    background (2025); "all-but-zero" is every label of the reference.
    `both_empty`: a class that neither has is nan, and so is the mean over all ("nan", as published), 1, or left out.
    `spacing`: the file's x,y,z is taken for z,y,x of the arrays ("stored", as published), or put into their order.
    `surface_above`: NSD is 0 where DSC is not above this, and is not computed; None computes it always.
    `published_areas`: a surface element weighs what it does in the published table.
    """

    classes: Classes
    both_empty: BothEmpty = "nan"
    spacing: SpacingOrder = "stored"
    surface_above: float | None = 0.2
    published_areas: bool = True
    tolerance_mm: float = 2.0


RULES_2024 = ScoreRules("up-to-highest")
RULES_2025 = ScoreRules("all-but-lowest")
SOUND_RULES = ScoreRules("all-but-zero", both_empty="one", spacing="axes", surface_above=None)
RULES = {24: RULES_2024, 25: RULES_2025}


@dataclass(frozen=True)
class Scores:
    """Means over the classes. `nsd` is None where it was not asked for."""

    dsc: float
    nsd: float | None


def score(
    reference: NDArray,
    answer: NDArray,
    spacing_xyz: Sequence[float],
    rules: ScoreRules,
    *,
    with_surface: bool = True,
) -> Scores:
    """Return the scores of labels (z,y,x), or (y,x) of a picture, which is one slice with voxels of 1 mm.

    Raises `InputError` for labels of two shapes.
    """
    reference, answer = np.asarray(reference), np.asarray(answer)
    if reference.shape != answer.shape or reference.ndim not in (2, 3):
        raise InputError(
            f"The reference has the shape {reference.shape}, the answer {answer.shape}.", "Score what was asked for."
        )
    first, second, third = (float(value) for value in spacing_xyz)
    spacing = (first, second, third) if rules.spacing == "stored" else (third, second, first)
    if reference.ndim == 2:
        reference, answer, spacing = reference[..., np.newaxis], answer[..., np.newaxis], (1.0, 1.0, 1.0)
    labels = class_labels(reference, rules.classes)
    dsc = _mean([_dice(reference == label, answer == label, rules) for label in labels], rules)
    if not with_surface:
        return Scores(dsc, None)
    # As published, a mean of nan is not above it either.
    if rules.surface_above is not None and not dsc > rules.surface_above:
        return Scores(dsc, 0.0)
    return Scores(dsc, _mean([_surface(reference == n, answer == n, spacing, rules) for n in labels], rules))


def class_labels(reference: NDArray, classes: Classes) -> list[int]:
    """Return the labels that are averaged, in rising order."""
    if classes == "up-to-highest":
        return list(range(1, int(reference.max(initial=0)) + 1))
    labels = [int(value) for value in np.unique(reference)]
    return labels[1:] if classes == "all-but-lowest" else [label for label in labels if label != 0]


def area_under_clicks(values: Sequence[float]) -> float:
    """Return the area under the scores after 1 to 5 clicks by the trapezoid rule, a click wide: 4 at most.

    The answer to the box, which comes first, has no part in it.
    """
    last = np.asarray(values[-CLICKS:], np.float64)
    return float(((last[1:] + last[:-1]) / 2).sum())


def _dice(reference: NDArray, answer: NDArray, rules: ScoreRules) -> float:
    return dice(reference, answer) if reference.any() or answer.any() else _of_nothing(rules)


def _surface(reference: NDArray, answer: NDArray, spacing: tuple[float, float, float], rules: ScoreRules) -> float:
    if not reference.any() and not answer.any():
        return _of_nothing(rules)
    return normalized_surface_dice(
        reference, answer, spacing, rules.tolerance_mm, published_areas=rules.published_areas
    )


def _of_nothing(rules: ScoreRules) -> float:
    return 1.0 if rules.both_empty == "one" else math.nan


def _mean(values: Sequence[float], rules: ScoreRules) -> float:
    kept = [value for value in values if not (rules.both_empty == "left-out" and math.isnan(value))]
    return float(np.mean(kept)) if kept else math.nan
