"""The model that a training starts from: a published one, or one of the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..checkpoints.custom_models import CustomModels, is_custom
from ..checkpoints.store import CheckpointStore
from ..errors import UsageError
from ..registry import ModelEntry, get


@dataclass(frozen=True)
class BaseModel:
    """`entry` is that of the network; `sha256` is that of the weights in `path`."""

    id: str
    entry: ModelEntry
    path: Path
    sha256: str


def find_base(model_id: str, store: CheckpointStore) -> BaseModel:
    """Return the model to start from. Raises `ModelError` when its file is not there, `UsageError` for a network that
    cannot be trained here."""
    own = CustomModels(store).get(model_id) if is_custom(model_id) else None
    entry = get(own.network if own is not None else model_id)
    require_trainable(entry)
    path = CustomModels(store).require(own) if own is not None else store.require(entry)
    return BaseModel(model_id, entry, path, store.sha256(own.entry if own is not None else entry))


def require_trainable(entry: ModelEntry) -> None:
    """Raise `UsageError` for a network that cannot be trained here."""
    if entry.kind != "slice":
        raise UsageError(
            f"{entry.title} follows objects through a memory, which cannot be trained here.",
            "Use --model lite_medsam, or another model for single slices.",
        )
