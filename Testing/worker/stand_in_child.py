"""A real worker process with a stand-in for the model, and faults on demand: `stand_in_child.py LIBRARY FAULT...`.

The stand-in segments what is above zero inside the box, so that every mask has a known answer.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

LIBRARY, FAULTS = sys.argv[1], sys.argv[2:]
sys.path[:1] = [LIBRARY]

from MedSAMSegmentLib.intensity import WindowedVolume  # noqa: E402
from MedSAMSegmentLib.prompts import Box  # noqa: E402
from MedSAMSegmentLib.results import (  # noqa: E402
    ObjectResult,
    PackedMask,
    Progress,
    Segmentation3D,
    SliceResult,
    flag_slices,
)


def fault(name):
    return name in FAULTS


class StandInSession:
    device = "stand-in"

    def __init__(self, request, arriving, events):
        self.array = arriving.into(np.zeros(arriving.shape, arriving.dtype), lambda values: values)
        self.events = events
        self.volume = WindowedVolume(self.array, None, json.dumps(request.options, sort_keys=True))
        self.shape_zyx = self.array.shape[:3]
        self.counters = SimpleNamespace(encodes=0)

    def _mask(self, prompts, axis, index):
        box = next(p for p in prompts if isinstance(p, Box))
        inside = self.array * 0
        inside[tuple(slice(max(a, 0), b + 1) for a, b in box.bounds_zyx)] = 1
        return (self.array * inside > 0).take(index, axis=axis)

    def encode_slice(self, axis, index):
        print(f"ahead {axis} {index}", file=sys.stderr, flush=True)
        if fault("slow-ahead"):
            time.sleep(0.2)
        if fault("ahead-fails"):
            raise RuntimeError("no kernel for this")

    def segment_slice(self, axis, index, prompts, *, reading, on_first_look, cancel):
        if fault("slow-slice"):
            time.sleep(0.5)
        if fault("slow-model"):
            time.sleep(2.1)
        if on_first_look is not None:
            on_first_look(SliceResult(0, axis, index, ~self._mask(prompts, axis, index), 0.5, ("first-look",), True))
        flags = ("low-score",) if reading == 1 else ("two-readings",)  # told apart by that alone
        return SliceResult(0, axis, index, self._mask(prompts, axis, index), 0.75, flags, True)

    def propagate(self, objects, *, on_slice, on_progress, cancel, reading, axis=0, slice_range=None, names=None, **_):
        flags = () if reading == 1 else ("two-readings",)
        shape = self.array.shape
        names = names or [f"Segment_{number + 1}" for number in range(len(objects))]
        results = [ObjectResult(name, PackedMask(shape, axis)) for name in names]
        words = ("stand-in", "static", self.device, self.volume.description)
        result = Segmentation3D(results, axis, shape, *words, 0.5, 3, 4)
        first, last = slice_range or (0, shape[axis] - 1)
        for done, index in enumerate(range(first, last + 1), start=1):
            for number, prompts in enumerate(objects):
                item = SliceResult(number, axis, index, self._mask(prompts, axis, index), 0.9, flags)
                result.objects[number].add(item)
                if on_slice is not None:
                    on_slice(item)
            on_progress(Progress(done, last - first + 1))
            self._go_wrong(cancel)
        for item in result.objects:
            item.slices = flag_slices(item.slices)
        return result

    def _go_wrong(self, cancel):
        if fault("print"):
            print("a print of Python")
            os.system("echo an echo of a child process")
            ctypes.CDLL(None).puts(b"a puts of C")
            ctypes.CDLL(None).fflush(None)
        if fault("slow"):
            time.sleep(0.02)
            if cancel():
                from MedSAMSegmentLib.errors import Cancelled

                raise Cancelled()
        if fault("deaf"):
            time.sleep(60)
        if fault("hold-the-lock"):
            sum(range(10**12))
        if fault("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        if fault("crash"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if fault("exit-42"):
            print("last words", file=sys.stderr, flush=True)
            os._exit(42)
        if fault("garbage"):
            os.write(self.events, b"Traceback (most recent call last): \xff\xfe" * 10)
            time.sleep(60)
        if fault("half-frame"):
            os.write(self.events, b'\x00\x00\x00\x30{"kind"')
            os._exit(0)
        if fault("strange-answer"):
            os.write(self.events, b"\x00\x00\x00\x1e" + b'{"kind":"done", "id":2, "x":1}')
            time.sleep(60)
        if fault("memory-error"):
            raise MemoryError
        if fault("cuda-memory"):
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        if fault("allocator"):
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")
        if fault("unicode"):
            raise ValueError("Größe ≠ 三 \U0001f9e0")
        if fault("no-module"):
            import a_module_that_is_missing  # noqa: F401

    def close(self):
        print("closed", file=sys.stderr, flush=True)


def no_room(parser, data):
    raise MemoryError


def main():
    from MedSAMSegmentLib.worker import bootstrap
    from MedSAMSegmentLib.worker.main import run

    requests, events = bootstrap.take_standard_streams()
    if fault("early-exit"):
        print("no luck", file=sys.stderr, flush=True)
        os._exit(7)
    if fault("early-kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    if fault("early-hang"):
        time.sleep(60)
    if fault("early-garbage"):
        os.write(events, b"Welcome to Python!\n")
        time.sleep(60)

    if fault("no-room"):
        from MedSAMSegmentLib.worker.frames import FrameParser

        FrameParser.iter_feed = no_room

    def factory(request, arriving, report):
        report("load model")
        if fault("open-killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        if fault("open-hang"):
            time.sleep(60)
        if fault("open-no-torch"):
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        if fault("open-refused"):
            from MedSAMSegmentLib.errors import ModelError

            raise ModelError("The model is not here.", "Download it.")
        return StandInSession(request, arriving, events)

    for folder in (f.removeprefix("path=") for f in FAULTS if f.startswith("path=")):
        sys.path.insert(0, str(Path(folder)))
    memory = {"memory": lambda: 1000} if fault("no-memory") else {}
    confined = FAULTS[FAULTS.index("--confined") :][:2] if fault("--confined") else []
    return run(requests, events, ["--orphan-grace", "0.3", *confined], session_factory=factory, **memory)


if __name__ == "__main__":
    sys.exit(main())
