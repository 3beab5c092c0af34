"""Propagation with a memory bank: MedSAM2, SAM 2.1 and EfficientTAM over slices or frames.

Every object has a tracker of its own, and all of them pass a slice together, so that its features are computed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ...results import SliceResult
from ..plan import ObjectPlan
from .base import RunOptions, SliceSource, StopRule
from .slicewise import key_prompts

if TYPE_CHECKING:
    from ..memory_tracker import MemoryTracker, ObjectOnFrame, TrackedFrame


class MemoryStrategy:
    """Key slices first, then forward, then backward; key slices keep their masks.

    A mask prompt is the answer on its slice. In reference mode the tracker repeats the official predictors.
    """

    name = "memory"

    def run(self, slices: SliceSource, plans: Sequence[ObjectPlan], options: RunOptions) -> Iterator[SliceResult]:
        tracks = [_Track(slices, plan, number, options) for number, plan in enumerate(plans)]
        for track in tracks:
            yield from track.key_results()
        for upwards in (True, False):
            if options.direction == ("down" if upwards else "up"):
                continue
            yield from _together([track.sweep(upwards) for track in tracks], upwards)


class _Track:
    """One object: its plan and its tracker."""

    def __init__(self, slices: SliceSource, plan: ObjectPlan, number: int, options: RunOptions) -> None:
        self.slices = slices
        self.plan = plan
        self.number = number
        self.stop = options.stop_for(plan)
        self.tracker: MemoryTracker = slices.make_tracker(options.reference)

    def key_results(self) -> Iterator[SliceResult]:
        for index in sorted(self.plan.keys):
            key = self.plan.keys[index]
            if key.mask is not None:
                self.tracker.add_mask(self.number, index, key.mask)
                yield SliceResult(self.number, self.slices.axis, index, key.mask, 1.0, key=True)
                continue
            prompts = key_prompts(key)
            answer = self.tracker.add_points(self.number, index, prompts.points_xy, prompts.labels, prompts.box_xyxy)
            yield self._result(index, answer)

    def sweep(self, upwards: bool) -> Iterator[SliceResult]:
        """Forward from the lowest key slice to the last slice, or backward from it to the first."""
        lowest = min(self.plan.keys)
        rule = _AreaRule(self.stop, self.slices) if self.stop is not None else None
        frames = self.tracker.propagate(
            1 if upwards else -1,
            start=lowest,
            stop=self.plan.last if upwards else self.plan.first,
            stop_rule=rule,
            cancel=self.slices.cancelled,
        )
        for frame in frames:
            if frame.index not in self.plan.keys:
                yield from self._results(frame)

    def _results(self, frame: TrackedFrame) -> Iterator[SliceResult]:
        for answer in frame.objects.values():
            yield self._result(frame.index, answer)

    def _result(self, index: int, answer: ObjectOnFrame) -> SliceResult:
        return SliceResult(self.number, self.slices.axis, index, answer.mask, answer.confidence, key=answer.prompted)


class _AreaRule:
    """The stop rule of a session, asked by the tracker; it remembers the area of the slice before."""

    def __init__(self, rule: StopRule, slices: SliceSource) -> None:
        self._rule = rule
        self._previous = 0

    def __call__(self, object_id: object, answer: ObjectOnFrame) -> bool:
        area = int(answer.mask.sum())
        over = self._rule.holds(area, self._previous, answer.confidence)
        self._previous = area
        return over


def _together(sweeps: list[Iterator[SliceResult]], upwards: bool) -> Iterator[SliceResult]:
    """Merges the objects' sweeps by slice, so that all objects pass a slice while its features are warm."""
    heads = {number: next(sweep, None) for number, sweep in enumerate(sweeps)}
    while any(heads.values()):
        waiting = {number: head for number, head in heads.items() if head is not None}
        choose = min if upwards else max
        index = choose(head.index for head in waiting.values())
        for number, head in waiting.items():
            if head.index == index:
                yield head
                heads[number] = next(sweeps[number], None)
