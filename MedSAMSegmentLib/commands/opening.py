"""From a command's options to a model: weights fetched when that is allowed, and loaded."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..runs.segmenting import named_weights
from .progress import byte_bar, say

if TYPE_CHECKING:
    from ..checkpoints.store import CheckpointStore
    from ..inference.slice_predictor import SlicePredictor
    from ..registry import ModelEntry


def load_model(options: argparse.Namespace, slices: int | None = None) -> SlicePredictor:
    """Return the model that the options name, with the weights fetched first when that is allowed.

    It is for about so many `slices`, None for any number.
    """
    from ..inference.open import load_predictor, options_for_mode

    model_id, weights = named_weights(options.model, options.weights)
    if model_id and not options.offline and not weights:
        fetch_weights(model_id, options.quiet)
    engine, precision = options_for_mode(options.mode, options.engine, options.precision)
    if converts_first(engine, options.device, weights_file(model_id, weights)):
        say(_preparing_note(engine, slices), options.quiet)
    predictor = load_predictor(
        model_id, weights=weights, device=options.device, precision=precision, engine=engine, slices=slices
    )
    if predictor.weights_note:
        say(predictor.weights_note, options.quiet)
    return predictor


def fetch_weights(model_id: str, quiet: bool) -> None:
    """Make a model's file present and verified. That it is fetched is said only where it is: not of a file that was
    copied there."""
    from ..checkpoints.store import CheckpointStore
    from ..registry import get

    entry, store = get(model_id), CheckpointStore()
    if store.state(entry) == "ready":
        return
    if not store.usable(entry):
        say(f"Fetching the weights of {entry.title} ({entry.expected_bytes / 1e6:.0f} MB, {entry.licence}).", quiet)
    pull_weights(store, entry, quiet)


def pull_weights(store: CheckpointStore, entry: ModelEntry, quiet: bool) -> None:
    """Fetch a model's file with what a user should know of it: its licence, and the hash where none is published."""
    if entry.licence_note:
        say(entry.licence_note, quiet)
    with byte_bar(entry.id, quiet) as progress:
        store.pull(entry, progress=progress)
    record = store.record(entry)
    if entry.sha256 is None and record is not None:
        say(f"No SHA-256 of {entry.file_name} is published: {record.sha256} was recorded.", quiet)


def weights_file(model_id: str | None, weights: str | None) -> Path:
    """Return the checkpoint that is about to be loaded; it need not exist."""
    from ..checkpoints.store import CheckpointStore
    from ..registry import get

    return Path(weights) if weights else CheckpointStore().path(get(str(model_id)))


def _preparing_note(engine: str, slices: int | None) -> str:
    """Say what becomes of a network that OpenVINO has not converted yet."""
    from ..inference.engines.choose import pays_to_prepare, resolve_engine

    if resolve_engine(engine) == "auto" and not pays_to_prepare(slices):
        return "So few slices are done sooner in torch; --engine openvino, once, makes later runs quicker."
    return "The first run prepares the network for this machine; the next ones start at once."


def converts_first(engine: str, device: str, weights: Path) -> bool:
    """Return whether OpenVINO would have to convert this network, which takes longer than a slice; later runs read
    that."""
    from ..inference.device import resolve_device
    from ..inference.engines.choose import resolve_engine
    from ..inference.engines.openvino_model import openvino_trouble

    engine = resolve_engine(engine)
    if engine not in ("auto", "openvino") or not weights.is_file():
        return False
    if openvino_trouble() or resolve_device(device).device.type != "cpu":
        return False
    return not _is_converted(weights)


def _is_converted(weights: Path) -> bool:
    from ..checkpoints.records import read_record
    from ..checkpoints.store import CheckpointStore
    from ..checkpoints.transfer import digest_file
    from ..inference.engines.openvino_model import is_converted

    record = read_record(weights)
    known = record is not None and record.matches(weights)
    sha256 = record.sha256 if record is not None and known else digest_file(weights).sha256
    return is_converted(CheckpointStore().derived_folder, sha256)
