"""Attacks on a process that works in a folder: when it is killed, stopped or left without what it needs."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fault_tally import Fault, Harm, Tally
from forked import (
    Forked,
    Raised,
    forked,
    give_up_superuser,
    limit_files,
    limit_memory,
    mount_small_disk,
    orphans,
    run_forked,
    small_disk_trouble,
)
from moments import Moments

LATE = 120.0
"""Seconds after which work of milliseconds counts as a wait without end."""

DISK_BYTES = 1 << 22
PAGE = 4096

KILL = "kill -9 at a file operation"
KILL_ANY_TIME = "kill -9 at any time"
STOPPED = "stopped, then continued"
STOPPED_FOR_GOOD = "stopped, then killed"
FILE_LIMIT = "limit on the size of files"
FULL = "full disk"
MEMORY = "limit on the memory"
CLOSED = "folder closed"
VANISHED = "folder vanished"
NO_FILES = "no more open files"
CLOCK = "clock that jumps"
KINDS = (KILL, KILL_ANY_TIME, STOPPED, STOPPED_FOR_GOOD, FILE_LIMIT, FULL, MEMORY, CLOSED, VANISHED, NO_FILES, CLOCK)


@dataclass(frozen=True)
class Job:
    """Work in `folder` that is to be attacked. `moments` are its operations on files there, `seconds` what it takes,
    `bytes` the size of what it writes."""

    folder: Path
    work: Callable[[], Any]
    moments: int
    seconds: float
    bytes: int


@dataclass(frozen=True)
class Ending:
    """The end of an attacked process. `seen` is what `look` found, from inside where the disk is its own."""

    status: int | None
    answer: Any
    output: str
    seen: Any
    late: bool

    @property
    def was_killed(self) -> bool:
        return self.status == -signal.SIGKILL


def measured(folder: Path, work: Callable[[], Any]) -> Job:
    """Return the job of some work, measured by doing it once in a child."""

    def once() -> tuple[int, float, int]:
        moments, start = Moments(folder), time.perf_counter()
        work()
        seconds = time.perf_counter() - start
        return moments.count, seconds, max((p.stat().st_size for p in folder.rglob("*") if p.is_file()), default=0)

    moments, seconds, size = run_forked(once)
    return Job(folder, work, moments, seconds, size)


def possible_kinds(tally: Tally) -> tuple[str, ...]:
    """Return the kinds of attack that this machine allows; the others are noted with their reason."""
    trouble = small_disk_trouble()
    if trouble:
        tally.skip(FULL, trouble)
    return tuple(kind for kind in KINDS if kind != FULL or not trouble)


def attack(
    job: Job,
    kind: str,
    rng: random.Random,
    look: Callable[[], Any],
    meanwhile: Callable[[], None] = lambda: None,
) -> Ending:
    """Do the job in a child under an attack. `meanwhile` runs here while the child is stopped, `look` at the end."""
    number = rng.randrange(max(job.moments, 1))
    sent_at = rng.uniform(0, job.seconds * 1.2)
    prepare = _preparation(job, kind, rng, number)

    def action() -> Any:
        prepare()
        try:
            answer: Any = job.work()
        except Exception as error:  # noqa: BLE001 - judged by the parent
            answer = Raised(error)
        return answer, look() if kind == FULL else None

    with forked(action) as child:
        if kind == KILL_ANY_TIME:
            time.sleep(sent_at)
            child.signal(signal.SIGKILL)
        if kind in (STOPPED, STOPPED_FOR_GOOD) and child.wait(LATE, until_stopped=True) and child.stopped:
            meanwhile()
            child.signal(signal.SIGCONT if kind == STOPPED else signal.SIGKILL)
        late = not child.wait(LATE)
        if late:
            child.kill()
        answer, inside = _answer(child)
        ending = Ending(child.status, answer, child.output, inside, late)
    if kind == CLOSED:
        os.chmod(job.folder, 0o777)
    return ending if kind == FULL else Ending(ending.status, ending.answer, ending.output, look(), ending.late)


def judge(ending: Ending, fault: Fault, tally: Tally, known: frozenset[int] = frozenset()) -> bool:
    """Count harm that is the same for all jobs; return whether it ended well. `known` are children that stay."""
    if ending.late:
        tally.found(fault, Harm.ENDLESS, ending.output)
    left = orphans(known)
    if left:
        tally.found(fault, Harm.ORPHAN, "; ".join(left))
    if ending.late or ending.was_killed:
        return False
    if ending.status != 0:
        tally.found(fault, Harm.UNCLEAR, f"ended with {ending.status}: {ending.output}")
        return False
    if isinstance(ending.answer, Raised):
        if not ending.answer.is_clear:
            tally.found(fault, Harm.UNCLEAR, f"{ending.answer!r} {ending.answer.trace}")
        return False
    return True


def _answer(child: Forked) -> tuple[Any, Any]:
    answer = child.answer
    return answer if isinstance(answer, tuple) else (answer, None)


def _preparation(job: Job, kind: str, rng: random.Random, number: int) -> Callable[[], None]:
    """Return what the child does before its work."""

    def at_moment(act: Callable[[], None]) -> Callable[[], None]:
        return lambda: Moments(job.folder, number, act) and None

    def close_folder() -> None:
        os.chmod(job.folder, 0o555)
        give_up_superuser()

    descriptors = rng.randrange(6)
    size = rng.randrange(int(job.bytes * 1.1) + 1)
    memory = int(10 ** rng.uniform(4.0, 7.5))
    jumps = random.Random(rng.random())
    left = rng.randrange(0, int(job.bytes * 1.1) + PAGE)
    preparations: dict[str, Callable[[], None]] = {
        KILL: at_moment(lambda: os.kill(os.getpid(), signal.SIGKILL)),
        STOPPED: at_moment(lambda: os.kill(os.getpid(), signal.SIGSTOP)),
        STOPPED_FOR_GOOD: at_moment(lambda: os.kill(os.getpid(), signal.SIGSTOP)),
        FILE_LIMIT: lambda: limit_files(size),
        FULL: lambda: _fill(job.folder, left),
        MEMORY: lambda: limit_memory(memory),
        CLOSED: at_moment(close_folder),
        VANISHED: at_moment(lambda: shutil.rmtree(job.folder, ignore_errors=True)),
        NO_FILES: lambda: _limit_descriptors(descriptors),
        CLOCK: lambda: _let_clock_jump(jumps),
    }
    return preparations.get(kind, lambda: None)


def _fill(folder: Path, left: int) -> None:
    """Put the folder on a small disk of its own and fill that up to `left` bytes."""
    content = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    mount_small_disk(str(folder), DISK_BYTES)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    free = os.statvfs(folder).f_bavail * PAGE
    with contextlib.suppress(OSError):
        (folder / "filler").write_bytes(bytes(max(free - left, 0)))


def _limit_descriptors(more: int) -> None:
    opened = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + more, opened + more))


def _let_clock_jump(jumps: random.Random) -> None:
    """Let the calendar's clock go back and forth by seconds, hours and years."""
    true_time, true_time_ns = time.time, time.time_ns

    def jump() -> float:
        return jumps.choice((0, 1, 3600, 86400, 3.2e8)) * jumps.choice((-1, 1))

    time.time = lambda: true_time() + jump()
    time.time_ns = lambda: true_time_ns() + int(jump() * 1e9)
