"""Count how many small wrong changes of the library the tests notice.

    python Testing/mutation/run.py io mrml --count 60 --seed 1 --out build/mutation.jsonl

For each folder of the library a sample of mutants (`operators.py`), drawn with the seed, is tried one by one in a copy
of the working tree: the tests of that area that call the changed function run, quickest first, until one fails. A
mutant is one process, forked from one that has imported torch, VTK and the rest, so that most take a second or two.
Mutants that change nothing that anybody can see are listed with the reason in `equivalents.json` and do not count.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path.insert(0, str(HERE))

from called_functions import write_child_hook  # noqa: E402
from operators import Mutant, mutants_of  # noqa: E402

LIBRARY = "MedSAMSegmentLib"
TESTS = {
    "inference": (
        "Testing/unit",
        "Testing/parity/test_sam_small_golden.py",
        "Testing/parity/test_sam2_small_golden.py",
    ),
    "mrml": ("Testing/mrml",),
    "io": ("Testing/io",),
    "worker": ("Testing/worker",),
    "checkpoints": ("Testing/checkpoints",),
}
IMPORTED_ONCE = (
    "numpy", "scipy.ndimage", "scipy.spatial", "torch", "SimpleITK", "pydicom", "PIL.Image", "requests", "filelock",
    "safetensors.torch", "slicerio", "nrrd", "hypothesis", "psutil", "vtk", "slicer", "PySide6.QtCore", "tqdm",
    "http.server",
)  # fmt: skip
TEST_SECONDS = 25.0
"""No more of the tests that call a function run for one of its mutants; the quickest are taken."""
MEMORY_BYTES = 16 << 30
NAMED_SECONDS = 400.0


@dataclass
class CallMap:
    """Which tests call which function, and how long a test takes. Tests that fail unchanged are in neither."""

    tests: dict[tuple[str, int, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> CallMap:
        whole, failed = cls(), set()
        for line in path.read_text(encoding="utf-8").splitlines():
            kind, test, *rest = line.split("\t")
            if kind == "call":
                file, first, name = rest
                whole.tests[file, int(first), name].add(test)
            else:
                _, outcome, seconds = rest
                whole.seconds[test] = whole.seconds.get(test, 0.0) + float(seconds)
                if outcome != "passed":
                    failed.add(test)
        for test in failed:
            del whole.seconds[test]
        return whole

    def tests_of(self, file: str, mutant: Mutant) -> list[str]:
        """Return the tests to run for a mutant, quickest first. A change outside functions concerns all of its file."""
        name, first = mutant.function
        if name:
            callers = self.tests.get((file, first, name), set())
        else:
            callers = {test for (other, _, _), tests in self.tests.items() if other == file for test in tests}
        chosen: list[str] = []
        spent = 0.0
        for test in sorted(self._with_fixtures(callers), key=lambda test: (self.seconds[test], test)):
            if chosen and spent + self.seconds[test] > TEST_SECONDS:
                break
            chosen.append(test)
            spent += self.seconds[test]
        return chosen

    def _with_fixtures(self, callers: set[str]) -> Iterator[str]:
        """Give the tests, and for a file whose fixtures call the function all of its tests."""
        files = {caller for caller in callers if "::" not in caller}
        return (test for test in self.seconds if test in callers or test.split("::")[0] in files)


def copy_tree(target: Path) -> None:
    """Make `target` a copy of the working tree: what git knows, and new files that it does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=REPOSITORY, capture_output=True, check=True
    ).stdout.decode()
    shutil.rmtree(target, ignore_errors=True)
    for name in filter(None, listed.split("\0")):
        if (REPOSITORY / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target / name)


def environment(tree: Path, **more: str) -> dict[str, str]:
    path = os.pathsep.join([str(tree), str(HERE)])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MEDSAM_MUTATION": str(HERE), **more}


