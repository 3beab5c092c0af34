"""One case, from its description to its outputs and its sidecar: what every engine calls."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MedSAMError, OutputError, is_out_of_memory
from ..evaluation.metrics import dice, normalized_surface_dice, robust_hausdorff
from ..io.overlay import write_thumbnail
from ..io.volume import Volume
from ..io.write_segmentation import segmentation_files, segments_from
from ..runs.inputs import read_inputs
from ..runs.options import RunOptions
from ..runs.outputs import Outputs, input_files, overlay_grid, write_outputs
from ..runs.prompt_options import segmentation_on_grid
from ..runs.report import REPEATED_OPTIONS, run_report
from ..runs.segmenting import named_weights, open_image, segment
from ..worker.failure import describe
from ..worker.memory import forget_peak_memory, peak_memory_mb
from .cases import Case
from .sidecar import (
    file_facts,
    foreign_outputs,
    own_outputs,
    read_sidecar,
    result_digest,
    sidecar_path,
    stamp,
    thumbnail_path,
    write_sidecar,
)

if TYPE_CHECKING:
    from ..inference.slice_predictor import SlicePredictor
    from ..results import ObjectResult

_OPTION_OF_COLUMN = re.compile(r"--(box|line|mask|roi|negative-point|point|axis|series)(?![\w-])")

TOLERANCE_MM = 2.0
"""Of the surface Dice."""


@dataclass(frozen=True)
class Task:
    """A case to run: `root` is the manifest's folder, `out` the cohort's, `tries` counts from 1.

    `overwrite` lets it replace outputs that are not the cohort's own.
    """

    case: Case
    shared: RunOptions
    root: str
    out: str
    request: str
    tries: int = 1
    overwrite: bool = False

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Task:
        """Return the task that `dataclasses.asdict` took apart, also by way of JSON."""
        return cls(**{**fields, "case": Case.of(fields["case"]), "shared": RunOptions(**fields["shared"])})


@dataclass(frozen=True)
class Finished:
    """The end of a case; `again` says that another try, in a new process, may end better.

    The `message` of a case that is done tells what was left out of it.
    """

    state: str
    seconds: float
    code: str = ""
    message: str = ""
    again: bool = False


class KeptModel:
    """The model that was asked for last, so that cases of one model load it once."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._predictor: SlicePredictor | None = None

    def get(self, options: RunOptions) -> SlicePredictor:
        """Return the model that a case names, loaded unless it is the one of the case before. Raises `ModelError`."""
        from ..inference.open import load_predictor, options_for_mode

        model_id, weights = named_weights(options.model, options.weights)
        engine, precision = options_for_mode(options.mode, options.engine, options.precision)
        key = (model_id, weights, options.device, precision, engine)
        if self._predictor is None or key != self._key:
            self._predictor = None  # two at a time need the memory of both
            self._predictor = load_predictor(
                model_id, weights=weights, device=options.device, precision=precision, engine=engine
            )
            self._key = key
        return self._predictor


def run_case(task: Task, model: KeptModel) -> Finished:
    """Run a case; what it gives, or why it gives nothing, is in its sidecar. Raises `OutputError` where even that
    cannot be written."""
    out, begun = Path(task.out), time.monotonic()
    before = _written_before(task)
    names = [str(name) for name in segmentation_files(task.case.output)]
    facts: dict[str, Any] = {
        "id": task.case.id,
        "state": "running",
        "request": task.request,
        "tries": task.tries,
        "started": _now(),
        "host": platform.node(),
        "process": os.getpid(),
        "options": {name: value for name, value in asdict(task.shared).items() if name in REPEATED_OPTIONS},
        "case": asdict(task.case),
        "written": before,
    }

    def before_writing() -> None:
        _keep_foreign(facts, task)
        write_sidecar(out, {**facts, "writing": names})
        facts["writing"] = names

    write_sidecar(out, facts)
    forget_peak_memory()
    ended = Finished("done", 0.0)
    try:
        _keep_foreign(facts, task)
        not_compared: list[str] = []
        facts |= _computed(task, model, before_writing, not_compared.append)
        facts["written"] = [file for file in before if file["file"] not in names]
        ended = replace(ended, message=" ".join(not_compared))
    except Exception as error:  # noqa: BLE001 - no case stops the run
        ended = failure(error)
        facts |= {"inputs": _seen_inputs(task), "error": error_facts(error), "written": own_outputs(facts, out)}
    facts.pop("writing", None)
    seconds = round(time.monotonic() - begun, 3)
    facts |= {"state": ended.state, "seconds": seconds, "finished": _now(), "peak_memory_mb": peak_memory_mb()}
    write_sidecar(out, facts)
    return Finished(ended.state, seconds, ended.code, ended.message, ended.again)


