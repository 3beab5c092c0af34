"""Inject faults into the product and report what harm they did: `make faults`.

    python Testing/faults/campaign.py [--part NAME]... [--faults COUNT] [--seed N] [--report FILE.json]

The parts that run replace their figures in the report; the others' stay. The exit status is 1 when any harm was seen.
Linux only: faults are injected by forking, signals and limits.
"""

from __future__ import annotations

import argparse
import importlib
import os
import resource
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from fault_tally import Tally, update_report  # noqa: E402
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", action="append", choices=tuple(PARTS), help="default: all")
    parser.add_argument("--faults", type=int, help="of each part; default: a nightly run's")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--report", type=Path, metavar="FILE.json")
    options = parser.parse_args()
    os.environ.update(dict.fromkeys(THREADS, "1"))
    harmed = False
    with adopting_orphans():
        for name in options.part or PARTS:
            tally, start, used = Tally(), time.perf_counter(), cpu_seconds()
            importlib.import_module(f"part_{name}").run(options.faults or PARTS[name], options.seed, tally)
            seconds = round(time.perf_counter() - start, 1)
            facts = {"seed": options.seed, "seconds": seconds, "cpu_seconds": round(cpu_seconds() - used, 1)}
            report = tally.as_json(**facts)
            for finding in tally.findings:
                print(f"{finding.harm.value}: {finding.fault}: {finding.detail}")
            harm = ", ".join(f"{count} {what}" for what, count in report["harm"].items())
            print(f"{name}: {tally.total} faults in {seconds:.0f} s; {harm}", flush=True)
            for what, reason in tally.skipped.items():
                print(f"{name}: not injected: {what}: {reason}")
            harmed = harmed or bool(tally.findings)
            if options.report:
                update_report(options.report, ("parts", name), report)
    return 1 if harmed else 0


def cpu_seconds() -> float:
    """Return the processor time of this process and its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    sys.exit(main())
