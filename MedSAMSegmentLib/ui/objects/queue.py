"""A queue of objects to segment, each a segment of its own."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from enum import Enum

from ...geometry import SlicePlane
from ...measurements import Measurement
from ...prompts import Box, Line, MaskPrompt, Point, Prompt
from ...results import FLAG_TWO_READINGS, Assessment, PackedMask, SliceScore

KEPT_STATES = 10
"""As many states as the Segment Editor keeps for Undo."""


@dataclass(frozen=True)
class _Drawn:
    plane: SlicePlane
    prompt: Prompt


class PromptSet:
    """The drawings for one object, in order. A drawing across another axis starts over: a run goes along one axis.

    `roi` is the 3D box of an object that an ROI marks.
    """

    def __init__(self) -> None:
        self._drawn: list[_Drawn] = []
        self._earlier: list[list[_Drawn]] = []
        self.roi: Box | None = None

    def __bool__(self) -> bool:
        return bool(self._drawn) or self.roi is not None

    @property
    def axis(self) -> int:
        """The axis of the run; slices of the first array axis when nothing was drawn yet."""
        return self._drawn[-1].plane.axis if self._drawn else 0

    @property
    def latest(self) -> SlicePlane | None:
        """The slice drawn on last, else the middle one of the ROI."""
        if self._drawn or self.roi is None:
            return self._drawn[-1].plane if self._drawn else None
        return SlicePlane(self.axis, sum(self.roi.along(self.axis)) // 2)

    @property
    def planes(self) -> list[SlicePlane]:
        return sorted({d.plane for d in self._drawn}, key=lambda plane: plane.index)

    @property
    def snapshot(self) -> tuple[tuple[_Drawn, ...], Box | None]:
        """All that was drawn, to compare with what a run was made of."""
        return tuple(self._drawn), self.roi

    @property
    def replaced(self) -> bool:
        """Tell whether the last drawing took the place of another on its slice."""
        before = self._earlier[-1] if self._earlier else []
        return any(d.plane == self._drawn[-1].plane and d not in self._drawn for d in before)

    def start(self, plane: SlicePlane, prompt: Prompt) -> None:
        """A new object begins with this prompt."""
        self._keep([_Drawn(plane, prompt)])

    def add(self, plane: SlicePlane, prompt: Prompt) -> None:
        """Add to the object. A box, line or mask replaces the one on the same slice; points gather."""
        kept = self._drawn if plane.axis == self.axis else []
        if not isinstance(prompt, Point):
            replaced = (Box, Line) if isinstance(prompt, (Box, Line)) else (MaskPrompt,)
            kept = [d for d in kept if d.plane != plane or not isinstance(d.prompt, replaced)]
        self._keep([*kept, _Drawn(plane, prompt)])

    def exchange_last(self, prompt: Prompt) -> None:
        """Put a prompt in place of the one that was drawn last, as one drawing with it."""
        self._drawn = [*self._drawn[:-1], _Drawn(self._drawn[-1].plane, prompt)]

    def remove_last(self) -> None:
        """Go back to before the last drawing: what it replaced is there again.

        The ROI goes last: it is there from the beginning.
        """
        if self._earlier:
            self._drawn = self._earlier.pop()
        else:
            self.roi = None

    def clear(self) -> None:
        self._drawn, self._earlier = [], []
        self.roi = None

    def _keep(self, drawn: list[_Drawn]) -> None:
        self._earlier.append(self._drawn)
        self._drawn = drawn

    def on(self, plane: SlicePlane) -> list[Prompt]:
        """The prompts on one slice; the ROI's cross-section where it is cut and nothing else outlines the object."""
        here = [d.prompt for d in self._drawn if d.plane == plane]
        outlined = any(isinstance(p, (Box, Line, MaskPrompt)) for p in here)
        if self.roi is not None and not outlined:
            first, last = self.roi.along(plane.axis)
            if first <= plane.index <= last:
                here.append(on_slice(self.roi, plane))
        return here

    @property
    def is_roi_alone(self) -> bool:
        """Tell whether an ROI marks the object and nothing was drawn for it."""
        return self.roi is not None and not self._drawn

    def all(self) -> list[Prompt]:
        drawn = [d.prompt for d in self._drawn]
        return [*drawn, self.roi] if self.roi is not None else drawn


def on_slice(box: Box, plane: SlicePlane) -> Box:
    """The box cut to one slice."""
    bounds = {"k": box.k, "j": box.j, "i": box.i}
    bounds["kji"[plane.axis]] = (plane.index, plane.index)
    return Box(**bounds)


