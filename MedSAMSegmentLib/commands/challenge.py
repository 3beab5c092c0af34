"""`medsam-segment challenge`: answers to a folder of cases, their scores, and the interactive run."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..challenge.answer import answer_case, class_prompts, open_case
from ..challenge.files import cases_in, mean_of, output_folder, read_reference, write_table
from ..challenge.interactive import InteractiveRun, run_interactive
from ..challenge.scoring import pairs_of, rows_of
from ..errors import Cancelled, InputError, MedSAMError, UsageError
from ..evaluation.challenge_scores import RULES, RULES_2025, ScoreRules, Scores
from ..io.challenge_npz import ChallengeCase, read_challenge_npz, write_segs
from ..io.interactive_npz import InteractiveCase, read_interactive_npz
from ..io.output_files import check_against_inputs
from ..io.write_segmentation import check_output_place
from .locking import hold_or_refuse
from .opening import load_model
from .overwriting import agree_to_overwrite
from .progress import say, slice_bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..inference.session import VolumeSession
    from ..inference.slice_predictor import SlicePredictor
    from ..results import Progress

T = TypeVar("T")

METRICS = "metrics.csv"
CLICKS = "clicks.csv"
LOCK = ".challenge.lock"


def run(options: argparse.Namespace) -> None:
    {"predict": predict, "evaluate": evaluate, "interactive": interactive}[options.action](options)


def predict(options: argparse.Namespace) -> None:
    """Answer every case. One that cannot be answered stops none of the others."""
    cases = cases_in(options.input)
    folder = output_folder(options.output)
    with _alone_in(folder):
        _predict(cases, folder, options)


def _predict(cases: Sequence[Path], folder: Path, options: argparse.Namespace) -> None:
    _agreed([folder / path.name for path in cases], [options.input, *cases], options)
    predictor = _model(options, cases)

    def answer(path: Path) -> str:
        started = time.perf_counter()
        case = _read(path, options)
        with open_case(predictor, case.volume, mode=options.mode) as session:
            labels = _answer(session, case, path.name, options)
        flat = isinstance(case, ChallengeCase) and case.is_picture
        write_segs(folder / path.name, labels[0] if flat else labels)
        return f"{_classes(case)}, {time.perf_counter() - started:.1f} s"

    for place, _, said in _each(cases, answer):
        say(f"{place}: {said}", options.quiet)


def evaluate(options: argparse.Namespace) -> None:
    """Write the table of scores, as the evaluator of the year does."""
    pairs = pairs_of(options.segs, options.gts, options.images, zero=options.missing == "zero")
    read = [path for pair in pairs for path in (pair.answer, pair.reference, pair.image) if path is not None]
    table = Path(options.csv)
    _agreed([table], read, options)
    rules = _rules(options, RULES[options.year])
    rows: list[dict[str, Any]] = []
    for row in rows_of(pairs, options.year, rules, with_surface=not options.no_nsd):
        rows.append(row)
        say(f"{len(rows)} of {len(pairs)}: {', '.join(f'{k} {_shown(v)}' for k, v in row.items())}", options.quiet)
    write_table(table, rows)
    names = [name for name in rows[0] if isinstance(rows[0][name], float)]
    means = ", ".join(f"{name} {mean_of(row[name] for row in rows if name in row):.4f}" for name in names)
    say(f"mean of {len(rows)}: {means}", options.quiet)


def interactive(options: argparse.Namespace) -> None:
    """Run every case with its box and five clicks a class; the tables are written anew after each."""
    cases = cases_in(options.cases)
    references = {path.name: path for path in cases_in(options.gts)} if options.gts else {}
    folder = output_folder(options.output)
    with _alone_in(folder):
        _interactive(cases, references, folder, options)


def _interactive(
    cases: Sequence[Path], references: Mapping[str, Path], folder: Path, options: argparse.Namespace
) -> None:
    tables = [folder / METRICS, folder / CLICKS]
    _agreed([*(folder / path.name for path in cases), *tables], [*cases, *references.values()], options)
    predictor = _model(options, cases)
    rows, clicks = [], []

    def answer(path: Path) -> InteractiveRun:
        case = _with_reference(_read(path, options), references.get(path.name))
        result = _run(predictor, case, path.name, options)
        write_segs(folder / path.name, result.answers[-1], result.answers)
        return result

    for place, path, result in _each(cases, answer):
        rows.append(result.row(path.name))
        clicks += [
            {"CaseName": path.name, "class": label, "click": n, "k": int(p.k), "j": int(p.j), "i": int(p.i),
             "kind": "fg" if p.positive else "bg"}
            for label, points in enumerate(result.clicks, 1) for n, p in enumerate(points, 1)
        ]  # fmt: skip
        write_table(tables[0], rows)
        write_table(tables[1], clicks)
        seconds = sum(result.seconds)
        said = f"DSC {result.dsc[0]:.3f} to {result.dsc[-1]:.3f}, NSD {result.nsd[0]:.3f} to {result.nsd[-1]:.3f}"
        say(f"{place}: {said}, {seconds:.1f} s", options.quiet)
        if seconds > result.allowed_seconds:
            say(f"warning: {path.name} took more than the {result.allowed_seconds} s that it may.", options.quiet)


def _alone_in(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Let no other run write into a folder of answers meanwhile. Raises `UsageError`, `OutputError`."""
    busy = UsageError(
        f"Another run is writing into {folder}.", "Wait for it or stop it by Ctrl+C there, or choose another folder."
    )
    # It does not stay: the folder is handed to whoever scores the answers.
    return hold_or_refuse(folder / LOCK, busy, last=True)


