"""Benchmarks of the engines on this machine, kept beside the checkpoint so that each is measured once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch

from ...checkpoints.folder import write_atomically
from .base import EngineFiles
from .sealed_files import is_whole, seal, unseal
from .unused_files import touch_files


@dataclass(frozen=True)
class EngineBenchmark:
    """One engine at one precision: relative error against torch in float32, and seconds for a slice."""

    error: float
    seconds: float


class BenchmarkStore:
    """A small JSON file: machine -> engine -> benchmark. Losing it costs time, never correctness."""

    def __init__(self, files: EngineFiles) -> None:
        keep = files.folder is not None and bool(files.weights_sha256)
        self._path = files.folder / f"{files.stem}.engines.json" if keep and files.folder else None

    def get(self, engine: str) -> EngineBenchmark | None:
        found = self._all().get(machine_signature(), {}).get(engine)
        try:
            return EngineBenchmark(float(found["error"]), float(found["seconds"])) if found else None
        except (KeyError, TypeError, ValueError):
            return None

    def put(self, engine: str, benchmark: EngineBenchmark) -> None:
        """Remember it; a folder that cannot be written is no error."""
        if self._path is None:
            return
        known = self._all()
        known.setdefault(machine_signature(), {})[engine] = asdict(benchmark)
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            unseal(self._path)
            write_atomically(self._path, json.dumps(known))
            seal(self._path)

    def _all(self) -> dict[str, dict[str, dict[str, float]]]:
        if self._path is None or not is_whole(self._path):
            return {}
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
            touch_files(self._path)
        except (OSError, ValueError):
            return {}
        usable = isinstance(known, dict) and all(isinstance(engines, dict) for engines in known.values())
        return known if usable else {}


@cache
def machine_signature() -> str:
    """Return a hash that is the same for processes whose benchmarks can be exchanged: processor, cores, threads,
    torch."""
    parts = (processor_name(), os.cpu_count(), torch.get_num_threads(), torch.__version__, torch.__config__.show())
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def processor_name() -> str:
    """Return the processor's name as the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