def record_calls(tree: Path, area: str, path: Path) -> CallMap:
    """Run an area's tests once, unchanged, and return which functions each calls."""
    path.unlink(missing_ok=True)
    write_child_hook(tree)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "called_functions", "-p", "no:cacheprovider", *TESTS[area]]
    with path.with_suffix(".log").open("w") as log:
        subprocess.run(
            command, cwd=tree, env=environment(tree, MEDSAM_CALLS=str(path)), stdout=log, stderr=log, check=False
        )
    (tree / "sitecustomize.py").unlink()
    return CallMap.read(path)


class FirstFailure:
    """Remembers the first test that failed."""

    def __init__(self) -> None:
        self.test = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.test:
            self.test = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.test:
            self.test = f"{report.nodeid} (import)"


def run_tests(tree: Path, tests: Sequence[str], timeout: float, log: Path) -> tuple[str, str]:
    """Run tests in a forked process until one fails. Return "survived", "killed" or "timeout", and the failed test."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_the_test_process(tree, tests, writing, log)
    os.close(writing)
    end = time.monotonic() + timeout
    status: int | None = None
    while status is None and time.monotonic() < end:
        finished, code = os.waitpid(child, os.WNOHANG)
        status = code if finished else None
        if status is None:
            time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # also what the tests left running
    if status is None:
        os.waitpid(child, 0)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        failed = pipe.read()
    if status is None:
        return "timeout", failed
    return ("survived" if os.waitstatus_to_exitcode(status) == 0 else "killed"), failed


def _be_the_test_process(tree: Path, tests: Sequence[str], report: int, log: Path) -> None:
    code = 70
    try:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        output = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(tree)
        sys.path.insert(0, str(tree))
        os.environ.update(environment(tree))
        watch = FirstFailure()
        options = ["-x", "-q", "--no-header", "--tb=short", "-p", "no:cacheprovider"]
        code = int(pytest.main([*options, *tests], plugins=[watch]))
        os.write(report, watch.test.encode())
    finally:
        os._exit(code)


def import_once() -> None:
    """Import what is not ours, pytest's plug-ins too, and make hypothesis try the same examples each time."""
    with tempfile.TemporaryDirectory() as empty, contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", empty, empty])
    for name in IMPORTED_ONCE:
        with contextlib.suppress(ImportError):
            __import__(name)
    import hypothesis
    import torch

    torch.set_num_threads(1)
    hypothesis.settings.register_profile(
        "mutation",
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile("mutation")


def sample(area: str, count: int, seed: int, files: Sequence[str]) -> list[tuple[str, Mutant]]:
    """Return the drawn mutants of a folder with their files."""
    paths = sorted(path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / LIBRARY / area).rglob("*.py"))
    every = [
        (path, mutant)
        for path in paths
        if not files or any(wanted in path for wanted in files)
        for mutant in mutants_of((REPOSITORY / path).read_text(encoding="utf-8"))
    ]
    chosen = random.Random(f"{area} {seed}").sample(every, min(count, len(every)))
    return sorted(chosen, key=lambda pair: (pair[0], pair[1].line))


def reason_of_equivalence(path: str, mutant: Mutant, listed: Sequence[dict[str, str]]) -> str:
    """Return why nobody can see this mutant, or ""."""
    for entry in listed:
        if path.endswith(entry["file"]) and entry["before"] == mutant.before and entry["after"] == mutant.after:
            where = entry.get("function", mutant.function[0])
            if where == mutant.function[0]:
                return entry["reason"]
    return ""


_times = itertools.count(1_000_000_000)


@contextlib.contextmanager
def changed_file(tree: Path, path: str, source: str) -> Iterator[None]:
    """Put another source into the copy while the block runs.

    No two of them bear the same time of change: Python takes compiled files for those of a source by its time and size.
    """
    (tree / path).write_text(source, encoding="utf-8")
    time_of_change = next(_times)
    os.utime(tree / path, (time_of_change, time_of_change))
    try:
        yield
    finally:
        shutil.copy2(REPOSITORY / path, tree / path)


