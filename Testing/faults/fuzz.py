"""Give damaged bytes to everything that parses what others wrote: `make fuzz`.

    python Testing/faults/fuzz.py [--inputs COUNT] [--target NAME]... [--seed N] [--report FILE.json]

An input may be refused with a sentence, or taken; nothing else may be raised, no process may crash or hang. Figures
are added up in the report under the seed, so that a second run with another seed adds its inputs.
"""

from __future__ import annotations

import argparse
import contextlib
import mmap
import os
import random
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from fault_tally import update_report  # noqa: E402
from forked import adopting_orphans, fast_folder, forked, limit_memory  # noqa: E402
from mutators import damaged  # noqa: E402

SEED = 1
SILENCE = 120.0
AT_A_TIME = 20_000
MOST_FINDINGS = 20
"""Of one child: whatever fails each time need not be told a thousand times."""

Target = tuple[list[bytes], Callable[[bytes, random.Random], Any]]
"""Sound inputs, and what parses a damaged one."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1_000_000, help="in total; default: %(default)s")
    parser.add_argument("--target", action="append", help="default: all")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--report", type=Path, metavar="FILE.json")
    options = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    from fuzz_targets import SHARES, make_targets

    failed = False
    with adopting_orphans(), tempfile.TemporaryDirectory(prefix="medsam-fuzz-", dir=fast_folder()) as place:
        targets = make_targets(Path(place))
        for name in options.target or targets:
            start, count = time.perf_counter(), int(options.inputs * SHARES[name])
            findings = fuzz(name, targets[name], count, options.seed)
            print(
                f"{name}: {count} inputs in {time.perf_counter() - start:.0f} s, {len(findings)} findings", flush=True
            )
            for finding in findings:
                print(finding)
            failed = failed or bool(findings)
            if options.report:
                facts = {"inputs": count, "findings": len(findings), "seed": options.seed}
                update_report(options.report, ("fuzz", name), facts)
    return 1 if failed else 0


def fuzz(name: str, target: Target, count: int, seed: int) -> list[str]:
    """Give `count` damaged inputs to a parser in children; return what went wrong."""
    findings: list[str] = []
    done = 0
    with mmap.mmap(-1, 8) as reached:
        while done < count:
            last = min(done + AT_A_TIME, count)

            def work(first: int = done, last: int = last) -> list[str]:
                return _work(name, target, range(first, last), seed, reached)

            with forked(work) as child:
                before, silent = -1, 0.0
                while not child.wait(2.0) and silent < SILENCE:
                    number = _number(reached)
                    silent = 0.0 if number != before else silent + 2.0
                    before = number
                child.kill()
                if child.status == 0 and isinstance(child.answer, list):
                    findings += child.answer
                    done = last
                else:
                    done = _number(reached) + 1
                    findings.append(f"{name} {seed} {done - 1}: ended with {child.status}: {child.output[-2000:]}")
    return findings


def _number(reached: mmap.mmap) -> int:
    return int(struct.unpack("<q", reached[:8])[0])


def _work(name: str, target: Target, numbers: range, seed: int, reached: mmap.mmap) -> list[str]:
    from MedSAMSegmentLib.errors import MedSAMError

    limit_memory(3 << 30)
    seeds, parse = target
    findings: list[str] = []
    for number in numbers:
        reached[:8] = struct.pack("<q", number)
        rng = random.Random(f"{seed}:{name}:{number}")
        content = rng.choice(seeds)
        for _ in range(rng.choice((1, 1, 2, 4))):
            content = damaged(content, rng, rng.choice(seeds)).content
        try:
            with contextlib.suppress(MedSAMError):
                parse(content, rng)
        except Exception:  # noqa: BLE001 - that is what is looked for
            if len(findings) < MOST_FINDINGS:
                findings.append(f"{name} {seed} {number}: {traceback.format_exc()[-1500:]}")
    return findings


if __name__ == "__main__":
    sys.exit(main())
