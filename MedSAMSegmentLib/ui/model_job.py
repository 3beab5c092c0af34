"""A process of its own that fetches, copies, checks, deletes or trains a checkpoint, so that Slicer never waits.

Run as a script by the worker's interpreter: `model_job.py LIBRARY_FOLDER pull|import|remove MODEL [FILE]`, or
`... train MODEL MANIFEST LABEL`. It prints one JSON object a line: `{"done": bytes, "total": bytes}` while it works, of
a training `{"done": n, "total": n, "stage": word}`; at last `{"ok": model}`, the id of the model that the file is now,
with `"note"` where there is something to say, or `{"error": ..., "cure": ..., "code": ...}`. When its stdin closes it
cancels.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REPORT_SECONDS = 0.1


def main(arguments: Sequence[str]) -> int:
    library, action, model, *rest = arguments
    sys.path.insert(0, library)
    from MedSAMSegmentLib.errors import Cancelled, MedSAMError

    cancelled = threading.Event()
    threading.Thread(target=_wait_for_end_of_input, args=(cancelled,), daemon=True).start()
    try:
        if action == "train":
            say(**_train(model, Path(rest[0]), rest[1], cancelled))
        else:
            say(ok=_perform(action, model, rest, cancelled))
    except ImportError as error:
        say(
            error=f"The package {error.name} is not installed in {sys.executable}.",
            cure="Press Install what is missing under Interpreter and device.",
            code="model",
        )
    except MedSAMError as error:
        say(error=error.message, cure=error.cure, code=error.code)
        return Cancelled.exit_code if isinstance(error, Cancelled) else 1
    return 0


def say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


def _perform(action: str, model: str, rest: Sequence[str], cancelled: threading.Event) -> str:
    """The id of the model that was fetched, imported or removed."""
    from MedSAMSegmentLib.checkpoints.custom_import import import_any
    from MedSAMSegmentLib.checkpoints.custom_models import CustomModels, is_custom
    from MedSAMSegmentLib.checkpoints.store import CheckpointStore
    from MedSAMSegmentLib.registry import get

    store, report = CheckpointStore(), _Report()
    if action == "remove" and is_custom(model):
        CustomModels(store).remove(model)
        return model
    entry = get(CustomModels(store).get(model).network if is_custom(model) else model)
    if action == "pull":
        store.pull(entry, progress=report, cancel=cancelled.is_set)
    elif action == "import":
        return import_any(store, Path(rest[0]), wanted=entry, progress=report, cancel=cancelled.is_set).id
    else:
        store.remove(entry)
    return entry.id


def _train(model: str, manifest: Path, label: str, cancelled: threading.Event) -> dict[str, str]:
    """Return the id of the model that was made of the segments in the manifest, and how good it is."""
    from MedSAMSegmentLib.checkpoints.custom_models import custom_name
    from MedSAMSegmentLib.results import Progress
    from MedSAMSegmentLib.training.fine_tuning import TrainingRequest, fine_tune

    next_report = 0.0

    def report(progress: Progress) -> None:
        nonlocal next_report
        now = time.monotonic()
        if now >= next_report or progress.done == progress.total:
            next_report = now + REPORT_SECONDS
            say(done=progress.done, total=progress.total, stage=progress.stage)

    name = custom_name(f"{label}.safetensors").removeprefix("own-")
    # The masks are all that the files hold; the name is the model's.
    request = TrainingRequest(manifest, ("1",), manifest.parent / name, model)
    done = fine_tune(request, on_progress=report, cancel=cancelled.is_set)
    before, after = done.card["dice_before"]["mean"], done.card["dice_after"]["mean"]
    judged = (
        "on the patient kept to test with" if done.card["validated"] else "on what it was trained on, not validated"
    )
    return {"ok": done.model_id, "note": f"Dice {before:.2f} before, {after:.2f} after, {judged}."}


class _Report:
    """Prints progress ten times a second at most."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now >= self._next or done == total:
            self._next = now + REPORT_SECONDS
            say(done=done, total=total or 0)


def _wait_for_end_of_input(cancelled: threading.Event) -> None:
    while sys.stdin.buffer.read(4096):
        pass
    cancelled.set()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
