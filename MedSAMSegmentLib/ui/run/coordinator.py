"""Previews and runs: asks the worker, keeps the batch, and tells the panel what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from ...errors import Cancelled, MedSAMError
from ...geometry import SlicePlane
from ...results import ObjectResult
from ..objects.queue import ObjectQueue, QueuedObject
from ..objects.settings import EffectSettings
from ..overlay.painter import OverlayPainter
from ..scene.editor_scene import EffectScene, SceneVolume
from .batch import Batch, BatchSummary
from .error_boundary import guarded, nothing_found
from .estimate import RunEstimator
from .events import (
    Cancelling,
    Event,
    Failed,
    FirstLook,
    Message,
    PreviewCancelled,
    PreviewReady,
    Ready,
    RunCancelled,
    RunEstimate,
    RunProgress,
    RunsOn,
    SliceWritten,
)
from .measuring import DeferredMeasurement
from .planning import PlannedRun, by_window, plan_run, session_target
from .preview import LivePreview
from .protocols import InferenceService, PropagateJob, RunOutcome, RunState, SessionInfo, SlicePreview
from .request import GuardedView, RequestScheduler


class EffectPanel(Protocol):
    """The display of the effect: the options frame in Slicer, a recorder in tests."""

    def show_device(self, text: str) -> None: ...
    def show_run(self, state: RunState, propagates: bool, waiting: int) -> None: ...
    def show_progress(self, progress: RunProgress) -> None: ...
    def show_event(self, event: Event) -> None: ...
    def show_estimate(self, estimate: RunEstimate | None) -> None: ...
    def show_results(self, rows: Sequence[QueuedObject]) -> None: ...
    def show_queue(self, queue: ObjectQueue) -> None: ...
    def show_range_limits(self, slices: int) -> None: ...


class RunCoordinator:
    """The `RunView` of its own `requests`. `changed()` is called when what is shown may have changed.

    `writing` is true while segments and selection change by our own hand: that is no news to the effect. `later` calls
    a function when the event loop runs again. `at_hand` tells whether a model's weights are where it would run,
    verified, and `server` the address of the server that computes, "" for this computer.
    """

    def __init__(
        self,
        service: InferenceService,
        panel: EffectPanel,
        scene: EffectScene,
        queue: ObjectQueue,
        painter: OverlayPainter,
        *,
        changed: Callable[[], None],
        estimator: RunEstimator | None = None,
        clock: Callable[[], float] = time.monotonic,
        later: Callable[[Callable[[], None]], None] = lambda action: action(),
        at_hand: Callable[[str], bool] = lambda model: False,
        server: Callable[[], str] = lambda: "",
    ) -> None:
        self.requests = RequestScheduler(service, GuardedView(self, self.fail))
        self.preview = LivePreview(self.requests, scene, painter)
        self.estimator = estimator or RunEstimator(scene)
        self.batch: Batch | None = None
        self.last_error: MedSAMError | None = None
        self.writing = False
        self._panel = panel
        self._scene = scene
        self._queue = queue
        self._painter = painter
        self._changed = changed
        self._clock = clock
        self._later = later
        self._at_hand = at_hand
        self._server = server
        self.measuring = DeferredMeasurement(
            lambda action: later(guarded(action, self.fail)), guarded(self._measured, self.fail)
        )
        self._started = 0.0
        self._written: list[QueuedObject] = []
        self._away = False
        self._parting: Event | None = None

    @property
    def busy(self) -> bool:
        """Tell whether a request is on or waits."""
        return self.requests.busy

    @property
    def propagates(self) -> bool:
        """Tell whether a propagation runs or waits to run, or its result is being written."""
        return self.requests.propagates or (self.batch is not None and self.batch.ending)

    # Commands

    def prepare(self, settings: EffectSettings) -> None:
        """Start the worker, and load the model where it is at hand, so that the first answer need not wait for that."""
        model = settings.model if self._at_hand(settings.model) else ""
        self.requests.service.prepare(model, settings.device)

    def prepare_at_hand(self, settings: EffectSettings) -> None:
        """Start the worker only if it has a model to load: nobody has drawn anything yet."""
        if not self.busy and self._at_hand(settings.model):
            self.requests.service.prepare(settings.model, settings.device)

    def drop_preview(self) -> None:
        """Take the preview out of the views; nothing is written."""
        self.preview.clear()

    def forget(self, reason: str) -> None:
        """End what runs and free the volume: it, its segmentation or the scene is another one now."""
        self.abandon(reason)
        self.requests.forget_session()
        self.preview.clear()
        self.clear_results()
        self.measuring.clear()

    def shutdown(self, reason: str) -> None:
        """End what runs, and the worker."""
        self.abandon(reason)
        self.measuring.clear()
        self.requests.shutdown()

    def ask_preview(
        self,
        item: QueuedObject,
        plane: SlicePlane,
        volume: SceneVolume,
        settings: EffectSettings,
        *,
        remark: str = "",
    ) -> bool:
        """Ask for the preview of a slice; `remark` is said again with it. Return whether there is something to ask."""
        self.preview.remark = remark
        try:
            return self.preview.ask(item, plane, volume, settings)
        except MedSAMError as error:
            self.show_error(error)
            return False

    def renew_preview(self, volume: SceneVolume, settings: EffectSettings) -> None:
        """Ask for the preview that is shown again, with other settings."""
        shown, item = self.preview.shown, self.preview.item
        if shown is not None and item is not None:
            self.preview.clear()
            self.ask_preview(item, shown.plane, volume, settings)

    def segment_slice(
        self, item: QueuedObject, plane: SlicePlane, volume: SceneVolume, settings: EffectSettings
    ) -> None:
        """Write the preview of a slice into the segment; ask for it first when there is none."""
        shown = self.preview.shown
        if shown is not None and shown.plane == plane and self.preview.item is item:
            self._commit_preview(volume)
            return
        self.preview.clear()
        wanted = self.ask_preview(item, plane, volume, settings)
        self.preview.wanted = volume if wanted else None

    def may_write(self, rows: Sequence[QueuedObject]) -> bool:
        """Ask the user about every hidden segment that these objects go into. Nothing is asked about other segments."""
        hidden = [row.segment_id for row in rows if self._scene.is_hidden(row.segment_id)]
        if not hidden:
            return True
        with self._own_hand():
            return all(self._scene.confirm_visible(segment_id) for segment_id in hidden)

    def start(self, rows: Sequence[QueuedObject], volume: SceneVolume, settings: EffectSettings) -> None:
        """Run these objects one after the other."""
        self.preview.clear()
        roi = self._scene.roi_box(volume.geometry) if settings.range_rule == "roi" else None

        def planned(item: QueuedObject) -> PlannedRun:
            return plan_run(item, settings, self._scene, volume, roi)

        def send(run: PlannedRun) -> bool:
            self._started = self._clock()
            target = session_target(run.item, volume, settings, roi, axis=run.job.axis, prompts=run.job.prompts)
            return self.requests.propagate(target, run.job, volume.geometry.shape_zyx)

        self.show_estimate(rows, volume, settings)
        self.clear_results()
        self._panel.show_event(RunsOn(self._server()))
        batch = Batch(
            rows,
            volume,
            self._scene,
            sequence=by_window(rows, volume, settings, self.requests.opened),
            planned=planned,
            send=send,
            ended=self._batch_ended,
            later=self._write_later,
            keep_partial=settings.keep_partial,
        )
        self.batch = batch
        with self._own_hand():
            batch.advance()

    def cancel(self) -> None:
        """Stop what runs, or drop the preview when nothing does."""
        if self.requests.busy:
            self._panel.show_event(Cancelling())
        self.preview.wanted = None
        self.requests.cancel()
        if not self.requests.busy:
            self.preview.clear()
            self._changed()

    def abandon(self, reason: str) -> None:
        """End what runs without a result."""
        self.preview.wanted = None
        batch, self.batch = self.batch, None
        if batch is not None:
            batch.dropped(reason)
            self._parting = Message(reason) if self._away else None
            self._panel.show_event(Message(reason))
        self.requests.abandon()

    def leave(self, reason: str, unchanged: Callable[[], bool]) -> None:
        """The effect is left: what runs ends. Objects that are done are written as soon as the editor has changed over,
        provided that `unchanged()` holds then."""
        self._away = True
        batch = self.batch
        if batch is None or not batch.has_results:
            self.abandon(reason)
            return
        self.preview.wanted = None
        if not batch.ending:
            batch.cut(Cancelled(reason))
        self.requests.abandon()

        def write() -> None:
            if self.batch is batch and unchanged():
                with self._own_hand():
                    batch.end_at_once()
            elif self.batch is batch:
                self.abandon(reason)

        # Not within the change of effects: a write selects segments, which the editor answers with changes of its own.
        self._later(guarded(write, self.fail))

    def come_back(self, *, hint: bool = True) -> None:
        """The effect is active again: say what became of the run that was left, else with `hint` what can be done."""
        self._away = False
        parting, self._parting = self._parting, None
        if parting is not None:
            self._panel.show_event(parting)
        elif hint:
            self.show_hint()

    def fail(self, error: MedSAMError) -> None:
        """A command or an answer ended in an error: a batch that it left behind ends too."""
        try:
            if self.batch is not None and not self.propagates:
                self._end_broken(self.batch, error)
        finally:
            self.show_error(error)
            # No more than that: what failed may have been the painting of the views.
            self._panel.show_queue(self._queue)
            self.run_state_changed()

    def _end_broken(self, batch: Batch, error: MedSAMError) -> None:
        """Objects that are done are written."""
        if batch.has_results:
            with self._own_hand():
                batch.broken(error)
        else:
            batch.dropped(str(error))
            self.batch = None

    def show_error(self, error: MedSAMError) -> None:
        self.last_error = error
        self._panel.show_event(Failed(error))

    def show_results(self) -> None:
        """Show what the last run found, as far as its objects still hold it."""
        self._panel.show_results([item for item in self._written if item in self._queue.rows])

    def _measured(self) -> None:
        self.show_results()
        self._panel.show_queue(self._queue)

    def clear_results(self) -> None:
        self._written = []
        self.show_results()

    def show_hint(self) -> None:
        """Say what the user can do next."""
        self._panel.show_event(Ready(len(self._queue.waiting())))

    def show_estimate(self, rows: Sequence[QueuedObject], volume: SceneVolume | None, settings: EffectSettings) -> None:
        """Show what a run of these objects takes. During a run that of its start stays."""
        if self.propagates:
            return
        estimate = (
            self.estimator.of(rows, volume, settings, self.requests.opened) if volume is not None and rows else None
        )
        self._panel.show_estimate(estimate)

    # What the run says

    def run_state_changed(self) -> None:
        self._panel.show_run(self.requests.state, self.propagates, len(self._queue.waiting()))

    def session_opened(self, info: SessionInfo) -> None:
        # What loading the model and the volume took says nothing about the slices.
        self._started = self._clock()
        self._panel.show_device(info.device)
        self.estimator.device = info.device

    def first_look_ready(self, preview: SlicePreview) -> None:
        self._note_speed(preview)
        if self.preview.item is not None:
            self.preview.show_first_look(preview)
            self._panel.show_event(FirstLook(preview.plane.index))
            self._changed()

    def preview_ready(self, preview: SlicePreview) -> None:
        self._note_speed(preview)
        item = self.preview.item
        if item is None:
            # What it was asked for has been taken back.
            self._changed()
            return
        self.preview.show(preview)
        if preview.two_readings:
            item.found_two_readings(preview.plane)
        volume, self.preview.wanted = self.preview.wanted, None
        if volume is not None:
            self._commit_preview(volume)
        elif not preview.mask.any():
            self.show_error(nothing_found(item.name))
        else:
            readings = 2 if preview.two_readings else 1
            shown = PreviewReady(preview.plane.index, preview.score, self.preview.remark, readings, item.reading)
            self._panel.show_event(shown)
        self._changed()

    def _note_speed(self, preview: SlicePreview) -> None:
        if self.requests.opened is not None:
            self.estimator.throughput.note_preview(self.requests.opened, preview)

    def run_progressed(self, done: int, total: int) -> None:
        seconds = self._clock() - self._started
        position, objects = (self.batch.position, self.batch.total) if self.batch is not None else (1, 1)
        self._panel.show_progress(RunProgress(done, total, seconds, position, objects))

    def slice_ready(self, preview: SlicePreview) -> None:
        self._painter.set_mask(preview.plane, preview.mask)
        self._changed()

    def run_finished(self, job: PropagateJob, outcome: RunOutcome) -> None:
        if self.requests.opened is not None:
            self.estimator.throughput.note_run(self.requests.opened, outcome)
        if self.batch is not None:
            with self._own_hand():
                self.batch.finished(outcome)

    def run_failed(self, job: PropagateJob | None, error: MedSAMError, partial: ObjectResult | None) -> None:
        if self.batch is not None and job is not None:
            with self._own_hand():
                self.batch.failed(error, partial)
            return
        self.preview.wanted = None
        self.preview.drop_first_look()
        if isinstance(error, Cancelled):
            self._panel.show_event(PreviewCancelled())
        else:
            self.show_error(error)
        self._changed()

    # The batch

    def _commit_preview(self, volume: SceneVolume) -> None:
        item = self.preview.item
        if item is None or not self.may_write([item]):
            return
        try:
            with self._own_hand():
                plane = self.preview.commit(volume)
                self._scene.select_segment(item.segment_id)
        except MedSAMError as error:
            self.show_error(error)
            return
        self._panel.show_event(SliceWritten(plane.index))

    def _write_later(self, step: Callable[[], None]) -> None:
        """Let a batch go on writing when the event loop runs again; what others change until then is news."""

        def write() -> None:
            # Once the effect is left, all the rest is written at once.
            if not self._away:
                with self._own_hand():
                    step()

        self._later(guarded(write, self.fail))

    @contextmanager
    def _own_hand(self) -> Iterator[None]:
        before, self.writing = self.writing, True
        try:
            yield
        finally:
            self.writing = before
            if self.batch is not None and self.batch.ending:
                # The rest when it has ended: painting all views takes as long as a step.
                self.run_state_changed()
            else:
                self._changed()

    def _batch_ended(self, summary: BatchSummary) -> None:
        batch, self.batch = self.batch, None
        self._painter.clear_masks()
        if summary.written:
            if not self._away:
                self._scene.select_segment(summary.written[-1].segment_id)
            self._queue.select(summary.written[-1])
            self._written = summary.written
            self.show_results()
            if batch is not None:
                self.measuring.add(summary.written, batch.volume.geometry)
        if isinstance(summary.error, Cancelled):
            cancelled = RunCancelled(len(summary.written), summary.total, summary.partial)
            self._parting = cancelled if self._away else None
            self._panel.show_event(cancelled)
        elif summary.error is not None:
            self.show_error(summary.error)
        else:
            self.show_hint()
