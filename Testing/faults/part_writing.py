"""Part "writing": every format that is written, while the process is attacked.

Whatever happens, a file is the one before, the one after, or not there; and where it is there, its masks have no
names but their own.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from attacks import CLOSED, STOPPED, STOPPED_FOR_GOOD, VANISHED, Job, attack, judge, measured, possible_kinds
from fault_tally import Fault, Harm, Tally
from forked import fast_folder, forked
from PIL import Image

from MedSAMSegmentLib.errors import MedSAMError
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.io.overlay import write_overlay
from MedSAMSegmentLib.io.read_segmentation import read_segmentation
from MedSAMSegmentLib.io.report import write_report
from MedSAMSegmentLib.io.segments import SegmentToWrite
from MedSAMSegmentLib.io.write_segmentation import write_segmentation

PART = "writing"
TWO_AT_ONCE = "two processes at once"
GRID = VolumeGeometry.from_spacing((3, 30, 36), (3.0, 0.9, 0.8))
PICTURE = "out.png"
ROUNDS_OF_A_PICTURE = 4
"""The overlay takes ten times as long as the others and is attacked in each fourth round alone."""

GREY = np.random.default_rng(2).integers(0, 255, GRID.shape_zyx).astype(np.uint8)
SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha", ".npz", ".tif")


Look = Callable[[], tuple[int | None, str, list[str]]]
"""Tells the version that is there, what was wrong with it, and the names of temporary files."""


@dataclass(frozen=True)
class Target:
    """Something to write in two versions, 0 and 1. `version_of` tells which one a file is; -1: a broken one."""

    name: str
    write: Callable[[Path, int], Any]
    version_of: Callable[[Path], int]


def run(numbers: Iterator[int], seed: int, tally: Tally) -> None:
    targets = _targets()
    order = [t for t in targets if t.name != PICTURE] * ROUNDS_OF_A_PICTURE + [t for t in targets if t.name == PICTURE]
    with tempfile.TemporaryDirectory(prefix="medsam-faults-", dir=fast_folder()) as place:
        os.chmod(place, 0o755)
        folder = Path(place) / "out"
        jobs = {}
        for target in targets:
            _lay_out(folder, target, None)
            jobs[target.name] = measured(folder, partial(target.write, folder / target.name, 1))
        kinds = (*possible_kinds(tally), TWO_AT_ONCE)
        for number in numbers:
            rng = random.Random(f"{seed}:{PART}:{number}")
            kind = kinds[number % len(kinds)]
            target = order[number // len(kinds) % len(order)]
            fault = Fault(PART, kind, target.name.removeprefix("out"), number)
            _inject(fault, target, jobs[target.name], rng, tally)


def _targets() -> list[Target]:
    rng = np.random.default_rng(3)
    versions = []
    for version in range(2):
        first = np.zeros(GRID.shape_zyx, bool)
        first[:2, 5:20, 6 + version : 20] = rng.random((2, 15, 14 - version)) < 0.9
        second = np.zeros(GRID.shape_zyx, bool)
        second[1:, 15:25, 20:30] = rng.random((2, 10, 10)) < 0.9
        versions.append([SegmentToWrite(f"organ {version}", first), SegmentToWrite(f"lesion {version}", second)])

    def write(path: Path, version: int) -> None:
        write_segmentation(path, versions[version], GRID)

    def version_of(path: Path) -> int:
        found = read_segmentation(path).segments
        for version, wanted in enumerate(versions):
            same = len(found) == len(wanted) and all(
                np.array_equal(a.mask_zyx, b.mask_zyx) for a, b in zip(found, wanted, strict=True)
            )
            if same:
                named = [item.name for item in found]
                own = named == [item.name for item in wanted]
                return version if own or all(name.startswith("Label ") for name in named) else 10 + version
        return -1

    pictures = [_overlay_bytes(versions[version]) for version in range(2)]
    return [
        *(Target(f"out{suffix}", write, version_of) for suffix in SUFFIXES),
        Target("out.json", lambda path, n: write_report(path, _report(n)), _report_version),
        Target(
            PICTURE,
            lambda path, n: write_overlay(path, GREY, versions[n], geometry=GRID),
            lambda path: pictures.index(Image.open(path).tobytes()),
        ),
    ]


def _overlay_bytes(segments: list[SegmentToWrite]) -> bytes:
    with tempfile.TemporaryDirectory() as place:
        write_overlay(Path(place) / "a.png", GREY, segments, geometry=GRID)
        with Image.open(Path(place) / "a.png") as image:
            return image.tobytes()


def _report(version: int) -> dict[str, Any]:
    return {"version": version, "slices": {str(n): {"score": n / 7} for n in range(400)}}


def _report_version(path: Path) -> int:
    return int(json.loads(path.read_text(encoding="utf-8"))["version"])


def _lay_out(folder: Path, target: Target, version: int | None) -> None:
    """Make the folder anew, with a version of the target in it or none."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.chmod(folder, 0o777)
    if version is not None:
        target.write(folder / target.name, version)


