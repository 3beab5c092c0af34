"""The run of the interactive challenge: an answer to the boxes, then five times a click a class and an answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..evaluation.challenge_clicks import PUBLISHED_CLICKS, ClickRules, next_click
from ..evaluation.challenge_scores import (
    CLICKS,
    RULES_2025,
    ScoreRules,
    Scores,
    area_under_clicks,
    class_labels,
    score,
)
from ..io.interactive_npz import InteractiveCase
from ..prompts import Point

SECONDS_A_CLASS = 90
"""An answer to all prompts of one class may take so long in the challenge, over all six steps."""

Answer = Callable[[InteractiveCase], NDArray]
"""Labels (z,y,x) for a case as it is handed out: without the reference, with clicks so far and the answer before."""


@dataclass(eq=False)
class InteractiveRun:
    """The course of a case: at each step labels, scores and seconds; and all clicks, for each class in their order.

    Where the case has no boxes the first step is not asked: it has no labels, and 0 as its scores and seconds.
    """

    class_count: int
    answers: list[NDArray] = field(default_factory=list)
    scores: list[Scores] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    clicks: list[list[Point]] = field(default_factory=list)

    @property
    def dsc(self) -> list[float]:
        return [scores.dsc for scores in self.scores]

    @property
    def nsd(self) -> list[float]:
        return [scores.nsd or 0.0 for scores in self.scores]

    @property
    def allowed_seconds(self) -> int:
        return SECONDS_A_CLASS * self.class_count

    def row(self, case: str) -> dict[str, object]:
        """Return the columns of the published table, in its order."""
        steps = range(len(self.scores))
        return {
            "CaseName": case,
            "TotalRunningTime": sum(self.seconds),
            **{f"RunningTime_{n + 1}": self.seconds[n] for n in steps},
            "DSC_AUC": area_under_clicks(self.dsc),
            "NSD_AUC": area_under_clicks(self.nsd),
            "DSC_Final": self.dsc[-1],
            "NSD_Final": self.nsd[-1],
            **{f"DSC_{n + 1}": self.dsc[n] for n in steps},
            **{f"NSD_{n + 1}": self.nsd[n] for n in steps},
            "num_class": self.class_count,
            "runtime_upperbound": self.allowed_seconds,
        }


def run_interactive(
    case: InteractiveCase,
    answer: Answer,
    *,
    rules: ScoreRules = RULES_2025,
    click_rules: ClickRules = PUBLISHED_CLICKS,
    on_step: Callable[[int, Scores], None] | None = None,
) -> InteractiveRun:
    """Ask `answer` for a case with a reference, step by step, as the published evaluator does with a container.

    Every class gets a click at each step, from the error of the answer before; one that is right gets none. Labels are
    kept in 8 bits, as published. Raises `InputError` for a case without a reference and for answers of another shape.
    """
    reference = case.reference
    if reference is None:
        raise InputError(f"{case.volume.source.name} has no reference (gts).", "Give the folder that has them.")
    labels = class_labels(reference, rules.classes)
    run = InteractiveRun(len(labels), clicks=[[] for _ in labels])
    before = np.zeros_like(reference, dtype=np.uint8)
    asked = replace(case, reference=None, clicks=(), previous=None)
    for step in range(CLICKS + 1):
        if step == 0 and not case.boxes:
            run.scores.append(Scores(0.0, 0.0))
            run.seconds.append(0.0)
            continue
        if step:
            for label, clicks in zip(labels, run.clicks, strict=True):
                click = next_click(before == label, reference == label, click_rules)
                if click is not None:
                    clicks.append(click)
            asked = replace(asked, clicks=tuple(map(tuple, run.clicks)), previous=before)
        started = time.perf_counter()
        found = np.asarray(answer(asked))
        run.seconds.append(time.perf_counter() - started)
        if found.shape != reference.shape:
            raise InputError(f"The answer has the shape {found.shape}, the case {reference.shape}.")
        before = found.astype(np.uint8)
        run.answers.append(before)
        run.scores.append(score(reference, found, _spacing_xyz(case), rules))
        if on_step is not None:
            on_step(step, run.scores[-1])
    return run


def _spacing_xyz(case: InteractiveCase) -> tuple[float, float, float]:
    z, y, x = case.volume.spacing_zyx
    return (x, y, z)
