"""Previews and runs: asks the worker, keeps the batch, and says what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from slicer.i18n import tr as _

from ..errors import Cancelled, MedSAMError, PromptError
from ..results import ObjectResult
from .batch import Batch, BatchSummary, nothing_found
from .collaborators import InferenceService, PropagateJob, RunOutcome, SessionInfo, SlicePreview
from .effect_panel import EffectPanel
from .effect_scene import EffectScene, SceneVolume
from .job_builder import PlannedRun, plan_run, session_target
from .lesion_queue import Lesion, LesionQueue
from .live_preview import LivePreview
from .messages import error_html, results_html, time_left_text
from .overlay_painter import OverlayPainter
from .segmentation_run import SegmentationRun
from .settings import EffectSettings
from .slice_plane import SlicePlane


class RunControl:
    """`collaborators.RunView` of its own `run`. `changed()` is called when what is shown may have changed.

    `writing` is true while segments and selection change by our own hand: that is no news to the effect.
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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.run = SegmentationRun(service, self)
        self.preview = LivePreview(self.run, scene, painter)
        self.batch: Batch | None = None
        self.last_error: MedSAMError | None = None
        self.writing = False
        self._panel = panel
        self._scene = scene
        self._queue = queue
        self._painter = painter
        self._changed = changed
        self._clock = clock
        self._started = 0.0

    # Commands

    def ask_preview(self, lesion: Lesion, plane: SlicePlane, volume: SceneVolume, settings: EffectSettings) -> bool:
        try:
            return self.preview.ask(lesion, plane, volume, settings)
        except MedSAMError as error:
            self.show_error(error)
            return False

    def segment_slice(self, volume: SceneVolume, settings: EffectSettings) -> None:
        """Write the preview into the segment; ask for it first when there is none."""
        if self.run.propagates:
            return
        if self.preview.shown is not None:
            self._commit_preview(volume)
            return
        lesion = self._queue.current
        if lesion is None or lesion.plane is None:
            self.show_error(PromptError("There is nothing to segment yet.", "Drag a box on a slice."))
            return
        wanted = self.ask_preview(lesion, lesion.plane, volume, settings)
        self.preview.wanted = volume if wanted else None

    def start(self, rows: Sequence[Lesion], volume: SceneVolume, settings: EffectSettings) -> None:
        """Run these objects one after the other."""
        self.preview.clear()
        # The ROI is the range where the rule says so, and the prompt of an object that has no other.
        needed = settings.range_rule == "roi" or not all(row.prompts or row.keys for row in rows)
        try:
            roi = self._scene.roi_box(volume.geometry) if needed else None
        except MedSAMError as error:
            self.show_error(error)
            return

        def planned(lesion: Lesion) -> PlannedRun:
            return plan_run(lesion, settings, self._scene, volume, roi)

        def send(run: PlannedRun) -> bool:
            self._started = self._clock()
            target = session_target(volume, settings, roi, run.job.axis, run.job.prompts)
            return self.run.propagate(target, run.job, volume.geometry.shape_zyx)

        self._panel.show_results("")
        self._panel.show_status("")
        batch = Batch(
            rows,
            volume,
            self._scene,
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
            self._panel.show_status(reason)
        self.run.abandon()

    def show_error(self, error: MedSAMError) -> None:
        self.last_error = error
        self._panel.show_status(error_html(error))

    def show_hint(self) -> None:
        """What the user can do next."""
        waiting = len(self._queue.waiting())
        if waiting:
            self._panel.show_status(_("{n} object(s) wait. Press Propagate (P).").format(n=waiting))
        else:
            self._panel.show_status(_("Drag a box around the object on a slice, then press Propagate (P)."))

    # What the run says

    def run_state_changed(self) -> None:
        self._panel.show_run(self.run.state, self.run.propagates, len(self._queue.waiting()))

    def session_opened(self, info: SessionInfo) -> None:
        self._panel.show_device(info.device)

    def preview_ready(self, preview: SlicePreview) -> None:
        self.preview.show(preview)
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
            text = _("Object {n} of {total}: ").format(n=self.batch.position, total=self.batch.total) + text
        self._panel.show_progress(done, total, text)

    def slice_ready(self, preview: SlicePreview) -> None:
        self._painter.set_mask(preview.plane, preview.mask)
        self._changed()

    def run_finished(self, job: PropagateJob, outcome: RunOutcome) -> None:
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
        self.batch = None
        self._painter.clear_masks()
        if summary.written:
            self._scene.select_segment(summary.written[-1].segment_id)
            self._queue.select(summary.written[-1])
            self._panel.show_results(results_html([(self._queue.rows.index(r), r) for r in summary.written]))
        if isinstance(summary.error, Cancelled):
            kept = _("The slices done were kept.") if summary.partial else _("The segment is as it was.")
            self._panel.show_status(_("Cancelled.") + " " + kept)
        elif summary.error is not None:
            self.show_error(summary.error)
        else:
            self.show_hint()
