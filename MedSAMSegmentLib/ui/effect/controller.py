"""The effect's life cycle, and what changes of scene, selection and options mean for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from ...errors import MedSAMError
from ..objects.settings import EffectSettings
from ..run.error_boundary import guarded
from ..run.undo_sync import UndoSync
from .state import EffectState, Later


class EffectController:
    """Follows what happens outside the effect; the commands of the user are in the `*_commands` beside it."""

    def __init__(self, state: EffectState, later: Later) -> None:
        self._state = state
        self._later = later
        self._sync = UndoSync(
            state.queue, state.scene, state.runs, active=lambda: state.active, later=later, changed=state.refresh
        )
        self._segmentation_id: str | None = None
        self._segment_id = ""
        state.observers.on_selection = self._heard(self.selection_changed)
        state.observers.on_segments = self._heard(self._sync.segments_changed)
        state.observers.on_contents = self._heard(self._sync.contents_changed)
        state.observers.on_volume = self._heard(self.volume_changed)
        state.observers.on_scene_closing = self._heard(self.scene_closed)

    def activate(self) -> None:
        """Begin to follow the scene; what became of a run that was left is said."""
        state = self._state
        state.active = True
        state.observe()
        self.selection_changed()
        self._sync.segments_changed()
        self.volume_changed()
        state.runs.come_back(hint=state.volume is not None)
        state.refresh()
        self._prepare_later()

    def deactivate(self) -> None:
        """Another effect was chosen: what runs ends, our actors go."""
        state = self._state
        state.runs.leave(_("Stopped because another effect was chosen; nothing was written."), self._is_unchanged)
        # The editor leaves the effect when the last segment is deleted, before we hear of that.
        self._sync.segments_changed()
        state.active = False
        state.observers.stop()
        state.runs.drop_preview()
        state.painter.remove_all()

    def cleanup(self) -> None:
        """End for good, with the worker."""
        self.deactivate()
        self._state.runs.shutdown(_("The Segment Editor was closed; nothing was written."))

    def scene_closed(self) -> None:
        """The scene goes: nothing of ours may refer to its nodes."""
        self._state.drop_all(_("The scene was closed; nothing was written."))
        # The effect stays active, as one that is not per segment does: the next scene that is loaded is heard of.
        self._state.observers.start(None, self._state.host.scene())

    def selection_changed(self) -> None:
        """Segment, segmentation or volume may have been chosen anew.

        The object of a segment that the user chooses is the current one; none is where the segment has no object yet.
        """
        state = self._state
        before, self._segment_id = self._segment_id, state.scene.selected_segment_id
        if state.runs.writing or state.scene.closing:
            return
        node = state.scene.segmentation_node
        segmentation_id = node.GetID() if node is not None else None
        if segmentation_id != self._segmentation_id:
            self._segmentation_id = segmentation_id
            state.observe()
            state.drop_all(_("Another segmentation was chosen; nothing was written."))
            return
        if self._segment_id in ("", before):
            # The node changed in another way. The object that is drawn may have no segment yet: it stays current.
            return
        row = state.queue.of_segment(self._segment_id)
        if row is not state.queue.current and not state.runs.propagates:
            state.queue.select(row)
            state.refresh()

    def volume_changed(self) -> None:
        """The chosen volume, its voxels or its place may be others now."""
        before = self._state.volume
        after = self._state.update_volume()
        if after is not None and not after.same_as(before):
            self._prepare_later()

    def apply_settings(self, settings: EffectSettings) -> None:
        """Take over new settings. What changes the answer asks for a new preview."""
        state = self._state
        before, state.settings = state.settings, settings
        if settings.range_rule == "roi" and before.range_rule != "roi":
            self._let_roi_be_a_range()
        if before.answer != settings.answer:
            state.queue.options_changed()
            state.runs.run_state_changed()
        changed = any(getattr(before, name) != getattr(settings, name) for name in ("model", "device", "intensity"))
        if changed and state.active and state.volume is not None:
            state.runs.renew_preview(state.volume, settings)
            self._prepare_later()
        state.show_estimate()

    def _let_roi_be_a_range(self) -> None:
        """Take out what only the ROI marks and no run has found yet: an ROI that limits runs is no object."""
        state = self._state
        for row in [r for r in state.queue.rows if r.prompts.is_roi_alone and not r.keys and r.written is None]:
            state.remove_row(row)
            state.runs.drop_preview()
            state.refresh()

    def _prepare_later(self) -> None:
        """Let the worker load the model while the user looks for the object; not within the change of effects."""

        def prepare() -> None:
            state = self._state
            if state.active and state.volume is not None and not state.scene.closing:
                state.runs.prepare_at_hand(state.settings)

        self._later(guarded(prepare, self._state.runs.fail))

    def _heard(self, handler: Callable[[], Any]) -> Callable[[], None]:
        return guarded(handler, self._state.runs.fail)

    def _is_unchanged(self) -> bool:
        """Tell whether volume and segmentation are still those that were worked on."""
        state = self._state
        node = state.scene.segmentation_node
        if state.scene.closing or state.volume is None or node is None or node.GetID() != self._segmentation_id:
            return False
        try:
            return state.volume.same_as(state.scene.volume())
        except MedSAMError:
            return False
