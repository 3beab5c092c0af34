"""Cohorts: cases an hour on this machine, and whether a hundred thousand cases stay linear.

    python Testing/bench/cohort_cases.py --json build/cohort.json [--cases 6] [--sizes 1000 10000 100000] [--folder F]

Cases are boxes of five slices on the chest CT that slicerio ships, with LiteMedSAM. They are run by `cohort run` with
one and two processes, and by a `run` each. Then plan, driver, sidecars, status and summary are timed for made-up
cohorts, in which a case is a sleep: its time is drawn from those that were measured, by `--scale` shorter. Their
seconds are those of the processor, which other work on the machine does not count in.
MEDSAM_MODEL_DIR names the folder of the weights.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO)]

from MedSAMSegmentLib.cohort.case import Finished, Task  # noqa: E402
from MedSAMSegmentLib.cohort.cases import Case  # noqa: E402
from MedSAMSegmentLib.cohort.driver import Attempt, run_plan  # noqa: E402
from MedSAMSegmentLib.cohort.manifest import read_manifest  # noqa: E402
from MedSAMSegmentLib.cohort.planning import make_plan, write_plan  # noqa: E402
from MedSAMSegmentLib.cohort.sidecar import file_facts, result_digest, write_sidecar  # noqa: E402
from MedSAMSegmentLib.cohort.state import StateReader  # noqa: E402
from MedSAMSegmentLib.cohort.summary import write_summary  # noqa: E402
from MedSAMSegmentLib.runs.options import RunOptions  # noqa: E402

OPTIONS = ("--window", "ct-lung", "--precision", "float32", "-q")
WITHOUT_WEIGHTS = {"": "0" * 64}


def main() -> None:
    options = parser().parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        found: dict[str, Any] = {"throughput": [], "simulation": [], "load": os.getloadavg()[0]}
        cases = write_cases(Path(folder) / "real.csv", options.cases)
        for name, commands in ways(cases, Path(folder)).items():
            found["throughput"].append({"way": name, "cases": options.cases, **timed(commands)})
            print(json.dumps(found["throughput"][-1]), flush=True)
        template = json.loads((Path(folder) / "out1" / "sidecars" / "case00.json").read_text(encoding="utf-8"))
        sidecars = (Path(folder) / "out1" / "sidecars").glob("*.json")
        seconds = [json.loads(path.read_text(encoding="utf-8"))["seconds"] for path in sidecars]
        for size in options.sizes:
            row = simulate(Path(folder) / f"simulated{size}", size, template, [s * options.scale for s in seconds])
            found["simulation"].append(row)
            print(json.dumps(row), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(found), encoding="utf-8")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    made.add_argument("--cases", type=int, default=6)
    made.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    made.add_argument("--scale", type=float, default=1e-5)
    made.add_argument("--folder", help="where the cohorts are made; default: the system's folder of temporary files")
    made.add_argument("--json", type=Path, metavar="FILE")
    return made


def write_cases(path: Path, count: int) -> Path:
    """Write a manifest of boxes of five slices in the right lung."""
    import slicerio

    image = Path(slicerio.__file__).parent / "data" / "CTChest4.nrrd"
    rows = [f"case{n:02d},{image},56 38 {10 + n % 12} 104 96 {14 + n % 12}" for n in range(count)]
    path.write_text("\n".join(["id,image,box", *rows, ""]), encoding="utf-8")
    return path


def ways(manifest: Path, folder: Path) -> dict[str, list[list[str]]]:
    """Return the commands of each way through the cases."""
    program = [sys.executable, "-m", "MedSAMSegmentLib"]
    found = {}
    for workers in (1, 2):
        name = f"cohort, {workers} process{'es' if workers > 1 else ''}"
        words = ["cohort", "run", str(manifest), "-o", str(folder / f"out{workers}"), "--workers", str(workers)]
        found[name] = [[*program, *words, *OPTIONS]]
    alone = []
    for case in read_manifest(manifest):
        box = [f"{number:g}" for number in case.objects[0].prompts[0][1]]
        output = ["-o", str(folder / f"{case.id}.seg.nrrd")]
        alone.append([*program, "run", case.image, "--box", *box, *output, *OPTIONS])
    return {**found, "a run each": alone}


def timed(commands: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return the seconds that commands take one after the other, by the clock and of the processors."""
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    begun, before = time.perf_counter(), os.times()
    for command in commands:
        subprocess.run(command, env=environment, check=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": time.perf_counter() - begun, "cpu_seconds": used}


class SleepingEngine:
    """Runs cases that take as long as measured ones do, in a shorter unit, and leave what these leave."""

    def __init__(self, template: dict[str, Any], seconds: Sequence[float]) -> None:
        self._template, self._seconds, self._rng = template, seconds, random.Random(1)

    def attempts(self, pending: deque[Task]) -> Iterator[Attempt]:
        while pending:
            task = pending.popleft()
            time.sleep(self._rng.choice(self._seconds))
            yield Attempt(task, self._case(task))

    def _case(self, task: Task) -> Finished:
        out, case = Path(task.out), task.case
        (out / case.output).write_bytes(b"mask")
        read = [{**fact, "file": case.image} for fact in self._template["inputs"]]
        facts = {
            "id": case.id,
            "request": task.request,
            "inputs": read,
            "outputs": [file_facts("output", case.output, out)],
            "digest": result_digest(task.request, read),
        }
        write_sidecar(out, {**self._template, **facts})
        return Finished("done", 0.0)


def simulate(folder: Path, size: int, template: dict[str, Any], seconds: Sequence[float]) -> dict[str, Any]:
    """Return the seconds of the processor that each step takes with a cohort of `size` cases."""
    folder.mkdir()
    manifest, out = folder / "m.csv", folder / "out"
    image = template["case"]["image"]
    rows = [f"c{n:06d},{image},1 2 3 40 50 6" for n in range(size)]
    manifest.write_text("\n".join(["id,image,box", *rows, ""]), encoding="utf-8")
    spent: dict[str, Any] = {"cases": size}

    def step(name: str, work: Callable[[], Any]) -> Any:
        begun = time.process_time()
        result = work()
        spent[name] = time.process_time() - begun
        return result

    def plan(cases: Sequence[Case]) -> Any:
        return make_plan(cases, RunOptions(""), WITHOUT_WEIGHTS, root=folder, out=out)

    cases = step("read the manifest", lambda: read_manifest(manifest))
    first = step("plan", lambda: plan(cases))
    write_plan(first, out, manifest)
    engine = SleepingEngine(template, seconds)
    step("run", lambda: run_plan(first, engine, retries=2, on_finished=lambda task, finished: None))
    again = step("plan again", lambda: plan(cases))
    assert (len(first.tasks), len(again.tasks), len(again.done)) == (size, 0, size)
    reader = StateReader(out)
    assert len(step("status", reader.read).done) == size
    step("status again", reader.read)
    step("summary", lambda: write_summary(out))
    return spent


if __name__ == "__main__":
    main()
