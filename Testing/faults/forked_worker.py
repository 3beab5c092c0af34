"""A worker that is forked instead of started, with a stand-in for the model, and pipes that go wrong on demand."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MedSAMSegmentLib.errors import Cancelled
from MedSAMSegmentLib.intensity import WindowedVolume
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.results import ObjectResult, PackedMask, Progress, Segmentation3D, SliceResult
from MedSAMSegmentLib.worker import main as worker_main
from MedSAMSegmentLib.worker.launch import LaunchCommand
from MedSAMSegmentLib.worker.launcher import LaunchedInterpreter
from MedSAMSegmentLib.worker.popen_transport import PopenTransport

ORPHAN_GRACE = "0.3"
COMMAND = LaunchCommand("forked", (), {})
SLICE_SECONDS = 0.002


class ThresholdSession:
    """Segments what is above zero inside the box, so that every mask has a known answer."""

    device = "stand-in"

    def __init__(self, request: Any, arriving: Any, report: Any) -> None:
        report("load model")
        self.array: NDArray = arriving.into(np.zeros(arriving.shape, arriving.dtype), lambda values: values)
        self.volume = WindowedVolume(self.array, None, "stand-in")
        self.shape_zyx = self.array.shape[:3]
        self.counters = SimpleNamespace(encodes=0)

    def encode_slice(self, axis: int, index: int) -> None:
        """Nothing is encoded."""

    def segment_slice(
        self, axis: int, index: int, prompts: Any, *, reading: int, on_first_look: Any, cancel: Any
    ) -> SliceResult:
        return SliceResult(0, axis, index, self._mask(prompts).take(index, axis=axis), 0.75, (), True)

    def propagate(self, objects: Any, **options: Any) -> Segmentation3D:
        axis, names = options.get("axis", 0), options.get("names") or [f"Segment_{n + 1}" for n in range(len(objects))]
        shape = self.array.shape
        results = [ObjectResult(name, PackedMask(shape, axis)) for name in names]
        result = Segmentation3D(results, axis, shape, "stand-in", "static", self.device, "stand-in", 0.5, 3, 4)
        first, last = options.get("slice_range") or (0, shape[axis] - 1)
        for index in range(first, last + 1):
            for number, prompts in enumerate(objects):
                item = SliceResult(number, axis, index, self._mask(prompts).take(index, axis=axis), 0.9, ())
                result.objects[number].add(item)
                if options.get("on_slice") is not None:
                    options["on_slice"](item)
            options["on_progress"](Progress(index - first + 1, last - first + 1))
            time.sleep(SLICE_SECONDS)
            if options["cancel"]():
                raise Cancelled()
        return result

    def close(self) -> None:
        """Nothing is held."""

    def _mask(self, prompts: Any) -> NDArray[np.bool_]:
        box = next(p for p in prompts if isinstance(p, Box))
        inside = np.zeros(self.array.shape, bool)
        inside[tuple(slice(max(a, 0), b + 1) for a, b in box.bounds_zyx)] = True
        return (self.array > 0) & inside


class ForkedTransport(PopenTransport):
    """The product's transport over a forked worker. `prepare` runs in the worker before it serves."""

    def __init__(self, prepare: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._prepare = prepare

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def start(self, command: LaunchCommand) -> None:
        process = _ForkedProcess(self._prepare)
        self._process = process  # type: ignore[assignment]
        self._interpreter = LaunchedInterpreter(command.program)
        self._start_pumps(process)


class _ForkedProcess:
    """As much of `subprocess.Popen` as the transport uses."""

    def __init__(self, prepare: Callable[[], None]) -> None:
        pipes = [os.pipe() for _ in range(3)]
        (stdin, self_in), (self_out, stdout), (self_err, stderr) = pipes
        self._status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            try:
                for end in (self_in, self_out, self_err):
                    os.close(end)
                os.dup2(stderr, 2)
                os.dup2(stderr, 1)
                prepare()
                worker_main.run(stdin, stdout, ["--orphan-grace", ORPHAN_GRACE], session_factory=ThresholdSession)
            finally:
                os._exit(70)
        for end in (stdin, stdout, stderr):
            os.close(end)
        self.stdin = os.fdopen(self_in, "wb", buffering=0)
        self.stdout = os.fdopen(self_out, "rb", buffering=0)
        self.stderr = os.fdopen(self_err, "rb", buffering=0)

    def poll(self) -> int | None:
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, seconds: float) -> int:
        until = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("worker", seconds)
            time.sleep(0.001)
        assert self._status is not None
        return self._status
