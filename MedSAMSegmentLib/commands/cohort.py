"""`medsam-segment cohort`: many cases from one manifest."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..cohort.driver import Engine, run_plan
from ..cohort.manifest import read_manifest
from ..cohort.planning import Plan, make_plan, models_of, weights_digest, write_plan
from ..cohort.state import StateReader, status_lines
from ..errors import CasesFailed, ModelError, OutputError, UsageError
from ..intensity import parse_window
from ..registry import DEFAULT_MODEL
from ..runs.options import RunOptions
from .locking import hold_or_refuse
from .opening import fetch_weights
from .overwriting import agree_to_overwrite
from .progress import say

if TYPE_CHECKING:
    from ..cohort.case import Finished, Task
    from ..cohort.cases import Case

WATCH_SECONDS = 2.0
MOST_NAMED = 8
LOCK = ".run-{}-of-{}.lock"
LOCK_SECONDS = 0.5
"""For a lock that another run only looks at."""

KEPT_CURE = "move their files elsewhere, or give --overwrite."


def run(options: argparse.Namespace) -> None:
    {"prepare": _prepare, "run": _run, "status": _status, "summary": _summary}[options.action](options)


def _run(options: argparse.Namespace) -> None:
    parse_window(options.window)
    manifest, out = Path(options.manifest), Path(options.output)
    cases = read_manifest(manifest)
    shared = RunOptions.of(vars(options), image="", prompts=(), name=())
    weights = _weights(cases, options)
    plan = make_plan(
        cases,
        shared,
        weights,
        root=manifest.parent.absolute(),
        out=out.absolute(),
        shard=options.shard,
        retry_failed=options.retry_failed,
        overwrite=options.overwrite,
    )
    _say_plan(plan, options)
    if options.dry_run:
        return
    engine = _engine(options)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {out} cannot be made: {error.strerror}.", "Choose another.") from error
    with _locked(out, options.shard):
        write_plan(plan, out, manifest)
        failed = run_plan(plan, engine, retries=options.retries, on_finished=_Teller(plan, options.quiet))
    if failed:
        named = ", ".join(sorted(failed)[:MOST_NAMED]) + (", ..." if len(failed) > MOST_NAMED else "")
        left = f" {len(plan.kept)} of them were left alone: {KEPT_CURE}" if plan.kept else ""
        reasons = f"The reasons: medsam-segment cohort summary {out}. --retry-failed tries them again."
        raise CasesFailed(
            f"{len(failed)} of {plan.count} cases failed: {named}.{left}",
            reasons if len(failed) > len(plan.kept) else "",
        )
    say(f"all cases are done; medsam-segment cohort summary {out} makes a table and a page of them", options.quiet)


@contextlib.contextmanager
def _locked(out: Path, shard: tuple[int, int]) -> Iterator[None]:
    """Hold the lock of a shard while no run with another number of shards is there.

    Its own lock comes first: of two that begin at once, at least one sees the other. Raises `UsageError`,
    `OutputError`.
    """
    with contextlib.ExitStack() as stack:
        busy = UsageError(f"This shard of {out} is being run already.", "Wait for it; 'cohort status' tells.")
        stack.enter_context(hold_or_refuse(out / LOCK.format(*shard), busy, seconds=LOCK_SECONDS))
        for other in sorted(out.glob(LOCK.format("*", "*"))):
            if other.match(LOCK.format("*", shard[1])):
                continue
            running = other.name.removeprefix(".run-").removesuffix(".lock").replace("-of-", "/")
            busy = UsageError(
                f"{out} is being run already, as shard {running}.",
                "Wait for it, or give all that run at a time the same N in --shard I/N.",
            )
            with hold_or_refuse(other, busy):
                pass
        yield


def _weights(cases: list[Case], options: argparse.Namespace) -> dict[str, str]:
    """Return the SHA-256 of the weights of each model that the cases name, fetched first when that is allowed."""
    from ..runs.segmenting import named_weights

    digests: dict[str, str] = {}
    for model in models_of(cases):
        weights = None if model else options.weights
        model_id, file = named_weights(model or options.model, weights)
        if file is None and model_id is not None and not (options.offline or options.dry_run):
            fetch_weights(model_id, options.quiet)
        try:
            digests[model] = weights_digest(model or options.model, weights)
        except ModelError:
            if not options.dry_run:
                raise
            digests[model] = ""
    return digests


def _say_plan(plan: Plan, options: argparse.Namespace) -> None:
    part = "" if options.shard == (1, 1) else ", {} in shard {}/{}".format(plan.count, *options.shard)
    left = f"{len(plan.kept)} left alone, " if plan.kept else ""
    say(
        f"{len(plan.cases)} cases{part}: {len(plan.done)} done, {len(plan.failed)} failed before, {left}"
        f"{len(plan.tasks)} to run",
        options.quiet,
    )
    for name, file in list(plan.kept.items())[:MOST_NAMED]:
        say(f"{name} is left alone: {file} is not as this cohort wrote it", options.quiet)
    if len(plan.kept) > MOST_NAMED:
        say(f"and {len(plan.kept) - MOST_NAMED} more", options.quiet)
    if options.dry_run:
        for model, count in models_of(task.case for task in plan.tasks).items():
            name = model or options.model or ("the weights given" if options.weights else DEFAULT_MODEL)
            say(f"{count} with {name}", options.quiet)


def _engine(options: argparse.Namespace) -> Engine:
    seconds = options.case_minutes * 60
    if options.cohort_engine == "ray":
        from ..cohort.ray_engine import RayEngine

        return RayEngine(options.workers, seconds, options.ray_address, options.device)
    if options.ray_address:
        raise UsageError("--ray-address is for --engine ray.", "Give --engine ray, or leave it out.")
    from ..cohort.local_engine import LocalEngine

    return LocalEngine(options.workers, seconds)


class _Teller:
    """Says how each case ended."""

    def __init__(self, plan: Plan, quiet: bool) -> None:
        self._count, self._ended, self._quiet = len(plan.tasks), 0, quiet

    def __call__(self, task: Task, finished: Finished) -> None:
        self._ended += 1
        reason = f": {finished.message}" if finished.message else ""
        tries = f", try {task.tries}" if task.tries > 1 else ""
        said = f"{task.case.id} {finished.state} ({finished.seconds:.1f} s{tries}){reason}"
        say(f"[{self._ended}/{self._count}] {said}", self._quiet)


def _status(options: argparse.Namespace) -> None:
    reader = StateReader(Path(options.folder))
    while True:
        state = reader.read()
        if options.watch and sys.stdout.isatty():
            print("\x1b[H\x1b[J", end="")
        print("\n".join(status_lines(state, time.time())), flush=True)
        if not options.watch or not (state.pending or state.running):
            return
        time.sleep(WATCH_SECONDS)


def _summary(options: argparse.Namespace) -> None:
    from ..cohort.summary import write_summary

    for file in write_summary(Path(options.folder), overwrite=options.overwrite):
        say(f"wrote {file}", options.quiet)


def _prepare(options: argparse.Namespace) -> None:
    from ..cohort.preparing import prepare_rows, write_rows

    folder = Path(options.folder)
    target = Path(options.output) if options.output else folder / "manifest.csv"
    rows, notes = prepare_rows(folder, target.parent)
    agree_to_overwrite([target], options.overwrite)
    write_rows(target, rows)
    for note in notes:
        say(note, options.quiet)
    say(f"wrote {target}: {len({row['id'] for row in rows})} cases, {len(rows)} objects", options.quiet)
