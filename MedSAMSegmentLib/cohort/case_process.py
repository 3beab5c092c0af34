"""A process that runs cases: a task a line comes in, how it ended goes out. It keeps its model.

When whoever started it goes, its end of the pipe closes; the process then ends at once, whatever it is doing: files
appear whole or not at all.
"""

from __future__ import annotations

import faulthandler
import json
import os
import queue
import select
import sys
import threading
from dataclasses import asdict

from ..threads import set_passive_wait_policy
from .case import KeptModel, Task, run_case

EXIT_ORPHAN = 3


def main() -> None:
    faulthandler.enable()
    set_passive_wait_policy(os.environ)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    tasks: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(tasks,), daemon=True).start()
    model = KeptModel()
    while True:
        task = Task.of(json.loads(tasks.get()))
        if _is_orphan():
            # Killed while this process started: the next driver may have begun, and has cleared up already.
            os._exit(EXIT_ORPHAN)
        finished = run_case(task, model)
        print(json.dumps(asdict(finished)), file=answers, flush=True)


def _is_orphan() -> bool:
    """Return whether the other end of the pipe is closed, whatever is still to be read; where the system tells."""
    if not hasattr(select, "poll"):
        return False
    poller = select.poll()
    poller.register(sys.stdin.fileno(), 0)  # that nobody writes any more is told unasked
    return any(event & select.POLLHUP for _, event in poller.poll(0))


def _read(tasks: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        tasks.put(line)
    os._exit(EXIT_ORPHAN)


if __name__ == "__main__":
    main()
