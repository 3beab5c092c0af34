"""The frozen encoder's embeddings of the slices, computed once and mapped from the disk.

A network whose encoder learns, too, gets the network's inputs in the same way.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..cancellation import CancelCheck, never_cancel, raise_if_cancelled
from ..checkpoints.folder import write_atomically
from ..errors import InputError, OutputError
from ..io.challenge_npz import npy_header
from .views import SliceView

FEATURES, TARGETS, INDEX = "features.npy", "targets.npy", "index.json"

SAVED_EVERY = 8
"""Views after which it is noted how far the encoding has come."""

_TYPES = {FEATURES: np.dtype(np.float16), TARGETS: np.dtype(np.bool_)}
_MOST_INDEX_BYTES = 50_000_000

Encode = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""From a slice (h,w[,3]) uint8 to what is kept of it."""

Place = Callable[[NDArray[np.bool_]], NDArray[np.bool_]]
"""From a slice's mask (h,w) to the mask on the square that the network sees."""

Progress = Callable[[int, int], None]
"""Called with the number done and the number in all."""


@dataclass(frozen=True)
class ViewRecord:
    patient: str
    index: int
    view: str


@dataclass(frozen=True, eq=False)
class ViewStore:
    """`features` (n,...) float16 and `targets` (n,S,S) bool on disk, one row a view; `records` says of what."""

    records: tuple[ViewRecord, ...]
    features: NDArray[np.float16]
    targets: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.records)


def fill_store(
    folder: Path,
    key: str,
    views: Iterable[SliceView],
    count: int,
    *,
    encode: Encode,
    place: Place,
    feature_shape: Sequence[int],
    side: int,
    progress: Progress = lambda done, total: None,
    cancel: CancelCheck = never_cancel,
) -> ViewStore:
    """Encode the views into `folder`, or go on where an earlier call with the same `key` ended.

    Views on which nothing of the object is left at the network's resolution are passed over. Raises `OutputError`
    for a disk that is full, `Cancelled`.
    """
    shapes = {FEATURES: (count, *feature_shape), TARGETS: (count, side, side)}
    kept = _read_index(folder, key, shapes)
    try:
        if kept is None:
            folder.mkdir(parents=True, exist_ok=True)
            _require_space(folder, shapes)
            kept = _Index(key, 0, ())
        mode = "r+" if kept.seen else "w+"
        features, targets = (
            np.lib.format.open_memmap(folder / name, mode=mode, dtype=_TYPES[name], shape=shapes[name])
            for name in (FEATURES, TARGETS)
        )
        records = list(kept.records)
        seen = kept.seen
        for number, view in enumerate(views):
            if number < kept.seen:
                continue
            raise_if_cancelled(cancel)
            target = place(view.mask)
            if target.any():
                features[len(records)] = encode(view.image)
                targets[len(records)] = target
                records.append(ViewRecord(view.patient, view.index, view.view))
            seen = number + 1
            progress(seen, count)
            if seen % SAVED_EVERY == 0 or seen == count:
                features.flush()
                targets.flush()
                _write_index(folder, _Index(key, seen, tuple(records)))
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written: {error.strerror}.", "Free space, or choose -o elsewhere."
        ) from error
    del features, targets
    return open_store(folder, key)


def open_store(folder: Path, key: str) -> ViewStore:
    """Open what `fill_store` has made, for reading. Raises `InputError` for anything else."""
    index = _read_index(folder, key)
    if index is None or not index.records:
        raise InputError(f"{folder} holds no embeddings of these data.", "Start the training again, with --overwrite.")
    features, targets = (np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in (FEATURES, TARGETS))
    return ViewStore(index.records, features[: len(index.records)], targets[: len(index.records)])


@dataclass(frozen=True)
class _Index:
    """The number of views that were looked at, and those that are kept."""

    key: str
    seen: int
    records: tuple[ViewRecord, ...]


def _write_index(folder: Path, index: _Index) -> None:
    write_atomically(folder / INDEX, json.dumps(asdict(index)))


def _read_index(folder: Path, key: str, shapes: dict[str, tuple[int, ...]] | None = None) -> _Index | None:
    """Return what was noted, if it is of the same data and the arrays are there as they have to be."""
    try:
        if (folder / INDEX).stat().st_size > _MOST_INDEX_BYTES:
            return None
        fields = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        index = _Index(str(fields["key"]), int(fields["seen"]), tuple(ViewRecord(**row) for row in fields["records"]))
        if index.key != key or not 0 <= len(index.records) <= index.seen:
            return None
        for name in (FEATURES, TARGETS):
            with (folder / name).open("rb") as file:
                shape, dtype = npy_header(file)
                data = file.tell()
            whole = dtype.itemsize * int(np.prod(shape)) + data == (folder / name).stat().st_size
            wanted = dtype == _TYPES[name] and (shapes is None or shape == shapes[name])
            if not whole or not wanted or len(index.records) > shape[0]:
                return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return index


def _require_space(folder: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    needed = sum(_TYPES[name].itemsize * int(np.prod(shape)) for name, shape in shapes.items())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"The embeddings need {needed / 1e9:.1f} GB, and the disk of {folder} has {free / 1e9:.1f} GB free.",
            "Free space, choose -o on another disk, or take fewer slices with --slices.",
        )
