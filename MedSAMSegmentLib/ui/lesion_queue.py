"""Many lesions: a queue of objects, each a segment of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from ..measurements import Measurement
from ..results import SliceScore
from .corrections import Written
from .prompt_set import PromptSet
from .slice_plane import SlicePlane


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

    `keys` are slices whose painted mask is a prompt, `committed` those whose preview was written.
    """

    name: str
    prompts: PromptSet = field(default_factory=PromptSet)
    segment_id: str = ""
    state: LesionState = LesionState.WAITING
    message: str = ""
    keys: set[SlicePlane] = field(default_factory=set)
    committed: set[SlicePlane] = field(default_factory=set)
    written: Written | None = None
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
