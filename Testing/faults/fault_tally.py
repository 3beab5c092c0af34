"""Counts of injected faults, and the harm that was seen."""

from __future__ import annotations

import json
from collections import Counter
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
                {"target": target, "kind": kind, "count": count}
                for (_part, target, kind), count in sorted(self.faults.items())
            ],
            "endings": {ending: count for (_part, ending), count in sorted(self.endings.items())},
            "findings": [{**asdict(f.fault), "harm": f.harm.value, "detail": f.detail} for f in self.findings],
            "skipped": self.skipped,
        }


def added(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return the report of a part that was run in two goes."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in (*one["faults"], *other["faults"]):
        counts[row["target"], row["kind"]] += row["count"]
    rows = [{"target": target, "kind": kind, "count": count} for (target, kind), count in sorted(counts.items())]
    return {
        **other,
        **{name: round(one[name] + other[name], 1) for name in ("seconds", "cpu_seconds", "total")},
        **{name: dict(Counter(one[name]) + Counter(other[name])) for name in ("endings",)},
        "harm": {name: one["harm"][name] + other["harm"][name] for name in other["harm"]},
        "faults": rows,
        "findings": [*one["findings"], *other["findings"]],
    }


def update_report(path: Path, place: tuple[str, str], content: dict[str, Any]) -> None:
    """Put `content` at a place of a report in JSON, two names deep, and leave the rest of it."""
    report = read_report(path)
    outer, inner = place
    report.setdefault(outer, {})[inner] = content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_report(path: Path) -> dict[str, Any]:
    """Return a report, empty where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
