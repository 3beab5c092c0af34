"""A volume opened with a model: encode each slice once, prompt as often as the user likes."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..cancellation import CancelCheck, never_cancel, raise_if_cancelled
from ..errors import DeviceError, UsageError
from ..geometry import VolumeGeometry, axis_from_name, take_slice
from ..intensity import WindowedVolume
from ..prompts import ObjectPrompts
from ..propagation import DIRECTIONS, Direction, StopRule
from ..results import FLAG_FIRST_LOOK, ObjectResult, PackedMask, Progress, Segmentation3D, SliceResult, flag_slices
from .device_fallback import cpu_fallback, describe_shortage, shortage_remedy
from .embedding_cache import PLAIN_VIEW, Crop, EmbeddingCache, EmbeddingKey, SliceView, nearest_crop
from .kept_runs import KeptRuns
from .plan import ObjectPlan, PlanSettings, plan_objects
from .strategies import default_strategy, make_strategy
from .strategies.base import RunOptions, Strategy
from .strategies.click_editing import ClickEditing
from .strategies.outline import without_speckle

if TYPE_CHECKING:
    from .memory_tracker import MemoryTracker
    from .slice_predictor import SliceEmbedding, SlicePrediction, SlicePredictor, SlicePrompts

EFFICIENT_MEDSAM2 = "Efficient MedSAM2"
"""The family whose official script bounds an object by its RECIST line."""

READINGS = (1, 2)

MAXIMUM_DECISIONS = 256
"""As many answers to `AxisView.cached_decision` are kept."""

MAXIMUM_CROPS = 64
"""Crops of key slices along an axis that are remembered."""

OnProgress = Callable[[Progress], None]
OnSlice = Callable[[SliceResult], None]


@dataclass
class Counters:
    """Numbers of computations of a session so far."""

    encodes: int = 0
    predictions: int = 0


class VolumeSession:
    """One volume, one model. Use as a context manager, or call `close`.

    `volume` is the windowed 8-bit volume (z,y,x[,3]). The cache of embeddings never passes `cache_bytes`.
    With `reference` the official scripts' behaviour is repeated even where ours differs by design. `time_series`
    says that k counts frames in time. With `keep_speckle` small parts beside the largest of a slice stay.
    """

    def __init__(
        self,
        predictor: SlicePredictor,
        volume: WindowedVolume,
        geometry: VolumeGeometry,
        *,
        device: str = "cpu",
        cache_bytes: int = 400 * 2**20,
        reference: bool = False,
        time_series: bool = False,
        keep_speckle: bool = False,
    ) -> None:
        self.predictor = predictor
        self.volume = volume
        self.geometry = geometry
        self.device = device
        self.reference = reference
        self.time_series = time_series
        self.keep_speckle = keep_speckle
        self.counters = Counters()
        self.cache: EmbeddingCache[SliceEmbedding] = EmbeddingCache(cache_bytes)
        self.decisions: dict[tuple[int, int, Hashable], SliceView] = {}
        self.preferred_views: dict[int, SliceView] = {}
        self.key_crops: dict[int, dict[Crop, None]] = {}
        self.kept_runs = KeptRuns()

    def __enter__(self) -> VolumeSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def model_id(self) -> str:
        return self.predictor.entry.id

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        return self.geometry.shape_zyx

    def close(self) -> None:
        """Free the embeddings. The session can still be used; it encodes again."""
        self.cache.clear()
        self.decisions.clear()
        self.preferred_views.clear()
        self.key_crops.clear()
        self.kept_runs.clear()

    def encode_slice(self, axis: int | str, index: int, cancel: CancelCheck = never_cancel) -> None:
        """Put a slice's embedding into the cache, so that a run that comes by finds it.

        What is encoded is the view in which the last object along this axis was seen best, else all of it: then the
        next prompt on it is answered at once, too.
        """
        along = axis_from_name(axis)
        AxisView(self, along, cancel, self.preferred_views.get(along, PLAIN_VIEW)).embedding(index)

    def segment_slice(
        self,
        axis: int | str,
        index: int,
        prompts: ObjectPrompts,
        *,
        reading: int = 1,
        on_first_look: OnSlice | None = None,
        cancel: CancelCheck = never_cancel,
    ) -> SliceResult:
        """Segment one object on one slice. Prompts are the same as in `propagate`; those of other slices are left
        out. Where the result is flagged `FLAG_TWO_READINGS`, `reading` 2 is the other thing that the box may mean.

        A box is asked in up to three views of its slice. `on_first_look` gets what the first of them shows, while the
        others are on their way.

        Raises `PromptError` when no prompt touches the slice, `Cancelled` when `cancel()` turned true.
        """
        along = axis_from_name(axis)
        plans = plan_objects([prompts], PlanSettings(self.geometry, along, (index, index), reference=self.reference))
        # Clicks edit the answer to the prompts without them; that one has been seen.
        first_look = on_first_look is not None and not plans[0].clicks
        options = RunOptions(reference=self.reference, reading=_checked_reading(reading), first_look=first_look)
        usual = default_strategy(self.predictor.entry, self.reference)
        # As a run answers on its key slice; a memory has nothing to remember on a single one.
        chosen = self._with_clicks(make_strategy("static" if usual == "memory" else usual))
        run = _PreparedRun(AxisView(self, along, cancel), plans, chosen, options)
        for answer in self._with_cpu_fallback(run):  # a click changes the answer without it, which comes first
            if FLAG_FIRST_LOOK in answer.flags and on_first_look is not None:
                on_first_look(answer)
        return answer

    def propagate(
        self,
        objects: Sequence[ObjectPrompts],
        *,
        axis: int | str = 0,
        slice_range: tuple[int, int] | None = None,
        direction: Direction = "both",
        strategy: str | None = None,
        stop: StopRule | None = None,
        names: Sequence[str] | None = None,
        reading: int = 1,
        on_slice: OnSlice | None = None,
        on_progress: OnProgress | None = None,
        cancel: CancelCheck = never_cancel,
    ) -> Segmentation3D:
        """Segment all objects in 3D. Each element of `objects` is one object: a prompt, or prompts that belong
        together.

        `reading` 2 is the other thing that a box may mean, where the key slice is flagged `FLAG_TWO_READINGS`.
        `on_slice` gets each slice as it is computed. Raises `Cancelled` within one slice of `cancel()` turning true.
        """
        along = axis_from_name(axis)
        plans = plan_objects(objects, self._plan_settings(along, slice_range, direction), names)
        run = self._prepare(plans, along, direction, strategy, stop=stop, reading=reading, cancel=cancel)
        result = Segmentation3D(
            [ObjectResult(plan.name, PackedMask(self.shape_zyx, along)) for plan in plans],
            axis=along,
            shape_zyx=self.shape_zyx,
            model=self.model_id,
            strategy=run.strategy.name,
            device=self.device,
            window=self.volume.description,
        )
        before = Counters(**vars(self.counters))
        started = time.perf_counter()
        done, total = 0, sum(plan.last - plan.first + 1 for plan in plans)
        for item in self._with_cpu_fallback(run):
            found = result.objects[item.object_index]
            # A click yields slices again.
            done += item.index not in found.slices
            found.add(item)
            if on_slice is not None:
                on_slice(item)
            if on_progress is not None:
                on_progress(Progress(done, max(done, total)))
        if done < total and on_progress is not None:
            on_progress(Progress(done, done))  # objects ended before their last slice
        for finished in result.objects:
            finished.slices = flag_slices(finished.slices)
        result.device = self.device
        result.seconds = time.perf_counter() - started
        result.encodes = self.counters.encodes - before.encodes
        result.predictions = self.counters.predictions - before.predictions
        return result

    def iter_propagate(
        self,
        objects: Sequence[ObjectPrompts],
        *,
        axis: int | str = 0,
        slice_range: tuple[int, int] | None = None,
        direction: Direction = "both",
        strategy: str | None = None,
        stop: StopRule | None = None,
        reading: int = 1,
        cancel: CancelCheck = never_cancel,
    ) -> Iterator[SliceResult]:
        """Return the same run as an iterator over slices in the order computed; nothing is kept."""
        along = axis_from_name(axis)
        plans = plan_objects(objects, self._plan_settings(along, slice_range, direction))
        return self._with_cpu_fallback(
            self._prepare(plans, along, direction, strategy, stop=stop, reading=reading, cancel=cancel)
        )

    def _prepare(
        self,
        plans: Sequence[ObjectPlan],
        axis: int,
        direction: Direction,
        strategy: str | None,
        *,
        stop: StopRule | None,
        reading: int,
        cancel: CancelCheck,
    ) -> _PreparedRun:
        """Refuse all that can be refused, before anything is computed."""
        chosen = self._with_clicks(make_strategy(strategy or default_strategy(self.predictor.entry, self.reference)))
        options = RunOptions(direction, stop, self.reference, self.time_series and axis == 0, _checked_reading(reading))
        return _PreparedRun(AxisView(self, axis, cancel), plans, chosen, options)

    def _with_clicks(self, strategy: Strategy) -> Strategy:
        """Let clicks edit what the strategy finds. Networks that follow an object by a memory were trained on clicks,
        too."""
        return ClickEditing(strategy, hears_clicks=self.predictor.entry.kind == "memory")

    def _with_cpu_fallback(self, run: _PreparedRun) -> Iterator[SliceResult]:
        """Yield the strategy's results. Where the device gives out, the CPU begins again and goes on where it
        stopped."""
        given = 0
        try:
            for result in run.results():
                yield result
                given += 1
        except (RuntimeError, MemoryError) as error:
            shortage = describe_shortage(error)
            if shortage is None:
                raise
            self._fall_back(shortage, error)
        else:
            return
        yield from islice(run.results(), given, None)

    def _fall_back(self, shortage: str, error: Exception) -> None:
        """Move to the CPU, when the device was not asked for by name. Raises `DeviceError`."""
        choice = self.predictor.device
        self.close()
        if choice.by_name or choice.device.type == "cpu":
            raise DeviceError(
                f"The device {choice.device.type} {shortage}.", shortage_remedy(choice.device.type), str(error)
            ) from error
        self.predictor.move_to(cpu_fallback(choice, shortage))
        self.device = f"{self.predictor.title} ({self.predictor.device.reason})"

    def _plan_settings(self, axis: int, slice_range: tuple[int, int] | None, direction: Direction) -> PlanSettings:
        if direction not in DIRECTIONS:
            raise UsageError(f"The direction {direction!r} is not known.", f"Use one of {', '.join(DIRECTIONS)}.")
        bounded = getattr(self.predictor.entry, "family", "") == EFFICIENT_MEDSAM2
        extent = (int(slice_range[0]), int(slice_range[1])) if slice_range is not None else None
        return PlanSettings(self.geometry, axis, extent, bounded, self.reference, direction)


def _checked_reading(reading: int) -> int:
    if reading not in READINGS:
        raise UsageError(f"There is no reading {reading!r}.", "Use 1, or 2 for the other thing a box may mean.")
    return reading


@dataclass(frozen=True, eq=False)
class _PreparedRun:
    """A run to be computed, all of it checked."""

    view: AxisView
    plans: Sequence[ObjectPlan]
    strategy: Strategy
    options: RunOptions

    def results(self) -> Iterator[SliceResult]:
        return self.strategy.run(self.view, self.plans, self.options)


class AxisView:
    """One axis of a session's volume, as the strategies use it (`strategies.base.SliceSource`).

    The network is shown `view` of each slice; all coordinates stay those of the whole slice. `known_crops` are those of
    earlier key slices, by default when this view was made.
    """

    def __init__(
        self,
        session: VolumeSession,
        axis: int,
        cancel: CancelCheck,
        view: SliceView = PLAIN_VIEW,
        known_crops: Sequence[Crop] | None = None,
    ) -> None:
        self._session = session
        self._cancel = cancel
        self._known_crops = tuple(session.key_crops.get(axis, ())) if known_crops is None else known_crops
        self.axis = axis
        self.count = session.shape_zyx[axis]
        self.view = view
        rows, columns = take_slice(session.volume.volume_u8, axis, 0).shape[:2]
        self._shape = (rows, columns)
        x0, y0, x1, y1 = view.crop or (0, 0, columns - 1, rows - 1)
        self._origin = (x0, y0)
        self._visible = (slice(y0, y1 + 1), slice(x0, x1 + 1))
        seen_shape = (y1 - y0 + 1, x1 - x0 + 1)
        self.longer_side = max(seen_shape)
        self._transform = session.predictor.transform(seen_shape)

    def cached_decision(self, index: int, about: Hashable, choose: Callable[[], SliceView]) -> SliceView:
        decisions, place = self._session.decisions, (self.axis, index, about)
        if place not in decisions:
            while len(decisions) >= MAXIMUM_DECISIONS:  # of boxes that were dragged there are many
                decisions.pop(next(iter(decisions)))
            decisions[place] = choose()
        return decisions[place]

    def set_preferred_view(self, view: SliceView) -> None:
        self._session.preferred_views[self.axis] = view

    def kept_results(
        self, asked: Hashable, run: Callable[[], Iterator[SliceResult]], *, again: bool
    ) -> Iterator[SliceResult]:
        for result in self._session.kept_runs.results((self.axis, asked), run, again=again):
            raise_if_cancelled(self._cancel)
            yield result

    def seen(self, view: SliceView) -> AxisView:
        if view == self.view:
            return self
        return AxisView(self._session, self.axis, self._cancel, view, self._known_crops)

    def key_crop(self, crop: Crop) -> Crop:
        found = nearest_crop(crop, self._known_crops)
        crops = self._session.key_crops.setdefault(self.axis, {})
        crops[found] = None
        while len(crops) > MAXIMUM_CROPS:
            crops.pop(next(iter(crops)))
        return found

    def pixels(self, index: int) -> NDArray[np.uint8]:
        return np.ascontiguousarray(take_slice(self._session.volume.volume_u8, self.axis, index))

    def embedding(self, index: int) -> SliceEmbedding:
        session = self._session
        model = f"{session.model_id} on {session.device}"
        key = EmbeddingKey(model, session.volume.description, self.axis, index, self.view)
        return session.cache.get_or_compute(key, lambda: self._encode(index))

    def predict(self, index: int, prompts: SlicePrompts) -> SlicePrediction:
        embedding = self.embedding(index)
        raise_if_cancelled(self._cancel)
        self._session.counters.predictions += 1
        if self.view.crop is None:
            return self._session.predictor.predict(embedding, prompts)
        x, y = self._origin
        seen = self._session.predictor.predict(embedding, prompts.moved(-x, -y))
        mask = np.zeros(self._shape, dtype=bool)
        mask[self._visible] = seen.mask
        return replace(seen, mask=mask)

    def handover_prompts(self, mask: NDArray[np.bool_], label_value: int) -> SlicePrompts | None:
        prompts = self._transform.handover_prompts(mask[self._visible], label_value)
        return None if prompts is None else prompts.moved(*self._origin)

    def smoothed_mask(self, prediction: SlicePrediction) -> NDArray[np.bool_]:
        mask = np.zeros(self._shape, dtype=bool)
        mask[self._visible] = self._session.predictor.smooth(prediction, self._transform)
        return mask

    def without_speckle(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return mask if self._session.keep_speckle else without_speckle(mask)

    def mask_to_low_res(self, mask: NDArray[np.bool_], plane: tuple[int, int]) -> NDArray[np.bool_]:
        return self._transform.mask_to_low_res(mask[self._visible], plane)

    def make_tracker(self, reference: bool) -> MemoryTracker:
        assert self.view == PLAIN_VIEW, "a memory sees whole slices"
        from .frame_features import FrameFeatures
        from .memory_tracker import MemoryTracker
        from .tracker_options import tracker_options

        options = tracker_options(self._session.predictor.entry.family, reference=reference)
        return MemoryTracker(
            self._session.predictor.sam2,
            lambda index: FrameFeatures.of_embedding(self.embedding(index)),
            self.count,
            self._transform.shape,
            options.for_video() if self._session.time_series and self.axis == 0 else options,
            dtype=self._session.predictor.device.dtype,
            steps=self._session.predictor.engine.memory_steps,
        )

    def count_prediction(self) -> None:
        self._session.counters.predictions += 1

    def cancelled(self) -> bool:
        return self._cancel()

    def _encode(self, index: int) -> SliceEmbedding:
        raise_if_cancelled(self._cancel)
        self._session.counters.encodes += 1
        shown = np.ascontiguousarray(self.pixels(index)[self._visible])
        return self._session.predictor.encode(255 - shown if self.view.inverted else shown)
