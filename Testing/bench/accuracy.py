"""Dice of the strategies on the public cases, as a table: python Testing/bench/accuracy.py [JITTERED]

Every strategy gets the 3D box of the reference; "official" is the handover from the outline on the middle slice.
"upper mark" gives each slice its own reference box. "jittered" is the mean over
JITTERED boxes (none when left out: nan) whose faces are moved by up to 3 voxels in the plane, with a fixed seed.
Three blocks: the seven cases, the organs of the chest in one window, and the cases of the folder MEDSAM_UNSEEN.

Under each block the same cases open-ended: one box, the outline on the reference's middle slice, and no range. "under"
and "over" are the slices at both ends together that the run did not reach, and those that it went too far.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from cases import Case, all_cases, unseen_cases, wide_window_cases
from scipy.stats import spearmanr

from MedSAMSegmentLib.evaluation.metrics import dice
from MedSAMSegmentLib.inference.open import load_predictor, open_session
from MedSAMSegmentLib.inference.plan import middle_slice
from MedSAMSegmentLib.inference.session import VolumeSession
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor
from MedSAMSegmentLib.inference.strategies.slicewise import mask_box
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.results import ObjectResult

JITTER = 3


@dataclass(frozen=True)
class Row:
    name: str
    official: float
    handover: float
    static: float
    consensus: float
    upper: float
    jittered_static: float
    jittered: float
    rank: float
    worst_flagged: str
    prompts: float


@dataclass(frozen=True)
class OpenRow:
    """`handover` and `consensus`, each with its "under / over" in slices; `asked` is the prompts a slice encoded."""

    name: str
    handover: float
    handover_missed: str
    consensus: float
    consensus_missed: str
    asked: float


def measure_open(session: VolumeSession, case: Case) -> OpenRow:
    middle = middle_slice(*case.box.k)
    box = Box(i=case.outline.i, j=case.outline.j, k=(middle, middle))
    session.close()  # so that the slices are encoded anew, and counted
    result = session.propagate([box], strategy="consensus")
    ours = result.objects[0].mask
    handover = session.propagate([box], strategy="handover").objects[0].mask
    return OpenRow(
        case.name,
        dice(handover, case.reference),
        missed(handover, case.box.k),
        dice(ours, case.reference),
        missed(ours, case.box.k),
        result.predictions / result.encodes,
    )


def missed(mask: np.ndarray, extent: tuple[int, int]) -> str:
    """By how many slices, at both ends together, the mask (z,y,x) stays short of the extent, and passes it."""
    first, last = Box.around(mask).k
    under = max(0, first - extent[0]) + max(0, extent[1] - last)
    over = max(0, extent[0] - first) + max(0, last - extent[1])
    return f"{under} / {over}"


def measure(session: VolumeSession, case: Case, times: int = 0) -> Row:
    def run(strategy: str, box: Box) -> ObjectResult:
        return session.propagate([box], strategy=strategy).objects[0]

    def score(strategy: str, box: Box) -> float:
        return dice(run(strategy, box).mask, case.reference)

    before = session.counters.predictions
    ours = run("consensus", case.box)
    asked = session.counters.predictions - before
    mask = ours.mask
    slices = sorted(ours.slices)
    true = [dice(mask[k], case.reference[k]) for k in slices]
    rank = float(spearmanr([ours.slices[k].score for k in slices], true).statistic)
    worst = [slices[i] for i in np.argsort(true)[: max(1, len(slices) // 5)]]
    moved = jittered(case, times)
    return Row(
        case.name,
        score("handover", case.outline),
        score("handover", case.box),
        score("static", case.box),
        dice(mask, case.reference),
        dice(upper_mark(session, case), case.reference),
        mean([score("static", box) for box in moved]),
        mean([score("consensus", box) for box in moved]),
        rank,
        f"{len(set(worst) & set(ours.flagged))}/{len(worst)} of {len(ours.flagged)}",
        asked / len(slices),
    )


def mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def upper_mark(session: VolumeSession, case: Case) -> np.ndarray:
    result = np.zeros_like(case.reference)
    for k in range(case.box.k[0], case.box.k[1] + 1):
        box = mask_box(case.reference[k])
        # A row or column of single voxels cannot be boxed.
        if box is not None and box[0] < box[2] and box[1] < box[3]:
            x0, y0, x1, y1 = box
            result[k] = session.segment_slice(0, k, Box(i=(x0, x1), j=(y0, y1), k=(k, k))).mask
    return result


def jittered(case: Case, times: int) -> list[Box]:
    random = np.random.default_rng(0)
    _, rows, columns = case.reference.shape

    def moved(extent: tuple[int, int], size: int) -> tuple[int, int]:
        low, high = (int(v) + int(random.integers(-JITTER, JITTER + 1)) for v in extent)
        return (max(0, low), min(size - 1, high))

    return [Box(i=moved(case.box.i, columns), j=moved(case.box.j, rows), k=case.box.k) for _ in range(times)]


def main(times: int = 0) -> None:
    predictor = load_predictor("lite_medsam", device="cpu", precision="float32")
    blocks = {"the seven": all_cases(), "one wide window": wide_window_cases(), "the unseen": unseen_cases()}
    for title, cases in blocks.items():
        print_block(title, cases, predictor, times)


def print_block(title: str, cases: Iterable[Case], predictor: SlicePredictor, times: int) -> None:
    print(
        "| case | official | handover | static | consensus | upper mark | static, jittered | consensus, jittered "
        "| Spearman | worst fifth flagged, of flags | prompts a slice |"
    )
    print("|---" * 11 + "|")
    rows, open_rows = [], []
    for case in cases:
        with open_session(predictor, case.image, geometry=case.geometry, window=case.window) as session:
            rows.append(measure(session, case, times))
            open_rows.append(measure_open(session, case))
        print_row(rows[-1])
    print_mean(f"**mean of {title}**", rows)
    print("\n| open-ended | handover | under / over | consensus | under / over | prompts a slice |")
    print("|---" * 6 + "|")
    for row in open_rows:
        print_row(row)
    print_mean(f"**mean of {title}**", open_rows)
    print()


def print_row(row: Row | OpenRow) -> None:
    values = [v if isinstance(v, str) else f"{v:.3f}" for v in vars(row).values()]
    print("| " + " | ".join(values) + " |", flush=True)


def print_mean(title: str, rows: Sequence[Row | OpenRow]) -> None:
    numbers = [name for name, value in vars(rows[0]).items() if not isinstance(value, str)]
    means = {name: f"{np.mean([vars(row)[name] for row in rows]):.3f}" for name in numbers}
    print("| " + " | ".join([title, *(means.get(name, "") for name in list(vars(rows[0]))[1:])]) + " |")


if __name__ == "__main__":
    main(*(int(text) for text in sys.argv[1:2]))
