"""Part "reading": damaged files of every kind, given to the reader of that kind.

A reader may refuse with a sentence, or read on; what it gives must be usable, and what a checksum or a length covers
must not be other than it was.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from fault_tally import Fault, Harm, Tally
from forked import Raised, fast_folder, forked, limit_memory
from mutators import Damage, damaged
from sample_files import Sample, digest, make_samples

from MedSAMSegmentLib.errors import MedSAMError

PART = "reading"
AT_A_TIME = 100
"""Faults of one forked child."""

SECONDS = 60.0
"""No reading of a small file may take longer; it takes milliseconds."""

MORE_MEMORY = 3 << 30


Files = dict[tuple[str, str], bytes]


@dataclass(frozen=True)
class Case:
    """A damaged file and what to do with it."""

    fault: Fault
    read: Callable[[], Any]
    whole: str | None
    """The digest that it must have if it is read at all; None: any will do."""


def run(numbers: Iterator[int], seed: int, tally: Tally) -> None:
    with tempfile.TemporaryDirectory(prefix="medsam-faults-", dir=fast_folder()) as place:
        folder = Path(place)
        samples = make_samples(folder / "sound")
        wholes = {name: digest(sample.read(folder / "sound" / name / sample.main)) for name, sample in samples.items()}
        names = tuple(samples)
        files = contents(folder / "sound")
        while batch := tuple(islice(numbers, AT_A_TIME)):

            def cases(batch: tuple[int, ...] = batch) -> Iterable[Case]:
                for number in batch:
                    rng = random.Random(f"{seed}:{PART}:{number}")
                    name = names[number % len(names)]
                    fault = Fault(PART, "", name, number)
                    yield _case(folder, fault, samples[name], whole=wholes[name], files=files, rng=rng)

            run_batch(cases, tally)


def contents(folder: Path) -> dict[tuple[str, str], bytes]:
    """Return the files two levels below a folder, by the names of their folder and their own."""
    found = {(path.parent.name, path.name): path.read_bytes() for path in folder.glob("*/*") if path.is_file()}
    return dict(sorted(found.items()))


def run_batch(cases: Callable[[], Iterable[Case]], tally: Tally, more_memory: int = MORE_MEMORY) -> None:
    """Run cases in forked children, a new one after each that crashed or hung, and count how they ended."""
    done = 0
    while True:
        with tempfile.TemporaryDirectory() as place:
            log = Path(place) / "log"
            log.touch()

            def work(skip: int = done, log: Path = log) -> None:
                _work(cases(), skip, log, more_memory)

            with forked(work) as child:
                seen, silent = 0, 0.0
                while not child.wait(1.0):
                    size = log.stat().st_size
                    silent = 0.0 if size != seen else silent + 1.0
                    seen = size
                    if silent > SECONDS:
                        break
                child.kill()
                lines = log.read_text(encoding="utf-8").splitlines()
                done += _count(lines, tally, child.status, silent > SECONDS, child.output)
                if child.status == 0:
                    if isinstance(child.answer, Raised):
                        raise RuntimeError(child.answer.trace)
                    return


def _case(folder: Path, fault: Fault, sample: Sample, *, whole: str, files: Files, rng: random.Random) -> Case:
    """Damage a copy of a sample; return what to do with it, and the fault with its kind."""
    name = fault.target
    victim = rng.choice(sample.victims)
    damage = damaged(files[name, victim], rng, rng.choice(tuple(files.values())))
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    if sample.main:
        work = work / name
        work.mkdir()
    for (owner, file), content in files.items():
        if owner == name:
            (work / file).write_bytes(damage.content if file == victim else content)
    must = whole if _must_be_seen(sample, victim, files[name, victim], damage) else None
    return Case(replace(fault, kind=damage.kind), lambda: sample.read(work / sample.main), must)


def _must_be_seen(sample: Sample, victim: str, sound: bytes, damage: Damage) -> bool:
    mark = sample.sealed_after
    if mark is not None and sound.index(mark) + len(mark) <= damage.start:
        return True
    cut = damage.kind in ("cut off", "empty")
    return cut and len(sample.victims) == 1 and not (sample.cut_unseen and victim == sample.main)


def _work(cases: Iterable[Case], skip: int, log: Path, more_memory: int) -> None:
    limit_memory(more_memory)
    warnings.simplefilter("ignore")
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    for number, case in enumerate(cases):
        if number < skip:
            continue
        fault = case.fault
        os.write(descriptor, f"start\t{fault.part}\t{fault.kind}\t{fault.target}\t{fault.number}\n".encode())
        harm, said = _try(case)
        os.write(descriptor, f"end\t{harm}\t{' '.join(said.split())[-1500:]}\n".encode())


def _try(case: Case) -> tuple[str, str]:
    """Return a harm's value or "", and how it ended."""
    try:
        result = case.read()
        if isinstance(result, str):
            return "", result  # what is no reader says itself how it ended
        found = digest(result)
    except MedSAMError as error:
        clear = error.message and error.cure
        return ("", "refused") if clear else (Harm.UNCLEAR.value, f"no cure: {error!r}")
    except AssertionError as error:
        return Harm.WRONG.value, str(error)
    except Exception as error:  # noqa: BLE001 - every other exception is a finding
        return Harm.UNCLEAR.value, f"{_place_of(error)}: {error!r}"
    seen = case.whole is None or found == case.whole
    return ("", "read") if seen else (Harm.WRONG.value, "read as if it were whole")


def _place_of(error: BaseException) -> str:
    trace, place = error.__traceback__, ""
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "MedSAMSegmentLib" in name:
            place = f"{name.rpartition('MedSAMSegmentLib')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _count(lines: list[str], tally: Tally, status: int | None, hung: bool, output: str) -> int:
    """Count the cases in a log; return how many there were."""
    fault: Fault | None = None
    count = 0
    for line in lines:
        word, *rest = line.split("\t")
        if word == "start":
            fault = Fault(rest[0], rest[1], rest[2], int(rest[3]))
            count += 1
        elif fault is not None:
            harm, said = rest[0], rest[1]
            tally.add(fault, said if not harm else "harmed")
            if harm:
                tally.found(fault, Harm(harm), said)
            fault = None
    if fault is not None:
        tally.add(fault, "harmed")
        how = (
            "no end" if hung else f"ended by signal {signal.Signals(-status).name}" if status and status < 0 else status
        )
        tally.found(fault, Harm.ENDLESS if hung else Harm.UNCLEAR, f"{how}: {output[-1500:]}")
    return count
