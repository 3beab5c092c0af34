"""Inject faults into the product and report what harm they did: `make faults`.

    python Testing/faults/campaign.py [--part NAME]... [--faults COUNT] [--seed N] [--minutes M] [--report FILE.json]

The parts that run replace their figures in the report; the others' stay. After `--minutes`, or when it is told to end
(SIGTERM), a part reports how far it came, and `--continue` goes on from there. The exit status is 1 when any harm was
seen.
Linux only: faults are injected by forking, signals and limits.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from fault_tally import Tally, added, read_report, update_report  # noqa: E402
from forked import adopting_orphans  # noqa: E402

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Set to 1 before numpy is imported: a process without threads can be forked at any time."""

SEED = 20261128
PARTS = {
    "reading": 5000,
    "writing": 1500,
    "store": 1200,
    "worker": 800,
    "weights": 800,
    "command": 1500,
    "runs": 120,
}
"""The modules `part_NAME` beside this file, and the faults of each in a nightly run."""


@contextlib.contextmanager
def environment_of_its_own() -> Iterator[None]:
    """Take back afterwards what a part sets: its folders are no other part's."""
    kept = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", action="append", choices=tuple(PARTS), help="default: all")
    parser.add_argument("--faults", type=int, help="of each part; default: a nightly run's")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--report", type=Path, metavar="FILE.json")
    parser.add_argument("--minutes", type=float, default=1e6, help="for each part at most")
    parser.add_argument("--continue", dest="go_on", action="store_true", help="go on with the parts of the report")
    options = parser.parse_args()
    if options.go_on and options.report is None:
        parser.error("--continue goes on with a --report")
    os.environ.update(dict.fromkeys(THREADS, "1"))
    told_to_end: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: told_to_end.append(number))
    harmed = False
    with adopting_orphans():
        for name in options.part or PARTS:
            before = read_report(options.report)["parts"].get(name) if options.go_on else None
            first = before["next"] if before is not None else 0
            until = time.monotonic() + options.minutes * 60
            numbers = takewhile(
                lambda _number, until=until: not told_to_end and time.monotonic() < until,
                range(first, options.faults or PARTS[name]),
            )
            tally, start, used = Tally(), time.perf_counter(), cpu_seconds()
            with environment_of_its_own():
                importlib.import_module(f"part_{name}").run(numbers, options.seed, tally)
            seconds = round(time.perf_counter() - start, 1)
            facts = {"seed": options.seed, "seconds": seconds, "cpu_seconds": round(cpu_seconds() - used, 1)}
            report = tally.as_json(next=first + tally.total, **facts)
            _say(name, tally, report)
            harmed = harmed or bool(tally.findings)
            if options.report:
                whole = report if before is None else added(before, report)
                update_report(options.report, ("parts", name), whole)
    return 1 if harmed else 0


def _say(name: str, tally: Tally, report: dict[str, Any]) -> None:
    for finding in tally.findings:
        print(f"{finding.harm.value}: {finding.fault}: {finding.detail}")
    harm = ", ".join(f"{count} {what}" for what, count in report["harm"].items())
    print(f"{name}: {tally.total} faults in {report['seconds']:.0f} s; {harm}", flush=True)
    for what, reason in tally.skipped.items():
        print(f"{name}: not injected: {what}: {reason}")


def cpu_seconds() -> float:
    """Return the processor time of this process and its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    sys.exit(main())
