"""Many lesions: a queue of objects, each a segment of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from ..measurements import Measurement
from ..results import SliceScore
from .corrections import Written, changed_slices
from .prompt_set import PromptSet
from .slice_plane import SlicePlane

KEPT_STATES = 10
"""As many states as the Segment Editor keeps for Undo."""


class LesionState(Enum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    LOOK = "look"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class LesionResult:
    """What a run found: the measurement of the segment as written, and the slices that deserve a look."""

    measurement: Measurement
    flagged: dict[int, SliceScore]
    masked_voxels: int = 0
    outside_voxels: int = 0
    interpolated: bool = False
    seconds: float = 0.0


@dataclass(eq=False)
class Lesion:
    """One row. `segment_id` is empty until its segment exists.

    `keys` are slices whose painted mask is a prompt, `committed` those whose preview was written, `written` is what
    we left in the segment last.
    """

    name: str
    prompts: PromptSet = field(default_factory=PromptSet)
    segment_id: str = ""
    state: LesionState = LesionState.WAITING
    message: str = ""
    keys: set[SlicePlane] = field(default_factory=set)
    committed: set[SlicePlane] = field(default_factory=set)
    written: Written | None = None
    earlier: list[Written] = field(default_factory=list)
    result: LesionResult | None = None

    @property
    def axis(self) -> int:
        if self.prompts or not self.keys:
            return self.prompts.axis
        return next(iter(self.keys)).axis

    @property
    def plane(self) -> SlicePlane | None:
        """Where to look for it: the slice drawn on last, else a key slice."""
        return self.prompts.latest or next(iter(self.keys), None)

    def remember(self, written: Written) -> None:
        """What the segment holds now; earlier states are kept, for Undo brings them back."""
        if self.written is not None:
            self.earlier = [*self.earlier[1 - KEPT_STATES :], self.written]
        self.written = written

    def state_of(self, current: NDArray[np.bool_]) -> Written | None:
        """What was written last before the user edited it to `current` (z,y,x); None when it was emptied.

        A segment that is exactly as an earlier run left it was brought there by Undo, not edited.
        """
        if self.written is None or not current.any():
            return None
        states = [*self.earlier, self.written]
        return next((w for w in reversed(states) if not changed_slices(w, current)), self.written)

    def reopen(self) -> None:
        """It has to run (again)."""
        self.state = LesionState.WAITING
        self.message = ""


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

    def select(self, lesion: Lesion | None) -> None:
        self.selected = self.rows.index(lesion) if lesion is not None and lesion in self.rows else -1

    def remove(self, lesion: Lesion) -> None:
        row = self.rows.index(lesion)
        del self.rows[row]
        if self.selected >= row:
            self.selected -= 1

    def clear(self) -> None:
        self.rows = []
        self.selected = -1

    def of_segment(self, segment_id: str) -> Lesion | None:
        """The row of a segment; rows without a segment belong to none."""
        return next((r for r in self.rows if segment_id and r.segment_id == segment_id), None)

    def waiting(self) -> list[Lesion]:
        """The rows that "run all" takes: drawn, failed or cancelled."""
        again = (LesionState.WAITING, LesionState.FAILED, LesionState.CANCELLED)
        return [lesion for lesion in self.rows if lesion.state in again and (lesion.prompts or lesion.keys)]

    def step(self, by: int) -> Lesion | None:
        """The next (1) or previous (-1) row, round the ends."""
        if not self.rows:
            return None
        self.selected = (self.selected + by) % len(self.rows) if self.selected >= 0 else 0
        return self.rows[self.selected]
