"""Peak memory of a propagation through a long range: `python Testing/bench/memory_600.py [--slices N] [--builder B]`.

A synthetic CT of 512x512 voxels a slice, int16, is opened and an object is followed through all of it on the CPU. The
weights are made from the tensors' names: their values do not change how much memory is needed. Prints one line and
exits with 1 when the peak passes the limit.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO))
sys.path.insert(0, str(REPO / "Testing" / "parity"))

from deterministic_weights import deterministic_state_dict  # noqa: E402

from MedSAMSegmentLib import registry  # noqa: E402
from MedSAMSegmentLib.inference.device import DeviceChoice  # noqa: E402
from MedSAMSegmentLib.inference.open import open_session  # noqa: E402
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor  # noqa: E402
from MedSAMSegmentLib.models.builders import build  # noqa: E402
from MedSAMSegmentLib.prompts import Box  # noqa: E402

LIMIT_MB = 3000
MODELS = {"efficienttam_ti": "efficient_medsam2_tiny", "sam2_hiera_t": "medsam2"}


def peak_mb() -> float:
    """The most memory that this process held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def synthetic_ct(slices: int, side: int) -> NDArray[np.int16]:
    random = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    volume = np.empty((slices, side, side), dtype=np.int16)
    for k in range(slices):
        volume[k] = random.integers(-80, -20, (side, side), dtype=np.int16)
        volume[k][(x - side // 2 - 20 * np.sin(k / 40)) ** 2 + (y - side // 2) ** 2 < (side // 8) ** 2] += 140
    return volume


def a_predictor(builder: str) -> SlicePredictor:
    module = build(builder)
    module.load_state_dict(deterministic_state_dict(module))
    device = DeviceChoice(torch.device("cpu"), torch.float32, "for the measurement")
    return SlicePredictor(module, registry.get(MODELS[builder]), device)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=600)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--builder", default="efficienttam_ti", choices=sorted(MODELS))
    parser.add_argument("--threads", type=int, default=0, help="0: torch's own choice")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    session = open_session(
        a_predictor(options.builder), synthetic_ct(options.slices, options.side), (1.0, 0.8, 0.8), window="ct-abdomen"
    )
    opened, started = peak_mb(), time.perf_counter()
    half, quarter, middle = options.side // 2, options.side // 8, options.slices // 2
    span = (half - quarter, half + quarter)
    boxes = [Box(i=span, j=span, k=(middle, middle)) for _ in range(options.objects)]
    result = session.propagate(boxes, slice_range=(0, options.slices - 1))
    seconds = time.perf_counter() - started
    assert all(len(item.slices) == options.slices for item in result.objects)
    peak = peak_mb()
    print(
        f"{options.builder}: {options.side}x{options.side}x{options.slices}, {options.objects} object(s): "
        f"peak {peak:.0f} MB ({opened:.0f} MB once opened), {result.encodes} encodes, "
        f"{seconds / options.slices:.2f} s a slice, result {sum(o.packed.nbytes for o in result.objects) / 1e6:.1f} MB"
    )
    return int(peak > LIMIT_MB)


if __name__ == "__main__":
    sys.exit(main())
