"""`medsam-segment models [list|pull|import|remove|verify]`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..checkpoints.store import CheckpointStore
from ..registry import ModelEntry, entries, get
from .progress import byte_bar, say


def run(options: argparse.Namespace) -> None:
    store = CheckpointStore()
    actions = {"pull": _pull, "import": _import, "remove": _remove, "verify": _verify}
    action = options.action or "list"
    if action == "list":
        _list(store, as_json=getattr(options, "json", False))
        return
    actions[action](store, get(options.model), options)


def _list(store: CheckpointStore, as_json: bool) -> None:
    if as_json:
        rows = [
            {"id": e.id, "title": e.title, "state": store.state(e), "bytes": e.size_bytes, "licence": e.licence}
            for e in entries()
        ]
        print(json.dumps({"folder": str(store.folder), "models": rows}, indent=2))
        return
    print(f"Folder: {store.folder}\n")
    print(f"{'id':26s} {'state':9s} {'MB':>6s}  {'licence':14s} title")
    for entry in entries():
        megabytes = f"{entry.expected_bytes / 1e6:.0f}"
        print(f"{entry.id:26s} {store.state(entry):9s} {megabytes:>6s}  {entry.licence:14s} {entry.title}")


def _pull(store: CheckpointStore, entry: ModelEntry, options: argparse.Namespace) -> None:
    if entry.licence_note:
        say(entry.licence_note, options.quiet)
    with byte_bar(entry.id, options.quiet) as progress:
        path = store.pull(entry, progress=progress)
    say(f"{entry.id} is ready: {path}", options.quiet)


def _import(store: CheckpointStore, entry: ModelEntry, options: argparse.Namespace) -> None:
    with byte_bar(entry.id, options.quiet) as progress:
        record = store.import_file(entry, Path(options.file), progress=progress)
    say(f"{entry.id} is ready: {store.path(entry)}, SHA-256 {record.sha256}", options.quiet)


def _remove(store: CheckpointStore, entry: ModelEntry, options: argparse.Namespace) -> None:
    removed = store.remove(entry)
    say(f"{entry.id} was removed." if removed else f"{entry.id} was not there.", options.quiet)


def _verify(store: CheckpointStore, entry: ModelEntry, options: argparse.Namespace) -> None:
    record = store.verify(entry)
    known = "as published" if entry.sha256 else "no hash is published; this is the file as first used"
    say(f"{entry.id} is whole, SHA-256 {record.sha256} ({known})", options.quiet)
