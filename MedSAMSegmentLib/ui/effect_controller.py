"""What the effect does: life cycle, changes of the scene, drawing, queue. Runs are `run_control`'s."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from slicer.i18n import tr as _

from ..errors import MedSAMError, PromptError
from .collaborators import InferenceService
from .drawing import XY, Drawing, Placed
from .effect_panel import EffectPanel
from .effect_scene import EffectScene, SceneVolume
from .lesion_queue import LesionQueue
from .messages import SliceLink
from .navigator import Navigator, next_flagged
from .overlay_painter import OverlayPainter
from .run_control import RunControl
from .scene_watch import SceneWatch
from .settings import EffectSettings
from .view_geometry import ViewGeometry
from .view_painting import ViewPainting


class EffectController:
    """One effect of one editor. All methods run in the main thread and return at once."""

    def __init__(
        self, host: Any, panel: EffectPanel, service: InferenceService, views: Callable[[], Sequence[Any]]
    ) -> None:
        self.host = host
        self.panel = panel
        self.scene = EffectScene(host)
        self.painter = OverlayPainter(host)
        self.queue = LesionQueue()
        self.settings = EffectSettings()
        self.active = False
        self.runs = RunControl(service, panel, self.scene, self.queue, self.painter, changed=self.refresh)
        self._drawing = Drawing(self.scene, self.queue)
        self._navigator = Navigator(self.scene)
        self._painting = ViewPainting(host, self.painter, views)
        self._watch = SceneWatch(self.selection_changed, self.segments_changed, self.volume_changed, self.scene_closed)
        self._volume: SceneVolume | None = None
        self._segmentation_id: str | None = None

    # Life cycle

    def activate(self) -> None:
        self.active = True
        self._watch.start(self.scene.parameter_node, self.host.scene())
        self.selection_changed()
        self.segments_changed()
        self.volume_changed()
        if self._volume is not None:
            self.runs.show_hint()
        self.refresh()

    def deactivate(self) -> None:
        """Another effect was chosen: what runs ends, nothing is written, our actors go."""
        self.runs.abandon(_("Stopped because another effect was chosen; nothing was written."))
        # The editor leaves the effect when the last segment is deleted, before we hear of that.
        self.segments_changed()
        self.active = False
        self._watch.stop()
        self.runs.preview.clear()
        self.painter.remove_all()

    def cleanup(self) -> None:
        self.deactivate()
        self.runs.run.shutdown()

    def scene_closed(self) -> None:
        self._drop_all(_("The scene was closed; nothing was written."))
        self._watch.stop()

    # Changes of the scene

    def selection_changed(self) -> None:
        """Segment, segmentation or volume may have been chosen anew."""
        if self.runs.writing or self.scene.closing:
            return
        node = self.scene.segmentation_node
        segmentation_id = node.GetID() if node is not None else None
        if segmentation_id != self._segmentation_id:
            self._segmentation_id = segmentation_id
            self._watch.start(self.scene.parameter_node, self.host.scene())
            self._drop_all(_("Another segmentation was chosen; nothing was written."))
            return
        row = self.queue.of_segment(self.scene.selected_segment_id)
        if row is not None and row is not self.queue.current and not self.runs.run.propagates:
            self.queue.select(row)
            self.refresh()

    def segments_changed(self) -> None:
        """Rows whose segment was deleted go; a run for such a segment ends."""
        if self.runs.writing or self.scene.closing:
            return
        for lesion in [r for r in self.queue.rows if r.segment_id and not self.scene.has_segment(r.segment_id)]:
            if self.runs.batch is not None and self.runs.batch.holds(lesion):
                self.runs.abandon(_("The segment was deleted while it was computed; nothing was written."))
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

    def _drop_all(self, reason: str) -> None:
        """Volume, segmentation or scene are others now: queue, preview and session go."""
        self.runs.abandon(reason)
        self.runs.run.forget_session()
        self.queue.clear()
        self.runs.preview.clear()
        self._volume = None
        self.panel.show_results("")
        self.refresh()

    def _know_volume(self) -> bool:
        """Read where the volume is, or say why it cannot be segmented."""
        try:
            self._volume = self.scene.volume()
        except MedSAMError as error:
            self._volume = None
            if self.active:
                self.runs.show_error(error)
            return False
        axis = self.queue.current.axis if self.queue.current is not None else 0
        self.panel.show_range_limits(self._volume.geometry.shape_zyx[axis])
        return True

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
        if lesion is None or self.runs.run.propagates:
            return
        lesion.prompts.remove_last()
        if not lesion.prompts and not lesion.keys and lesion.written is None:
            self.queue.remove(lesion)
        self.runs.preview.clear()
        self.refresh()

    def _draw(self, view_widget: Any, place: Callable[[ViewGeometry, SceneVolume], Placed]) -> None:
        if self.runs.run.propagates:
            self.panel.show_status(_("A run is on. Wait for its end or cancel it."))
            return
        self.volume_changed()
        if self._volume is None:
            return
        try:
            lesion, plane = place(self._painting.geometry(view_widget, self._volume), self._volume)
        except MedSAMError as error:
            self.runs.show_error(error)
            return
        lesion.reopen()
        self.runs.preview.clear()
        self.runs.show_hint()
        self.refresh()
        self.runs.ask_preview(lesion, plane, self._volume, self.settings)

    # Runs

    def segment_slice(self) -> None:
        """Write the preview of the slice that was drawn on."""
        if self._volume is not None:
            self.runs.segment_slice(self._volume, self.settings)

    def propagate(self) -> None:
        """Run every object that waits; when none does, the selected segment again with its corrections."""
        if self.runs.run.propagates or self.runs.batch is not None:
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
            self.runs.show_error(PromptError("There is nothing to propagate yet.", "Drag a box on a slice first."))
        elif self.scene.confirm_visible():
            self.runs.start(rows, self._volume, self.settings)

    def cancel(self) -> None:
        self.runs.cancel()

    # Queue and navigation

    def select_row(self, row: int) -> None:
        if 0 <= row < len(self.queue.rows) and row != self.queue.selected:
            self.queue.selected = row
            self._go_to_current()

    def step_lesion(self, by: int) -> None:
        if self.queue.step(by) is not None:
            self._go_to_current()

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
        self.runs.show_hint()
        self.refresh()

    def remove_row(self, row: int) -> None:
        if 0 <= row < len(self.queue.rows) and self.runs.batch is None:
            self.queue.remove(self.queue.rows[row])
            self.runs.preview.clear()
            self.refresh()

    def clear_rows(self) -> None:
        if self.runs.batch is None:
            self.queue.clear()
            self.runs.preview.clear()
            self.refresh()

    def _go_to_current(self) -> None:
        if self._volume is not None and self.queue.current is not None:
            self._navigator.go_to(self.queue.current, self._volume)
        self.refresh()

    # Settings and painting

    def apply_settings(self, settings: EffectSettings) -> None:
        """New settings. What changes the answer asks for a new preview."""
        before, self.settings = self.settings, settings
        changed = any(getattr(before, name) != getattr(settings, name) for name in ("model", "device", "intensity"))
        preview = self.runs.preview
        shown, lesion, volume = preview.shown, preview.lesion, self._volume
        if changed and self.active and shown is not None and lesion is not None and volume is not None:
            preview.clear()
            self.runs.ask_preview(lesion, shown.plane, volume, settings)

    def choose_roi(self, node: Any) -> None:
        """Nothing to keep while there is no parameter node: the scene is closing then."""
        if self.scene.parameter_node is not None:
            self.scene.set_roi_node(node)

    def refresh(self) -> None:
        """Bring the options frame and the views up to date."""
        self.panel.show_queue(self.queue)
        self.runs.run_state_changed()
        if not self.active or self._volume is None:
            return
        lesion = self.queue.current
        color = self.scene.segment_color(lesion.segment_id) if lesion is not None else None
        self.painter.color = color or self.painter.color
        self._painting.paint_all(self._volume, self.queue)

    def paint_view(self, view_widget: Any) -> None:
        """One view scrolled, zoomed or turned."""
        if self.active and self._volume is not None:
            self._painting.paint(view_widget, self._volume, self.queue)
