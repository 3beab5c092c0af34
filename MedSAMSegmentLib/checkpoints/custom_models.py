"""Checkpoints of the user's own: kept in the model folder as models of their own.

The file is `own-NAME`, which is the model's id too; `own-NAME.model.json` beside it says what it is. That description
names no place: where the file lies follows from the description's own name.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .. import registry
from ..cancellation import CancelCheck, never_cancel
from ..errors import CheckpointError, MedSAMError, UsageError
from ..registry import ModelEntry
from .folder import lock_file, write_atomically
from .store import CheckpointStore
from .transfer import ByteProgressCallback, digest_file, ignore_progress, megabytes, plausible_bytes, storage_error
from .weights import recognise_file

PREFIX = "own-"
DESCRIPTION = ".model.json"
SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")
_ID = re.compile(r"own-[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LONGEST_NAME = 60
_DESCRIPTION_BYTES = 10_000


@dataclass(frozen=True)
class CustomModel:
    """`network` is the registry's id of the model whose network the weights fit; `size` is in bytes."""

    id: str
    title: str
    network: str
    sha256: str
    size: int

    @property
    def entry(self) -> ModelEntry:
        """As the registry describes a model: the network's entry with this file's name, size and hash."""
        network = registry.get(self.network)
        return replace(
            network,
            id=self.id,
            title=f"{self.title} (own, {network.title})",
            file_name=self.id,
            size_bytes=self.size,
            sha256=self.sha256,
            md5=None,
            licence="not stated",
            licence_note="Weights that you imported; what their author allows is not known here.",
            good_for=f"Your own weights for the network of {network.title}.",
            sources=(),
        )


def is_custom(model_id: str) -> bool:
    return _ID.fullmatch(model_id) is not None


def custom_name(file_name: str) -> str:
    """Return the name under which a file is kept: letters, digits, point, dash and underscore of its own, never a
    path."""
    path = Path(re.split(r"[/\\]", file_name)[-1])
    suffix = path.suffix.lower() if path.suffix.lower() in SUFFIXES else ""
    stem = path.name[: len(path.name) - len(suffix)]
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._-")[:_LONGEST_NAME].rstrip("._-")
    return f"{PREFIX}{plain or 'weights'}{suffix or SUFFIXES[0]}"


class CustomModels:
    """The user's own models in the folder of `store`."""

    def __init__(self, store: CheckpointStore | None = None) -> None:
        self._store = store or CheckpointStore()

    def all(self) -> list[CustomModel]:
        """List the models by name. A description that cannot be read or that says what cannot be is passed over. Raises
        OSError."""
        found = (self._read(path) for path in sorted(self._store.folder.glob(f"{PREFIX}*{DESCRIPTION}")))
        return [model for model in found if model is not None]

    def get(self, model_id: str) -> CustomModel:
        """Raise CheckpointError when there is no such model."""
        found = self._read(self._description(model_id)) if is_custom(model_id) else None
        if found is None:
            raise CheckpointError(
                f"The model {model_id} is not in the model folder {self._store.folder}.",
                "Import its file again, or choose another model.",
            )
        return found

    def require(self, model: CustomModel) -> Path:
        """Return the path of the model's file, hashed once before its first use. Raises CheckpointError when it is
        another file."""
        try:
            return self._store.require(model.entry)
        except CheckpointError as error:
            cure = "Remove the model in the panel and import its file again."
            raise CheckpointError(error.message, cure, error.detail) from error

    def keep(
        self,
        path: Path,
        *,
        wanted: ModelEntry | None = None,
        progress: ByteProgressCallback = ignore_progress,
        cancel: CancelCheck = never_cancel,
    ) -> CustomModel:
        """Copy a file of weights into the folder as a model of its own.

        Its network is told by its tensors; where several have the same, `wanted` is taken if it is one of them.
        Another file of that name which is there already stays. Raises CheckpointError for a file that is no
        checkpoint, or that fits no network (naming the nearest), DownloadError when the folder cannot be written, and
        Cancelled.
        """
        recognition = recognise_file(path)
        candidates = (recognition.entry, *recognition.others)
        network = wanted if wanted is not None and wanted in candidates else recognition.entry
        try:
            size = path.stat().st_size
            sha256 = digest_file(path, cancel=cancel).sha256
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read ({error.strerror}).", "Check the path.") from error
        _check_size(path, size, network)
        try:
            with lock_file(self._store.folder, f"{PREFIX}models", cancel):
                model_id = self._free_id(custom_name(path.name), sha256)
                title = Path(model_id).stem.removeprefix(PREFIX)
                model = CustomModel(model_id, title, network.id, sha256, size)
                self._store.import_file(model.entry, path, progress=progress, cancel=cancel)
                self._describe(model)
        except OSError as error:
            raise storage_error(self._store.folder, error, network) from error
        return model

    def remove(self, model_id: str) -> None:
        """Delete its file, description and what was derived from it. Raises CheckpointError, DownloadError."""
        model = self.get(model_id)
        self._store.remove(model.entry)
        try:
            self._store.remove_derived(f"*.{model.sha256[:12]}.*")
            self._description(model_id).unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(self._store.folder, error, model.entry) from error

    def _free_id(self, name: str, sha256: str) -> str:
        known = self._read(self._description(name))
        if known is None or known.sha256 == sha256:
            return name
        return f"{Path(name).stem}-{sha256[:8]}{Path(name).suffix}"

    def _description(self, model_id: str) -> Path:
        return self._store.folder / f"{model_id}{DESCRIPTION}"

    def _describe(self, model: CustomModel) -> None:
        """Write the description last, so that a model is listed only when its file is complete; atomically. Raises
        OSError."""
        fields = {name: value for name, value in asdict(model).items() if name != "id"}
        write_atomically(self._description(model.id), json.dumps(fields, indent=1) + "\n")

    @staticmethod
    def _read(path: Path) -> CustomModel | None:
        try:
            with path.open(encoding="utf-8") as stream:
                fields = json.loads(stream.read(_DESCRIPTION_BYTES))
            return _parse(path.name.removesuffix(DESCRIPTION), fields)
        except (OSError, ValueError, TypeError, KeyError, MedSAMError):
            return None


def find_entry(model_id: str, store: CheckpointStore) -> ModelEntry:
    """Return what is known of a model, published or the user's own. Raises `UsageError`, `CheckpointError`."""
    return CustomModels(store).get(model_id).entry if is_custom(model_id) else registry.get(model_id)


def _check_size(path: Path, size: int, network: ModelEntry) -> None:
    low, high = plausible_bytes(network)
    if not low <= size <= high:
        raise CheckpointError(
            f"{path} has {megabytes(size)}; weights of {network.title} have {megabytes(low)} to {megabytes(high)}.",
            "Save the state dict alone, in half or single precision.",
        )


def _parse(model_id: str, fields: dict[str, Any]) -> CustomModel:
    """Raise KeyError, TypeError, ValueError or UsageError for what no model can be."""
    title, sha256, size = str(fields["title"]), str(fields["sha256"]), int(fields["size"])
    network = registry.get(str(fields["network"])).id
    if not (is_custom(model_id) and _SHA256.fullmatch(sha256) and size > 0 and title.isprintable()):
        raise UsageError(f"{model_id} is no description of a model.")
    return CustomModel(model_id, title[:_LONGEST_NAME], network, sha256, size)
