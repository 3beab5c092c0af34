"""Clicks as edits: the object is segmented as if nobody had clicked, then each click changes what lies around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...results import PackedResult, SliceResult
from ..plan import Click, ObjectPlan, PixelBox
from .base import RunOptions, SliceSource, Strategy
from .click_edits import Middle, region_beside, region_of_click


class ClickEditing:
    """Runs another strategy without the clicks, and then applies them one after the other, in the order of placement.

    A click that the answer agrees with changes nothing. Any other one changes a region about it, on its own slice and
    as far as that region goes on in the slices above and below. All else stays as the strategy left it, so a click
    never costs more than its own region. Clicked slices are yielded again as key slices, and those that change.

    An object of clicks alone is segmented by them first. So is every object of a strategy that `hears_clicks`: its
    networks were trained with corrections on any slice. What is still wrong at a click then is edited.

    Each run is kept, so that a click after it costs no more than its edit.
    """

    def __init__(self, inner: Strategy, *, hears_clicks: bool = False) -> None:
        self.name = inner.name
        self._inner = inner
        self._hears_clicks = hears_clicks

    def run(self, slices: SliceSource, plans: Sequence[ObjectPlan], options: RunOptions) -> Iterator[SliceResult]:
        if options.reference:
            yield from self._inner.run(slices, plans, options)
            return
        bare = [plan if self._hears_clicks else plan.without_clicks() or plan for plan in plans]
        answers = {number: _Answer(slices, number, plan) for number, plan in enumerate(plans) if plan.clicks}
        asked = (self.name, replace(options, first_look=False), tuple(plan.signature() for plan in bare))
        # Who clicks has just seen the answer; who asks for the same otherwise, wants it computed.
        for result in slices.kept_results(asked, lambda: self._inner.run(slices, bare, options), again=bool(answers)):
            if result.object_index in answers:
                answers[result.object_index].keep(result)
            yield result
        for answer in answers.values():
            for number, click in enumerate(answer.plan.clicks):
                yield from answer.edit(click, answer.plan.clicks[:number])


class _Answer:
    """One object as the strategy found it, and as the clicks so far have changed it; its masks are kept packed."""

    def __init__(self, slices: SliceSource, number: int, plan: ObjectPlan) -> None:
        self.plan = plan
        self._slices = slices
        self._number = number
        self._kept: dict[int, PackedResult] = {}

    def keep(self, result: SliceResult) -> None:
        """Remember a slice; a later result takes the place of an earlier one."""
        earlier = self._kept.get(result.index)
        if earlier is not None and earlier.bare.key:
            result = replace(result, key=True)
        self._kept[result.index] = PackedResult.of(result)

    def edit(self, click: Click, before: Sequence[Click]) -> Iterator[SliceResult]:
        """Give the pixel of a click its label, and yield its slice and the others that change.

        The clicks `before` keep theirs, unless one lies on the same pixel.
        """
        middle, bounds = Middle(click.x, click.y, click.positive), self._bounds()
        mask = self._mask(click.index)
        against = _against(click, before, click.index)
        region = region_of_click(self._slices.pixels(click.index), mask, middle, against=against, bounds=bounds)
        if region is None:
            yield self._change(click.index, mask, key=True)
            return
        yield self._change(click.index, _labelled(mask, region.pixels, click.positive), key=True)
        for step in (1, -1):
            last, index = region.pixels, click.index + step
            while index in self._reach(click):
                mask = self._mask(index)
                found = region_beside(
                    self._slices.pixels(index),
                    mask,
                    middle,
                    last,
                    region,
                    steps=abs(index - click.index),
                    against=_against(click, before, index),
                    bounds=bounds,
                )
                if found is None:
                    break
                yield self._change(index, _labelled(mask, found, click.positive))
                last, index = found, index + step

    def _reach(self, click: Click) -> range:
        """Return the slices that a click may change: those of the 3D box where it adds to the object in there."""
        plan, axis = self.plan, self._slices.axis
        first, last = plan.first, plan.last
        if plan.box is not None and click.positive:
            low, high = plan.box.along(axis)
            if low <= click.index <= high:
                first, last = max(first, low), min(last, high)
        return range(first, last + 1)

    def _bounds(self) -> PixelBox | None:
        return self.plan.box.in_plane(self._slices.axis) if self.plan.box is not None else None

    def _mask(self, index: int) -> NDArray[np.bool_]:
        if index in self._kept:
            return self._kept[index].mask.unpack()
        rows, columns = self._slices.pixels(index).shape[:2]
        return np.zeros((rows, columns), dtype=bool)

    def _change(self, index: int, mask: NDArray[np.bool_], *, key: bool = False) -> SliceResult:
        """Return a slice with another mask, and keep it; its score, flags and, unless it becomes one, `key` stay."""
        if index in self._kept:
            bare = self._kept[index].bare
            result = replace(bare, mask=mask, key=key or bare.key)
        else:
            # What the strategy did not reach has no score of its own: the object goes on there as the user says.
            result = SliceResult(self._number, self._slices.axis, index, mask, 1.0, key=key)
        self._kept[index] = PackedResult.of(result)
        return result


def _labelled(mask: NDArray[np.bool_], region: NDArray[np.bool_], label: bool) -> NDArray[np.bool_]:
    """Return a mask to which a region was added, or from which it was taken."""
    return mask | region if label else mask & ~region


def _against(click: Click, before: Sequence[Click], index: int) -> list[tuple[int, int]]:
    """Return x, y of the earlier clicks on a slice that say the opposite of this one."""
    return [
        (other.x, other.y)
        for other in before
        if other.index == index
        and other.positive != click.positive
        and (other.index, other.x, other.y) != (click.index, click.x, click.y)
    ]
