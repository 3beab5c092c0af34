"""Many lesions: a queue of boxes, each a segment of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from ..prompts import Prompt
from .slice_plane import SlicePlane


class LesionState(Enum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    LOOK = "look"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass
class Lesion:
    """One row: `segment_id` is empty until a segment exists; `message` is the reason of a failure or the result."""

    name: str
    prompts: list[Prompt]
    plane: SlicePlane
    segment_id: str = ""
    state: LesionState = LesionState.WAITING
    message: str = ""
    flagged: tuple[int, ...] = field(default=())


class LesionQueue:
    """Rows in the order they were drawn, and the selected one."""

    def __init__(self) -> None:
        self.rows: list[Lesion] = []
        self.selected = -1

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def current(self) -> Lesion | None:
        return self.rows[self.selected] if 0 <= self.selected < len(self.rows) else None

    def append(self, lesion: Lesion) -> Lesion:
        self.rows.append(lesion)
        self.selected = len(self.rows) - 1
        return lesion

    def remove(self, row: int) -> None:
        del self.rows[row]
        self.selected = min(self.selected, len(self.rows) - 1)

    def clear(self) -> None:
        self.rows = []
        self.selected = -1

    def waiting(self) -> list[Lesion]:
        """The rows that "run all" takes: drawn, failed or cancelled."""
        again = (LesionState.WAITING, LesionState.FAILED, LesionState.CANCELLED)
        return [lesion for lesion in self.rows if lesion.state in again]

    def step(self, by: int) -> Lesion | None:
        """The next (1) or previous (-1) row, round the ends."""
        if not self.rows:
            return None
        self.selected = (self.selected + by) % len(self.rows) if self.selected >= 0 else 0
        return self.rows[self.selected]

    def forget_segment(self, segment_id: str) -> None:
        """A segment was deleted: its row goes too, unless its box has not run yet."""
        keep = [r for r in self.rows if r.segment_id != segment_id]
        self.rows = keep
        self.selected = min(self.selected, len(keep) - 1)


def next_name(existing: Iterable[str], stem: str = "Lesion") -> str:
    """`Lesion_3` after `Lesion_2`: the lowest number above all that are taken."""
    pattern = re.compile(rf"{re.escape(stem)}_(\d+)$")
    taken = [int(found.group(1)) for name in existing if (found := pattern.match(name))]
    return f"{stem}_{max(taken, default=0) + 1}"
