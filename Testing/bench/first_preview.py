"""The way from a drag to its preview through a real worker process, in a Qt event loop, phase by phase.

python Testing/bench/first_preview.py [SLICES] [MODALITY]      512 x 512 x SLICES (300), made up; "" for no modality

Needs the LiteMedSAM weights in the model folder, and PySide6. For each phase: seconds, processor seconds of the worker
(other load does not count there), and the longest time for which the event loop did not get round to a 50 ms timer.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from PySide6 import QtCore

HERE = Path(__file__).resolve().parent
TICK = 0.05
SIDE = 512
MODEL = "lite_medsam"


def without_slicer() -> None:
    """Let `qt` and the translation of texts be found without an application."""
    spec = importlib.util.spec_from_file_location("pythonqt_shim", HERE.parent / "worker" / "pythonqt_shim.py")
    assert spec is not None
    assert spec.loader is not None
    shim = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shim)
    texts = ModuleType("slicer.i18n")
    texts.__dict__["tr"] = lambda text: text
    sys.modules.update({"qt": shim.make_qt(), "slicer.i18n": texts})


class Loop:
    """Qt's event loop, and the longest time that it did not get round to a timer."""

    def __init__(self) -> None:
        self._application = QtCore.QCoreApplication.instance() or QtCore.QCoreApplication([])
        self._timer = QtCore.QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(int(1000 * TICK))
        self._last = time.perf_counter()
        self.gap = 0.0

    def _tick(self) -> None:
        now = time.perf_counter()
        self.gap = max(self.gap, now - self._last - TICK)
        self._last = now

    def run_until(self, condition: Callable[[], bool], seconds: float = 600.0) -> None:
        end = time.perf_counter() + seconds
        loop, wake = QtCore.QEventLoop(), QtCore.QTimer()
        wake.timeout.connect(loop.quit)
        wake.start(5)
        while not condition() and time.perf_counter() < end:
            loop.exec()


class Table:
    """A line for each phase."""

    def __init__(self, loop: Loop, client: Any) -> None:
        self._loop = loop
        self._client = client
        print(f"{'phase':<58}{'s':>8}{'worker cpu s':>14}{'stall s':>9}")

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self._loop.gap = 0.0
        processor, started = self._processor(), time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        self._loop.run_until(lambda: False, 2 * TICK)
        spent = self._processor() - processor
        print(f"{name:<58}{seconds:>8.2f}{spent:>14.2f}{self._loop.gap:>9.2f}", flush=True)

    def _processor(self) -> float:
        pid = self._client.worker.get("pid")
        try:
            times = psutil.Process(pid).cpu_times() if pid else None
        except psutil.NoSuchProcess:
            times = None
        return times.user + times.system if times is not None else 0.0


def a_volume(slices: int) -> NDArray[np.int16]:
    """Noisy soft tissue in air, with a bright ball."""
    generator = np.random.default_rng(0)
    k, j, i = np.ogrid[:slices, :SIDE, :SIDE]
    volume = np.empty((slices, SIDE, SIDE), np.int16)
    noise = generator.integers(-20, 20, (SIDE, SIDE), np.int16)
    body = (j - SIDE / 2) ** 2 + (i - SIDE / 2) ** 2 < (0.45 * SIDE) ** 2
    volume[:] = np.where(body, 40 + noise, -1000)
    middle = slices // 2
    near = slice(max(middle - 20, 0), middle + 20)
    ball = (3 * (k[near] - middle)) ** 2 + (j - 250) ** 2 + (i - 240) ** 2 < 60**2
    volume[near][ball] += 120
    return volume


def digest(mask: NDArray[np.bool_]) -> str:
    return hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()[:8]


def main(slices: int = 300, modality: str | None = "CT") -> None:
    without_slicer()
    from MedSAMSegmentLib.geometry import SlicePlane
    from MedSAMSegmentLib.prompts import Box
    from MedSAMSegmentLib.ui.run.protocols import PropagateJob, SessionTarget
    from MedSAMSegmentLib.ui.run.worker_service import WorkerService
    from MedSAMSegmentLib.worker.client import WorkerClient
    from MedSAMSegmentLib.worker.launch import worker_command
    from MedSAMSegmentLib.worker.qprocess_transport import QProcessTransport

    volume = a_volume(slices)
    middle = slices // 2
    loop = Loop()
    client = WorkerClient(worker_command, QProcessTransport)
    service = WorkerService(client)
    table = Table(loop, client)

    def ask(send: Callable[[Callable[..., None], Callable[..., None]], None]) -> Any:
        answers: list[Any] = []
        send(answers.append, answers.append)
        loop.run_until(lambda: bool(answers))
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]

    def target(name: str, window: str = "auto") -> SessionTarget:
        return SessionTarget(name, 1, MODEL, window, "auto", modality or None, (2.0, 0.7, 0.7), lambda: volume)

    def box(k: int) -> list[Any]:
        return [Box(i=(178, 302), j=(188, 312), k=(k, k))]

    def preview(k: int) -> str:
        found = ask(lambda done, failed: service.segment_slice(SlicePlane(0, k), box(k), done, failed))
        return digest(found.mask)

    def drag(name: str, k: int, window: str = "auto") -> str:
        ask(lambda done, failed: service.open(target(name, window), done, failed))
        return preview(k)

    def run(k: int) -> str:
        job = PropagateJob("ball", tuple(box(k)), 0, (k - 3, k + 3))
        outcome = ask(lambda done, failed: service.propagate(job, lambda _: None, lambda *_: None, done, failed))
        return digest(outcome.result.mask)

    masks = []
    try:
        with table.phase("cold: the effect is chosen; worker, torch and model"):
            service.prepare(MODEL)
            loop.run_until(lambda: not client.busy)
        with table.phase("cold: from the release of the mouse to the open volume"):
            ask(lambda done, failed: service.open(target("first"), done, failed))
        with table.phase("cold: from the open volume to the first preview"):
            masks.append(preview(middle))
        with table.phase("two seconds of looking at it"):
            loop.run_until(lambda: False, 2.0)
        with table.phase("a box on another slice far away"):
            masks.append(preview(middle + 15))
        with table.phase("seven slices in 3D"):
            masks.append(run(middle))
        with table.phase("warm: another volume of that size, drag to preview"):
            masks.append(drag("second", middle))
        with table.phase("warm: at once a 3D run of seven slices"):
            masks.append(run(middle))
        with table.phase("warm: the same volume in another window"):
            masks.append(drag("second", middle, "ct-lung"))
    finally:
        service.shutdown()
    print("masks:", *masks)


if __name__ == "__main__":
    main(*(int(word) if word.isdigit() else word for word in sys.argv[1:]))  # type: ignore[arg-type]
