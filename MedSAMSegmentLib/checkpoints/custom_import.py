"""Import any file of weights: a published one goes where it belongs, another becomes a model of its own."""

from __future__ import annotations

from pathlib import Path

from .. import registry
from ..cancellation import CancelCheck, never_cancel
from ..errors import CheckpointError
from ..registry import ModelEntry
from .custom_models import CustomModels
from .store import CheckpointStore
from .transfer import ByteProgressCallback, FileDigest, digest_file, ignore_progress


def import_any(
    store: CheckpointStore,
    path: Path,
    *,
    wanted: ModelEntry | None = None,
    progress: ByteProgressCallback = ignore_progress,
    cancel: CancelCheck = never_cancel,
) -> ModelEntry:
    """Copy the file into the store and return the model that it is now.

    `wanted` is the model that the user meant it for. Raises CheckpointError, DownloadError and Cancelled.
    """
    try:
        digest = digest_file(path, cancel=cancel)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}).", "Check the path.") from error
    published = published_entry(path.name, digest)
    if published is not None:
        store.import_file(published, path, progress=progress, cancel=cancel)
        return published
    return CustomModels(store).keep(path, wanted=wanted, progress=progress, cancel=cancel).entry


def published_entry(file_name: str, digest: FileDigest) -> ModelEntry | None:
    """Return the model whose published file this is: by the hash that is stated, else by the file's exact name."""
    for entry in registry.entries():
        if entry.sha256 is not None:
            same = digest.sha256 == entry.sha256
        elif entry.md5 is not None:
            same = digest.md5 == entry.md5
        else:
            same = file_name.lower() == entry.file_name.lower()
        if same:
            return entry
    return None