def _each(cases: Sequence[Path], answer: Callable[[Path], T]) -> Iterator[tuple[str, Path, T]]:
    """Yield the words that name a case, its path and its answer; one that cannot be answered stops none of the others.

    Raises `InputError` at the end when a case has no answer.
    """
    failed = []
    for number, path in enumerate(cases, 1):
        place = f"{number} of {len(cases)}: {path.name}"
        try:
            found = answer(path)
        except Cancelled:
            raise
        except MedSAMError as error:
            failed.append(path.name)
            say(f"{place}: no answer. {error}", False)
            continue
        yield place, path, found
    if failed:
        more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
        raise InputError(
            f"{len(failed)} of {len(cases)} cases have no answer: {', '.join(failed[:3])}{more}.",
            "The others are written." if len(failed) < len(cases) else "Nothing was written.",
        )


def _run(predictor: SlicePredictor, case: InteractiveCase, name: str, options: argparse.Namespace) -> InteractiveRun:
    session = open_case(predictor, case.volume, mode=options.mode)

    def answer(asked: InteractiveCase) -> NDArray:
        if not options.keep_open:
            session.close()  # in the challenge each step is a program of its own
        return _answer(session, asked, name, options)

    def step(number: int, scores: Scores) -> None:
        say(f"  {name}, {number} clicks: DSC {scores.dsc:.3f}, NSD {scores.nsd:.3f}", options.quiet)

    with session:
        return run_interactive(case, answer, rules=_rules(options, RULES_2025), on_step=step)


def _answer(
    session: VolumeSession, case: ChallengeCase | InteractiveCase, name: str, options: argparse.Namespace
) -> NDArray:
    with slice_bar(name, options.quiet) as bar:

        def told(number: int, count: int, progress: Progress) -> None:
            bar(progress)

        return answer_case(session, case, strategy=options.strategy, on_class=told)


def _model(options: argparse.Namespace, cases: Sequence[Path]) -> SlicePredictor:
    """Load the model. Where the engine is chosen, it is for as many slices as the cases have, judged by the first that
    can be read."""
    slices = None
    for path in cases if options.engine == "auto" else ():
        try:
            found = [one.slices for one in class_prompts(_read(path, options))]
        except MedSAMError:
            continue
        slices = len(cases) * sum(last - first + 1 for first, last in filter(None, found)) or None
        break
    return load_model(options, slices)


def _read(path: Path, options: argparse.Namespace) -> ChallengeCase | InteractiveCase:
    if options.year == 24:
        return read_challenge_npz(path)
    return read_interactive_npz(path, click_axes=options.click_axes)


def _with_reference(case: ChallengeCase | InteractiveCase, path: Path | None) -> InteractiveCase:
    assert isinstance(case, InteractiveCase)
    return case if path is None else replace(case, reference=read_reference(path).labels)


def _classes(case: ChallengeCase | InteractiveCase) -> str:
    count = len(case.boxes) if isinstance(case, ChallengeCase) else case.class_count
    return "1 class" if count == 1 else f"{count} classes"


def _rules(options: argparse.Namespace, rules: ScoreRules) -> ScoreRules:
    chosen = {
        "classes": options.classes,
        "both_empty": options.both_empty,
        "spacing": options.spacing_order,
    }
    rules = replace(rules, **{name: value for name, value in chosen.items() if value is not None})
    return replace(rules, surface_above=None) if options.nsd_always else rules


def _agreed(outputs: Sequence[Path], inputs: Sequence[Path | str], options: argparse.Namespace) -> None:
    """Refuse outputs that cannot be written, that are inputs, or that are there, before anything is computed."""
    for path in outputs:
        check_output_place(path)
    check_against_inputs(outputs, [Path(path) for path in inputs if Path(path).is_file()])
    agree_to_overwrite(outputs, options.overwrite)


def _shown(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
