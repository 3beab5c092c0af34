"""Counts of injected faults, and the harm that was seen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any


class Harm(str, Enum):
    """The harms that a fault must not do."""

    WRONG = "wrong results"
    HALF = "half-written files"
    ENDLESS = "waits without end"
    ORPHAN = "orphan processes"
    UNCLEAR = "errors without a clear sentence"


@dataclass(frozen=True)
class Fault:
    """One injected fault. `number` is its place in the part; with the seed it makes the fault again."""

    part: str
    kind: str
    target: str
    number: int


@dataclass(frozen=True)
class Finding:
    """Harm that a fault did."""

    fault: Fault
    harm: Harm
    detail: str


@dataclass
class Tally:
    """Faults by part, target and kind, findings, and counts of other events."""

    faults: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    endings: Counter[tuple[str, str]] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, fault: Fault, ending: str) -> None:
        """Count a fault and how it ended, such as "refused" or "unharmed"."""
        self.faults[fault.part, fault.target, fault.kind] += 1
        self.endings[fault.part, ending] += 1

    def found(self, fault: Fault, harm: Harm, detail: str) -> None:
        self.findings.append(Finding(fault, harm, detail[-2000:]))

    def skip(self, kind: str, reason: str) -> None:
        """Note a kind of fault that cannot be injected here."""
        self.skipped[kind] = reason

    @property
    def total(self) -> int:
        return sum(self.faults.values())

    def as_json(self, **facts: Any) -> dict[str, Any]:
        """Return everything as JSON; `facts` are the seed, seconds and the like."""
        return {
            **facts,
            "total": self.total,
            "harm": {harm.value: sum(f.harm == harm for f in self.findings) for harm in Harm},
            "faults": [
                {"part": part, "target": target, "kind": kind, "count": count}
                for (part, target, kind), count in sorted(self.faults.items())
            ],
            "endings": [
                {"part": part, "ending": ending, "count": count}
                for (part, ending), count in sorted(self.endings.items())
            ],
            "findings": [{**asdict(f.fault), "harm": f.harm.value, "detail": f.detail} for f in self.findings],
            "skipped": self.skipped,
        }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
