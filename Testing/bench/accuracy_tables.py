"""The figures of `accuracy.py` as tables in Markdown: one for each question, tuned and untouched apart.

Everything here takes the cases of its JSON file: a mapping of names to what `accuracy.measure` returns.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from scipy.stats import spearmanr

from MedSAMSegmentLib.results import DOUBTFUL_CONFIDENCE, SURE_CONFIDENCE, assess

Found = Mapping[str, Any]
Cases = Mapping[str, Found]

WORDS = ("sure", "look", "doubtful")
LOSSES = (0.01, 0.05)
WORST = 5


def all_tables(cases: Cases) -> str:
    """Return the whole page: what was measured, and every table for each half that has cases."""
    models = ", ".join(sorted({case["model"] for case in cases.values()}))
    revisions = ", ".join(sorted({case.get("revision", "") for case in cases.values()}))
    parts = [f"{len(cases)} cases; {models}; revision {revisions}."]
    for title, half in (("Tuned", True), ("Untouched", False)):
        chosen = {name: case for name, case in cases.items() if case["tuned"] is half}
        volumes = {name: case for name, case in chosen.items() if not case["flat"]}
        pictures = {name: case for name, case in chosen.items() if case["flat"]}
        if volumes:
            parts += [f"## {title}: volumes, one 3D box", volume_tables(volumes)]
        if pictures:
            parts += [f"## {title}: pictures, one box", picture_tables(pictures)]
        if volumes:
            parts += [f"## {title}: one box on one slice, no range", open_table(volumes)]
        if chosen:
            parts += [f"## {title}: confidence", confidence_tables(chosen)]
    worst = worst_untouched(cases)
    if worst:
        rows = [[name, cases[name]["kind"], number(dice_of(cases[name], "default"))] for name in worst]
        parts += ["## The worst untouched cases", table(["case", "kind", "default"], rows)]
    return "\n\n".join(parts)


def volume_tables(cases: Cases) -> str:
    head = ["case", "kind", "slices", "default", "static", "handover", "reference boxes"]
    head += ["NSD default", "NSD static", "NSD boxes", "rough default", "rough static", "rough boxes", "against best"]

    def figures(case: Found) -> list[float]:
        return [
            *(dice_of(case, way) for way in ("default", "static", "handover", "boxes")),
            *(case["runs"][way]["nsd"] for way in ("default", "static", "boxes")),
            *(case["runs"][way]["roughness"] for way in ("default", "static", "boxes")),
            volume_gain(case),
        ]

    rows = [[name, case["kind"], str(case["shape"][0]), *map(number, figures(case))] for name, case in cases.items()]
    rows.append([f"**mean of {len(cases)}**", "", "", *map(number, means(cases.values(), figures))])
    kinds = kind_table(cases, head[3:], figures)
    return "\n\n".join([table(head, rows), kinds, loss_line(cases, "static and handover", volume_gain)])


def picture_tables(cases: Cases) -> str:
    head = ["case", "kind", "default", "bare", "wide: default", "bare", "NSD default", "NSD bare"]
    head += ["rough default", "rough bare", "against bare", "wide: against bare"]

    def figures(case: Found) -> list[float]:
        return [
            *(dice_of(case, way) for way in ("default", "bare", "wide_default", "wide_bare")),
            *(case["runs"][way]["nsd"] for way in ("default", "bare")),
            *(case["runs"][way]["roughness"] for way in ("default", "bare")),
            picture_gain(case),
            wide_gain(case),
        ]

    rows = [[name, case["kind"], *map(number, figures(case))] for name, case in cases.items()]
    rows.append([f"**mean of {len(cases)}**", "", *map(number, means(cases.values(), figures))])
    lines = [loss_line(cases, "the bare box", picture_gain), loss_line(cases, "the bare wide box", wide_gain)]
    return "\n\n".join([table(head, rows), kind_table(cases, head[2:], figures), *lines])


def open_table(cases: Cases) -> str:
    """Return the table of the runs that find the ends themselves, with the slices that they miss and add there."""
    head = ["case", "kind", "3D box", "one box, true range", "no range", "missed", "too many"]

    def figures(case: Found) -> list[float]:
        ours = case["runs"]["open"]
        return [
            *(dice_of(case, way) for way in ("default", "ranged", "open")),
            *(ours["missed"], ours["too_many"]),
        ]

    rows = [[name, case["kind"], *map(number, figures(case))] for name, case in cases.items()]
    rows.append([f"**mean of {len(cases)}**", "", *map(number, means(cases.values(), figures))])
    lesions = [case for case in cases.values() if case["kind"] == "CT lesion"]
    most = max((case["runs"]["open"]["too_many"] for case in lesions), default=0)
    line = f"Most slices too many on a lesion: {most} ({len(lesions)} lesions)."
    other = [name for name, case in cases.items() if case.get("open_window", case["window"]) != case["window"]]
    if other:
        line += f" One slice's box alone would choose another window in: {', '.join(other)}."
    return "\n\n".join([table(head, rows), kind_table(cases, head[2:], figures), line])


def confidence_tables(cases: Cases) -> str:
    """Return how the slices' confidence ranks them, and what the words for whole answers are worth."""
    volumes = [case for case in cases.values() if not case["flat"]]
    lines = [f"Spearman of confidence and Dice, pooled: all slices {spearman(cases.values())}"]
    lines.append(f"slices of volumes {spearman(volumes)}")
    rows = []
    for word in WORDS:
        said = {name: case for name, case in cases.items() if word_of(case) == word}
        dices = [dice_of(case, "default") for case in said.values()]
        rows.append(
            [
                word,
                str(len(said)),
                number(mean(dices)) if dices else "",
                number(min(dices)) if dices else "",
                number(max(dices)) if dices else "",
                "" if word == "sure" else ", ".join(said),
            ]
        )
    words = table(["word", "answers", "mean Dice", "lowest", "highest", "cases"], rows)
    limits = f"Mean of the slices' confidence: sure from {SURE_CONFIDENCE} on, doubtful below {DOUBTFUL_CONFIDENCE}."
    return "\n\n".join([", ".join(lines) + ".", words, limits])


