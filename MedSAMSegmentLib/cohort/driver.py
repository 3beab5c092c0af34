"""All cases of a plan on an engine, with a number of tries for those whose process is lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from ..errors import MedSAMError, WorkerError
from .case import Finished, Task, failure, write_failure
from .planning import Plan, forget_leftovers


@dataclass(frozen=True)
class Attempt:
    """A try of a case: how it ended, or the error of a process that was lost with it.

    `seconds` is how long that took; `again` says that a lost case may be tried once more.
    """

    task: Task
    finished: Finished | None = None
    lost: MedSAMError | None = None
    seconds: float = 0.0
    again: bool = True


def timed_out(seconds: float) -> WorkerError:
    """Return the error of a case that was stopped after so long."""
    return WorkerError(
        f"The case took more than {seconds / 60:g} minutes and was stopped.",
        "Give --case-minutes more, or the objects less space.",
    )


class Engine(Protocol):
    """Whatever runs cases, several at a time."""

    def attempts(self, pending: deque[Task]) -> Iterator[Attempt]:
        """Run the tasks of `pending`, to which more may come meanwhile, and yield each try as it ends."""


OnFinished = Callable[[Task, Finished], None]


def run_plan(plan: Plan, engine: Engine, *, retries: int, on_finished: OnFinished) -> list[str]:
    """Run what is left to do and return the ids of the cases that failed.

    Those that had failed before and those left alone are among them. A case is tried `retries` times more when its
    process is lost or its memory was not enough.
    """
    failed = [*plan.failed, *plan.kept]
    pending = deque(plan.tasks)
    for attempt in engine.attempts(pending):
        task, finished = attempt.task, attempt.finished
        again = attempt.again if finished is None else finished.again
        if finished is None:
            forget_leftovers([task])
        if again and task.tries <= retries:
            pending.append(replace(task, tries=task.tries + 1))
            continue
        if finished is None:
            assert attempt.lost is not None
            write_failure(task, attempt.lost, attempt.seconds)
            finished = replace(failure(attempt.lost), seconds=attempt.seconds)
        if finished.state == "failed":
            failed.append(task.case.id)
        on_finished(task, finished)
    return failed
