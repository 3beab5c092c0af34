"""The state of a cohort, as its plan and its sidecars tell it."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from .planning import read_plan
from .sidecar import FOLDER, read_sidecar, sidecar_path

RATE_OF, LEAST = 50, 3
"""Cases that ended last, of which the rate is taken, and how many there must be."""


KNOWN_STATES = ("done", "failed", "running")


@dataclass(frozen=True)
class Brief:
    """The part of a sidecar that `status` needs; times are seconds since 1970.

    `worked` is how many seconds the case took, without those in which the model was loaded.
    """

    request: str
    state: str
    code: str = ""
    started: float = 0.0
    finished: float = 0.0
    host: str = ""
    process: int = 0
    worked: float = 0.0

    @classmethod
    def of(cls, sidecar: Mapping[str, Any]) -> Brief:
        return cls(
            str(sidecar.get("request")),
            str(sidecar.get("state")),
            str(sidecar.get("error", {}).get("code", "")),
            _seconds(sidecar.get("started")),
            _seconds(sidecar.get("finished")),
            str(sidecar.get("host", "")),
            int(sidecar.get("process") or 0),
            float(sidecar.get("seconds") or 0) - float(sidecar.get("load_seconds") or 0),
        )

    @property
    def is_abandoned(self) -> bool:
        """True for a case whose process is gone, as far as this machine can tell."""
        if self.state != "running" or os.name != "posix" or self.host != platform.node() or self.process <= 0:
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except OSError:
            pass
        return False


@dataclass
class CohortState:
    """Ids by state, failures by the code of their error, and cases an hour where enough is known."""

    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    running: list[tuple[str, Brief]] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    an_hour: float | None = None

    @property
    def count(self) -> int:
        return len(self.done) + len(self.failed) + len(self.running) + len(self.pending)


class StateReader:
    """Reads the state again and again; a sidecar that has not changed is not read twice."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._known: dict[str, tuple[tuple[int, int], Brief]] = {}

    def read(self) -> CohortState:
        """Return the state as it is now. Raises `InputError` where there is no cohort."""
        requests = read_plan(self._out)
        self._look()
        state = CohortState()
        finished: list[Brief] = []
        for name, request in requests.items():
            brief = self._known[name][1] if name in self._known else None
            if brief is None or brief.request != request or brief.is_abandoned or brief.state not in KNOWN_STATES:
                state.pending.append(name)
            elif brief.state == "running":
                state.running.append((name, brief))
            else:
                (state.done if brief.state == "done" else state.failed).append(name)
                finished.append(brief)
                if brief.state == "failed":
                    state.codes[brief.code] += 1
        state.an_hour = _rate(finished, [brief for _, brief in state.running])
        return state

    def _look(self) -> None:
        folder = self._out / FOLDER
        if not folder.is_dir():
            return
        for entry in os.scandir(folder):
            if not entry.name.endswith(".json") or entry.name.startswith("."):
                continue
            try:
                status = entry.stat()
            except FileNotFoundError:
                continue
            name, mark = entry.name[: -len(".json")], (status.st_mtime_ns, status.st_size)
            if name not in self._known or self._known[name][0] != mark:
                self._known[name] = (mark, Brief.of(read_sidecar(Path(entry.path))))


def known_cases(out: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each case of the plan with its sidecar, which is empty for one that was not run as it is asked for now.

    Raises `InputError` where there is no cohort.
    """
    for name, request in read_plan(out).items():
        sidecar = read_sidecar(sidecar_path(out, name))
        yield name, sidecar if sidecar.get("request") == request else {}


def status_lines(state: CohortState, now: float) -> list[str]:
    """Return what `status` prints."""
    counts = (("done", state.done), ("failed", state.failed), ("running", state.running), ("pending", state.pending))
    lines = [f"{state.count} cases: " + ", ".join(f"{len(ids)} {name}" for name, ids in counts)]
    if state.failed:
        codes = ", ".join(f"{number} {code}" for code, number in state.codes.most_common())
        lines.append(f"failed: {codes}; {_some(state.failed)}")
    for name, brief in state.running[:8]:
        lines.append(f"running: {name} on {brief.host} for {_duration(now - brief.started)}")
    if state.an_hour:
        left = len(state.pending) + len(state.running)
        more = f"; about {_duration(left / state.an_hour * 3600)} for what is left" if left else ""
        lines.append(f"{state.an_hour:.0f} cases an hour{more}")
    return lines


def _some(ids: Sequence[str], count: int = 8) -> str:
    return ", ".join(ids[:count]) + (f" and {len(ids) - count} more" if len(ids) > count else "")


def _rate(finished: Sequence[Brief], running: Sequence[Brief]) -> float | None:
    """Return the cases an hour of the processes that run now, from how long those took that they ended last.

    The times at which cases ended would not do: there are pauses between runs, and all processes of a run load their
    model first and end their first cases together. None while there are fewer than one a process, or than `LEAST`.
    """
    at_work = {(brief.host, brief.process) for brief in running}
    theirs = [brief for brief in finished if (brief.host, brief.process) in at_work]
    last = sorted(theirs, key=lambda brief: brief.finished)[-RATE_OF:]
    worked = sum(brief.worked for brief in last)
    if len(last) < max(LEAST, len(at_work)) or worked <= 0:
        return None
    return len(at_work) * len(last) / worked * 3600


def _duration(seconds: float) -> str:
    seconds = max(0.0, seconds)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _seconds(text: object) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return 0.0
