"""`medsam-segment train`: a model of one's own, fine-tuned on one's own segments."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..checkpoints.custom_models import is_custom
from ..errors import UsageError
from ..io.output_files import check_against_each_other
from ..registry import get
from .opening import fetch_weights
from .overwriting import agree_to_overwrite
from .progress import say

if TYPE_CHECKING:
    from ..results import Progress
    from ..training.state import TrainingState


def run(options: argparse.Namespace) -> None:
    from ..training.base_model import require_trainable
    from ..training.fine_tuning import TrainingRequest, check_request, fine_tune
    from ..training.settings import TrainingSettings

    if options.val is not None and options.val_fraction is not None:
        raise UsageError("--val and --val-fraction are two ways to say the same.", "Give one of them.")
    request = TrainingRequest(
        data=Path(options.data),
        labels=tuple(options.label),
        output=Path(options.output),
        model=options.model,
        validation=Path(options.val) if options.val else None,
        val_fraction=0.2 if options.val_fraction is None else options.val_fraction,
        settings=TrainingSettings(
            steps=options.steps,
            seed=options.seed,
            encoder=options.encoder,
            rehearsal=TrainingSettings.rehearsal if options.rehearsal else 0,
            rehearsal_weight=options.rehearsal,
        ),
        most_slices=options.slices,
        device=options.device,
        engine=options.engine,
        resume=options.resume,
        overwrite=options.overwrite,
    )
    check_request(request)
    check_against_each_other(request.files)
    agree_to_overwrite(request.files, options.overwrite)
    log = _tensorboard(options.tensorboard)
    if not is_custom(request.model):
        require_trainable(get(request.model))
        if not options.offline:
            fetch_weights(request.model, options.quiet)
    try:
        with _bar(options.quiet) as bar, _cancel_on_interrupt(options.quiet) as cancel:
            done = fine_tune(
                request,
                say=bar.say,
                on_progress=bar.show,
                on_step=_both(bar.step, log),
                cancel=cancel,
            )
    finally:
        if log is not None:
            log.close()
    _tell(done.card, options.quiet)
    say(f"wrote {', '.join(map(str, request.files))}", options.quiet)
    if done.model_id:
        say(f"Use it by --model {done.model_id}; it is in 'models list' and in Slicer, too.", options.quiet)


def _tensorboard(folder: str | None) -> Any:
    if not folder:
        return None
    from ..training.tensorboard import TensorBoardLog

    return TensorBoardLog(Path(folder))


def _both(first: Callable[[TrainingState], None], second: Any) -> Callable[[TrainingState], None]:
    def tell(state: TrainingState) -> None:
        first(state)
        if second is not None:
            second(state)

    return tell


def _tell(card: Mapping[str, Any], quiet: bool) -> None:
    before, after = card["dice_before"]["mean"], card["dice_after"]["mean"]
    say(f"Dice on {card['judged_on']}: {before:.3f} before, {after:.3f} after (step {card['chosen_step']})", quiet)
    if card["validated"] and after <= before:
        say("warning: it did no better on other patients than the model it began with.", quiet)


class _Bar:
    """A bar over views and steps on a terminal; in a pipe one line now and then."""

    LINES = 10

    def __init__(self, bar: Any, quiet: bool) -> None:
        self._bar, self._quiet, self._stage = bar, quiet, ""

    def say(self, text: str) -> None:
        if self._bar.disable:
            say(text, self._quiet)
        else:
            self._bar.write(text, file=sys.stdout)

    def show(self, progress: Progress) -> None:
        if progress.stage != self._stage:
            self._stage = progress.stage
            self._bar.reset(total=progress.total)
            self._bar.set_description(progress.stage)
        self._bar.n = progress.done
        self._bar.refresh()
        every = max(1, progress.total // self.LINES)
        if self._bar.disable and progress.stage != "train" and progress.done % every == 0:
            self.say(f"{progress.stage}: {progress.done}/{progress.total}")

    def step(self, state: TrainingState) -> None:
        row = state.curve[-1]
        scored = "" if row.validation_dice is None else f", validation Dice {row.validation_dice:.3f}"
        self._bar.set_postfix_str(f"loss {row.loss:.3f}")
        if scored or (self._bar.disable and row.step % 25 == 0):
            self.say(f"step {row.step}: loss {row.loss:.3f}{scored}")


@contextmanager
def _bar(quiet: bool) -> Iterator[_Bar]:
    from tqdm import tqdm

    hidden = quiet or not sys.stderr.isatty()
    with tqdm(total=0, unit="", disable=hidden, file=sys.stderr) as bar:
        yield _Bar(bar, quiet)


@contextmanager
def _cancel_on_interrupt(quiet: bool) -> Iterator[Callable[[], bool]]:
    """Yield a check that is true once Ctrl+C was pressed, or the process told to end; a second Ctrl+C ends it at
    once."""
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        say("stopping after this step, so that --resume can go on; once more stops at once", quiet)

    kept = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
