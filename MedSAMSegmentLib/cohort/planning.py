"""The plan of a cohort: its cases, what is left to do of them, and the file that tells others."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from ..errors import InputError, OutputError
from ..io.atomic import atomic_write, remove_leftovers
from ..io.write_segmentation import segmentation_files
from ..runs.options import RunOptions
from ..runs.segmenting import named_weights
from ..version import __version__
from .case import Task
from .cases import Case
from .sidecar import (
    FOLDER,
    THUMBNAILS,
    foreign_outputs,
    is_current,
    options_digest,
    read_sidecar,
    request_digest,
    sidecar_path,
    thumbnail_path,
)

PLAN = "cohort.json"
WholeCohort = (1, 1)


@dataclass(frozen=True)
class Plan:
    """`tasks` are what is to run in this shard, `done` and `failed` the ids of cases that need not.

    `kept` are files of the user's by the ids of the cases that would replace them, which are left alone.
    """

    cases: Sequence[Case]
    requests: Mapping[str, str]
    tasks: Sequence[Task]
    done: Sequence[str]
    failed: Sequence[str]
    kept: Mapping[str, Path] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of cases in this shard."""
        return len(self.tasks) + len(self.done) + len(self.failed) + len(self.kept)


def make_plan(
    cases: Sequence[Case],
    shared: RunOptions,
    weights_sha256: Mapping[str, str],
    *,
    root: Path,
    out: Path,
    shard: tuple[int, int] = WholeCohort,
    retry_failed: bool = False,
    overwrite: bool = False,
) -> Plan:
    """Return what is left to do of the cases, of which shard (i, n) has each n-th.

    `weights_sha256` is by the model that a case names, empty for the cohort's own. `root` is the manifest's folder.
    With `overwrite`, files at the cases' outputs that are not the cohort's own are replaced.
    Raises `OutputError` for an output that is an input.
    """
    _keep_inputs(cases, root, out)
    options = options_digest(shared)
    requests = {case.id: request_digest(case, options, weights_sha256[case.model]) for case in cases}
    tasks: list[Task] = []
    done: list[str] = []
    failed: list[str] = []
    kept: dict[str, Path] = {}
    for case in cases[shard[0] - 1 :: shard[1]]:
        request = requests[case.id]
        known = read_sidecar(sidecar_path(out, case.id))
        state = known.get("state") if known.get("state") in ("done", "failed") else None
        if state == "failed" and retry_failed:
            state = None
        if state is not None and is_current(known, request, case, root, out):
            (done if state == "done" else failed).append(case.id)
        elif not overwrite and (foreign := foreign_outputs(known, case, out)):
            kept[case.id] = foreign[0]
        else:
            tasks.append(Task(case, shared, str(root), str(out), request, overwrite=overwrite))
    # A process keeps one model: cases of one model follow each other.
    order = {model: number for number, model in enumerate(dict.fromkeys(case.model for case in cases))}
    tasks.sort(key=lambda task: order[task.case.model])
    return Plan(cases, requests, tasks, done, failed, kept)


def write_plan(plan: Plan, out: Path, manifest: Path) -> None:
    """Make the cohort's folders, remove what killed processes left, and write which cases there are.

    Raises `OutputError`.
    """
    folders = {out / FOLDER, out / THUMBNAILS, *((out / case.output).parent for case in plan.cases)}
    try:
        for folder in sorted(folders):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{error.filename} cannot be made: {error.strerror}.", "Choose another folder.") from error
    forget_leftovers(plan.tasks)
    if plan.count == len(plan.cases):
        # Of the whole cohort; other shards may be writing it at this moment.
        remove_leftovers(out, [PLAN])
    facts = {
        "format": 1,
        "version": __version__,
        "manifest": str(manifest.absolute()),
        "cases": [[case.id, plan.requests[case.id]] for case in plan.cases],
    }
    with atomic_write(out / PLAN, ".json") as temporary:
        temporary.write_text(json.dumps(facts, ensure_ascii=True) + "\n", encoding="utf-8")


def read_plan(out: Path) -> dict[str, str]:
    """Return the requests of a cohort's cases by id, in the manifest's order. Raises `InputError`."""
    try:
        facts = json.loads((out / PLAN).read_bytes())
        return {str(name): str(request) for name, request in facts["cases"]}
    except OSError as error:
        raise InputError(
            f"{out} holds no cohort.", "Give the folder that 'cohort run' was told to write to."
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{out / PLAN} cannot be read.", "Run 'cohort run' again; what is done stays done.") from error


def forget_leftovers(tasks: Iterable[Task]) -> None:
    """Remove the temporary files beside all that the tasks write. No other process may run them."""
    folders: dict[Path, set[str]] = {}
    for task in tasks:
        out, case = Path(task.out), task.case
        own = (sidecar_path(out, case.id), thumbnail_path(out, case.id))
        for file in (*own, *(out / name for name in segmentation_files(case.output))):
            folders.setdefault(file.parent, set()).add(file.name)
    for folder, names in folders.items():
        remove_leftovers(folder, names)


def models_of(cases: Iterable[Case]) -> dict[str, int]:
    """Return the models that the cases name, empty for the cohort's own, with the number of their cases."""
    return dict(Counter(case.model for case in cases))


def weights_digest(model: str | None, weights: str | None) -> str:
    """Return the SHA-256 of the weights that options name. Raises `ModelError` where they are not on this machine."""
    from ..checkpoints.store import CheckpointStore
    from ..checkpoints.transfer import digest_file
    from ..registry import get

    model_id, file = named_weights(model, weights)
    if file is not None:
        return digest_file(Path(file)).sha256
    store, entry = CheckpointStore(), get(str(model_id))
    store.require(entry)
    return store.sha256(entry)


def _keep_inputs(cases: Sequence[Case], root: Path, out: Path) -> None:
    """Raise `OutputError` when a case would write over a file that any of them reads."""
    inputs = {_real(root / file) for case in cases for file in case.files().values()}
    for case in cases:
        for file in segmentation_files(case.output):
            if _real(out / file) in inputs:
                raise OutputError(
                    f"The output {out / file} of {case.id} is one of the inputs.", "Choose another folder or name."
                )


def _real(path: Path) -> str:
    return os.path.join(_real_folder(str(path.parent)), path.name)


@lru_cache(maxsize=100_000)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)
