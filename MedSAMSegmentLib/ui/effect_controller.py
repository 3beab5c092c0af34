"""What the effect does: drawing, live preview, runs, corrections, queue. Speaks to Qt and VTK through others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from slicer.i18n import tr as _

from ..errors import Cancelled, MedSAMError, PromptError
from ..results import ObjectResult
from .batch import Batch, BatchSummary, nothing_found
from .collaborators import InferenceService, PropagateJob, RunOutcome, SessionInfo, SlicePreview
from .drawing import XY, Drawing, Placed
from .effect_panel import EffectPanel
from .effect_scene import EffectScene, SceneVolume
from .job_builder import PlannedRun, plan_run, session_target
from .lesion_queue import Lesion, LesionQueue
from .live_preview import LivePreview
from .messages import SliceLink, error_html, results_html, time_left_text
from .navigator import Navigator, next_flagged
from .overlay_painter import OverlayPainter
from .scene_watch import SceneWatch
from .segmentation_run import SegmentationRun
from .settings import EffectSettings
from .slice_plane import SlicePlane
from .view_geometry import ViewGeometry
from .view_painting import ViewPainting


class EffectController:
    """One effect of one editor. All methods run in the main thread and return at once."""

    def __init__(
        self,
        host: Any,
        panel: EffectPanel,
        service: InferenceService,
        views: Callable[[], Sequence[Any]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.host = host
        self.panel = panel
        self.scene = EffectScene(host)
        self.run = SegmentationRun(service, self)
        self.painter = OverlayPainter(host)
        self.queue = LesionQueue()
        self.settings = EffectSettings()
        self.active = False
        self.batch: Batch | None = None
        self.last_error: MedSAMError | None = None
        self.preview = LivePreview(self.run, self.scene, self.painter)
        self._drawing = Drawing(self.scene, self.queue)
        self._navigator = Navigator(self.scene)
        self._painting = ViewPainting(host, self.painter, views)
        self._watch = SceneWatch(self.selection_changed, self.segments_changed, self.volume_changed, self.scene_closed)
        self._volume: SceneVolume | None = None
        self._segmentation_id: str | None = None
        self._writing = False
        self._clock = clock
        self._started = 0.0

    # Life cycle

    def activate(self) -> None:
        self.active = True
        self._watch.start(self.scene.parameter_node, self.host.scene())
        self.selection_changed()
        self.segments_changed()
        self.volume_changed()
        if self._volume is not None:
            self._show_hint()
        self.refresh()

    def deactivate(self) -> None:
        """Another effect was chosen: what runs ends, nothing is written, our actors go."""
        self._abandon(_("Stopped because another effect was chosen; nothing was written."))
        # The editor leaves the effect when the last segment is deleted, before we hear of that.
        self.segments_changed()
        self.active = False
        self._watch.stop()
        self.preview.clear()
        self.painter.remove_all()

    def cleanup(self) -> None:
        self.deactivate()
        self.run.shutdown()

    def scene_closed(self) -> None:
        self._drop_all(_("The scene was closed; nothing was written."))
        self._watch.stop()

    # Changes of the scene

    def selection_changed(self) -> None:
        """Segment, segmentation or volume may have been chosen anew."""
        if self._writing or self.scene.closing:
            return
        node = self.scene.segmentation_node
        segmentation_id = node.GetID() if node is not None else None
        if segmentation_id != self._segmentation_id:
            self._segmentation_id = segmentation_id
            self._watch.start(self.scene.parameter_node, self.host.scene())
            self._drop_all(_("Another segmentation was chosen; nothing was written."))
            return
        row = self.queue.of_segment(self.scene.selected_segment_id)
        if row is not None and row is not self.queue.current and not self.run.propagates:
            self.queue.select(row)
            self.refresh()

    def segments_changed(self) -> None:
        """Rows whose segment was deleted go; a run for such a segment ends."""
        if self._writing or self.scene.closing:
            return
        for lesion in [r for r in self.queue.rows if r.segment_id and not self.scene.has_segment(r.segment_id)]:
            if self.batch is not None and self.batch.holds(lesion):
                self._abandon(_("The segment was deleted while it was computed; nothing was written."))
            self.queue.remove(lesion)
        self.refresh()

    def volume_changed(self) -> None:
        """The chosen volume, its voxels or its place may be others now."""
        if self.scene.closing:
            return
        before = self._volume
        known = self._know_volume()
        if before is not None and not (known and before.same_as(self._volume)):
            self._drop_all(_("The volume changed; nothing was written."))
            known = self._know_volume()
        if self.active and known:
            self._watch.start(self.scene.parameter_node, self.host.scene())

    # Drawing

    def draw_box(self, view_widget: Any, corners_xy: Sequence[XY], extend: bool = False) -> None:
        """A rectangle was dragged in a view; with `extend` it belongs to the current object."""
        new = self.settings.each_box_new_segment
        self._draw(view_widget, lambda g, _v: self._drawing.box(g, corners_xy, new_segments=new, extend=extend))

    def draw_line(self, view_widget: Any, start_xy: XY, end_xy: XY, extend: bool = False) -> None:
        new = self.settings.each_box_new_segment
        self._draw(
            view_widget,
            lambda g, v: self._drawing.line(g, v, start_xy, end_xy, new_segments=new, extend=extend),
        )

    def draw_point(self, view_widget: Any, position_xy: XY, positive: bool) -> None:
        self._draw(view_widget, lambda g, v: self._drawing.point(g, v, position_xy, positive))

    def toggle_key_slice(self, view_widget: Any) -> None:
        self._draw(view_widget, lambda g, _v: self._drawing.key_slice(g))

    def remove_last_prompt(self) -> None:
        lesion = self.queue.current
        if lesion is None or self.run.propagates:
            return
        lesion.prompts.remove_last()
        if not lesion.prompts and not lesion.keys and lesion.written is None:
            self.queue.remove(lesion)
        self.preview.clear()
        self.refresh()

    def _draw(self, view_widget: Any, place: Callable[[ViewGeometry, SceneVolume], Placed]) -> None:
        if self.run.propagates:
            self.panel.show_status(_("A run is on. Wait for its end or cancel it."))
            return
        self.volume_changed()
        if self._volume is None:
            return
        try:
            lesion, plane = place(self._painting.geometry(view_widget, self._volume), self._volume)
        except MedSAMError as error:
            self._show_error(error)
            return
        lesion.reopen()
        self.preview.clear()
        self._show_hint()
        self.refresh()
        self._ask_preview(lesion, plane)

    # Preview

    def segment_slice(self) -> None:
        """Write the preview into the segment; ask for it first when there is none."""
        if self.run.propagates:
            return
        if self.preview.shown is not None:
            self._commit_preview()
            return
        lesion = self.queue.current
        if lesion is None or lesion.plane is None:
            self._show_error(PromptError("There is nothing to segment yet.", "Drag a box on a slice."))
            return
        self.preview.wanted = self._ask_preview(lesion, lesion.plane)

    def _ask_preview(self, lesion: Lesion, plane: SlicePlane) -> bool:
        if self._volume is None:
            return False
        try:
            return self.preview.ask(lesion, plane, self._volume, self.settings)
        except MedSAMError as error:
            self._show_error(error)
            return False

    def _commit_preview(self) -> None:
        lesion, volume = self.preview.lesion, self._volume
        if volume is None or lesion is None or not self.scene.confirm_visible():
            return
        self._writing = True
        try:
            plane = self.preview.commit(volume)
            self.scene.select_segment(lesion.segment_id)
        except MedSAMError as error:
            self._show_error(error)
            return
        finally:
            self._writing = False
        self.panel.show_status(_("Slice {n} was written. Undo takes it back.").format(n=plane.index))
        self.refresh()

    # Runs

    def propagate(self) -> None:
        """Run every object that waits; when none does, the selected segment again with its corrections."""
        if self.run.propagates or self.batch is not None:
            self.panel.show_status(_("A run is on already."))
            return
        self.volume_changed()
        if self._volume is None:
            return
        rows = self.queue.waiting()
        again = None if rows else self._drawing.again(self._volume)
        if again is not None:
            rows = [again]
        if not rows:
            self._show_error(PromptError("There is nothing to propagate yet.", "Drag a box on a slice first."))
        elif self.scene.confirm_visible():
            self._start_batch(rows, self._volume)

    def cancel(self) -> None:
        """Stop what runs, or drop the preview when nothing does."""
        if self.run.busy:
            self.panel.show_status(_("Cancelling ..."))
        self.preview.wanted = False
        self.run.cancel()
        if not self.run.busy:
            self.preview.clear()
            self.refresh()

    def _start_batch(self, rows: Sequence[Lesion], volume: SceneVolume) -> None:
        self.preview.clear()
        settings = self.settings
        # The ROI is the range where the rule says so, and the prompt of an object that has no other.
        needed = settings.range_rule == "roi" or not all(row.prompts or row.keys for row in rows)
        try:
            roi = self.scene.roi_box(volume.geometry) if needed else None
        except MedSAMError as error:
            self._show_error(error)
            return

        def planned(lesion: Lesion) -> PlannedRun:
            return plan_run(lesion, settings, self.scene, volume, roi)

        def send(run: PlannedRun) -> bool:
            self._started = self._clock()
            target = session_target(volume, settings, roi, run.job.axis, run.job.prompts)
            return self.run.propagate(target, run.job, volume.geometry.shape_zyx)

        self.panel.show_results("")
        self.panel.show_status("")
        batch = Batch(
            rows,
            volume,
            self.scene,
            planned=planned,
            send=send,
            ended=self._batch_ended,
            keep_partial=settings.keep_partial,
        )
        self.batch = batch
        self._advance(batch.advance)

    def _advance(self, action: Callable[[], None]) -> None:
        """Our own changes of segments and selection are no news to us."""
        self._writing = True
        try:
            action()
        finally:
            self._writing = False
        self.refresh()

    def _batch_ended(self, summary: BatchSummary) -> None:
        self.batch = None
        self.painter.clear_masks()
        if summary.written:
            self.scene.select_segment(summary.written[-1].segment_id)
            self.queue.select(summary.written[-1])
            self.panel.show_results(results_html([(self.queue.rows.index(r), r) for r in summary.written]))
        if isinstance(summary.error, Cancelled):
            kept = _("The slices done were kept.") if summary.partial else _("The segment is as it was.")
            self.panel.show_status(_("Cancelled.") + " " + kept)
        elif summary.error is not None:
            self._show_error(summary.error)
        else:
            self._show_hint()

    def _abandon(self, reason: str) -> None:
        """End what runs without a result."""
        self.preview.wanted = False
        batch, self.batch = self.batch, None
        if batch is not None:
            batch.dropped(reason)
            self.panel.show_status(reason)
        self.run.abandon()

    def _drop_all(self, reason: str) -> None:
        """Volume, segmentation or scene are others now: queue, preview and session go."""
        self._abandon(reason)
        self.run.forget_session()
        self.queue.clear()
        self.preview.clear()
        self._volume = None
        self.panel.show_results("")
        self.refresh()

    # What the run says (`collaborators.RunView`)

    def run_state_changed(self) -> None:
        self.panel.show_run(self.run.state, self.run.propagates, len(self.queue.waiting()))

    def session_opened(self, info: SessionInfo) -> None:
        self.panel.show_device(info.device)

    def preview_ready(self, preview: SlicePreview) -> None:
        self.preview.show(preview)
        if self.preview.wanted:
            self.preview.wanted = False
            self._commit_preview()
        elif not preview.mask.any():
            self._show_error(nothing_found(self.preview.lesion.name if self.preview.lesion is not None else ""))
        else:
            text = _("Preview of slice {n}, confidence {score}. Press Propagate (P), or S to write this slice.")
            self.panel.show_status(text.format(n=preview.plane.index, score=f"{preview.score:.2f}"))
        self.refresh()

    def run_progressed(self, done: int, total: int) -> None:
        text = time_left_text(done, total, self._clock() - self._started)
        if self.batch is not None and self.batch.total > 1:
            text = _("Object {n} of {total}: ").format(n=self.batch.position, total=self.batch.total) + text
        self.panel.show_progress(done, total, text)

    def slice_ready(self, preview: SlicePreview) -> None:
        self.painter.set_mask(preview.plane, preview.mask)
        self.paint()

    def run_finished(self, job: PropagateJob, outcome: RunOutcome) -> None:
        batch = self.batch
        if batch is not None:
            self._advance(lambda: batch.finished(outcome))

    def run_failed(self, job: PropagateJob | None, error: MedSAMError, partial: ObjectResult | None) -> None:
        batch = self.batch
        if batch is not None and job is not None:
            self._advance(lambda: batch.failed(error, partial))
            return
        self.preview.wanted = False
        if isinstance(error, Cancelled):
            self.panel.show_status(_("Cancelled."))
        else:
            self._show_error(error)
        self.refresh()

    # Queue and navigation

    def select_row(self, row: int) -> None:
        if 0 <= row < len(self.queue.rows) and row != self.queue.selected:
            self.queue.selected = row
            self._go_to(self.queue.rows[row])

    def step_lesion(self, by: int) -> None:
        lesion = self.queue.step(by)
        if lesion is not None:
            self._go_to(lesion)

    def step_flagged(self, by: int) -> None:
        """The next or previous slice of the current object that deserves a look."""
        lesion, volume = self.queue.current, self._volume
        if lesion is None or lesion.result is None or volume is None:
            return
        here = self._painting.shown_index(lesion.result.measurement.axis, volume)
        plane = next_flagged(lesion, here, by)
        if plane is not None:
            self._navigator.jump(lesion.prompts.all(), plane, volume)

    def follow(self, link: SliceLink) -> None:
        """A link to a slice was clicked."""
        if self._volume is not None:
            rows = self.queue.rows
            prompts = rows[link.row].prompts.all() if link.row < len(rows) else []
            self._navigator.jump(prompts, link.plane, self._volume)

    def align_views(self, view_widgets: Sequence[Any]) -> None:
        """Turn every slice view to the volume's axes."""
        self.scene.align_views([self.host.viewNode(view) for view in view_widgets])
        self._show_hint()
        self.refresh()

    def remove_row(self, row: int) -> None:
        if 0 <= row < len(self.queue.rows) and self.batch is None:
            self.queue.remove(self.queue.rows[row])
            self.preview.clear()
            self.refresh()

    def clear_rows(self) -> None:
        if self.batch is None:
            self.queue.clear()
            self.preview.clear()
            self.refresh()

    def _go_to(self, lesion: Lesion) -> None:
        if self._volume is not None:
            self._navigator.go_to(lesion, self._volume)
        self.refresh()

    # Settings and painting

    def apply_settings(self, settings: EffectSettings) -> None:
        """New settings. What changes the answer asks for a new preview."""
        before, self.settings = self.settings, settings
        changed = any(getattr(before, name) != getattr(settings, name) for name in ("model", "device", "intensity"))
        shown, lesion = self.preview.shown, self.preview.lesion
        if changed and shown is not None and lesion is not None and self.active and not self.run.propagates:
            self.preview.clear()
            self._ask_preview(lesion, shown.plane)

    def choose_roi(self, node: Any) -> None:
        self.scene.set_roi_node(node)

    def refresh(self) -> None:
        self.panel.show_queue(self.queue)
        self.run_state_changed()
        self.paint()

    def paint(self) -> None:
        """Prompts and unwritten masks into every slice view."""
        if not self.active or self._volume is None:
            return
        lesion = self.queue.current
        color = self.scene.segment_color(lesion.segment_id) if lesion is not None else None
        self.painter.color = color or self.painter.color
        self._painting.paint_all(self._volume, self.queue)

    def paint_view(self, view_widget: Any) -> None:
        if self.active and self._volume is not None:
            self._painting.paint(view_widget, self._volume, self.queue)

    def _know_volume(self) -> bool:
        """Read where the volume is, or say why it cannot be segmented."""
        try:
            self._volume = self.scene.volume()
        except MedSAMError as error:
            self._volume = None
            if self.active:
                self._show_error(error)
            return False
        axis = self.queue.current.axis if self.queue.current is not None else 0
        self.panel.show_range_limits(self._volume.geometry.shape_zyx[axis])
        return True

    def _show_error(self, error: MedSAMError) -> None:
        self.last_error = error
        self.panel.show_status(error_html(error))

    def _show_hint(self) -> None:
        waiting = len(self.queue.waiting())
        if waiting:
            self.panel.show_status(_("{n} object(s) wait. Press Propagate (P).").format(n=waiting))
        else:
            self.panel.show_status(_("Drag a box around the object on a slice, then press Propagate (P)."))
