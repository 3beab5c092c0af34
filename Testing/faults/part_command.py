"""Part "command": the command line with damaged images, prompts, weights.

It ends with one of its exit codes and one sentence, and nothing is written where it failed. No network runs: where all
else is right, the weights are missing.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from fault_tally import Fault, Tally
from forked import fast_folder
from mutators import damaged
from part_reading import AT_A_TIME, Case, run_batch
from sample_files import Sample, make_samples

from MedSAMSegmentLib.cli import main

PART = "command"
EXIT_CODES = (0, 2, 3, 4, 5)


def run(numbers: Iterator[int], seed: int, tally: Tally) -> None:
    with tempfile.TemporaryDirectory(prefix="medsam-faults-", dir=fast_folder()) as place:
        root = Path(place)
        os.environ.update(MEDSAM_MODEL_DIR=str(root / "models"), MEDSAM_CACHE_DIR=str(root / "cache"))
        os.environ["MEDSAM_ENGINE"] = "torch"
        _damaged_files(root, numbers, seed, tally)


def _damaged_files(root: Path, numbers: Iterator[int], seed: int, tally: Tally) -> None:
    samples = make_samples(root / "sound")
    names = tuple(samples)
    while batch := tuple(islice(numbers, AT_A_TIME)):

        def cases(batch: tuple[int, ...] = batch) -> Iterable[Case]:
            for number in batch:
                rng = random.Random(f"{seed}:{PART}:{number}")
                name = names[number % len(names)]
                yield _case(root, Fault(PART, "", "", number), name, samples[name], rng)

        run_batch(cases, tally)


def _case(root: Path, fault: Fault, name: str, sample: Sample, rng: random.Random) -> Case:
    """Damage one file of a command's; return the command."""
    sound, work = root / "sound", root / "work"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(sound / name, work / "in")
    shutil.copytree(sound / "NIfTI", work / "image")
    shutil.copytree(sound / "segmentation .seg.nrrd", work / "mask")
    victim = work / "in" / rng.choice(sample.victims)
    damage = damaged(victim.read_bytes(), rng, (sound / "NRRD" / "a.nrrd").read_bytes())
    victim.write_bytes(damage.content)
    image, given, out = work / "image" / "a.nii", work / "in" / sample.main, work / "out.nii.gz"
    box = ("--box", 3, 4, 1, 12, 15, 1)
    runs = ("run", image, *box, "-o", out, "--offline")
    commands: dict[str, tuple[Any, ...]] = {
        "info": ("info", given),
        "info --json": ("info", given, "--json"),
        "run": ("run", given, "--box", 3, 4, 12, 15, "-o", out, "--offline"),
        "run --mask": ("run", image, "--mask", given, 1, "-o", out, "--offline"),
        "run --roi": ("run", image, "--roi", given, "-o", out, "--offline"),
        "run --correct": (*runs[:-1], "--correct", given, 1, "--offline"),
        "run --weights": (*runs, "--weights", given),
        "models import": ("models", "import", given),
    }
    target = "run --roi" if name == "markups" and rng.random() < 0.7 else rng.choice(tuple(commands))
    fault = replace(fault, kind=damage.kind, target=target)
    return Case(fault, partial(_command, tuple(map(str, commands[target])), out), None)


def _command(arguments: tuple[str, ...], out: Path) -> str:
    """Run a command here. Raises RuntimeError for what is no clear end."""
    code, _said, complaint = command_line(arguments)
    require_clear(code, complaint)
    if code and out.exists():
        raise AssertionError(f"an output with exit code {code}")
    return f"exit code {code}"


def require_clear(code: int, complaint: str) -> None:
    """Raise RuntimeError for an exit code that is none of the command line's, or not exactly one sentence with it."""
    said = [line for line in complaint.splitlines() if line.startswith("medsam-segment:")]
    if code not in EXIT_CODES or "Traceback" in complaint or "unexpected" in complaint:
        raise RuntimeError(f"exit code {code}: {complaint}")
    if code and len(said) != 1:
        raise RuntimeError(f"exit code {code} and {len(said)} sentences: {complaint}")


def command_line(arguments: tuple[str, ...]) -> tuple[int, str, str]:
    """Return the exit code of the command line, and what it printed."""
    streams = sys.stdout, sys.stderr
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    sys.stdout, sys.stderr = out, err
    try:
        code = main(arguments)
    except SystemExit as error:
        code = int(error.code or 0)
    finally:
        sys.stdout, sys.stderr = streams
    for stream in (out, err):
        stream.flush()
        stream.seek(0)
    return code, out.read(), err.read()