def _inject(fault: Fault, target: Target, job: Job, rng: random.Random, tally: Tally) -> None:
    before = rng.choice((None, 0))
    _lay_out(job.folder, target, before)
    path = job.folder / target.name

    def look() -> tuple[int | None, str, list[str]]:
        others = [p.name for p in job.folder.iterdir() if p.name.startswith(".")] if job.folder.is_dir() else []
        if not path.exists():
            return None, "", others
        try:
            return target.version_of(path), "", others
        except (MedSAMError, OSError, ValueError, KeyError, SyntaxError) as error:
            return -1, repr(error), others

    if fault.kind == TWO_AT_ONCE:
        _write_twice(fault, partial(target.write, path), look, rng, tally)
        return
    version_meanwhile = rng.choice((None, 0)) if fault.kind in (STOPPED, STOPPED_FOR_GOOD) else None

    def meanwhile() -> None:
        if version_meanwhile is not None:
            target.write(path, version_meanwhile)

    ending = attack(job, fault.kind, rng, look, meanwhile)
    done = judge(ending, fault, tally)
    if ending.seen is None:
        tally.found(fault, Harm.UNCLEAR, f"nothing was seen: {ending.status} {ending.output}")
        return
    version, problem, temporaries = ending.seen
    _judge_version(fault, version, problem, tally)
    # Whoever writes while this one is stopped may come before its last step, or after it.
    right = {1} if version_meanwhile is None else {1, version_meanwhile}
    if done and version not in right and fault.kind != VANISHED:
        tally.found(fault, Harm.WRONG, f"it ended well, and the version is {version}")
    if not done and version is None and before is not None and fault.kind != VANISHED:
        tally.found(fault, Harm.HALF, "the file that was there is gone")
    # Out of a folder that was closed nobody can take anything.
    if temporaries and not ending.was_killed and fault.kind != CLOSED:
        tally.found(fault, Harm.HALF, f"left behind: {temporaries}")
    tally.add(fault, "killed" if ending.was_killed else "done" if done else "refused")


def _judge_version(fault: Fault, version: int | None, problem: str, tally: Tally) -> None:
    if version is not None and version < 0:
        tally.found(fault, Harm.HALF, problem or "neither version")
    if version is not None and version >= 10:
        tally.found(fault, Harm.WRONG, "the masks have the names of others")


def _write_twice(fault: Fault, write: Callable[[int], Any], look: Look, rng: random.Random, tally: Tally) -> None:
    """Let two processes write the two versions at once, one of them held up for a moment."""
    with forked(lambda: write(0)) as one, forked(lambda: write(1)) as other:
        if rng.random() < 0.5:
            one.signal(signal.SIGSTOP)
            other.wait(rng.uniform(0, 0.05))
            one.signal(signal.SIGCONT)
        ended = [child.wait(120.0) for child in (one, other)]
        if not all(ended):
            tally.found(fault, Harm.ENDLESS, "")
        for child in (one, other):
            if child.status != 0 or child.answer is not None:
                tally.found(fault, Harm.UNCLEAR, f"{child.status} {child.answer!r} {child.output}")
    version, problem, temporaries = look()
    _judge_version(fault, version, problem, tally)
    if version is None or temporaries:
        tally.found(fault, Harm.HALF, f"{version} {temporaries}")
    tally.add(fault, "done")
