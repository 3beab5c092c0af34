"""An inference service without a network: bright voxels inside the box, slice by slice, from the event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import qt
from numpy.typing import NDArray

from MedSAMSegmentLib.errors import Cancelled, MedSAMError
from MedSAMSegmentLib.geometry import SlicePlane, take_slice
from MedSAMSegmentLib.prompts import Box, Line, MaskPrompt, Prompt
from MedSAMSegmentLib.results import FLAG_TWO_READINGS, ObjectResult, PackedMask, SliceResult, flag_slices
from MedSAMSegmentLib.ui.run.protocols import (
    Failed,
    PropagateJob,
    RunOutcome,
    SessionInfo,
    SessionTarget,
    SlicePreview,
    ignore_preview,
)

THRESHOLD = 100


class StandInService:
    """`InferenceService`. `hold_after` stops a propagation after so many slices until `release` is called.

    Bright is what lies above `threshold`. With `two_readings` a box may mean what is bright in it or what is dark.
    `seconds_per_slice` is what it claims to take. `jobs` are the propagations asked for, `opened` the targets.
    `fail_next` ends the next request with that error. With `looks_first` a slice is first shown as its opposite, and
    answered when `release` is called.
    """

    def __init__(self) -> None:
        self.jobs: list[PropagateJob] = []
        self.opened: list[SessionTarget] = []
        self.threshold = THRESHOLD
        self.two_readings = self.looks_first = False
        self.seconds_per_slice: float | None = None
        self.hold_after: int | None = None
        self.fail_next: MedSAMError | None = None
        self.ended = self.holds_volume = self.prepared = False
        self._volume: NDArray[Any] = np.zeros((1, 1, 1))
        self._cancel: Callable[[], None] | None = None
        self._step: Callable[[], None] | None = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self._tick)

    @property
    def holding(self) -> bool:
        return self._step is not None and self.hold_after == 0

    def release(self) -> None:
        self.hold_after = None

    def prepare(self, model: str = "", device: str = "auto") -> None:
        self.prepared = True

    def open(self, target: SessionTarget, done: Callable[[SessionInfo], None], failed: Failed) -> None:
        volume = np.asarray(target.read())
        self._volume = volume[..., 0] if volume.ndim == 4 else volume
        self.opened.append(target)
        self.holds_volume = True
        self._later(lambda: done(SessionInfo("stand-in")), failed)

    def segment_slice(
        self,
        plane: SlicePlane,
        prompts: list[Prompt],
        done: Callable[[SlicePreview], None],
        failed: Failed,
        *,
        reading: int = 1,
        on_first_look: Callable[[SlicePreview], None] = ignore_preview,
    ) -> None:
        mask, two = self._mask(plane, prompts, reading), self._has_two_readings(plane, prompts)
        answer = SlicePreview(plane, mask, 0.9, self.seconds_per_slice, two)
        if not self.looks_first:
            self._later(lambda: done(answer), failed)
            return
        self.hold_after = 0

        def look() -> None:
            self._step = finish  # another preview may be asked for, and this one cancelled, from within
            on_first_look(SlicePreview(plane, ~mask, 0.5))
            self._timer.start(1)

        def finish() -> None:
            if self.holding:
                self._again(finish)
            else:
                self._finish(lambda: done(answer))

        self._start(look, failed)

    def propagate(
        self,
        job: PropagateJob,
        on_slice: Callable[[SlicePreview], None],
        on_progress: Callable[[int, int], None],
        done: Callable[[RunOutcome], None],
        failed: Failed,
    ) -> None:
        self.jobs.append(job)
        z, y, x = self._volume.shape
        result = ObjectResult(job.name, PackedMask((z, y, x), job.axis))
        planes = self._planes(job)
        left = list(planes)

        def step() -> None:
            if self.holding:
                self._again(step)
                return
            if self.hold_after is not None:
                self.hold_after -= 1
            plane = left.pop(0)
            mask = self._mask(plane, job.prompts, job.reading)
            flags = (FLAG_TWO_READINGS,) if self._has_two_readings(plane, job.prompts) else ()
            result.add(SliceResult(0, plane.axis, plane.index, mask, 0.9, flags))
            on_slice(SlicePreview(plane, mask, 0.9))
            on_progress(len(planes) - len(left), len(planes))
            if left:
                self._again(step)
            else:
                result.slices = flag_slices(result.slices)
                seconds = len(planes) * (self.seconds_per_slice or 0.0)
                self._finish(lambda: done(RunOutcome(result, seconds, encodes=len(planes))))

        self._start(step, failed)

    def cancel(self) -> None:
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            self._again(cancel)

    def close_volume(self) -> None:
        self.holds_volume = False

    def shutdown(self) -> None:
        self.ended = True
        self._cancel = self._step = None

    def _later(self, answer: Callable[[], None], failed: Failed) -> None:
        self._start(lambda: self._finish(answer), failed)

    def _start(self, step: Callable[[], None], failed: Failed) -> None:
        error, self.fail_next = self.fail_next, None
        if error is not None:
            step = lambda: self._finish(lambda: failed(error))  # noqa: E731
        self._cancel = lambda: self._finish(lambda: failed(Cancelled()))
        self._again(step)

    def _again(self, step: Callable[[], None]) -> None:
        self._step = step
        self._timer.start(1)

    def _tick(self) -> None:
        if self._step is not None:
            self._step()

    def _finish(self, answer: Callable[[], None]) -> None:
        self._cancel = self._step = None
        answer()

    def _planes(self, job: PropagateJob) -> list[SlicePlane]:
        """From the first key outwards, up then down, as far as something is bright within the box."""
        size = self._volume.shape[job.axis]
        whole = [p.along(job.axis) for p in job.prompts if isinstance(p, Box) and _key(p, job.axis) is None]
        first, last = job.slice_range or next(iter(whole), (0, size - 1))
        keys = sorted(n for n in (_key(p, job.axis) for p in job.prompts) if n is not None) or [(first + last) // 2]
        up = range(keys[0], last + 1) if job.direction != "down" else range(keys[0], keys[-1] + 1)
        down = range(keys[0] - 1, first - 1, -1) if job.direction != "up" else range(0)
        planes = [SlicePlane(job.axis, keys[0])] if keys[0] not in up else []
        for way in (up, down):
            for index in way:
                plane = SlicePlane(job.axis, index)
                beyond = index not in range(keys[0], keys[-1] + 1)
                if beyond and job.slice_range is None and not whole and not self._mask(plane, job.prompts).any():
                    break
                planes.append(plane)
        return planes

    def _has_two_readings(self, plane: SlicePlane, prompts: Any) -> bool:
        """Tell whether this is the slice of a box alone, whose box may mean two things."""
        here = [p for p in prompts if _key(p, plane.axis) == plane.index]
        return self.two_readings and len(here) == 1 and isinstance(here[0], Box)

    def _mask(self, plane: SlicePlane, prompts: Any, reading: int = 1) -> NDArray[np.bool_]:
        painted = [p for p in prompts if isinstance(p, MaskPrompt) and (p.axis, p.index) == (plane.axis, plane.index)]
        if painted:
            return np.array(painted[0].mask)
        bright = take_slice(self._volume, plane.axis, plane.index) > self.threshold
        inside = np.zeros_like(bright)
        for x0, y0, x1, y1 in (_rectangle(p, plane.axis) for p in prompts):
            inside[y0 : y1 + 1, x0 : x1 + 1] = True
        wanted = ~bright if reading == 2 and self.two_readings else bright
        return np.asarray(wanted & inside)


def _key(prompt: Prompt, axis: int) -> int | None:
    if isinstance(prompt, Box):
        first, last = prompt.along(axis)
        return first if first == last else None
    return prompt.index if isinstance(prompt, MaskPrompt) else prompt.slice_index(axis)


def _rectangle(prompt: Prompt, axis: int) -> tuple[int, int, int, int]:
    """The part of a slice that a prompt speaks of: its box, or a few pixels round its points or paint."""
    if isinstance(prompt, Box):
        return prompt.in_plane(axis)
    if isinstance(prompt, MaskPrompt):
        rows, columns = (np.flatnonzero(prompt.mask.any(axis=other)) for other in (1, 0))
        return (int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max()))
    points = prompt.points if isinstance(prompt, Line) else (prompt,)
    xs, ys = zip(*(point.in_plane(axis) for point in points), strict=True)
    reach = 8
    return (max(int(min(xs)) - reach, 0), max(int(min(ys)) - reach, 0), int(max(xs)) + reach, int(max(ys)) + reach)
