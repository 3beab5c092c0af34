"""Strategies: their interface, what they need of a volume, and when they stop by themselves."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ...propagation import Direction, StopRule
from ...results import SliceResult
from ..embedding_cache import Crop, SliceView
from ..plan import ObjectPlan

if TYPE_CHECKING:
    from ..memory_tracker import MemoryTracker
    from ..slice_predictor import SlicePrediction, SlicePrompts


@dataclass(frozen=True)
class RunOptions:
    """`stop` applies to every object when given, else only to objects whose end is not known.

    `reference` repeats the official behaviour where ours is different. In a `time_series` an object may leave and come
    back, so it is never taken to have ended. `reading` 2 is the other thing that a box may mean, where there are two.
    With `first_look` a key slice that is seen in several views is yielded as the first shows it, too, flagged
    `FLAG_FIRST_LOOK`.
    """

    direction: Direction = "both"
    stop: StopRule | None = None
    reference: bool = False
    time_series: bool = False
    reading: int = 1
    first_look: bool = False

    def stop_for(self, plan: ObjectPlan) -> StopRule | None:
        if self.stop is not None:
            return self.stop
        return StopRule() if plan.open_ended and not self.reference and not self.time_series else None


class PromptableSlices(Protocol):
    """Slices across one axis that answer prompts, as slice-wise strategies need them."""

    @property
    def axis(self) -> int: ...

    def predict(self, index: int, prompts: SlicePrompts) -> SlicePrediction:
        """Return the model's answer on one slice; the embedding comes from the cache when it is there.

        Raises `Cancelled` when the user asked to stop.
        """

    def handover_prompts(self, mask: NDArray[np.bool_], label_value: int) -> SlicePrompts | None:
        """Return the next slice's box from this slice's mask, as the model's official script does.

        None when the mask is empty.
        """


class EnsembleSlices(Protocol):
    """Slices that a `PromptEnsemble` prompts, with masks among the prompts, and whose pixels it compares."""

    @property
    def longer_side(self) -> int:
        """Pixels, of what the model sees of a slice."""

    def predict(self, index: int, prompts: SlicePrompts) -> SlicePrediction:
        """Answer prompts, as `PromptableSlices.predict`."""

    def smoothed_mask(self, prediction: SlicePrediction) -> NDArray[np.bool_]:
        """Return the answer's mask (rows, columns) from its logits smoothed on the network's grid."""

    def without_speckle(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return a mask (rows, columns) without its small parts, unless they are to be kept."""

    def mask_to_low_res(self, mask: NDArray[np.bool_], plane: tuple[int, int]) -> NDArray[np.bool_]:
        """Resample a mask (rows, columns) of a slice to the network's low-res answers, `plane` (h,w)."""

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Return the windowed slice (rows, columns[, 3])."""


class ViewableSlices(Protocol):
    """Slices that can be shown to the model in several ways, and that remember which way was better."""

    def seen(self, view: SliceView) -> SliceSource:
        """Return the same slices, of which the model sees this view.

        Coordinates and masks stay those of the whole slice; network boxes and low-res logits are the crop's own, and
        mean nothing in another view.
        """

    def key_crop(self, crop: Crop) -> Crop:
        """Return the crop to show of a key slice: that of an earlier run that shows nearly the same as `crop`, if any.

        So a box that is drawn anew a little beside another one is answered from what is encoded.
        """

    def cached_decision(self, index: int, about: Hashable, choose: Callable[[], SliceView]) -> SliceView:
        """Return `choose()`, which is kept as long as the embeddings are, and not asked again."""

    def set_preferred_view(self, view: SliceView) -> None:
        """Remember in which view an object was told best: slices encoded ahead get it."""


class TrackableSlices(Protocol):
    """Slices across one axis over which a memory tracker runs."""

    @property
    def axis(self) -> int: ...

    def make_tracker(self, reference: bool) -> MemoryTracker:
        """Return a new memory tracker over these slices; models without a memory raise `UsageError`."""

    def count_prediction(self) -> None:
        """Count a mask that a tracker made; `predict` counts by itself."""

    def cancelled(self) -> bool:
        """Return whether the user asked to stop."""


class RememberingSlices(Protocol):
    """Slices that remember what whole runs over them found."""

    def kept_results(
        self, asked: Hashable, run: Callable[[], Iterator[SliceResult]], *, again: bool
    ) -> Iterator[SliceResult]:
        """Yield the results of `run()`, and keep them; with `again` those that were kept for what is `asked`, if any.

        Raises `Cancelled` when the user asked to stop.
        """


class SliceSource(PromptableSlices, EnsembleSlices, ViewableSlices, TrackableSlices, RememberingSlices, Protocol):
    """One axis of an open volume; each strategy uses the part that it needs."""


class Strategy(Protocol):
    name: str

    def run(self, slices: SliceSource, plans: Sequence[ObjectPlan], options: RunOptions) -> Iterator[SliceResult]:
        """Yield results in the order in which they are computed; key slices first."""


def objects_sharing_slices(plans: Sequence[ObjectPlan]) -> list[dict[int, ObjectPlan]]:
    """Group the objects, by their numbers, that share slices; no slice belongs to two groups.

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
