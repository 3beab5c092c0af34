"""Whole processes on one CT lesion of seven slices, from start to exit, in turns; a line of JSON for each command.

python Testing/bench/whole_process.py [--turns N] [--yardstick COMMAND] [--inputs FOLDER]

`medsam-segment run` in its engines, from caches that a first run has filled, and the yardstick, a command as a shell
splits it: the published script of LiteMedSAM, which reads FOLDER/3D_lesion.npz when it is told to (`-i FOLDER`). Its
seconds by those of a command are `times`, the median over the turns; read `times_cpu` where the machine has other work.
MEDSAM_SHARED names the folder whose data/ holds the lesion.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

REPO = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("MEDSAM_SHARED", REPO.parent / "shared"))
LESION = "CT_Lesion_000009_03_01_036-048.npz"
YARDSTICK = "yardstick"


@dataclass(frozen=True)
class Run:
    """One process: seconds by the clock and of the processors, and the most memory in MB."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


def main() -> None:
    options = parser().parse_args()
    lesion = SHARED / "data" / LESION
    box = lesion_box(lesion)
    if options.inputs is not None:
        write_challenge_input(lesion, box, options.inputs)
    with tempfile.TemporaryDirectory() as folder:
        commands = our_commands(lesion, box, Path(folder) / "lesion.seg.nrrd")
        if options.yardstick:
            commands[YARDSTICK] = shlex.split(options.yardstick)
        for command in commands.values():  # what a first run derives from the weights, and files in the system's cache
            measure(command)
        turns = [{name: measure(command) for name, command in commands.items()} for _ in range(options.turns)]
    for name in commands:
        print(json.dumps({"command": name, **summary(name, turns)}))


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    found.add_argument("--turns", type=int, default=5)
    found.add_argument("--yardstick", metavar="COMMAND", help="what to compare with, such as the published script")
    found.add_argument("--inputs", type=Path, metavar="FOLDER", help="write the lesion for the published script here")
    return found


def lesion_box(lesion: Path) -> tuple[int, int, int, int, int, int]:
    """Return the 3D box around the reference as x0, y0, z0, x1, y1, z1, inclusive."""
    with np.load(lesion) as arrays:
        places = np.argwhere(arrays["gts"])
    z0, y0, x0 = (int(value) for value in places.min(axis=0))
    z1, y1, x1 = (int(value) for value in places.max(axis=0))
    return (x0, y0, z0, x1, y1, z1)


def write_challenge_input(lesion: Path, box: Sequence[int], folder: Path) -> None:
    """Write the lesion as the published script reads volumes: by a file name that begins with 3D."""
    folder.mkdir(parents=True, exist_ok=True)
    with np.load(lesion) as arrays:
        np.savez_compressed(
            folder / "3D_lesion.npz", imgs=arrays["imgs"], spacing=arrays["spacing"], boxes=np.array([box])
        )


def our_commands(lesion: Path, box: Sequence[int], output: Path) -> dict[str, list[str]]:
    command = [sys.executable, "-W", "ignore", "-m", "MedSAMSegmentLib", "run", str(lesion)]
    command += ["--box", *map(str, box), "-o", str(output), "--overwrite", "--quiet"]
    return {engine: [*command, "--engine", engine] for engine in ("openvino", "auto", "torch")}


def measure(command: Sequence[str]) -> Run:
    """Run a command to its end. Raises CalledProcessError when it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=REPO, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    unit = 1 if sys.platform == "darwin" else 1024
    return Run(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * unit / 1e6)


def summary(name: str, turns: Sequence[Mapping[str, Run]]) -> dict[str, float]:
    """Return a command's medians, and how many times the yardstick's they are where there is one."""
    runs = [turn[name] for turn in turns]
    found = {
        "seconds": statistics.median(run.seconds for run in runs),
        "cpu_seconds": statistics.median(run.cpu_seconds for run in runs),
        "peak_mb": statistics.median(run.peak_mb for run in runs),
    }
    if YARDSTICK in turns[0]:
        theirs = [turn[YARDSTICK] for turn in turns]
        pairs = list(zip(theirs, runs, strict=True))
        found["times"] = statistics.median(their.seconds / our.seconds for their, our in pairs)
        found["times_cpu"] = statistics.median(their.cpu_seconds / our.cpu_seconds for their, our in pairs)
    return found


if __name__ == "__main__":
    main()