class ObjectState(Enum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    LOOK = "look"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNDONE = "undone"


@dataclass(frozen=True, eq=False)
class Written:
    """The mask that the last run left in a segment, on the volume's grid, and the prompts that led to it."""

    packed: PackedMask
    prompts: tuple[Prompt, ...]

    @property
    def axis(self) -> int:
        return self.packed.axis


@dataclass(frozen=True)
class WrittenResult:
    """The result of a run: the measurement of the segment as written, and the slices that deserve a look.

    `axis` is that of the run, `voxels` the segment's size on its own grid. `measurement` comes after the rest; without
    `spacing_known` its mm and mL mean nothing.
    """

    axis: int
    flagged: dict[int, SliceScore]
    masked_voxels: int = 0
    outside_voxels: int = 0
    interpolated: bool = False
    seconds: float = 0.0
    voxels: int = 0
    measurement: Measurement | None = None
    spacing_known: bool = True
    assessment: Assessment = "sure"


@dataclass(frozen=True)
class TwoReadings:
    """The box of an object may mean two things, as slice `plane` showed; `wanted` (1 or 2) is the one that counts.

    `drawn` is what was drawn then: of other prompts nothing is known yet.
    """

    drawn: object
    plane: SlicePlane
    wanted: int = 1


_NUMBERS = itertools.count(1)


@dataclass(eq=False)
class QueuedObject:
    """One row. `number` is its own for good. `segment_id` is empty until its segment exists, and again when it is gone;
    `lost_segment_id` names that one.

    `keys` are slices whose painted mask is a prompt, `committed` those whose preview was written, `written` is what
    we left in the segment last. `window` is the automatic choice of intensities; "" before it was made. A `fruitless`
    object failed for a reason of its own: the same prompts and options would fail again. `found` are the results of
    all its runs, for Undo and Redo go through them. `roi_id` names the ROI node that marks it. `ran_with` is what was
    drawn when its last run ended, and its reading.
    """

    name: str
    prompts: PromptSet = field(default_factory=PromptSet)
    segment_id: str = ""
    state: ObjectState = ObjectState.WAITING
    message: str = ""
    keys: set[SlicePlane] = field(default_factory=set)
    committed: set[SlicePlane] = field(default_factory=set)
    written: Written | None = None
    earlier: list[Written] = field(default_factory=list)
    result: WrittenResult | None = None
    window: str = ""
    fruitless: bool = False
    lost_segment_id: str = ""
    roi_id: str = ""
    ran_with: object = None
    found: list[WrittenResult] = field(default_factory=list)
    number: int = field(default_factory=lambda: next(_NUMBERS))
    _readings: TwoReadings | None = None

    @property
    def readings(self) -> TwoReadings | None:
        """The two readings of what is drawn now; None as long as only one is known."""
        known = self._readings
        return known if known is not None and known.drawn == self.prompts.snapshot else None

    @property
    def reading(self) -> int:
        """The reading that previews and runs follow: 1 until the user takes the other one of what is drawn now."""
        return self.readings.wanted if self.readings is not None else 1

    def found_two_readings(self, plane: SlicePlane) -> None:
        """The box on this slice may mean two things."""
        self._readings = TwoReadings(self.prompts.snapshot, plane, self.reading)

    def take_other_reading(self) -> None:
        """The other one of two readings counts from now on. It has to run again, unless it ran so last."""
        if self.readings is not None:
            self._readings = replace(self.readings, wanted=3 - self.reading)
            self.reopen()

    @property
    def axis(self) -> int:
        if self.prompts or not self.keys:
            return self.prompts.axis
        return next(iter(self.keys)).axis

    @property
    def plane(self) -> SlicePlane | None:
        """The slice to look at: the one drawn on last, else a key slice."""
        return self.prompts.latest or next(iter(self.keys), None)

    def remember(self, written: Written) -> None:
        """Remember what the segment holds now; earlier states are kept, for Undo brings them back."""
        if self.written is not None:
            self.earlier = [*self.earlier[1 - KEPT_STATES :], self.written]
        self.written = written

    def complete(self, result: WrittenResult) -> None:
        """A run ended with this, and it was written."""
        ambiguous = [n for n, score in result.flagged.items() if FLAG_TWO_READINGS in score.flags]
        if ambiguous and self.readings is None:
            self.found_two_readings(SlicePlane(result.axis, min(ambiguous)))
        self.ran_with = (self.prompts.snapshot, self.reading)
        self.found = [*self.found[1 - KEPT_STATES :], result]
        self._show(result)
        self.message = self.lost_segment_id = ""

    def measured(self, result: WrittenResult, measurement: Measurement) -> None:
        """The figures of one of its results."""
        whole = replace(result, measurement=measurement)
        self.found = [whole if known is result else known for known in self.found]
        if self.result is result:
            self.result = whole

    def settle(self, voxels: int) -> None:
        """The segment holds so many voxels now: Undo and Redo make them those of another run, or none."""
        if not self.found or self.state not in (ObjectState.DONE, ObjectState.LOOK, ObjectState.UNDONE):
            return
        known = next((result for result in reversed(self.found) if result.voxels == voxels), None)
        if known is not None:
            self._show(known)
        elif voxels == 0:
            self.result, self.state = None, ObjectState.UNDONE

    def lose_segment(self) -> None:
        """Its segment was deleted, or the run that made it undone."""
        self.lost_segment_id, self.segment_id = self.segment_id, ""
        self.keys.clear()
        self.settle(0)

    def find_segment(self) -> None:
        """Redo brought it back."""
        self.segment_id, self.lost_segment_id = self.lost_segment_id, ""

    def _show(self, result: WrittenResult) -> None:
        self.result = result
        self.state = ObjectState.LOOK if result.flagged else ObjectState.DONE

    def state_of(self, current: PackedMask) -> Written | None:
        """Return what was written last before the user edited it to `current`; None when it was emptied.

        A segment that is exactly as an earlier run left it was brought there by Undo, not edited.
        """
        if self.written is None or not current.slices:
            return None
        states = [*self.earlier, self.written]
        return next((w for w in reversed(states) if not w.packed.changed_slices(current)), self.written)

    def reopen(self) -> None:
        """It has to run (again), unless its result was made of what is drawn for it now."""
        self.message = ""
        self.fruitless = False
        same = not self.prompts or (self.prompts.snapshot, self.reading) == self.ran_with
        if self.result is not None and same and not self.keys:
            self._show(self.result)
        else:
            self.state = ObjectState.WAITING

    def next_flagged(self, here: int, by: int) -> SlicePlane | None:
        """Return the next (1) or previous (-1) slice after `here` that deserves a look, round the ends."""
        if self.result is None or not self.result.flagged:
            return None
        indices = sorted(self.result.flagged)
        ahead = [n for n in indices if (n > here if by > 0 else n < here)]
        return SlicePlane(self.result.axis, (ahead or indices)[0 if by > 0 else -1])

    @property
    def finished(self) -> bool:
        """Tell whether it ran and its segment holds what was found."""
        return self.state in (ObjectState.DONE, ObjectState.LOOK)


class ObjectQueue:
    """Rows in the order they were drawn, and the selected one."""

    def __init__(self) -> None:
        self.rows: list[QueuedObject] = []
        self.selected = -1

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def current(self) -> QueuedObject | None:
        return self.rows[self.selected] if 0 <= self.selected < len(self.rows) else None

    def append(self, item: QueuedObject) -> QueuedObject:
        self.rows.append(item)
        self.selected = len(self.rows) - 1
        return item

    def select(self, item: QueuedObject | None) -> None:
        self.selected = self.rows.index(item) if item is not None and item in self.rows else -1

    def remove(self, item: QueuedObject) -> None:
        """Take a row out. Without the current one none is current: its neighbour is not what the user draws."""
        row = self.rows.index(item)
        del self.rows[row]
        if self.selected == row:
            self.selected = -1
        elif self.selected > row:
            self.selected -= 1

    def clear(self) -> None:
        self.rows = []
        self.selected = -1

    def numbered(self, number: int) -> QueuedObject | None:
        return next((r for r in self.rows if r.number == number), None)

    def of_segment(self, segment_id: str) -> QueuedObject | None:
        """The row of a segment; rows without a segment belong to none."""
        return next((r for r in self.rows if segment_id and r.segment_id == segment_id), None)

    def of_roi(self, roi_id: str) -> QueuedObject | None:
        """The row that an ROI marks; rows that were drawn alone are marked by none."""
        return next((r for r in self.rows if roi_id and r.roi_id == roi_id), None)

    def unfinished(self) -> list[QueuedObject]:
        """The rows that were drawn and have no result."""
        states = (ObjectState.WAITING, ObjectState.FAILED, ObjectState.CANCELLED, ObjectState.UNDONE)
        return [item for item in self.rows if item.state in states and (item.prompts or item.keys)]

    def waiting(self) -> list[QueuedObject]:
        """The rows that "run all" takes: drawn, cancelled, or failed for a reason that may be gone."""
        return [r for r in self.unfinished() if not r.fruitless and r.state is not ObjectState.UNDONE]

    def options_changed(self) -> None:
        """Let what failed run again: it may succeed with other options."""
        for item in self.rows:
            item.fruitless = False

    def step(self, by: int) -> QueuedObject | None:
        """The next (1) or previous (-1) row, round the ends."""
        if not self.rows:
            return None
        self.selected = (self.selected + by) % len(self.rows) if self.selected >= 0 else 0
        return self.rows[self.selected]
