"""What clicks make of an answer, as a table: python Testing/bench/clicks.py [--set FOLDER] [NAME ...]

One 3D box of the reference, then five clicks by the rule of the CVPR 2025 challenge: each lies on the voxel deepest in
the largest error, as its Euclidean distance transform in voxels tells, of the whole volume, and says whether that error
is missed (positive) or wrongly included. The run begins anew with the box and all clicks so far, as in the application.

Printed are Dice after 0 to 5 clicks, how many of all clicks on the way had their label in the answer that followed
(all earlier ones count again each time), and the largest loss of a single step. *Perfect* is an upper mark: Dice after
five clicks that put right, without fault, the whole error that they lie in on their slice, and nothing else.

NAME picks cases by part of a name. Without a judging set (`judging_set.py`) the known cases are measured; of a set the
third of its tuned volumes that its names fix, or with `--untouched` of the others; with `--all` each of them.
`--json FILE` adds the figures to those that are in it. `Resources/docs/make_tables.py` takes those of the known cases
as `clicks=FILE`, those of a set, both halves in one file, as `judged_clicks=FILE`.
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
from judging_set import in_third, is_tuned, read_case
from numpy.typing import NDArray
from scipy import ndimage

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
    """One case: Dice after each number of clicks, and how many of the clicks asked about were right.

    `half` is "known", "tuned" or "untouched"; `perfect` is the upper mark.
    """

    name: str
    half: str
    scores: tuple[float, ...]
    right: int
    asked: int
    perfect: float

    @property
    def rise(self) -> float:
        return self.scores[-1] - self.scores[0]

    @property
    def worst_step(self) -> float:
        """The largest loss from one click to the next, as a number below zero; the smallest gain where none lost."""
        return float(np.diff(self.scores).min())


def measure(session: VolumeSession, case: Case, half: str) -> Row:
    """Segment the case, click, and segment it again, five times."""
    clicks: list[Point] = []
    mask = session.propagate([case.box]).objects[0].mask
    scores, right, asked = [dice(mask, case.reference)], 0, 0
    perfect = dice(perfectly_edited(mask, case.reference), case.reference)
    while len(scores) <= CLICKS:
        click = next_click(mask, case.reference, DEEPEST)
        if click is not None:
            clicks.append(click)
            mask = session.propagate([[case.box, *clicks]]).objects[0].mask
        scores.append(dice(mask, case.reference))
        right += sum(bool(mask[int(p.k), int(p.j), int(p.i)]) == p.positive for p in clicks)
        asked += len(clicks)
    return Row(case.name, half, tuple(scores), right, asked, perfect)


def perfectly_edited(mask: NDArray[np.bool_], reference: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask (z,y,x) after five clicks that each put right the error that they lie in on their slice."""
    mask = mask.copy()
    for _ in range(CLICKS):
        click = next_click(mask, reference, DEEPEST)
        if click is None:
            break
        k, j, i = int(click.k), int(click.j), int(click.i)
        pieces, _ = ndimage.label((mask[k] != reference[k]) & (reference[k] == click.positive))
        mask[k][pieces == pieces[j, i]] = click.positive
    return mask


def chosen_cases(options: argparse.Namespace) -> Iterator[tuple[Case, str | None]]:
    """Yield the volumes of the judging set, or the known cases where none is named, with their modality if known."""
    if options.set is None:
        yield from ((case, None) for case in all_cases())
        return
    for path in sorted(options.set.glob("*.npz")):
        if is_tuned(path.stem) is options.untouched or not (options.all or in_third(path.stem)):
            continue
        case = read_case(path)
        if not case.is_flat:
            modality = case.modality or None
            yield make_case(case.name, case.image, case.geometry, "auto", case.reference, modality=modality), modality


def add_row(path: Path, row: Row) -> None:
    """Put a row into a file, in the place of an earlier one of its case and half."""
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
    others = [other for other in rows if (other["name"], other["half"]) != (row.name, row.half)]
    path.write_text(json.dumps({"rows": [*others, asdict(row) | {"worst_step": row.worst_step}]}), encoding="utf-8")


def print_rows(rows: Sequence[Row]) -> None:
    scores = " | ".join(f"{np.mean([row.scores[n] for row in rows]):.3f}" for n in range(CLICKS + 1))
    right, asked = sum(row.right for row in rows), sum(row.asked for row in rows)
    worst = min(row.worst_step for row in rows)
    rise = float(np.mean([row.rise for row in rows]))
    perfect = float(np.mean([row.perfect for row in rows]))
    print(f"| **mean of {len(rows)}** | {scores} | {rise:+.3f} | {worst:+.3f} | {right} of {asked} | {perfect:.3f} |")
    losses = sum(step < -ALLOWED_LOSS for row in rows for step in np.diff(row.scores))
    print(f"\n{losses} of {CLICKS * len(rows)} steps lose more than {ALLOWED_LOSS}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--set", type=Path)
    parser.add_argument("--untouched", action="store_true")
    parser.add_argument("--all", action="store_true", help="every volume of the set, not a third of them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures after each case")
    options = parser.parse_args()
    half = "known" if options.set is None else "untouched" if options.untouched else "tuned"
    predictor = load_predictor("lite_medsam", device="cpu", precision="float32")
    print("| case | 0 clicks | 1 | 2 | 3 | 4 | 5 | rise | worst step | clicks right | perfect |")
    print("|---" * 11 + "|")
    rows = []
    for case, modality in chosen_cases(options):
        if options.names and not any(name in case.name for name in options.names):
            continue
        with open_session(
            predictor,
            case.image,
            geometry=case.geometry,
            window=case.window,
            modality=modality,
            cache_bytes=CACHE_BYTES,
        ) as session:
            row = measure(session, case, half)
        rows.append(row)
        scores = " | ".join(f"{score:.3f}" for score in row.scores)
        print(
            f"| {row.name} | {scores} | {row.rise:+.3f} | {row.worst_step:+.3f} | {row.right} of {row.asked} "
            f"| {row.perfect:.3f} |",
            flush=True,
        )
        if options.json is not None:
            add_row(options.json, row)
    if rows:
        print_rows(rows)


if __name__ == "__main__":
    main()