def spearman(cases: Iterable[Found]) -> str:
    """Return the rank correlation of (score, Dice) over all slices of the cases, with their number; in words."""
    pairs = [pair for case in cases for pair in case["runs"]["default"]["slices"]]
    scores, dices = [score for score, _ in pairs], [true for _, true in pairs]
    if len(set(scores)) < 2 or len(set(dices)) < 2:
        return f"not defined ({len(pairs)})"
    return f"{float(spearmanr(scores, dices).statistic):.3f} ({len(pairs)})"


def word_of(case: Found) -> str:
    """Return what a user is told of the whole answer."""
    return assess(mean([score for score, _ in case["runs"]["default"]["slices"]]))


def volume_gain(case: Found) -> float:
    """Return the default's Dice less that of the better of static and handover."""
    return dice_of(case, "default") - max(dice_of(case, "static"), dice_of(case, "handover"))


def picture_gain(case: Found) -> float:
    return dice_of(case, "default") - dice_of(case, "bare")


def wide_gain(case: Found) -> float:
    return dice_of(case, "wide_default") - dice_of(case, "wide_bare")


def losers(cases: Cases, gain: Callable[[Found], float], limit: float) -> list[str]:
    """Return the cases that lose more than `limit`, the largest loss first."""
    losing = [name for name, case in cases.items() if gain(case) < -limit]
    return sorted(losing, key=lambda name: gain(cases[name]))


def loss_line(cases: Cases, against: str, gain: Callable[[Found], float]) -> str:
    parts = []
    for limit in LOSSES:
        found = losers(cases, gain, limit)
        names = ", ".join(f"{name} {gain(cases[name]):.3f}" for name in found)
        parts.append(f"more than {limit} in {len(found)} of {len(cases)}{f' ({names})' if names else ''}")
    return f"The default loses against {against}: {'; '.join(parts)}."


def worst_untouched(cases: Cases) -> list[str]:
    """Return the untouched cases with the default's lowest Dice, the lowest first."""
    untouched = [name for name, case in cases.items() if not case["tuned"]]
    return sorted(untouched, key=lambda name: dice_of(cases[name], "default"))[:WORST]


def kind_table(cases: Cases, head: Sequence[str], figures: Callable[[Found], list[float]]) -> str:
    rows = []
    for kind in sorted({case["kind"] for case in cases.values()}):
        same = [case for case in cases.values() if case["kind"] == kind]
        rows.append([kind, str(len(same)), *map(number, means(same, figures))])
    return table(["mean of kind", "cases", *head], rows)


def means(cases: Iterable[Found], figures: Callable[[Found], list[float]]) -> list[float]:
    return [mean(column) for column in zip(*map(figures, cases), strict=True)]


def mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else math.nan


def dice_of(case: Found, way: str) -> float:
    return float(case["runs"][way]["dice"])


def number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
