"""The path around the encoder, step by step as a user meets it; a line of JSON for each figure.

python Testing/bench/measure_path.py start                 the command line, the worker, previews (LiteMedSAM)
python Testing/bench/measure_path.py objects MODEL ENGINE PRECISION    13 slices of 512 x 512 with 1 and 3 objects
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from measure import load, picture
from numpy.typing import NDArray

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.checkpoints.store import CheckpointStore
from MedSAMSegmentLib.inference.device import resolve_device
from MedSAMSegmentLib.inference.engines.base import EngineFiles
from MedSAMSegmentLib.inference.engines.choose import Encoder, choose_engine
from MedSAMSegmentLib.inference.open import load_predictor, open_session
from MedSAMSegmentLib.inference.slice_networks import slice_network
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor
from MedSAMSegmentLib.prompts import Box, Point
from MedSAMSegmentLib.worker.client import WorkerClient
from MedSAMSegmentLib.worker.launch import worker_command
from MedSAMSegmentLib.worker.popen_transport import PopenTransport
from MedSAMSegmentLib.worker.remote_volume import RemoteVolume

SLICES = 13
TIMES = 5
WORKERS = 3
MODEL = "lite_medsam"
BOXES = ((170, 185, 310, 325), (40, 60, 150, 170), (330, 340, 460, 480))


def a_volume() -> NDArray[np.uint8]:
    return np.stack([picture(k) for k in range(SLICES)])


def box(number: int, first: int, last: int) -> Box:
    x0, y0, x1, y1 = BOXES[number]
    return Box(i=(x0, x1), j=(y0, y1), k=(first, last))


def tell(what: str, value: float, unit: str, target: str = "") -> None:
    print(json.dumps({"what": what, "value": value, "unit": unit, "target": target}), flush=True)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def start() -> None:
    command = [sys.executable, "-m", "MedSAMSegmentLib", "--help"]
    helps = [seconds(lambda: subprocess.run(command, capture_output=True, check=True)) for _ in range(TIMES)]
    tell("`medsam-segment --help`", min(helps), "s", "< 0.3 s")
    with_worker()


def with_worker() -> None:
    """Workers on a warm machine; the first one of a machine also converts and measures the engines."""
    ready, first = [], []
    for turn in range(WORKERS + 1):
        client = WorkerClient(worker_command, PopenTransport)
        try:
            volume = RemoteVolume(client, MODEL, a_volume(), window="none")
            waited = seconds(lambda: client.wait(volume.open(), 600))  # noqa: B023 - used at once
            if turn == 0:
                continue
            ready.append(waited)
            first.append(preview(client, volume, 0))
            if turn == WORKERS:
                title = registry.get(MODEL).title
                tell(f"worker ready with {title}, from nothing to an open volume", min(ready), "s", "< 3 s")
                previews(client, volume, min(first))
        finally:
            client.close()


def preview(client: WorkerClient, volume: RemoteVolume, index: int, number: int = 0, *clicks: Point) -> float:
    prompts = [box(number, index, index), *clicks]
    return seconds(lambda: client.wait(volume.segment_slice(0, index, prompts), 600))


def previews(client: WorkerClient, volume: RemoteVolume, first: float) -> None:
    prompts = [preview(client, volume, 0, number % 3) for number in range(8)]
    clicks = [preview(client, volume, 0, 0, Point(i=240, j=255 + number, k=0)) for number in range(8)]
    # Far from what is encoded ahead: each of these encodes a slice.
    fresh = [preview(client, volume, index) for index in (12, 6, 9)]
    encode = min(fresh) - min(prompts)
    small = Box(i=(240, 279), j=(250, 279), k=(0, 0))
    in_two_views = [seconds(lambda: client.wait(volume.segment_slice(0, 0, [small]), 600)) for _ in range(6)]
    tell("first preview after opening a volume", first, "s", f"1 encode + 0.1 s = {encode + 0.1:.2f} s")
    tell("a click more on an encoded slice, with the way to the worker and back", 1000 * min(clicks), "ms", "<= 60 ms")
    tell("another box on an encoded slice, which is four prompts, the same way", 1000 * min(prompts), "ms", "<= 60 ms")
    tell("a small box (40 of 512) on an encoded slice, whose part is encoded first", 1000 * in_two_views[0], "ms")
    tell("a small box again, which is eight prompts in two views", 1000 * min(in_two_views), "ms")


def objects(model_id: str, engine: str, precision: str) -> None:
    predictor = a_predictor(model_id, engine, precision)
    times = {count: whole(predictor, count) for count in (1, 3)}
    title = f"{registry.get(model_id).title}, {predictor.title}"
    tell(f"{title}: {SLICES} slices, 1 object", times[1], "s")
    tell(f"{title}: {SLICES} slices, 3 objects", times[3], "s")
    later = (times[3] - times[1]) / 2 / times[1]
    tell(f"{title}: each later object, of the first", 100 * later, "%", "<= 15 %")


def whole(predictor: Any, count: int) -> float:
    """Seconds of a run with nothing encoded but what warmed the network up."""
    memory = predictor.entry.kind == "memory"
    first, last = (SLICES // 2, SLICES // 2) if memory else (0, SLICES - 1)
    with open_session(predictor, a_volume(), window="none") as session:
        session.encode_slice(0, 0)
        session.close()
        boxes = [box(number, first, last) for number in range(count)]
        return seconds(lambda: session.propagate(boxes, slice_range=(0, SLICES - 1)))


def a_predictor(model_id: str, engine: str, precision: str) -> SlicePredictor:
    """With the published weights where they are here, else with made-up ones, of which an object is always found."""
    entry = registry.get(model_id)
    if CheckpointStore().state(entry) == "ready":
        return load_predictor(model_id, device="cpu", precision=precision, engine=engine)
    module, sha256 = load(entry)
    if entry.kind == "memory":
        with torch.no_grad():
            module.sam_mask_decoder.pred_obj_score_head.layers[2].bias.fill_(6.0)  # type: ignore[union-attr, operator]
    device = resolve_device("cpu", precision)
    chosen = choose_engine(Encoder(slice_network(module), module, device, EngineFiles(entry, sha256, None)), engine)
    return SlicePredictor(module, entry, device, weights_sha256=sha256, engine=chosen.engine)


if __name__ == "__main__":
    if sys.argv[1] == "start":
        start()
    else:
        objects(*sys.argv[2:])
