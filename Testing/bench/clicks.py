"""What clicks make of an answer, as a table: python Testing/bench/clicks.py [--set FOLDER] [--untouched] [NAME ...]

One 3D box of the reference, then five clicks by the rule of the CVPR 2025 challenge: each lies on the voxel deepest in
the largest error, as its Euclidean distance transform in voxels tells, of the whole volume, and says whether that error
is missed (positive) or wrongly included. The run begins anew with the box and all clicks so far, as in the application.

Printed are Dice after 0 to 5 clicks, how many of all clicks on the way had their label in the answer that followed
(all earlier ones count again each time), and the largest loss of a single step. NAME picks cases by part of a name.
Without a judging set (`judging_set.py`) the known cases are measured; of a set the tuned volumes, or with
`--untouched` the others. `--json FILE` keeps the figures for `Resources/docs/make_tables.py clicks=FILE`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from cases import Case, all_cases, make_case
from judging_set import load_cases

from MedSAMSegmentLib.evaluation.challenge_clicks import ClickRules, next_click
from MedSAMSegmentLib.evaluation.metrics import dice
from MedSAMSegmentLib.inference.open import load_predictor, open_session
from MedSAMSegmentLib.inference.session import VolumeSession
from MedSAMSegmentLib.prompts import Point

CLICKS = 5
ALLOWED_LOSS = 0.005
DEEPEST = ClickRules(seed=None, large_voxels=sys.maxsize)
"""The first of the deepest voxels, in full resolution however large the error is."""

CACHE_BYTES = 3 * 2**30
"""All slices of a case stay encoded from one click to the next."""


@dataclass(frozen=True)
class Row:
    """One case: Dice after each number of clicks, and how many of the clicks asked about were right."""

    name: str
    scores: tuple[float, ...]
    right: int
    asked: int

    @property
    def rise(self) -> float:
        return self.scores[-1] - self.scores[0]

    @property
    def worst_step(self) -> float:
        """The largest loss from one click to the next, as a number below zero; the smallest gain where none lost."""
        return float(np.diff(self.scores).min())


def measure(session: VolumeSession, case: Case) -> Row:
    """Segment the case, click, and segment it again, five times."""
    clicks: list[Point] = []
    mask = session.propagate([case.box]).objects[0].mask
    scores, right, asked = [dice(mask, case.reference)], 0, 0
    while len(scores) <= CLICKS:
        click = next_click(mask, case.reference, DEEPEST)
        if click is not None:
            clicks.append(click)
            mask = session.propagate([[case.box, *clicks]]).objects[0].mask
        scores.append(dice(mask, case.reference))
        right += sum(bool(mask[int(p.k), int(p.j), int(p.i)]) == p.positive for p in clicks)
        asked += len(clicks)
    return Row(case.name, tuple(scores), right, asked)


def chosen_cases(options: argparse.Namespace) -> Iterator[Case]:
    """Yield the volumes of the judging set, or the known cases where none is named."""
    if options.set is None:
        yield from all_cases()
        return
    for case in load_cases(options.set, tuned=not options.untouched):
        if not case.is_flat:
            modality = case.modality or None
            yield make_case(case.name, case.image, case.geometry, "auto", case.reference, modality=modality)


def print_rows(rows: Sequence[Row]) -> None:
    scores = " | ".join(f"{np.mean([row.scores[n] for row in rows]):.3f}" for n in range(CLICKS + 1))
    right, asked = sum(row.right for row in rows), sum(row.asked for row in rows)
    worst = min(row.worst_step for row in rows)
    rise = float(np.mean([row.rise for row in rows]))
    print(f"| **mean of {len(rows)}** | {scores} | {rise:+.3f} | {worst:+.3f} | {right} of {asked} |")
    losses = sum(step < -ALLOWED_LOSS for row in rows for step in np.diff(row.scores))
    print(f"\n{losses} of {CLICKS * len(rows)} steps lose more than {ALLOWED_LOSS}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--set", type=Path)
    parser.add_argument("--untouched", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures after each case")
    options = parser.parse_args()
    predictor = load_predictor("lite_medsam", device="cpu", precision="float32")
    print("| case | 0 clicks | 1 | 2 | 3 | 4 | 5 | rise | worst step | clicks right |")
    print("|---" * 10 + "|")
    rows = []
    for case in chosen_cases(options):
        if options.names and not any(name in case.name for name in options.names):
            continue
        with open_session(
            predictor, case.image, geometry=case.geometry, window=case.window, cache_bytes=CACHE_BYTES
        ) as session:
            row = measure(session, case)
        rows.append(row)
        scores = " | ".join(f"{score:.3f}" for score in row.scores)
        print(
            f"| {row.name} | {scores} | {row.rise:+.3f} | {row.worst_step:+.3f} | {row.right} of {row.asked} |",
            flush=True,
        )
        if options.json is not None:
            options.json.write_text(
                json.dumps({"rows": [asdict(r) | {"worst_step": r.worst_step} for r in rows]}), encoding="utf-8"
            )
    if rows:
        print_rows(rows)


if __name__ == "__main__":
    main()
