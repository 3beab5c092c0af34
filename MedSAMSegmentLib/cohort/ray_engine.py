"""The engine of many machines: a pool of Ray actors, each with its model and one case at a time.

Without an address Ray starts on this machine alone, for as long as the run. Manifest, images, weights and the cohort's
folder have to lie on a file system that all machines share.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import UsageError, WorkerError
from .case import Finished, KeptModel, Task, run_case
from .driver import Attempt, timed_out

SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token"}
"""Nothing is told to Ray's makers, and whoever connects needs the token; what the user has set stays."""

ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""By this Ray listens on 127.0.0.1 on every system, which it does on two of them anyway."""

LOST = "The process of Ray that ran the case was lost."
LOOK_SECONDS = 1.0
MOST_FAILED_STARTS = 3


class CaseActor:
    """Runs cases in a process of Ray's."""

    def __init__(self) -> None:
        self._model = KeptModel()

    def ready(self) -> None:
        """Answer once the process is there."""

    def run(self, task: dict[str, Any]) -> dict[str, Any]:
        """Run a case, see `run_case`, in types that any version can read."""
        return asdict(run_case(Task.of(task), self._model))


@dataclass(frozen=True)
class _Running:
    actor: Any
    task: Task
    begun: float


class RayEngine:
    """`workers` actors at `address`, or on this machine; `device` decides whether each takes a GPU."""

    def __init__(self, workers: int, case_seconds: float, address: str | None = None, device: str = "auto") -> None:
        self._workers, self._case_seconds, self._address, self._device = workers, case_seconds, address, device

    def attempts(self, pending: deque[Task]) -> Iterator[Attempt]:
        """Run the tasks of `pending`, to which more may come meanwhile, and yield each try as it ends."""
        for name, value in (SETTINGS if self._address else SETTINGS | ON_LOOPBACK).items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError as error:
            raise UsageError("Ray is not installed.", "Run: pip install 'MedSAMSegmentLib[ray]'") from error
        cpus = None if self._address else self._workers
        try:
            ray.init(address=self._address or "local", num_cpus=cpus, include_dashboard=False, log_to_driver=False)
        except Exception as error:  # Ray's own are of many kinds, and plain ones
            raise WorkerError(f"Ray does not answer: {error}", "See its logs, or --ray-address.") from error
        try:
            yield from self._attempts(ray, pending)
        finally:
            ray.shutdown()

    def _attempts(self, ray: Any, pending: deque[Task]) -> Iterator[Attempt]:
        gpus = self._device != "cpu" and ray.cluster_resources().get("GPU", 0) >= 1
        actor_class = ray.remote(num_cpus=1, num_gpus=1 if gpus else 0, max_restarts=0)(CaseActor)
        starting: dict[Any, Any] = {}
        running: dict[Any, _Running] = {}
        idle: list[Any] = []
        failed_starts = 0
        while pending or running:
            while len(starting) + len(idle) + len(running) < min(self._workers, len(pending) + len(running)):
                actor = actor_class.remote()
                starting[actor.ready.remote()] = actor
            while pending and idle:
                actor, task = idle.pop(), pending.popleft()
                running[actor.run.remote(asdict(task))] = _Running(actor, task, time.monotonic())
            for answer in ray.wait([*starting, *running], timeout=LOOK_SECONDS)[0]:
                if answer in running:
                    attempt, kept = self._ended(ray, answer, running.pop(answer))
                    idle += kept
                    yield attempt
                    continue
                actor = starting.pop(answer)
                try:
                    ray.get(answer)
                    idle.append(actor)
                except ray.exceptions.RayError as error:
                    failed_starts += 1
                    if failed_starts > MOST_FAILED_STARTS:
                        raise WorkerError("Ray cannot start processes.", "See its logs.", str(error)) from error
            for run in running.values():
                if time.monotonic() - run.begun > self._case_seconds:
                    ray.kill(run.actor)

    def _ended(self, ray: Any, answer: Any, run: _Running) -> tuple[Attempt, list[Any]]:
        """Return how a try ended, and its actor if that may have another case."""
        seconds = time.monotonic() - run.begun
        try:
            finished = Finished(**ray.get(answer))
        except ray.exceptions.RayError as error:
            late = seconds > self._case_seconds
            lost = timed_out(self._case_seconds) if late else WorkerError(LOST, "Give it more memory.", str(error))
            return Attempt(run.task, lost=lost, seconds=seconds, again=not late), []
        if finished.again:
            ray.kill(run.actor)  # what memory it holds, and in how many pieces, nobody knows
        return Attempt(run.task, finished), [] if finished.again else [run.actor]