def try_mutant(tree: Path, path: str, mutant: Mutant, tests: Sequence[str], calls: CallMap) -> dict[str, Any]:
    """Put the mutant into the copy, run the tests, and put the file back."""
    timeout = 15 + 3 * sum(calls.seconds[test] for test in tests)
    started = time.monotonic()
    with changed_file(tree, path, mutant.source):
        outcome, test = run_tests(tree, tests, timeout, tree / "mutant.log") if tests else ("survived", "")
    return {"outcome": outcome, "test": test, "tests": len(tests), "seconds": round(time.monotonic() - started, 1)}


def try_sample(options: argparse.Namespace, area: str) -> list[dict[str, Any]]:
    listed = json.loads((HERE / "equivalents.json").read_text())
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    tree, calls_path = work / f"tree-{area}", work / f"calls-{area}.tsv"
    copy_tree(tree)
    calls = (
        CallMap.read(calls_path) if options.keep_calls and calls_path.exists() else record_calls(tree, area, calls_path)
    )
    results = []
    for path, mutant in sample(area, options.count, options.seed, options.only):
        fields = {"area": area, "file": path, "line": mutant.line, "function": mutant.function[0], "kind": mutant.kind}
        fields |= {"before": mutant.before, "after": mutant.after}
        reason = reason_of_equivalence(path, mutant, listed)
        if reason:
            outcome: dict[str, Any] = {"outcome": "equivalent", "reason": reason}
        else:
            outcome = try_mutant(tree, path, mutant, calls.tests_of(path, mutant), calls)
        results.append({**fields, **outcome})
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(results[-1]) + "\n")
        if outcome["outcome"] == "survived":
            print(f"survived  {path}:{mutant.line}  {mutant.kind}: {mutant.change}", flush=True)
    return results


def try_named(work: Path, wanted: Sequence[str]) -> int:
    """Try the changes of `named.json`, each with the tests that it names. Return how many survived."""
    tree = work.resolve() / "tree-named"
    copy_tree(tree)
    survived = 0
    for entry in json.loads((HERE / "named.json").read_text(encoding="utf-8")):
        if wanted and not any(text in entry["file"] for text in wanted):
            continue
        source = (REPOSITORY / entry["file"]).read_text(encoding="utf-8")
        if source.count(entry["before"]) != 1:
            raise SystemExit(f"{entry['file']} does not hold this once: {entry['before']}")
        with changed_file(tree, entry["file"], source.replace(entry["before"], entry["after"])):
            outcome, test = run_tests(tree, entry["tests"], NAMED_SECONDS, tree / "mutant.log")
        survived += outcome == "survived"
        print(f"{outcome:9} {entry['file']}: {entry['name']}  {test}", flush=True)
    return survived


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return the scores by folder: the share of mutants noticed, of those that can be."""
    lines = ["| folder | mutants | equivalent | noticed | survived | score |", "|---|---|---|---|---|---|"]
    areas = list(dict.fromkeys(result["area"] for result in results))
    for area in [*areas, "all"]:
        of = [result["outcome"] for result in results if area in (result["area"], "all")]
        equal, survived = of.count("equivalent"), of.count("survived")
        noticed = len(of) - equal - survived
        score = f"{100 * noticed / max(len(of) - equal, 1):.0f} %"
        lines.append(f"| {area} | {len(of)} | {equal} | {noticed} | {survived} | {score} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("areas", nargs="*", default=list(TESTS), metavar="folder", help=f"of {', '.join(TESTS)}; all")
    parser.add_argument("--count", type=int, default=60, help="mutants of each folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="files whose path contains this")
    parser.add_argument("--work", type=Path, default=Path("build/mutation"), help="copies of the tree, and maps")
    parser.add_argument("--keep-calls", action="store_true", help="use the last run's map of tests, where there is one")
    parser.add_argument("--named", action="store_true", help="try the changes of named.json instead of a sample")
    parser.add_argument("--out", type=Path, default=Path("build/mutation.jsonl"), help="gets a line for each mutant")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    import_once()
    if options.named:
        raise SystemExit(min(try_named(options.work, options.only), 1))
    results = [result for area in options.areas for result in try_sample(options, area)]
    print(table(results))


if __name__ == "__main__":
    main()
