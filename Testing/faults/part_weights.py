"""Part "weights": damaged checkpoints, descriptions of the user's models, and what engines derived from weights."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from fault_tally import Fault, Tally
from forked import fast_folder
from mutators import damaged
from part_reading import AT_A_TIME, Case, run_batch
from safetensors.torch import save_file
from sample_files import digest

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.checkpoints.custom_models import CustomModels
from MedSAMSegmentLib.checkpoints.store import CheckpointStore
from MedSAMSegmentLib.checkpoints.weights import load_state_dict, recognise_file
from MedSAMSegmentLib.errors import CheckpointError
from MedSAMSegmentLib.inference.engines.base import EngineFiles
from MedSAMSegmentLib.inference.engines.benchmarks import BenchmarkStore, EngineBenchmark
from MedSAMSegmentLib.inference.engines.sealed_files import is_whole, seal, seal_path

PART = "weights"
TENSORS = {f"encoder.{name}": torch.linspace(-1, 1, 60).reshape(6, 10) for name in ("weight", "bias", "norm.weight")}


@dataclass(frozen=True)
class Kept:
    """A file to damage. `checked`: a checksum covers it; `sealed_again`: it was damaged before it was sealed."""

    name: str
    write: Callable[[Path], Any]
    read: Callable[[Path], Any]
    checked: bool = False
    sealed_again: bool = False


def run(numbers: Iterator[int], seed: int, tally: Tally) -> None:
    kept = _kept()
    with tempfile.TemporaryDirectory(prefix="medsam-faults-", dir=fast_folder()) as place:
        sound, work = Path(place) / "sound", Path(place) / "work"
        wholes = {}
        for target, one in kept.items():
            folder = sound / target
            folder.mkdir(parents=True)
            one.write(folder / one.name)
            if one.sealed_again:
                seal(folder / one.name)
            wholes[target] = digest(_plain(one.read(folder / one.name)))
        names = tuple(kept)
        while batch := tuple(islice(numbers, AT_A_TIME)):

            def cases(batch: tuple[int, ...] = batch) -> Iterable[Case]:
                for number in batch:
                    target = names[number % len(names)]
                    fault = Fault(PART, "", target, number)
                    rng = random.Random(f"{seed}:{PART}:{number}")
                    yield _case(fault, kept[target], sound, work, wholes[target], rng)

            run_batch(cases, tally)


def _case(fault: Fault, one: Kept, sound: Path, work: Path, *rest: Any) -> Case:
    whole, rng = rest
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(sound / fault.target, work)
    path = work / one.name
    others = [path for path in sorted(sound.rglob("*")) if path.is_file()]
    damage = damaged(path.read_bytes(), rng, rng.choice(others).read_bytes())
    path.write_bytes(damage.content)
    if one.sealed_again:
        seal(path)
    must = whole if one.checked or damage.kind in ("cut off", "empty") else None
    return Case(replace(fault, kind=damage.kind), lambda: _plain(one.read(path)), must)


def _plain(result: Any) -> tuple[str, ...]:
    """Return what was read as words that `digest` takes; tensors by their values."""
    if isinstance(result, dict):
        return tuple(f"{key} {tuple(t.shape)} {t.dtype} {t.tolist()}" for key, t in sorted(result.items()))
    return (repr(result),)


def _kept() -> dict[str, Kept]:
    def read_weights(path: Path) -> Any:
        found = load_state_dict(path)
        with contextlib.suppress(CheckpointError):  # nobody knows these small networks
            recognise_file(path, found)
        return found

    return {
        "checkpoint .pth": Kept("a.pth", partial(torch.save, TENSORS), read_weights, checked=True),
        "checkpoint .pth, old format": Kept(
            "a.pth", lambda path: torch.save(TENSORS, path, _use_new_zipfile_serialization=False), read_weights
        ),
        "checkpoint .safetensors": Kept("a.safetensors", lambda path: save_file(TENSORS, path), read_weights),
        "description of a model": Kept("own-a.pth.model.json", _write_description, _read_description),
        "benchmarks of engines": Kept("toy.0123456789ab.engines.json", _write_benchmark, _read_benchmark),
        "benchmarks, sealed": Kept(
            "toy.0123456789ab.engines.json", _write_benchmark, _read_benchmark, sealed_again=True
        ),
        "compiled graph": Kept("a.blob", _write_sealed, _read_sealed, checked=True),
    }


def _write_description(path: Path) -> None:
    fields = {"title": "mine", "network": "lite_medsam", "sha256": "0" * 64, "size": 900}
    path.write_text(json.dumps(fields, indent=1), encoding="utf-8")
    path.with_name("own-a.pth").write_bytes(bytes(900))


def _read_description(path: Path) -> Any:
    models = CustomModels(CheckpointStore(path.parent))
    found = models.all()
    for model in found:
        assert model.network in {entry.id for entry in registry.entries()}, "a network that is not there"
        CheckpointStore(path.parent).state(model.entry)
    models.get("own-a.pth")  # refuses what `all` passes over
    return [repr(model) for model in found]


def _files(path: Path) -> EngineFiles:
    return EngineFiles(replace(registry.get("lite_medsam"), id="toy"), "0123456789abcdef", path.parent)


def _benchmark_path(path: Path) -> Path:
    return next((p for p in path.parent.iterdir() if p.name.endswith(".engines.json")), path)


def _write_benchmark(path: Path) -> None:
    BenchmarkStore(_files(path)).put("openvino", EngineBenchmark(0.001, 0.25))
    written = _benchmark_path(path)
    if written != path:
        shutil.copy(written, path)
        shutil.copy(seal_path(written), seal_path(path))


def _read_benchmark(path: Path) -> Any:
    own = _benchmark_path(path)
    store = BenchmarkStore(_files(own))
    found = store.get("openvino")
    store.put("torch", EngineBenchmark(0.0, 0.5))
    return found


def _write_sealed(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(5000))
    seal(path)


def _read_sealed(path: Path) -> Any:
    """Refuse a file that its seal does not fit, as the engine does: it is made again."""
    if not is_whole(path):
        raise CheckpointError("The graph was altered.", "It is made again.")
    return hashlib.sha256(path.read_bytes()).hexdigest()
