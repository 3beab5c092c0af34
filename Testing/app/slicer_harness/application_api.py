"""What a running application offers to Python: the members of its Qt classes with their kinds (pythonqt_api.json)."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

DUMP_PATH = Path(__file__).resolve().parents[1] / "pythonqt_api.json"
Kind = Literal["property", "slot", "signal", "enum", "enum value", "function"]
_AS_PYTHONQT_CALLS_IT: dict[Kind, str] = {
    "slot": "Slot",
    "signal": "Signal",
    "enum": "Enum",
    "enum value": "EnumValue",
    "function": "Slot",
}


@dataclass(frozen=True)
class Members:
    """The members of one class, inherited ones included."""

    name: str
    properties: Mapping[str, str]
    """Name to access ("rw", "r", "?") and C++ type."""
    methods: Mapping[str, int]
    """Name to the largest number of arguments, -1 where it is not known."""
    signals: frozenset[str]
    signatures: frozenset[str]
    enums: Mapping[str, Mapping[str, int]]
    functions: frozenset[str]
    not_writable: frozenset[str]
    """What the meta object calls a property and Python does not."""

    def kind(self, name: str) -> Kind | None:
        """What a name stands for, looked for in PythonQt's order; None when the class has no such member."""
        tests: tuple[tuple[Kind, bool], ...] = (
            ("property", name in self.properties and name not in self.not_writable),
            ("slot", name in self.methods),
            ("signal", name in self.signals),
            ("enum", name in self.enums),
            ("enum value", any(name in values for values in self.enums.values())),
            ("function", name in self.functions),
        )
        found = next((kind for kind, holds in tests if holds), None)
        if found is None and name.endswith("_") and name[:-1] in self.methods:
            return "slot"  # PythonQt finds `exec` and `raise` under `exec_` and `raise_` too.
        return found

    def is_writable(self, name: str) -> bool:
        """True for a property that can be assigned, or of which that was not tried."""
        return self.kind(name) == "property" and not self.properties[name].startswith("r ")

    def type_of(self, name: str) -> str:
        """The C++ type of a property without its pointer, "" when the dump does not say."""
        return self.properties[name].partition(" ")[2].rstrip("*").strip()

    def most_arguments(self, name: str) -> int:
        """The largest number of arguments of a method; -1 when it is not known."""
        return self.methods.get(name, self.methods.get(name.removesuffix("_"), -1))

    def refusal(self, name: str) -> str | None:
        """What the application says to the assignment of an attribute; None when it accepts it."""
        kind = self.kind(name)
        if kind == "property":
            return None if self.is_writable(name) else f"Property '{name}' of {self.name} object is not writable"
        if kind is not None:
            return f"{_AS_PYTHONQT_CALLS_IT[kind]} '{name}' can not be overwritten on {self.name} object"
        return f"'{name}' does not exist on {self.name} and creating new attributes on C++ objects is not allowed"

    def has_signal(self, signature: str) -> bool:
        """True for a signal by its normalised signature; by its name where the dump has no signatures of it."""
        name = signature.partition("(")[0]
        known = {one for one in self.signatures if one.partition("(")[0] == name}
        return signature in known if known else name in self.signals


@functools.cache
def load_dump() -> dict[str, Any]:
    """The trimmed dump as stored."""
    return json.loads(DUMP_PATH.read_text(encoding="utf-8"))


@functools.cache
def members(name: str) -> Members | None:
    """The members of a class, or None when the dump has no such class."""
    raw = _whole(name)
    if raw is None:
        return None
    return Members(
        name=name,
        properties=raw["p"],
        methods=raw["m"],
        signals=frozenset(signal.partition("(")[0] for signal in raw["s"]),
        signatures=frozenset(normalized(signal) for signal in raw["s"] if "(" in signal),
        enums=raw["e"],
        functions=frozenset(raw["f"]),
        not_writable=frozenset(raw["x"]),
    )


def normalized(signature: str) -> str:
    """A signature without spaces, `const` and references, as Qt compares it."""
    compact = re.sub(r"\bconst\b|&|\s+", " ", signature)
    return re.sub(r"\s*([(),*<>])\s*", r"\1", compact).strip()


@functools.cache
def _whole(name: str) -> dict[str, Any] | None:
    own = load_dump()["classes"].get(name)
    if own is None:
        return None
    like = _whole(own["like"]) if "like" in own else None
    base = like or {key: {} for key in "empx"} | {"f": frozenset(), "s": frozenset()}
    whole: dict[str, Any] = {key: {**base[key], **own.get(key, {})} for key in "empx"}
    whole |= {key: base[key] | frozenset(own.get(key, ())) for key in "fs"}
    return whole
