"""SIGKILL at random points of a cohort, and what is left of it. Linux.

    python Testing/cohort/kills.py --kills 100 [--json build/kills.json]

kills the driver or one of its processes again and again, goes on with the same command, and compares what comes of it
with an undisturbed run, byte for byte. Ends with 1 when anything differs or is left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

from cohort_support import a_cohort, environment, finish, litter, outputs, quick, sidecar  # noqa: E402

CASES = 5
LONGEST_WAIT_S = 3.0
WITHIN_A_CASE_S = 0.25
HARMLESS = (
    "seconds",
    "started",
    "finished",
    "process",
    "tries",
    "peak_memory_mb",
    "load_seconds",
    "compute_seconds",
    "outputs",
)
"""What differs between two runs of a case; of the outputs the times do, and their bytes are compared."""


@dataclass
class Tally:
    kills: Counter[str] = field(default_factory=Counter)
    cohorts: int = 0
    runs: int = 0
    harm: list[str] = field(default_factory=list)


def children(pid: int) -> list[int]:
    """Return the processes that any thread of a process has started and that are still there."""
    found: list[int] = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, listed.read_text(encoding="ascii").split())
    return found


def disturb(manifest: Path, out: Path, tally: Tally, rng: random.Random, *, kills: int, workers: int) -> None:
    """Run the cohort at `out` to its end, with `kills` kills on the way at most; count them."""
    command = quick(manifest, out, "--workers", workers, "--retries", 1000, "-q")
    left = kills
    while True:
        tally.runs += 1
        with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as driver:
            while left:
                _wait(driver, out, rng)
                if driver.poll() is not None:
                    break
                victims = children(driver.pid)
                if victims and rng.random() < 0.5:
                    os.kill(rng.choice(victims), signal.SIGKILL)
                    tally.kills["a process"] += 1
                    left -= 1
                    continue
                driver.kill()
                tally.kills["the driver"] += 1
                left -= 1
                break
            _, said = driver.communicate()
        if driver.returncode == 0:
            return
        if driver.returncode != -signal.SIGKILL:
            tally.harm.append(f"the run ended with {driver.returncode}: {said.decode('utf-8', 'replace')}")
            return


def _wait(driver: subprocess.Popen[bytes], out: Path, rng: random.Random) -> None:
    """Wait for a random time from now, or from the moment that a case begins or ends."""
    if rng.random() < 0.4:
        until = time.monotonic() + rng.uniform(0, LONGEST_WAIT_S)
        while time.monotonic() < until and driver.poll() is None:
            time.sleep(0.005)
        return
    folder = out / "sidecars"
    before = _marks(folder)
    while driver.poll() is None and _marks(folder) == before:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, WITHIN_A_CASE_S))


def _marks(folder: Path) -> list[tuple[str, int]]:
    try:
        return sorted((entry.name, entry.stat().st_mtime_ns) for entry in os.scandir(folder))
    except OSError:
        return []


def differences(out: Path, undisturbed: Path) -> list[str]:
    """Return how the results of two folders differ, and what was left in the first."""
    found = [f"left behind: {name}" for name in litter(out)]
    ours, theirs = outputs(out), outputs(undisturbed)
    found += [f"missing or too much: {name}" for name in sorted(set(ours) ^ set(theirs))]
    found += [f"other bytes: {name}" for name in sorted(set(ours) & set(theirs)) if ours[name] != theirs[name]]
    for name in sorted(path.stem for path in (undisturbed / "sidecars").glob("*.json")):
        if _lasting(sidecar(out, name)) != _lasting(sidecar(undisturbed, name)):
            found.append(f"another sidecar: {name}")
        if _hashes(sidecar(out, name)) != _hashes(sidecar(undisturbed, name)):
            found.append(f"other digests of outputs: {name}")
    return found


def _lasting(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in HARMLESS}


def _hashes(facts: dict[str, Any]) -> list[tuple[str, str]]:
    return [(file["file"], file["sha256"]) for file in facts["outputs"]]


def campaign(folder: Path, kills: int, seed: int, *, workers: int = 2, per_cohort: int = 10) -> Iterator[Tally]:
    """Kill `kills` times, in as many cohorts as that takes; yield the tally so far after each."""
    rng, tally = random.Random(seed), Tally()
    manifest = a_cohort(folder / "images", CASES)
    undisturbed = folder / "undisturbed"
    finish(quick(manifest, undisturbed))
    while sum(tally.kills.values()) < kills and not tally.harm:
        out = folder / f"out{tally.cohorts}"
        tally.cohorts += 1
        left = kills - sum(tally.kills.values())
        disturb(manifest, out, tally, rng, kills=min(per_cohort, left), workers=workers)
        tally.harm += differences(out, undisturbed)
        yield tally


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    harm: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for tally in campaign(Path(folder), options.kills, options.seed):
            found = {"kills": dict(tally.kills), "cohorts": tally.cohorts, "runs": tally.runs, "harm": tally.harm}
            print(json.dumps(found), flush=True)
            if options.json is not None:
                options.json.write_text(json.dumps(found), encoding="utf-8")
            harm = tally.harm
    return 1 if harm else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
