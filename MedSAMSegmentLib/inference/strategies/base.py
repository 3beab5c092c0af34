"""What a strategy is, what it may ask for, and when it stops by itself."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ...results import SliceResult
from ..embedding_cache import Crop
from ..plan import Direction, ObjectPlan

if TYPE_CHECKING:
    from ..memory_tracker import MemoryTracker
    from ..slice_predictor import SlicePrediction, SlicePrompts


@dataclass(frozen=True)
class StopRule:
    """When propagation from a key slice ends: at an empty slice, a sudden growth, a low score.

    The slice that breaks the rule is not part of the result. A shrinking area is how an object ends, so only
    growth counts: more than `growth` times the area of the slice before.
    """

    growth: float = 2.5
    low_score: float = 0.5

    def holds(self, area: int, previous_area: int, score: float) -> bool:
        """True when propagation should end before this slice."""
        if area == 0 or score < self.low_score:
            return True
        return previous_area > 0 and area > self.growth * previous_area


@dataclass(frozen=True)
class RunOptions:
    """`stop` applies to every object when given, else only to objects whose end is not known.

    `reference` repeats the official behaviour where ours is different. In a `time_series` an object may leave and come
    back, so it is never taken to have ended.
    """

    direction: Direction = "both"
    stop: StopRule | None = None
    reference: bool = False
    time_series: bool = False

    def stop_for(self, plan: ObjectPlan) -> StopRule | None:
        if self.stop is not None:
            return self.stop
        return StopRule() if plan.open_ended and not self.reference and not self.time_series else None


class SliceSource(Protocol):
    """One axis of an open volume, as a strategy sees it."""

    @property
    def axis(self) -> int: ...

    @property
    def count(self) -> int: ...

    @property
    def longer_side(self) -> int:
        """Of what the model sees of a slice, in pixels."""

    def decide(self, index: int, about: Hashable, choose: Callable[[], bool]) -> bool:
        """`choose()`; what it said is kept as long as the embeddings are, and not asked again."""

    def best_seen_in(self, part: Crop | None) -> None:
        """Says in which part an object was told best, None for all of a slice: slices encoded ahead are seen so."""

    def closer(self, crop: Crop) -> SliceSource:
        """The same slices, of which the model sees but this part.

        Coordinates and masks stay those of the whole slice; network boxes and low-res logits are the part's own, and
        mean nothing in another view.
        """

    def predict(self, index: int, prompts: SlicePrompts) -> SlicePrediction:
        """The model's answer on one slice; the embedding comes from the cache when it is there.

        Raises `Cancelled` when the user asked to stop.
        """

    def handover_prompts(self, mask: NDArray[np.bool_], label_value: int) -> SlicePrompts | None:
        """The next slice's box from this slice's mask, as the model's official script does; None when it is empty."""

    def mask_to_low_res(self, mask: NDArray[np.bool_], plane: tuple[int, int]) -> NDArray[np.bool_]:
        """A mask (rows, columns) of a slice where the network's low-res answers, `plane` (h,w), have it."""

    def make_tracker(self, reference: bool) -> MemoryTracker:
        """A new memory tracker over these slices; models without a memory raise `UsageError`."""

    def count_prediction(self) -> None:
        """Counts a mask that a tracker made; `predict` counts by itself."""

    def cancelled(self) -> bool:
        """Whether the user asked to stop."""

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """The windowed slice (rows, columns[, 3])."""


class Strategy(Protocol):
    name: str

    def run(self, slices: SliceSource, plans: Sequence[ObjectPlan], options: RunOptions) -> Iterator[SliceResult]:
        """Results in the order in which they are computed; key slices first."""


def side_by_side(plans: Sequence[ObjectPlan]) -> list[dict[int, ObjectPlan]]:
    """Groups of objects, by their numbers, that share slices; no slice belongs to two groups.

    Taken one after the other they need the embeddings of one group at a time, however long the volume is.
    """
    groups: list[dict[int, ObjectPlan]] = []
    end = -1
    for number, plan in sorted(enumerate(plans), key=lambda numbered: numbered[1].first):
        if not groups or plan.first > end:
            groups.append({})
        groups[-1][number] = plan
        end = max(end, plan.last)
    return [dict(sorted(group.items())) for group in groups]
