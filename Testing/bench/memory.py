"""Peak memory of a long propagation: `python Testing/bench/memory.py [MODEL] [--slices N] [--engine E]`.

A synthetic CT of 512x512 voxels a slice, int16, is opened and an object is followed through all of it on the CPU.
Weights that are not on the machine are made up: their values do not change how much memory is needed.
Prints one line and exits with 1 when the peak passes the limit. The engine should have been used on this machine
before: its conversion, once a machine, is not part of the measurement.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time

import numpy as np
import torch
from measure import load
from numpy.typing import NDArray

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.checkpoints.store import CheckpointStore
from MedSAMSegmentLib.inference.device import DeviceChoice
from MedSAMSegmentLib.inference.open import load_predictor, open_session
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor
from MedSAMSegmentLib.prompts import Box

LIMITS_MB = {"slice": 1500, "memory": 3000}
"""By the kind of model: 300 slices with LiteMedSAM, 600 with a memory."""


def peak_mb() -> float:
    """The most memory that this process held so far, in MB of 10^6 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def synthetic_ct(slices: int, side: int) -> NDArray[np.int16]:
    random = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    volume = np.empty((slices, side, side), dtype=np.int16)
    for k in range(slices):
        volume[k] = random.integers(-80, -20, (side, side), dtype=np.int16)
        volume[k][(x - side // 2 - 20 * np.sin(k / 40)) ** 2 + (y - side // 2) ** 2 < (side // 8) ** 2] += 140
    return volume


def a_predictor(model_id: str, engine: str) -> SlicePredictor:
    entry = registry.get(model_id)
    if CheckpointStore().state(entry) == "ready":
        return load_predictor(model_id, device="cpu", engine=engine, precision="float32")
    module, sha256 = load(entry)
    return SlicePredictor(
        module, entry, DeviceChoice(torch.device("cpu"), torch.float32, "for the measurement"), weights_sha256=sha256
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="lite_medsam", choices=[entry.id for entry in registry.entries()])
    parser.add_argument("--slices", type=int, default=0, help="0: 300, and 600 for a model with a memory")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--engine", default="torch", help="for weights that are on the machine")
    parser.add_argument("--json", action="store_true", help="one line of JSON, for bench.py")
    options = parser.parse_args()
    kind = registry.get(options.model).kind
    slices = options.slices or (600 if kind == "memory" else 300)
    volume = synthetic_ct(slices, options.side)
    session = open_session(a_predictor(options.model, options.engine), volume, (1.0, 0.8, 0.8), window="ct-abdomen")
    opened, started = peak_mb(), time.perf_counter()
    half, quarter, middle = options.side // 2, options.side // 8, slices // 2
    span = (half - quarter, half + quarter)
    extent = (middle, middle) if kind == "memory" else (0, slices - 1)
    boxes = [Box(i=span, j=span, k=extent) for _ in range(options.objects)]
    result = session.propagate(boxes, slice_range=(0, slices - 1))
    seconds = time.perf_counter() - started
    assert all(len(item.slices) == slices for item in result.objects)
    peak = peak_mb()
    if options.json:
        what = (
            f"{registry.get(options.model).title}, {session.device}: {options.side} x {options.side} x {slices}, peak"
        )
        print(json.dumps({"what": what, "value": peak, "unit": "MB", "target": f"<= {LIMITS_MB[kind]} MB"}))
        return 0
    print(
        f"{options.model}, {session.device}: {options.side}x{options.side}x{slices}, {options.objects} object(s): "
        f"peak {peak:.0f} MB ({opened:.0f} MB once opened), {result.encodes} encodes, "
        f"{seconds / slices:.2f} s a slice, result {sum(o.packed.nbytes for o in result.objects) / 1e6:.1f} MB"
    )
    return int(peak > LIMITS_MB[kind])


if __name__ == "__main__":
    sys.exit(main())