def failure(error: BaseException) -> Finished:
    """Return how a case ended with an error."""
    told = describe(error)
    return Finished("failed", 0.0, told.code, in_columns(told.message), again=_wants_memory(error))


def error_facts(error: BaseException) -> dict[str, str]:
    """Return an error as a sidecar has it: code, message, cure and detail."""
    told = describe(error)
    message, cure = in_columns(told.message), in_columns(told.cure)
    return {"code": told.code, "message": message, "cure": cure, "detail": told.detail[-4000:]}


def in_columns(text: str) -> str:
    """Return a sentence about a prompt's options as one about the columns of a manifest."""

    def column(found: re.Match[str]) -> str:
        name = "points" if found[1].endswith("point") else found[1]
        return f"The column {name}" if found.start() == 0 else name

    return _OPTION_OF_COLUMN.sub(column, text)


def write_failure(task: Task, error: MedSAMError, seconds: float) -> None:
    """Write the sidecar of a case whose process cannot write one any more. Raises `OutputError`."""
    facts = {
        "id": task.case.id,
        "state": "failed",
        "request": task.request,
        "tries": task.tries,
        "seconds": round(seconds, 3),
        "finished": _now(),
        "host": platform.node(),
        "inputs": _seen_inputs(task),
        "case": asdict(task.case),
        "written": _written_before(task),
        "error": error_facts(error),
    }
    write_sidecar(Path(task.out), facts)


def _written_before(task: Task) -> list[dict[str, Any]]:
    """Return the facts of the outputs of earlier tries that are there as they were written."""
    out = Path(task.out)
    return own_outputs(read_sidecar(sidecar_path(out, task.case.id)), out)


def _keep_foreign(known: Mapping[str, Any], task: Task) -> None:
    """Raise `OutputError` when a file that is not the cohort's own would be replaced unasked."""
    found = [] if task.overwrite else foreign_outputs(known, task.case, Path(task.out))
    if found:
        raise OutputError(
            f"{found[0]} is not as this cohort wrote it, and was left alone.",
            "Give --retry-failed once it is moved elsewhere, or together with --overwrite.",
        )


