"""`medsam-segment models [list|pull|import|remove|verify]`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..checkpoints.custom_import import import_any
from ..checkpoints.custom_models import CustomModels, find_entry, is_custom
from ..checkpoints.store import CheckpointStore
from ..registry import ModelEntry, entries, get
from .opening import pull_weights
from .progress import byte_bar, say


def run(options: argparse.Namespace) -> None:
    store = CheckpointStore()
    actions = {"pull": _pull, "remove": _remove, "verify": _verify}
    action = options.action or "list"
    if action == "list":
        _list(store, as_json=getattr(options, "json", False))
        return
    if action == "import":
        _import(store, options)
        return
    actions[action](store, find_entry(options.model, store), options)


def _list(store: CheckpointStore, as_json: bool) -> None:
    if as_json:
        rows = [_row(store, entry) for entry in _all_entries(store)]
        print(json.dumps({"folder": str(store.folder), "models": rows}, indent=2))
        return
    print(f"Folder: {store.folder}\n")
    print(f"{'id':26s} {'state':10s} {'MB':>6s}  {'hash':13s} {'licence':14s} title")
    for entry in _all_entries(store):
        megabytes = f"{entry.expected_bytes / 1e6:.0f}"
        state, known = store.state(entry), published_hash(entry)
        print(f"{entry.id:26s} {state:10s} {megabytes:>6s}  {known:13s} {entry.licence:14s} {entry.title}")


def _all_entries(store: CheckpointStore) -> list[ModelEntry]:
    """Return the models that are published, then the user's own."""
    return [*entries(), *(model.entry for model in CustomModels(store).all())]


def _row(store: CheckpointStore, entry: ModelEntry) -> dict[str, Any]:
    record = store.record(entry)
    return {
        "id": entry.id,
        "title": entry.title,
        "state": store.state(entry),
        "bytes": entry.size_bytes,
        "licence": entry.licence,
        "hash": published_hash(entry),
        "sha256": record.sha256 if record is not None else entry.sha256,
    }


def published_hash(entry: ModelEntry) -> str:
    """Return the hash that a file of this model is held to: without a published one, that of the file first used."""
    if entry.sha256 is not None:
        return "SHA-256"
    return "MD5" if entry.md5 is not None else "not published"


def _pull(store: CheckpointStore, entry: ModelEntry, options: argparse.Namespace) -> None:
    pull_weights(store, entry, options.quiet)
    say(f"{entry.id} is ready: {store.path(entry)}", options.quiet)


def _import(store: CheckpointStore, options: argparse.Namespace) -> None:
    file = Path(options.file)
    wanted = get(options.model) if options.model else None
    with byte_bar(file.name, options.quiet) as progress:
        if wanted is not None:
            store.import_file(wanted, file, progress=progress)
            entry = wanted
        else:
            entry = import_any(store, file, progress=progress)
    record = store.record(entry)
    digest = f", SHA-256 {record.sha256}" if record is not None else ""
    say(f"{entry.id} is ready: {store.path(entry)}{digest}", options.quiet)
    if is_custom(entry.id):
        say(f"{entry.title}. Use it by --model {entry.id}", options.quiet)


def _remove(store: CheckpointStore, entry: ModelEntry, options: argparse.Namespace) -> None:
    if is_custom(entry.id):
        CustomModels(store).remove(entry.id)
        say(f"{entry.id} was removed.", options.quiet)
        return
    removed = store.remove(entry)
    say(f"{entry.id} was removed." if removed else f"{entry.id} was not there.", options.quiet)


def _verify(store: CheckpointStore, entry: ModelEntry, options: argparse.Namespace) -> None:
    record = store.verify(entry)
    if is_custom(entry.id):
        say(f"{entry.id} is whole, SHA-256 {record.sha256} (as imported)", options.quiet)
        return
    known = "as published" if entry.sha256 else "no hash is published; this is the file as first used"
    say(f"{entry.id} is whole, SHA-256 {record.sha256} ({known})", options.quiet)
