"""The public cases from one 3D box with one engine.

python Testing/bench/measure_cases.py ENGINE PRECISION CASE...    prints a line of JSON for each case; no CASE is all
"""

from __future__ import annotations

import json
import sys

from cases import Case, all_cases
from plain_eager import PlainEager

from MedSAMSegmentLib.evaluation.metrics import dice
from MedSAMSegmentLib.inference.open import load_predictor, open_session
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor


def main(engine: str, precision: str, names: list[str]) -> None:
    plain = engine == "plain"
    predictor = load_predictor("lite_medsam", device="cpu", engine="torch" if plain else engine, precision=precision)
    if plain:
        module = predictor.module
        predictor = SlicePredictor(module, predictor.entry, predictor.device, engine=PlainEager(module))
    for case in all_cases():
        if not names or case.name in names:
            print(json.dumps({"engine": engine, "precision": precision, **measure(predictor, case)}), flush=True)


def measure(predictor: SlicePredictor, case: Case) -> dict[str, object]:
    with open_session(predictor, case.image, geometry=case.geometry, window=case.window) as session:
        result = session.propagate([case.box])
    return {
        "case": case.name,
        "strategy": result.strategy,
        "slices": case.box.k[1] - case.box.k[0] + 1,
        "encodes": result.encodes,
        "seconds": result.seconds,
        "dice": dice(result.mask, case.reference),
    }


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
