"""Previews and runs: asks the worker, keeps the batch, and says what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from slicer.i18n import tr as _

from ..errors import Cancelled, MedSAMError
from ..results import ObjectResult
from .batch import Batch, BatchSummary, nothing_found
from .boundary import GuardedView, guarded
from .collaborators import InferenceService, PropagateJob, RunOutcome, SessionInfo, SlicePreview
from .effect_panel import EffectPanel
from .effect_scene import EffectScene, SceneVolume
from .job_builder import PlannedRun, by_window, plan_run, session_target
from .late_measuring import LateMeasuring
from .lesion_queue import Lesion, LesionQueue
from .live_preview import LivePreview
from .messages import cancelled_text, error_html, estimate_html, results_html, time_left_text
from .overlay_painter import OverlayPainter
from .run_forecast import RunForecast
from .segmentation_run import SegmentationRun
from .settings import EffectSettings
from .slice_plane import SlicePlane


class RunControl:
    """`collaborators.RunView` of its own `run`. `changed()` is called when what is shown may have changed.

    `writing` is true while segments and selection change by our own hand: that is no news to the effect. `later` calls
    a function when the event loop runs again.
    """

    def __init__(
        self,
        service: InferenceService,
        panel: EffectPanel,
        scene: EffectScene,
        queue: LesionQueue,
        painter: OverlayPainter,
        *,
        changed: Callable[[], None],
        forecast: RunForecast | None = None,
        clock: Callable[[], float] = time.monotonic,
        later: Callable[[Callable[[], None]], None] = lambda action: action(),
    ) -> None:
        self.run = SegmentationRun(service, GuardedView(self, self.fail))
        self.preview = LivePreview(self.run, scene, painter)
        self.forecast = forecast or RunForecast(scene)
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
        self.measuring = LateMeasuring(
            lambda action: later(guarded(action, self.fail)), guarded(self._measured, self.fail)
        )
        self._started = 0.0
        self._written: list[Lesion] = []
        self._away = False
        self._parting = ""

    # Commands

    def ask_preview(self, lesion: Lesion, plane: SlicePlane, volume: SceneVolume, settings: EffectSettings) -> bool:
        try:
            return self.preview.ask(lesion, plane, volume, settings)
        except MedSAMError as error:
            self.show_error(error)
            return False

    def segment_slice(self, lesion: Lesion, plane: SlicePlane, volume: SceneVolume, settings: EffectSettings) -> None:
        """Write the preview of a slice into the segment; ask for it first when there is none."""
        shown = self.preview.shown
        if shown is not None and shown.plane == plane and self.preview.lesion is lesion:
            self._commit_preview(volume)
            return
        self.preview.clear()
        wanted = self.ask_preview(lesion, plane, volume, settings)
        self.preview.wanted = volume if wanted else None

    def start(self, rows: Sequence[Lesion], volume: SceneVolume, settings: EffectSettings) -> None:
        """Run these objects one after the other."""
        self.preview.clear()
        roi = self._scene.roi_box(volume.geometry) if settings.range_rule == "roi" else None

        def planned(lesion: Lesion) -> PlannedRun:
            return plan_run(lesion, settings, self._scene, volume, roi)

        def send(run: PlannedRun) -> bool:
            self._started = self._clock()
            target = session_target(run.lesion, volume, settings, roi, axis=run.job.axis, prompts=run.job.prompts)
            return self.run.propagate(target, run.job, volume.geometry.shape_zyx)

        self.show_estimate(rows, volume, settings)
        self.clear_results()
        self._panel.show_status("")
        batch = Batch(
            rows,
            volume,
            self._scene,
            sequence=by_window(rows, volume, settings, self.run.opened),
            planned=planned,
            send=send,
            ended=self._batch_ended,
            keep_partial=settings.keep_partial,
        )
        self.batch = batch
        with self._own_hand():
            batch.advance()

    def cancel(self) -> None:
        """Stop what runs, or drop the preview when nothing does."""
        if self.run.busy:
            self._panel.show_status(_("Cancelling ..."))
        self.preview.wanted = None
        self.run.cancel()
        if not self.run.busy:
            self.preview.clear()
            self._changed()

    def abandon(self, reason: str) -> None:
        """End what runs without a result."""
        self.preview.wanted = None
        batch, self.batch = self.batch, None
        if batch is not None:
            batch.dropped(reason)
            self._parting = reason if self._away else ""
            self._panel.show_status(reason)
        self.run.abandon()

    def leave(self, reason: str, unchanged: Callable[[], bool]) -> None:
        """The effect is left: what runs ends. Objects that are done are written as soon as the editor has changed over,
        provided that `unchanged()` holds then."""
        self._away = True
        batch = self.batch
        if batch is None or not batch.has_results:
            self.abandon(reason)
            return
        self.preview.wanted = None
        batch.cut(Cancelled(reason))
        self.run.abandon()

        def write() -> None:
            if self.batch is batch and unchanged():
                with self._own_hand():
                    batch.end()
            elif self.batch is batch:
                self.abandon(reason)

        # Not within the change of effects: a write selects segments, which the editor answers with changes of its own.
        self._later(guarded(write, self.fail))

    def come_back(self, *, hint: bool = True) -> None:
        """The effect is active again: say what became of the run that was left, else with `hint` what can be done."""
        self._away = False
        parting, self._parting = self._parting, ""
        if parting:
            self._panel.show_status(parting)
        elif hint:
            self.show_hint()

    def fail(self, error: MedSAMError) -> None:
        """A command or an answer ended in an error: a batch that it left behind ends too."""
        try:
            if self.batch is not None and not self.run.propagates:
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
        self._panel.show_status(error_html(error))

    def show_results(self) -> None:
        """Show what the last run found, as far as its objects still hold it."""
        rows = [lesion for lesion in self._written if lesion in self._queue.rows]
        self._panel.show_results(results_html(rows))

    def _measured(self) -> None:
        self.show_results()
        self._panel.show_queue(self._queue)

    def clear_results(self) -> None:
        self._written = []
        self.show_results()

    def show_hint(self) -> None:
        """Show what the user can do next."""
        waiting = len(self._queue.waiting())
        if waiting:
            self._panel.show_status(_("{n} object(s) wait. Press Propagate (P).").format(n=waiting))
        else:
            self._panel.show_status(_("Drag a box around the object on a slice, then press Propagate (P)."))

    def show_estimate(self, rows: Sequence[Lesion], volume: SceneVolume | None, settings: EffectSettings) -> None:
        """Show what a run of these objects takes. During a run that of its start stays."""
        if self.run.propagates:
            return
        estimate = self.forecast.of(rows, volume, settings, self.run.opened) if volume is not None and rows else None
        self._panel.show_estimate(estimate_html(estimate) if estimate is not None else "")

    # What the run says

    def run_state_changed(self) -> None:
        self._panel.show_run(self.run.state, self.run.propagates, len(self._queue.waiting()))

    def session_opened(self, info: SessionInfo) -> None:
        # What loading the model and the volume took says nothing about the slices.
        self._started = self._clock()
        self._panel.show_device(info.device)
        self.forecast.device = info.device

    def preview_ready(self, preview: SlicePreview) -> None:
        self.preview.show(preview)
        if self.run.opened is not None:
            self.forecast.pace.note_preview(self.run.opened, preview)
        volume, self.preview.wanted = self.preview.wanted, None
        if volume is not None:
            self._commit_preview(volume)
        elif not preview.mask.any():
            self.show_error(nothing_found(self.preview.lesion.name if self.preview.lesion is not None else ""))
        else:
            text = _("Preview of slice {n}, confidence {score}. Press Propagate (P), or S to write this slice.")
            self._panel.show_status(text.format(n=preview.plane.index, score=f"{preview.score:.2f}"))
        self._changed()

    def run_progressed(self, done: int, total: int) -> None:
        text = time_left_text(done, total, self._clock() - self._started)
        if self.batch is not None and self.batch.total > 1:
            text = _("Object {n} of {total}: {slices} for it").format(
                n=self.batch.position, total=self.batch.total, slices=text
            )
        self._panel.show_progress(done, total, text)

    def slice_ready(self, preview: SlicePreview) -> None:
        self._painter.set_mask(preview.plane, preview.mask)
        self._changed()

    def run_finished(self, job: PropagateJob, outcome: RunOutcome) -> None:
        if self.run.opened is not None:
            self.forecast.pace.note_run(self.run.opened, outcome)
        if self.batch is not None:
            with self._own_hand():
                self.batch.finished(outcome)

    def run_failed(self, job: PropagateJob | None, error: MedSAMError, partial: ObjectResult | None) -> None:
        if self.batch is not None and job is not None:
            with self._own_hand():
                self.batch.failed(error, partial)
            return
        self.preview.wanted = None
        if isinstance(error, Cancelled):
            self._panel.show_status(_("Cancelled."))
        else:
            self.show_error(error)
        self._changed()

    # The batch

    def _commit_preview(self, volume: SceneVolume) -> None:
        lesion = self.preview.lesion
        if lesion is None or not self._scene.confirm_visible():
            return
        try:
            with self._own_hand():
                plane = self.preview.commit(volume)
                self._scene.select_segment(lesion.segment_id)
        except MedSAMError as error:
            self.show_error(error)
            return
        self._panel.show_status(_("Slice {n} was written. Undo takes it back.").format(n=plane.index))

    @contextmanager
    def _own_hand(self) -> Iterator[None]:
        self.writing = True
        try:
            yield
        finally:
            self.writing = False
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
            text = cancelled_text(len(summary.written), summary.total, summary.partial)
            self._parting = text if self._away else ""
            self._panel.show_status(text)
        elif summary.error is not None:
            self.show_error(summary.error)
        else:
            self.show_hint()
