"""Inject faults into the product and report what harm they did: `make faults`.

    python Testing/faults/campaign.py [--faults COUNT] [--part NAME]... [--seed N] [--report FILE.json]

The exit status is 1 when any harm was seen. Linux only: faults are injected by forking, signals and limits.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from fault_tally import Tally, write_json  # noqa: E402
from forked import adopting_orphans  # noqa: E402

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Set to 1 before numpy is imported: a process without threads can be forked at any time."""

SEED = 20261128
PARTS = {"reading": 5000, "writing": 2400, "store": 1600, "worker": 1200, "command": 1200}
"""The modules `part_NAME` beside this file, and the faults of each in a nightly run."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", action="append", choices=tuple(PARTS), help="default: all")
    parser.add_argument("--faults", type=int, help="of each part; default: a nightly run's")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--report", type=Path, metavar="FILE.json")
    options = parser.parse_args()
    os.environ.update(dict.fromkeys(THREADS, "1"))
    tally, seconds = Tally(), {}
    with adopting_orphans():
        for name in options.part or PARTS:
            start = time.perf_counter()
            before = tally.total
            importlib.import_module(f"part_{name}").run(options.faults or PARTS[name], options.seed, tally)
            seconds[name] = round(time.perf_counter() - start, 1)
            print(f"{name}: {tally.total - before} faults in {seconds[name]:.0f} s", flush=True)
    for finding in tally.findings:
        print(f"{finding.harm.value}: {finding.fault}: {finding.detail}")
    report = tally.as_json(seed=options.seed, seconds=seconds)
    print(f"{report['total']} faults; " + ", ".join(f"{count} {harm}" for harm, count in report["harm"].items()))
    if options.report:
        write_json(options.report, report)
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
