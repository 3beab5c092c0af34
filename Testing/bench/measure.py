"""One row of the table, in a process of its own so that its peak memory is its own.

python Testing/bench/measure.py MODEL ENGINE PRECISION      prints one line of JSON

The engine's slices take turns with plain eager's (`plain_process`), so that whatever else the machine does falls on
both.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from plain_eager import PlainEager

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.checkpoints.store import CheckpointStore
from MedSAMSegmentLib.inference.device import DeviceChoice, resolve_device
from MedSAMSegmentLib.inference.engines.base import EngineFiles, probe_input
from MedSAMSegmentLib.inference.engines.choose import Encoder, choose_engine
from MedSAMSegmentLib.inference.frame_features import FrameFeatures
from MedSAMSegmentLib.inference.memory_tracker import MemoryTracker
from MedSAMSegmentLib.inference.slice_networks import slice_network
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor, SlicePrompts
from MedSAMSegmentLib.inference.tracker_options import tracker_options
from MedSAMSegmentLib.models.builders import build
from MedSAMSegmentLib.registry import ModelEntry

if TYPE_CHECKING:
    from plain_process import PlainProcess

REPO = Path(__file__).resolve().parents[2]
SIDE = 512
BOX = (150.0, 160.0, 330.0, 350.0)
TRACKED_SLICES = 9
"""So many slices fill the memory bank (7) and leave some to time."""


def main(model_id: str, engine_name: str, precision: str) -> None:
    limit_threads()
    entry = registry.get(model_id)
    module, sha256 = load(entry)
    device = resolve_device("cpu", precision)
    plain = PlainEager(module)
    with TemporaryDirectory() as folder:
        encoder = Encoder(slice_network(module), module, device, EngineFiles(entry, sha256, Path(folder)))
        opening = []
        for _ in range(2):  # as the first process on a machine, and as all later ones
            engine = None  # two at a time would be counted as memory
            started = time.perf_counter()
            engine = plain if engine_name == "plain" else choose_engine(encoder, engine_name).engine
            opening.append(time.perf_counter() - started)
    predictor = SlicePredictor(module, entry, device, engine=engine)
    row: dict[str, object] = {"model": model_id, "engine": engine_name, "precision": precision}
    row |= {"prepare": opening[0], "open": opening[1]}
    row |= decoding(predictor)
    row["peak_mb"] = peak_megabytes()
    from plain_process import PlainProcess

    with PlainProcess(model_id) as yardstick:
        images = probe_input(entry)
        row |= beside(yardstick, "encode", lambda: engine.encode(images), seconds=8.0)
        if entry.kind == "memory":
            slices = frames(predictor)
            row |= beside(yardstick, "slice", lambda: next(slices), seconds=20.0)
    print(json.dumps(row))


def limit_threads() -> None:
    torch.set_num_threads(min(torch.get_num_threads(), 8))


def load(entry: ModelEntry) -> tuple[torch.nn.Module, str]:
    """The published weights when they are on this machine, else made-up ones: the time does not depend on them."""
    from MedSAMSegmentLib.checkpoints.weights import load_state_dict, load_weights

    module = build(entry.builder, **entry.builder_options)
    store = CheckpointStore()
    record = store.record(entry) if store.state(entry) == "ready" else None
    if record is not None:
        load_weights(module, load_state_dict(store.path(entry)), entry)
        return module.eval(), record.sha256
    sys.path.insert(0, str(REPO / "Testing" / "parity"))
    from deterministic_weights import deterministic_state_dict

    module.load_state_dict(deterministic_state_dict(module))
    return module.eval(), "0" * 64


def plain_device() -> DeviceChoice:
    return DeviceChoice(torch.device("cpu"), torch.float32, "asked for")


def decoding(predictor: SlicePredictor) -> dict[str, float]:
    """A second prompt on a slice that is encoded: everything from the box to the mask of the whole slice."""
    embedding = predictor.encode(picture(0))
    prompts = SlicePrompts(box_xyxy=BOX)
    times = []
    for _ in range(12):
        started = time.perf_counter()
        predictor.predict(embedding, prompts)
        times.append(time.perf_counter() - started)
    return {"decode": min(times[2:])}


def frames(predictor: SlicePredictor) -> Iterator[None]:
    """Each step propagates to one more slice, with a full memory; it never ends."""
    entry = predictor.entry
    while True:
        tracker = MemoryTracker(
            predictor.sam2,
            lambda index: FrameFeatures.of_embedding(predictor.encode(picture(index))),
            64,
            (SIDE, SIDE),
            tracker_options(entry.family),
            dtype=predictor.device.dtype,
            steps=predictor.engine.memory_steps,
        )
        tracker.add_points(1, 0, box_xyxy=BOX)
        for frame in tracker.propagate(stop=60):
            if frame.index >= TRACKED_SLICES:
                yield


def beside(yardstick: PlainProcess, name: str, work: Callable[[], object], seconds: float) -> dict[str, float]:
    """The best time of `work`, and how many times as fast as plain eager it is, the median over the two's turns.

    They take turns for about so many seconds, at least twice. Other load may fall on the best turn of one and not of
    the other, but mostly on both sides of a turn.
    """
    work(), yardstick.seconds(name)
    times: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(times) < 2 or (time.perf_counter() < end and len(times) < 30):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started, yardstick.seconds(name)))
    ratios = [theirs / mine for mine, theirs in times]
    return {name: min(mine for mine, _ in times), f"{name}_ratio": statistics.median(ratios)}


@cache
def picture(index: int) -> NDArray[np.uint8]:
    """A bright disc on noise that moves from slice to slice."""
    random = np.random.default_rng(index)
    image = random.integers(20, 60, (SIDE, SIDE))
    y, x = np.mgrid[:SIDE, :SIDE]
    image[(x - 240 - index) ** 2 + (y - 255) ** 2 < 80**2] += 150
    return image.astype(np.uint8)


def peak_megabytes() -> float:
    """The process's largest resident size so far, in MB of 10^6 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


if __name__ == "__main__":
    main(*sys.argv[1:])
