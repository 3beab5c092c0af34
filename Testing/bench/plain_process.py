"""The yardstick in a process of its own, which works only when it is asked to.

python Testing/bench/plain_process.py MODEL      reads "encode" or "slice" from stdin, answers with seconds

So it has an environment of its own: threads that wait busily, as torch's do unless told otherwise.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from types import TracebackType

from measure import frames, limit_threads, load, plain_device
from plain_eager import PlainEager

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.inference.engines.base import probe_input
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor
from MedSAMSegmentLib.threads import WAIT_POLICY


class PlainProcess:
    """Start it, then ask it for `seconds`."""

    def __init__(self, model_id: str) -> None:
        environment = {name: value for name, value in os.environ.items() if name != WAIT_POLICY}
        command = [sys.executable, "-W", "ignore", __file__, model_id]
        self._process = subprocess.Popen(
            command, env=environment, encoding="utf-8", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def seconds(self, work: str) -> float:
        """Of one "encode", or of one "slice" of propagation."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(work, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"plain eager ended with {self._process.wait()}")
        return float(answer)

    def __enter__(self) -> PlainProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main(model_id: str) -> None:
    limit_threads()
    entry = registry.get(model_id)
    module, _ = load(entry)
    plain = PlainEager(module)
    images = probe_input(entry)
    slices = frames(SlicePredictor(module, entry, plain_device(), engine=plain))
    works = {"encode": lambda: plain.encode(images), "slice": lambda: next(slices)}
    for line in sys.stdin:
        started = time.perf_counter()
        works[line.strip()]()
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
