"""From a command's options to a session: weights fetched when that is allowed, model loaded, volume opened."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..io.volume import Volume
from .progress import byte_bar, say

if TYPE_CHECKING:
    from ..inference.session import VolumeSession


def open_image(volume: Volume, options: argparse.Namespace) -> VolumeSession:
    """A session on a volume that was read, with the weights fetched first when that is allowed."""
    from ..inference.open import DEFAULT_MODEL, load_predictor, open_session

    if not options.offline and not options.weights:
        fetch_weights(options.model or DEFAULT_MODEL, options.quiet)
    if options.engine == "auto" and not engines_prepared():
        say(
            "The first run prepares the network for this machine; the next ones start at once.",
            options.quiet,
        )
    predictor = load_predictor(
        options.model,
        weights=options.weights,
        device=options.device,
        precision=options.precision,
        engine="torch" if options.mode == "reference" else options.engine,
    )
    if predictor.weights_note:
        say(predictor.weights_note, options.quiet)
    return open_session(
        predictor,
        volume.array_zyx,
        geometry=volume.geometry,
        window=options.window,
        modality=volume.modality,
        mode=options.mode,
        time_series=volume.time_axis,
    )


def fetch_weights(model_id: str, quiet: bool) -> None:
    from ..checkpoints.store import CheckpointStore
    from ..registry import get

    entry, store = get(model_id), CheckpointStore()
    if store.state(entry) == "ready":
        return
    say(f"Fetching the weights of {entry.title} ({entry.expected_bytes / 1e6:.0f} MB, {entry.licence}).", quiet)
    if entry.licence_note:
        say(entry.licence_note, quiet)
    with byte_bar(entry.id, quiet) as progress:
        store.pull(entry, progress=progress)


def engines_prepared() -> bool:
    """Whether an engine was prepared on this machine before; preparing one takes longer than a slice."""
    from ..checkpoints.store import CheckpointStore

    folder = CheckpointStore().folder / "engines"
    return folder.is_dir() and any(folder.iterdir())
