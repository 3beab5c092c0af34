"""What zooming in of small objects gives: python Testing/bench/zoom.py [PRECISION]

Dice of the default strategy with the whole slice alone and with zooming in, for the 3D box around the reference,
and open-ended for its outline on its middle slice. All cases that have a zoomed view, then the
torso (`cases.torso_cases`). PRECISION is float32 when left out.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from cases import Case, all_cases, torso_cases, unseen_cases, wide_window_cases

from MedSAMSegmentLib.evaluation.metrics import dice
from MedSAMSegmentLib.inference.open import load_predictor, open_session
from MedSAMSegmentLib.inference.plan import middle_slice
from MedSAMSegmentLib.inference.session import VolumeSession
from MedSAMSegmentLib.inference.strategies import consensus
from MedSAMSegmentLib.inference.strategies.zoom import zoom_crop
from MedSAMSegmentLib.prompts import Box

CACHE_BYTES = 4 * 2**30
"""The slices of a torso stay encoded from one organ to the next."""


def main(precision: str = "float32") -> None:
    predictor = load_predictor("lite_medsam", device="cpu", precision=precision)
    print(f"{predictor.title}\n")
    for title, cases in (("others", others()), ("torso", sorted(torso_cases(), key=lambda case: case.window))):
        print("| case | box | whole | closer | open, whole | open, closer |\n|---|---|---|---|---|---|")
        rows = []
        for _, same in itertools.groupby(cases, key=lambda case: (id(case.image), case.window)):
            group = list(same)
            with open_session(
                predictor, group[0].image, geometry=group[0].geometry, window=group[0].window, cache_bytes=CACHE_BYTES
            ) as session:
                for case in group:
                    rows.append(measure(session, case))
                    print_row(f"{case.name} | {longer_side(case.box)} of {max(case.image.shape[1:3])}", rows[-1])
        if rows:
            print_row(f"**mean of the {title}** |", list(np.mean(rows, axis=0)))
            losses = [min(row[1] - row[0] for row in rows), min(row[3] - row[2] for row in rows)]
            print(f"\nLargest loss: {losses[0]:.3f} in the 3D box, {losses[1]:.3f} open-ended.\n")


def others() -> list[Case]:
    cases = itertools.chain(all_cases(), wide_window_cases(), unseen_cases())
    return [case for case in cases if any(has_zoom(case, box) for box in (case.box, case.outline))]


def has_zoom(case: Case, box: Box) -> bool:
    rows, columns = case.image.shape[1:3]
    return zoom_crop(box.in_plane(0), (rows, columns)) is not None


def longer_side(box: Box) -> int:
    x0, y0, x1, y1 = box.in_plane(0)
    return max(x1 - x0, y1 - y0) + 1


def measure(session: VolumeSession, case: Case) -> list[float]:
    middle = middle_slice(*case.box.k)
    drawn = Box(i=case.outline.i, j=case.outline.j, k=(middle, middle))
    values = []
    for box in (case.box, drawn):
        with without_zoom():
            values.append(dice(session.propagate([box], strategy="consensus").objects[0].mask, case.reference))
        values.append(dice(session.propagate([box], strategy="consensus").objects[0].mask, case.reference))
    return values


@contextmanager
def without_zoom() -> Iterator[None]:
    """Suspend zooming in."""
    consensus.zoom_crop = lambda box, shape: None
    try:
        yield
    finally:
        consensus.zoom_crop = zoom_crop


def print_row(title: str, values: list[float]) -> None:
    print(f"| {title} | " + " | ".join(f"{value:.3f}" for value in values) + " |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:2])
