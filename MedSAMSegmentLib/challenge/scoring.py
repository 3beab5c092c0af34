"""The table of a folder of answers: one row a case, as the published evaluators write it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, UsageError
from ..evaluation.challenge_scores import CLICKS, STEPS, ScoreRules, Scores, area_under_clicks, class_labels, score
from .files import Reference, cases_in, read_answer, read_reference

DIGITS = 4
"""The table of 2024 is rounded to so many."""

Row = dict[str, object]


@dataclass(frozen=True)
class Pair:
    """An answer with its reference; `image` is the case that holds the spacing, if the reference does not."""

    answer: Path | None
    reference: Path
    image: Path | None = None


def pairs_of(answers: str | Path, references: str | Path, images: str | Path | None, *, zero: bool) -> list[Pair]:
    """Return the references with their answers by name. One without an answer counts as empty with `zero`.

    Raises `InputError` naming what has no answer.
    """
    named = {path.name: path for path in cases_in(answers)}
    cases = {path.name: path for path in cases_in(images)} if images is not None else {}
    found = [Pair(named.get(path.name), path, cases.get(path.name)) for path in cases_in(references)]
    missing = [pair.reference.name for pair in found if pair.answer is None]
    if missing and not zero:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise InputError(
            f"There is no answer to {', '.join(missing[:3])}{more}.", "Add it, or count it as 0 with --missing zero."
        )
    return found


def rows_of(pairs: Sequence[Pair], year: int, rules: ScoreRules, *, with_surface: bool = True) -> Iterator[Row]:
    """Yield the row of each case. Raises `InputError` for files that do not fit."""
    for pair in pairs:
        name, reference = pair.reference.name, read_reference(pair.reference, pair.image)
        final, steps = (np.zeros_like(reference.labels), None) if pair.answer is None else read_answer(pair.answer)
        scored = partial(_scored, reference, name, rules, with_surface)
        if year == 24:
            scores = scored(final)
            yield {"case": name, "dsc": _rounded(scores.dsc), **_named("nsd", scores, rounded=True)}
        else:
            classes = len(class_labels(reference.labels, rules.classes))
            yield {"CaseName": name, **_columns_of_2025(scored, final, steps), "num_class": classes}


def _columns_of_2025(scored: Callable[[NDArray], Scores], final: NDArray, steps: NDArray | None) -> Row:
    """Return the columns of the final answer, with those of all steps where the file has them. Raises `InputError`."""
    last = scored(final)
    row: Row = {"DSC_Final": last.dsc, **_named("NSD_Final", last)}
    if steps is None:
        return row
    if not CLICKS <= len(steps) <= STEPS:
        raise InputError(f"all_segs has {len(steps)} steps.", f"Give {CLICKS}, or {STEPS} with the box.")
    # Without a box the first step is not asked, and counts as nothing.
    scores = [Scores(0.0, None if last.nsd is None else 0.0)] * (STEPS - len(steps)) + [scored(step) for step in steps]
    row["DSC_AUC"] = area_under_clicks([one.dsc for one in scores])
    if last.nsd is not None:
        row["NSD_AUC"] = area_under_clicks([one.nsd or 0.0 for one in scores])
    for number, one in enumerate(scores, 1):
        row |= {f"DSC_{number}": one.dsc, **_named(f"NSD_{number}", one)}
    return row


def _named(column: str, scores: Scores, *, rounded: bool = False) -> Row:
    if scores.nsd is None:
        return {}
    return {column: _rounded(scores.nsd) if rounded else scores.nsd}


def _rounded(value: float) -> float:
    return float(np.round(value, DIGITS))


def _scored(reference: Reference, name: str, rules: ScoreRules, with_surface: bool, answer: NDArray) -> Scores:
    spacing = reference.spacing_xyz
    if spacing is None and with_surface and reference.labels.ndim == 3:
        cure = "Give the cases with --images, or --no-nsd."
        raise UsageError(f"Neither {name} nor its image says the spacing.", cure)
    try:
        return score(reference.labels, answer, spacing or (1.0, 1.0, 1.0), rules, with_surface=with_surface)
    except InputError as error:
        raise InputError(f"{name}: {error.message}", error.cure) from error
