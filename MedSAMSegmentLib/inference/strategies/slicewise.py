"""Slice by slice outwards from the key slices: the frame that `handover` and `static` share.

All objects pass a slice together, so that an embedding is used while it is warm.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from numpy.typing import NDArray

from ...propagation import StopRule
from ...results import SliceResult
from ..plan import KeyPrompt, ObjectPlan
from .base import PromptableSlices, RunOptions, SliceSource, objects_sharing_slices

if TYPE_CHECKING:
    from ..slice_predictor import SlicePrompts


class Clicks(TypedDict):
    points_xy: NDArray[np.float64] | None
    labels: NDArray[np.int64] | None


@dataclass
class Sweep:
    """The slices from one key slice on in one direction, and the last mask on the way."""

    object_index: int
    plan: ObjectPlan
    key: KeyPrompt
    key_index: int
    key_mask: NDArray[np.bool_]
    previous: NDArray[np.bool_]
    indices: range
    stop: StopRule | None
    stopped: bool = False


class SlicewiseStrategy(ABC):
    """Runs keys, then upwards, then downwards; a subclass gives the prompts of the next slice."""

    name = ""

    @abstractmethod
    def next_prompts(self, slices: PromptableSlices, sweep: Sweep, index: int, options: RunOptions) -> SlicePrompts:
        """Return the prompts for slice `index`; `sweep.previous` is the mask of the slice before."""

    def run(self, slices: SliceSource, plans: Sequence[ObjectPlan], options: RunOptions) -> Iterator[SliceResult]:
        for group in objects_sharing_slices(plans):
            yield from self._run_group(slices, group, options)

    def _run_group(
        self, slices: SliceSource, plans: Mapping[int, ObjectPlan], options: RunOptions
    ) -> Iterator[SliceResult]:
        key_masks: dict[tuple[int, int], NDArray[np.bool_]] = {}
        for number, plan in plans.items():
            for key_index in sorted(plan.keys):
                for result in self._key_results(slices, number, plan, key_index, options):
                    key_masks[number, key_index] = result.mask
                    yield result
        for upwards in (True, False):
            sweeps = list(_sweeps(plans, key_masks, options, upwards))
            yield from self._run_sweeps(slices, sweeps, options, upwards)

    def _run_sweeps(
        self, slices: SliceSource, sweeps: list[Sweep], options: RunOptions, upwards: bool
    ) -> Iterator[SliceResult]:
        wanted = sorted({index for sweep in sweeps for index in sweep.indices}, reverse=not upwards)
        for index in wanted:
            for sweep in sweeps:
                if index in sweep.indices and not sweep.stopped:
                    result = self._step(slices, sweep, index, options)
                    if result is not None:
                        yield result

    def _step(self, slices: SliceSource, sweep: Sweep, index: int, options: RunOptions) -> SliceResult | None:
        prompts = self.next_prompts(slices, sweep, index, options)
        correction = sweep.plan.corrections.get(index)
        if correction is not None:
            prompts = replace(prompts, **clicks(correction))
        prediction = slices.predict(index, prompts)
        area, before = int(prediction.mask.sum()), int(sweep.previous.sum())
        corrected = correction is not None
        if sweep.stop is not None and not corrected and sweep.stop.is_met(area, before, prediction.score):
            sweep.stopped = True
            return None
        sweep.previous = prediction.mask
        return SliceResult(sweep.object_index, slices.axis, index, prediction.mask, prediction.score, key=corrected)

    def _key_results(
        self, slices: SliceSource, number: int, plan: ObjectPlan, index: int, options: RunOptions
    ) -> Iterator[SliceResult]:
        """Yield the result of a key slice, after a first look where the options ask for one and there is one."""
        yield self._key_result(slices, number, plan, index)

    def _key_result(self, slices: SliceSource, number: int, plan: ObjectPlan, index: int) -> SliceResult:
        key = plan.keys[index]
        if key.mask is not None:
            return SliceResult(number, slices.axis, index, key.mask, 1.0, key=True)
        prediction = slices.predict(index, key_prompts(key))
        return SliceResult(number, slices.axis, index, prediction.mask, prediction.score, key=True)


def key_prompts(key: KeyPrompt) -> SlicePrompts:
    """Return a key slice's box and points as the predictor takes them."""
    from ..slice_predictor import SlicePrompts

    return SlicePrompts(box_xyxy=key.box, **clicks(key))


def clicks(key: KeyPrompt) -> Clicks:
    """Return a key slice's points (n,2) and labels (n,), or None."""
    if not key.points_xy:
        return {"points_xy": None, "labels": None}
    return {"points_xy": np.array(key.points_xy, dtype=np.float64), "labels": np.array(key.labels, dtype=np.int64)}


def box_prompts(box: tuple[float, float, float, float]) -> SlicePrompts:
    from ..slice_predictor import SlicePrompts

    return SlicePrompts(box_xyxy=box)


def mask_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """Return the tight x0, y0, x1, y1 of a slice's mask, inclusive; None when it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return (int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1]))


def _sweeps(
    plans: Mapping[int, ObjectPlan],
    key_masks: dict[tuple[int, int], NDArray[np.bool_]],
    options: RunOptions,
    upwards: bool,
) -> Iterator[Sweep]:
    for number, plan in plans.items():
        for key_index in sorted(plan.keys):
            indices = plan.reach(key_index, options.direction, upwards)
            if not indices:
                continue
            mask = key_masks[number, key_index]
            yield Sweep(number, plan, plan.keys[key_index], key_index, mask, mask, indices, options.stop_for(plan))
