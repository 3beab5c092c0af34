"""The engine of one machine: processes that keep their model, each with one case at a time.

The pools of the standard library are no help here: they give up when one of their processes is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict
from typing import IO

from ..worker.exit_status import explain_exit
from .case import Finished, Task
from .driver import Attempt, timed_out

KEPT_OF_STDERR = 4000
CASE_PROCESS = [sys.executable, "-m", f"{__package__}.case_process"]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables of the libraries that would each take all cores in each of the processes."""


class LocalEngine:
    """`workers` processes; a case that takes longer than `case_seconds`, loading the model included, is stopped."""

    def __init__(self, workers: int, case_seconds: float) -> None:
        self._workers = workers
        self._case_seconds = case_seconds

    def attempts(self, pending: deque[Task]) -> Iterator[Attempt]:
        """Run the tasks of `pending`, to which more may come meanwhile, and yield each try as it ends."""
        idle = [CaseProcess(self._environment(), self._case_seconds) for _ in range(self._workers)]
        everyone = tuple(idle)
        running: dict[Future[Attempt], CaseProcess] = {}
        try:
            with ThreadPoolExecutor(self._workers) as threads:
                try:
                    while pending or running:
                        while pending and idle:
                            process = idle.pop()
                            running[threads.submit(process.attempt, pending.popleft())] = process
                        for future in wait(running, return_when=FIRST_COMPLETED).done:
                            idle.append(running.pop(future))
                            yield future.result()
                finally:
                    for process in everyone:
                        process.stop()
        finally:
            for process in everyone:
                process.end()

    def _environment(self) -> dict[str, str]:
        share = str(max(1, (os.cpu_count() or 1) // self._workers))
        return {**{name: share for name in THREADS if self._workers > 1}, **os.environ}


class CaseProcess:
    """One process, started when it is needed and anew after it was lost."""

    def __init__(self, environment: dict[str, str], case_seconds: float) -> None:
        self._environment = environment
        self._case_seconds = case_seconds
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[bytes] | None = None
        self._stopped = False

    def attempt(self, task: Task) -> Attempt:
        """Run a case to its end, or to that of the process."""
        begun = time.monotonic()
        process = self._started()
        too_late = threading.Event()

        def stop() -> None:
            too_late.set()
            process.kill()

        timer = threading.Timer(self._case_seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            answer = _ask(process, json.dumps(asdict(task)))
        finally:
            timer.cancel()
        if answer:
            finished = Finished(**json.loads(answer))
            if finished.again:
                self.end()  # what memory it holds, and in how many pieces, nobody knows
            return Attempt(task, finished)
        process.kill()
        status = process.wait()
        lost = (
            timed_out(self._case_seconds)
            if too_late.is_set()
            else explain_exit(status, was_ready=True, detail=self._said())
        )
        self.end()
        return Attempt(task, lost=lost, seconds=time.monotonic() - begun, again=not too_late.is_set())

    def end(self) -> None:
        """End the process; the next case has a new one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.stdout.close()
        if self._errors is not None:
            self._errors.close()
            self._errors = None

    def stop(self) -> None:
        """Kill the process, whatever case it has, from another thread than that of the case."""
        self._stopped = True
        process = self._process
        if process is not None:
            process.kill()

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
            # In a session of its own: Ctrl-C is for whoever started it.
            self._process = subprocess.Popen(
                CASE_PROCESS,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=self._environment,
                encoding="utf-8",
                start_new_session=True,
            )
            if self._stopped:
                self._process.kill()
        return self._process

    def _said(self) -> str:
        assert self._errors is not None
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - KEPT_OF_STDERR))
        return self._errors.read().decode("utf-8", "replace")


def _ask(process: subprocess.Popen[str], task: str) -> str:
    """Return the answer of a process to a task; empty when it is gone."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(task + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
    except (OSError, ValueError):
        return ""
    return answer if answer.endswith("\n") else ""
