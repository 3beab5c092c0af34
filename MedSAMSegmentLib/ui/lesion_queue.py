"""Many lesions: a queue of objects, each a segment of its own."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
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
    UNDONE = "undone"


@dataclass(frozen=True)
class LesionResult:
    """The findings of a run: the measurement of the segment as written, and the slices that deserve a look.

    `axis` is that of the run, `voxels` the segment's size on its own grid. `measurement` comes after the rest.
    """

    axis: int
    flagged: dict[int, SliceScore]
    masked_voxels: int = 0
    outside_voxels: int = 0
    interpolated: bool = False
    seconds: float = 0.0
    voxels: int = 0
    measurement: Measurement | None = None


_NUMBERS = itertools.count(1)


@dataclass(eq=False)
class Lesion:
    """One row. `number` is its own for good. `segment_id` is empty until its segment exists, and again when it is gone;
    `lost_segment_id` names that one.

    `keys` are slices whose painted mask is a prompt, `committed` those whose preview was written, `written` is what
    we left in the segment last. `window` is the automatic choice of intensities; "" before it was made. A `fruitless`
    object failed for a reason of its own: the same prompts and options would fail again. `found` are the results of
    all its runs, for Undo and Redo go through them. `roi_id` names the ROI node that marks it.
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
    window: str = ""
    fruitless: bool = False
    lost_segment_id: str = ""
    roi_id: str = ""
    found: list[LesionResult] = field(default_factory=list)
    number: int = field(default_factory=lambda: next(_NUMBERS))

    @property
    def axis(self) -> int:
        if self.prompts or not self.keys:
            return self.prompts.axis
        return next(iter(self.keys)).axis

    @property
    def plane(self) -> SlicePlane | None:
        """The plane to look for it in: the slice drawn on last, else a key slice."""
        return self.prompts.latest or next(iter(self.keys), None)

    def remember(self, written: Written) -> None:
        """Remember what the segment holds now; earlier states are kept, for Undo brings them back."""
        if self.written is not None:
            self.earlier = [*self.earlier[1 - KEPT_STATES :], self.written]
        self.written = written

    def complete(self, result: LesionResult) -> None:
        """A run ended with this, and it was written."""
        self.found = [*self.found[1 - KEPT_STATES :], result]
        self._show(result)
        self.message = self.lost_segment_id = ""

    def measured(self, result: LesionResult, measurement: Measurement) -> None:
        """The figures of one of its results."""
        whole = replace(result, measurement=measurement)
        self.found = [whole if known is result else known for known in self.found]
        if self.result is result:
            self.result = whole

    def settle(self, voxels: int) -> None:
        """The segment holds so many voxels now: Undo and Redo make them those of another run, or none."""
        if not self.found or self.state not in (LesionState.DONE, LesionState.LOOK, LesionState.UNDONE):
            return
        known = next((result for result in reversed(self.found) if result.voxels == voxels), None)
        if known is not None:
            self._show(known)
        elif voxels == 0:
            self.result, self.state = None, LesionState.UNDONE

    def lose_segment(self) -> None:
        """Its segment was deleted, or the run that made it undone."""
        self.lost_segment_id, self.segment_id = self.segment_id, ""
        self.keys.clear()
        self.settle(0)

    def find_segment(self) -> None:
        """Redo brought it back."""
        self.segment_id, self.lost_segment_id = self.lost_segment_id, ""

    def _show(self, result: LesionResult) -> None:
        self.result = result
        self.state = LesionState.LOOK if result.flagged else LesionState.DONE

    def state_of(self, current: NDArray[np.bool_]) -> Written | None:
        """Return what was written last before the user edited it to `current` (z,y,x); None when it was emptied.

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
        self.fruitless = False


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

    def numbered(self, number: int) -> Lesion | None:
        return next((r for r in self.rows if r.number == number), None)

    def of_segment(self, segment_id: str) -> Lesion | None:
        """The row of a segment; rows without a segment belong to none."""
        return next((r for r in self.rows if segment_id and r.segment_id == segment_id), None)

    def unfinished(self) -> list[Lesion]:
        """The rows that were drawn and have no result."""
        states = (LesionState.WAITING, LesionState.FAILED, LesionState.CANCELLED, LesionState.UNDONE)
        return [lesion for lesion in self.rows if lesion.state in states and (lesion.prompts or lesion.keys)]

    def waiting(self) -> list[Lesion]:
        """The rows that "run all" takes: drawn, cancelled, or failed for a reason that may be gone."""
        return [r for r in self.unfinished() if not r.fruitless and r.state is not LesionState.UNDONE]

    def options_changed(self) -> None:
        """Let failed objects run again: they may succeed with other options."""
        for lesion in self.rows:
            lesion.fruitless = False

    def step(self, by: int) -> Lesion | None:
        """The next (1) or previous (-1) row, round the ends."""
        if not self.rows:
            return None
        self.selected = (self.selected + by) % len(self.rows) if self.selected >= 0 else 0
        return self.rows[self.selected]
