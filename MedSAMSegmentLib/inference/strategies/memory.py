"""Propagation with a memory bank: MedSAM2, SAM 2.1 and EfficientTAM over slices or frames."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...propagation import Direction, StopRule
from ...results import SliceResult
from ..plan import KeyPrompt, ObjectPlan
from ..recist_prompt import prompt_by_line
from .base import RunOptions, TrackableSlices, objects_sharing_slices
from .slicewise import key_prompts

if TYPE_CHECKING:
    from ..memory_tracker import MemoryTracker, ObjectOnFrame, TrackedFrame


class MemoryStrategy:
    """Key slices first, then forward, then backward; key slices keep their masks.

    Objects that share slices pass a slice together, so that its features are computed once. In reference mode each
    object of a volume has an official tracker of its own, as the official scripts go lesion by lesion.
    """

    name = "memory"

    def run(self, slices: TrackableSlices, plans: Sequence[ObjectPlan], options: RunOptions) -> Iterator[SliceResult]:
        # Objects of a video know of each other even where they do not meet.
        together = [dict(enumerate(plans))] if options.time_series else objects_sharing_slices(plans)
        for group in together:
            yield from self._run_group(slices, group, options)

    def _run_group(
        self, slices: TrackableSlices, plans: dict[int, ObjectPlan], options: RunOptions
    ) -> Iterator[SliceResult]:
        alone = options.reference and not options.time_series
        groups = [{number: plan} for number, plan in plans.items()] if alone else [plans]
        runs = [_TrackedGroup(slices, group, options) for group in groups]
        for run in runs:
            yield from run.keys()
        for upwards in (True, False):
            if options.direction != ("down" if upwards else "up"):
                yield from _merge_sweeps([run.sweep(upwards) for run in runs], upwards)


class _TrackedGroup:
    """Objects, by their number, that share one tracker."""

    def __init__(self, slices: TrackableSlices, plans: dict[int, ObjectPlan], options: RunOptions) -> None:
        self.slices = slices
        self.plans = plans
        self.options = options
        self.tracker: MemoryTracker = slices.make_tracker(options.reference)
        # Objects of a video must not overlap, which is only known once all of them were prompted.
        self.keys_with_sweep = options.time_series
        self._given: set[tuple[int, int]] = set()
        self._swept = False

    def keys(self) -> Iterator[SliceResult]:
        """Prompt the tracker, and yield what the prompted slices hold unless the sweeps are to say it."""
        for result in self._prompt():
            if not self.keys_with_sweep:
                self._given.add((result.object_index, result.index))
                yield result

    def sweep(self, upwards: bool) -> Iterator[SliceResult]:
        """Yield the slices from the first key slice on in one direction, without those that were given before."""
        if self._swept and self.options.reference and not self.options.time_series:
            # The official scripts forget everything between the directions.
            self.tracker.reset()
            for _ in self._prompt():
                pass
        self._swept = True
        yield from self._track(upwards, {n: (plan.first, plan.last) for n, plan in self.plans.items()})

    def _prompt(self) -> Iterator[SliceResult]:
        for number, plan in self.plans.items():
            for index, key in sorted(plan.keys.items()):
                yield self._result(number, index, self._answer(number, index, key), key.mask)
        yield from self._correct()

    def _answer(self, number: int, index: int, key: KeyPrompt) -> ObjectOnFrame:
        self.slices.count_prediction()
        if key.mask is not None:
            return self.tracker.add_mask(number, index, key.mask)
        if key.line is not None:
            return prompt_by_line(self.tracker, number, index, key.line, key.aspect)
        prompts = key_prompts(key)
        return self.tracker.add_points(number, index, prompts.points_xy, prompts.labels, prompts.box_xyxy)

    def _correct(self) -> Iterator[SliceResult]:
        """Refine by clicks what tracking finds on slices without an outline, so these are tracked first."""
        extents: dict[Hashable, tuple[int, int]] = {
            number: (min(*plan.corrections, *plan.keys), max(*plan.corrections, *plan.keys))
            for number, plan in self.plans.items()
            if plan.corrections
        }
        if not extents:
            return
        for direction in (1, -1):
            for _ in self.tracker.propagate(direction, extents=extents, cancel=self.slices.cancelled):
                pass
        for number, plan in self.plans.items():
            for index, key in sorted(plan.corrections.items()):
                self.slices.count_prediction()
                answer = self.tracker.add_points(number, index, key.points_xy, key.labels)
                yield self._result(number, index, answer)

    def _track(self, upwards: bool, extents: dict[Hashable, tuple[int, int]]) -> Iterator[SliceResult]:
        rules: dict[Hashable, _TrackedStopRule] = {
            number: _TrackedStopRule(rule) for number, rule in self._stop_rules().items()
        }
        frames = self.tracker.propagate(
            1 if upwards else -1,
            start=self._start(self.options.direction),
            stop=max(last for _, last in extents.values()) if upwards else min(first for first, _ in extents.values()),
            extents=extents,
            should_stop=lambda number, answer: number in rules and rules[number].is_met(answer),
            cancel=self.slices.cancelled,
        )
        for frame in frames:
            yield from self._new_results(frame, rules)

    def _start(self, direction: Direction) -> int | None:
        """Return the first slice: downwards alone begins at the last key slice, so that the slices between keys are
        done as well."""
        return max(index for plan in self.plans.values() for index in plan.keys) if direction == "down" else None

    def _stop_rules(self) -> dict[int, StopRule]:
        found = {number: self.options.stop_for(plan) for number, plan in self.plans.items()}
        return {number: rule for number, rule in found.items() if rule is not None}

    def _new_results(self, frame: TrackedFrame, rules: dict[Hashable, _TrackedStopRule]) -> Iterator[SliceResult]:
        for number, plan in self.plans.items():
            answer = frame.objects.get(number)
            if answer is None:
                continue
            if not answer.prompted:
                self.slices.count_prediction()
            key = plan.keys.get(frame.index)
            # The mask of a video's object gives way where another object is.
            mask = key.mask if key is not None and len(self.plans) == 1 else None
            result = self._result(number, frame.index, answer, mask)
            if number in rules:
                rules[number].previous = int(result.mask.sum())
            if (number, frame.index) not in self._given:
                self._given.add((number, frame.index))
                yield result

    def _result(
        self, number: int, index: int, answer: ObjectOnFrame, mask: NDArray[np.bool_] | None = None
    ) -> SliceResult:
        """Make a result; a `mask` that the user gave is the answer itself, sharper than what the network made of it."""
        kept = answer.mask if mask is None else mask
        return SliceResult(number, self.slices.axis, index, kept, answer.confidence, key=answer.prompted)


class _TrackedStopRule:
    """The stop rule of a session for one object; it remembers the area on the slice before, a key slice's included."""

    def __init__(self, rule: StopRule) -> None:
        self._rule = rule
        self.previous = 0

    def is_met(self, answer: ObjectOnFrame) -> bool:
        return self._rule.is_met(int(answer.mask.sum()), self.previous, answer.confidence)


def _merge_sweeps(sweeps: list[Iterator[SliceResult]], upwards: bool) -> Iterator[SliceResult]:
    """Merge the sweeps of several trackers by slice, so that all pass a slice while its features are in the cache."""
    if len(sweeps) == 1:
        yield from sweeps[0]
        return
    heads = dict(enumerate(next(sweep, None) for sweep in sweeps))
    while waiting := {number: head for number, head in heads.items() if head is not None}:
        nearest = (min if upwards else max)(head.index for head in waiting.values())
        for number, head in waiting.items():
            if head.index == nearest:
                yield head
                heads[number] = next(sweeps[number], None)
