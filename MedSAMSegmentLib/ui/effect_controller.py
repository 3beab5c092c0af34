"""The controller of the effect: life cycle, changes of the scene, drawing, queue. Runs are `run_control`'s."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from ..errors import MedSAMError, PromptError
from . import settings as settings_module
from .boundary import guarded
from .collaborators import InferenceService
from .drawing import XY, Drawing, Placed
from .effect_panel import EffectPanel
from .effect_scene import EffectScene, SceneVolume
from .lesion_queue import Lesion, LesionQueue
from .live_preview import outlines
from .messages import SliceLink
from .navigator import Navigator, next_flagged
from .next_rows import next_rows
from .overlay_painter import OverlayPainter
from .range_here import End, limited_at, range_text
from .run_control import RunControl
from .scene_watch import SceneWatch
from .segment_rows import SegmentRows
from .settings import EffectSettings
from .slice_plane import SlicePlane
from .view_geometry import ViewGeometry
from .view_painting import ViewPainting

Place = Callable[[ViewGeometry, SceneVolume], Placed]
Say = Callable[[Lesion, SlicePlane], str]


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
        self.runs = RunControl(
            service, panel, self.scene, self.queue, self.painter, changed=self.refresh, later=_when_idle
        )
        self._drawing = Drawing(self.scene, self.queue)
        self._navigator = Navigator(self.scene)
        self._painting = ViewPainting(host, self.scene, self.painter, views)
        self._rows = SegmentRows(
            self.queue, self.scene, self.runs, active=lambda: self.active, later=_when_idle, changed=self.refresh
        )
        self._watch = SceneWatch(
            on_selection=self._heard(self.selection_changed),
            on_segments=self._heard(self._rows.segments_changed),
            on_contents=self._heard(self._rows.contents_changed),
            on_volume=self._heard(self.volume_changed),
            on_scene_closing=self._heard(self.scene_closed),
        )
        self._volume: SceneVolume | None = None
        self._segmentation_id: str | None = None

    # Life cycle

    def activate(self) -> None:
        self.active = True
        self._watch.start(self.scene.parameter_node, self.host.scene())
        self.selection_changed()
        self._rows.segments_changed()
        self.volume_changed()
        self.runs.come_back(hint=self._volume is not None)
        self.refresh()

    def deactivate(self) -> None:
        """Another effect was chosen: what runs ends, our actors go."""
        self.runs.leave(_("Stopped because another effect was chosen; nothing was written."), self._is_unchanged)
        # The editor leaves the effect when the last segment is deleted, before we hear of that.
        self._rows.segments_changed()
        self.active = False
        self._watch.stop()
        self.runs.preview.clear()
        self.painter.remove_all()

    def cleanup(self) -> None:
        self.deactivate()
        self.runs.abandon(_("The Segment Editor was closed; nothing was written."))
        self.runs.measuring.clear()
        self.runs.run.shutdown()

    def _heard(self, handler: Callable[[], None]) -> Callable[[], None]:
        return guarded(handler, self.runs.fail)

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

    def _is_unchanged(self) -> bool:
        """Volume and segmentation are still those that were worked on."""
        node = self.scene.segmentation_node
        if self.scene.closing or self._volume is None or node is None or node.GetID() != self._segmentation_id:
            return False
        try:
            return self._volume.same_as(self.scene.volume())
        except MedSAMError:
            return False

    def _drop_all(self, reason: str) -> None:
        """Volume, segmentation or scene are others now: queue, preview and session go."""
        self.runs.abandon(reason)
        self.runs.run.forget_session()
        self.queue.clear()
        self.runs.preview.clear()
        self._volume = None
        self.runs.clear_results()
        self.runs.measuring.clear()
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

    def drawing_begins(self) -> None:
        """While the user draws, the worker starts: the preview need not wait for that."""
        if self._volume is not None:
            self.runs.run.service.prepare()

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
        self._draw(view_widget, self._drawing.key_slice, _key_text)

    def remove_last_prompt(self) -> None:
        lesion = self.queue.current
        if lesion is None or self.runs.run.propagates:
            return
        lesion.prompts.remove_last()
        if not lesion.prompts and not lesion.keys and lesion.written is None:
            self.queue.remove(lesion)
        self.runs.preview.clear()
        self.refresh()

    def limit_range(self, end: End, view_widget: Any) -> None:
        """The range begins or ends at the slice that the view shows."""
        self.volume_changed()
        if self._volume is None:
            return
        plane = self._painting.geometry(view_widget, self._volume).plane()
        settings_module.save(self.host, limited_at(self.settings, end, plane, self.queue.current))
        size = self._volume.geometry.shape_zyx[plane.axis]
        self.panel.show_range_limits(size)
        offset = float(self.host.viewNode(view_widget).GetSliceOffset())
        self.panel.show_status(range_text(self.settings, plane, size, offset))

    def _draw(self, view_widget: Any, place: Place, say: Say | None = None) -> None:
        guarded(self._place, self.runs.fail)(view_widget, place, say)

    def _place(self, view_widget: Any, place: Place, say: Say | None) -> None:
        if self.runs.run.propagates:
            self.panel.show_status(_("A run is on. Wait for its end or cancel it."))
            return
        self.volume_changed()
        if self._volume is None:
            return
        lesion, plane = place(self._painting.geometry(view_widget, self._volume), self._volume)
        lesion.reopen()
        self.runs.preview.clear()
        self.runs.show_hint()
        if say is not None:
            self.panel.show_status(say(lesion, plane))
        self.refresh()
        self.runs.ask_preview(lesion, plane, self._volume, self.settings)

    # Runs

    def segment_slice(self, view_widget: Any = None) -> None:
        """Write the preview of a slice that is shown, first of all in this view. Nothing is written unseen."""
        self.volume_changed()
        volume = self._volume
        if volume is None or self.runs.run.propagates:
            return
        lesion = self.queue.current or self._drawing.from_roi(volume)
        if lesion is None or lesion.plane is None or not outlines(lesion.prompts.all()):
            raise PromptError(_("There is nothing to segment yet."), _("Drag a box on a slice."))
        if self._drawing.follow_roi(lesion, volume):
            self.runs.preview.clear()
        shown = self._painting.shown_planes(volume, view_widget)
        plane = next((p for p in shown if outlines(lesion.prompts.on(p))), None)
        if plane is not None:
            self.runs.segment_slice(lesion, plane, volume, self.settings)
            return
        self._navigator.jump(lesion.prompts.all(), lesion.plane, volume)
        text = _("This is slice {n}, on which {name} was drawn. Press again (S) to write it.")
        self.panel.show_status(text.format(n=lesion.plane.index, name=lesion.name))

    def propagate(self) -> None:
        """Run every object that waits and the selected segment's corrections; `next_rows` says which."""
        if self.runs.run.propagates or self.runs.batch is not None:
            self.panel.show_status(_("A run is on already."))
            return
        self.volume_changed()
        if self._volume is None:
            return
        roi_is_range = self.settings.range_rule == "roi"
        rows = next_rows(self.queue, self.scene, self._drawing, self._volume, roi_is_range=roi_is_range)
        for row in rows:
            self._drawing.follow_roi(row, self._volume)
        if not rows:
            raise PromptError(_("There is nothing to propagate yet."), _("Drag a box on a slice first."))
        if self.scene.confirm_visible():
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
        here = self._painting.shown_index(lesion.result.axis, volume)
        plane = next_flagged(lesion, here, by)
        if plane is not None:
            self._navigator.jump(lesion.prompts.all(), plane, volume)

    def follow(self, link: SliceLink) -> None:
        """A link to a slice was clicked."""
        if self._volume is not None:
            lesion = self.queue.numbered(link.number)
            self._navigator.jump(lesion.prompts.all() if lesion is not None else [], link.plane, self._volume)

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
        if before.answer != settings.answer:
            self.queue.options_changed()
            self.runs.run_state_changed()
        changed = any(getattr(before, name) != getattr(settings, name) for name in ("model", "device", "intensity"))
        preview = self.runs.preview
        shown, lesion, volume = preview.shown, preview.lesion, self._volume
        if changed and self.active and shown is not None and lesion is not None and volume is not None:
            preview.clear()
            self.runs.ask_preview(lesion, shown.plane, volume, settings)
        self._show_estimate()

    def choose_roi(self, node: Any) -> None:
        """Nothing to keep while there is no parameter node: the scene is closing then."""
        if self.scene.parameter_node is not None:
            self.scene.set_roi_node(node)
            self.queue.options_changed()
            self.runs.run_state_changed()
            self._show_estimate()

    def new_roi(self) -> None:
        if self.scene.parameter_node is not None:
            self.scene.new_roi()
            self.panel.show_status(_("Click two opposite corners of the object in a view, then press Propagate (P)."))

    def refresh(self) -> None:
        """Bring the options frame and the views up to date."""
        self.panel.show_queue(self.queue)
        self.runs.run_state_changed()
        self._show_estimate()
        if not self.active or self._volume is None:
            return
        lesion = self.queue.current
        color = self.scene.segment_color(lesion.segment_id) if lesion is not None else None
        self.painter.color = color or self.painter.color
        self._painting.paint_all(self._volume, self.queue)

    def _show_estimate(self) -> None:
        self.runs.show_estimate(self.queue.waiting(), self._volume, self.settings)

    def paint_view(self, view_widget: Any) -> None:
        """One view scrolled, zoomed or turned."""
        if self.active and self._volume is not None:
            self._painting.paint(view_widget, self._volume, self.queue)


def _key_text(lesion: Lesion, plane: SlicePlane) -> str:
    now = _("Slice {n} of {name} is a key slice: it stays as it is, the others follow it. Press Propagate (P).")
    no_longer = _("Slice {n} of {name} is no longer a key slice.")
    return (now if plane in lesion.keys else no_longer).format(n=plane.index, name=lesion.name)


def _when_idle(action: Callable[[], None]) -> None:
    qt.QTimer.singleShot(0, action)
