"""Read access to the index of Slicer's real API (slicer_api_index.json beside this package)."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INDEX_PATH = Path(__file__).resolve().parents[1] / "slicer_api_index.json"


@dataclass(frozen=True)
class ClassEntry:
    """One Qt class of Slicer or CTK; names inherited from its base are not repeated."""

    name: str
    base: str | None
    properties: frozenset[str]
    arity: dict[str, tuple[tuple[int, int], ...]]
    signal_signatures: tuple[str, ...]
    enum_values: tuple[str, ...]
    enums: frozenset[str]
    constructible: bool

    @property
    def methods(self) -> frozenset[str]:
        """Names of the methods, that is of the keys of `arity`."""
        return frozenset(self.arity)


@functools.cache
def load_index() -> dict[str, Any]:
    """The trimmed index as stored."""
    return json.loads(INDEX_PATH.read_text(encoding="utf-8"))


@functools.cache
def class_entry(name: str) -> ClassEntry | None:
    """The entry of a class, or None when the index has no such class."""
    raw = load_index()["qt_classes"].get(name)
    if raw is None:
        return None
    arity = {method: tuple(_arity_range(text) for text in ranges) for method, ranges in raw.get("arity", {}).items()}
    return ClassEntry(
        name=name,
        base=raw["base"],
        properties=frozenset(raw.get("properties", ())),
        arity=arity,
        signal_signatures=tuple(raw.get("signal_signatures", ())),
        enum_values=tuple(raw.get("enum_values", ())),
        enums=frozenset(raw.get("enums", ())),
        constructible=bool(raw.get("constructible", False)),
    )


def chain(name: str) -> Iterator[ClassEntry]:
    """The class and its bases that the index knows, most derived first."""
    entry = class_entry(name)
    while entry is not None:
        yield entry
        entry = class_entry(entry.base) if entry.base else None


def plain_qt_base(name: str) -> str | None:
    """Name of the Qt class at the end of the chain, None for a class that is no QObject."""
    base: str | None = name
    for entry in chain(name):
        base = entry.base
    return base


def function_parameters(module: str, function: str) -> list[str] | None:
    """Parameter names of a function of one of Slicer's Python modules, None when it has none of that name."""
    return load_index()["python_modules"].get(module, {}).get("functions", {}).get(function)


def _arity_range(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    return int(low), int(high or low)