def _computed(
    task: Task, model: KeptModel, before_writing: Callable[[], None], not_compared: Callable[[str], None]
) -> dict[str, Any]:
    """Segment a case, write its outputs and return the facts about them.

    `before_writing` is called when all is ready to be written; `not_compared` with a sentence on each reference that an
    object cannot be compared with.
    """
    case, root, out = task.case, Path(task.root), Path(task.out)
    options = case.options(root, task.shared)
    inputs = read_inputs(options)
    volume = inputs.volumes[0]
    outputs = Outputs(str(out / case.output), None, None, input_files([options.image], options.prompts, None))
    outputs.check()
    outputs.check_volume(volume)
    notes = list(inputs.notes)
    references: list[NDArray[np.bool_] | None] = []
    for item, name in _named(case, inputs.names):
        try:
            references.append(_reference(item.reference, name, root, volume))
        except MedSAMError as error:
            if _wants_memory(error):
                raise
            notes.append(f"{name} was not compared with its reference: {in_columns(str(error))}")
            not_compared(notes[-1])
            references.append(None)
    read = [file_facts(part, name, root) for part, name in case.files().items()]
    loading = time.monotonic()
    predictor = model.get(options)
    loading = time.monotonic() - loading
    session = open_image(predictor, volume, options, inputs.objects, notes.append)
    with session:
        result = segment(session, inputs, options)
    report = run_report(volume, session, inputs.objects, result, options.reading)
    objects = [
        {**_object_facts(facts, item), "metrics": _metrics(item, mask, volume) if mask is not None else None}
        for facts, item, mask in zip(report["objects"], result.objects, references, strict=True)
    ]
    before_writing()
    write_outputs(
        replace(outputs, replaced=outputs.files),  # an earlier request's
        volume,
        result,
        grey_u8=session.volume.volume_u8,
        terminology=options.terminology,
        algorithm=session.model_id,
        report={},
        say=notes.append,
    )
    segments = segments_from([item.name for item in result.objects], [item.mask for item in result.objects])
    write_thumbnail(
        thumbnail_path(out, case.id), session.volume.volume_u8, segments, axis=result.axis, **overlay_grid(volume)
    )
    return {
        **report,
        "digest": result_digest(task.request, read),
        "inputs": read,
        "outputs": [file_facts("output", str(name), out) for name in segmentation_files(case.output)],
        "objects": objects,
        "notes": [note for note in notes if not note.startswith("wrote ")],
        "load_seconds": round(loading, 3),
        "compute_seconds": report["seconds"],
    }


def _named(case: Case, names: Sequence[str]) -> list[tuple[Any, str]]:
    """Return the objects of a case with their names; a challenge file brings objects of its own."""
    if len(case.objects) == len(names):
        return list(zip(case.objects, names, strict=True))
    return [(case.objects[0], name) for name in names]


def _reference(file: str, name: str, root: Path, volume: Volume) -> NDArray[np.bool_] | None:
    """Return the mask that an object is compared with: the segment of its name, or the only one."""
    if not file:
        return None
    segments = segmentation_on_grid(str(root / file), volume, "reference").segments
    chosen = [segment for segment in segments if segment.name == name] or list(segments)
    if len(chosen) != 1:
        found = ", ".join(segment.name for segment in segments) or "none"
        raise InputError(
            f"The reference {file} has no segment {name!r}, but {found}.", "Name the object as its segment is named."
        )
    return chosen[0].mask_zyx


def _metrics(item: ObjectResult, reference: NDArray[np.bool_], volume: Volume) -> dict[str, float | None]:
    mask = item.mask
    found: dict[str, float | None] = {"dice": dice(mask, reference), "surface_dice": None, "hausdorff_95_mm": None}
    if all(volume.spacing_known_zyx) and not volume.is_time_series:
        found["surface_dice"] = normalized_surface_dice(mask, reference, volume.spacing_zyx, TOLERANCE_MM)
        found["hausdorff_95_mm"] = robust_hausdorff(mask, reference, volume.spacing_zyx)
    return {name: value if value is None else round(value, 6) for name, value in found.items()}


def _object_facts(facts: Mapping[str, Any], item: ObjectResult) -> dict[str, Any]:
    """Return the facts of an object without those of each slice, of which the flags stay."""
    flags: dict[str, list[int]] = {}
    for index, score in sorted(item.slices.items()):
        for flag in score.flags:
            flags.setdefault(flag, []).append(index)
    return {**{name: value for name, value in facts.items() if name != "slices"}, "flags": flags}


def _seen_inputs(task: Task) -> list[dict[str, Any]]:
    """Return size and time of the inputs that are there, so that a case that failed is tried again with new ones."""
    found = []
    for part, name in task.case.files().items():
        with contextlib.suppress(MedSAMError):
            found.append({"part": part, "file": name, "stamp": stamp(Path(task.root) / name), "sha256": None})
    return found


def _wants_memory(error: BaseException | None) -> bool:
    while error is not None:
        if is_out_of_memory(error):
            return True
        error = error.__cause__
    return False


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
