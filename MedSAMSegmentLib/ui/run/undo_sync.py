"""Keeps the rows in step with their segments, which Undo, Redo and the user change, rename, delete and bring back."""

from __future__ import annotations

from collections.abc import Callable

from slicer.i18n import tr as _

from ..objects.queue import ObjectQueue
from ..scene.editor_scene import EffectScene
from .coordinator import RunCoordinator
from .error_boundary import guarded


class UndoSync:
    """`later` calls a function when the event loop runs again; `changed()` is called when rows may say something else.

    Nothing happens then unless `active()`.
    """

    def __init__(
        self,
        queue: ObjectQueue,
        scene: EffectScene,
        runs: RunCoordinator,
        *,
        active: Callable[[], bool],
        later: Callable[[Callable[[], None]], None],
        changed: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._scene = scene
        self._runs = runs
        self._active = active
        self._later = later
        self._changed = changed
        self._asked = False

    def segments_changed(self) -> None:
        """A segment was added or deleted. A run for a deleted one ends; rows that were drawn stay without a segment."""
        if self._runs.writing or self._scene.closing:
            return
        for item in [r for r in self._queue.rows if r.segment_id and not self._scene.has_segment(r.segment_id)]:
            if self._runs.batch is not None and self._runs.batch.holds(item):
                self._runs.abandon(_("The segment was deleted while it was computed; nothing was written."))
            item.lose_segment()
            if not item.prompts:
                self._queue.remove(item)
        for item in [r for r in self._queue.rows if self._scene.has_segment(r.lost_segment_id)]:
            item.find_segment()
        self.contents_changed()

    def contents_changed(self) -> None:
        """Segments hold something else or are called otherwise, or will in a moment: in the midst of an Undo they
        cannot be read."""
        if not self._runs.writing and not self._asked:
            self._asked = True
            self._later(guarded(self._settle, self._runs.fail))

    def _settle(self) -> None:
        self._asked = False
        if not self._active() or self._scene.closing:
            return
        for item in [r for r in self._queue.rows if self._scene.has_segment(r.segment_id)]:
            item.name = self._scene.segment_name(item.segment_id)
            if item.found:
                item.settle(self._scene.voxels_of_segment(item.segment_id))
        self._select_again()
        self._runs.show_results()
        self._changed()

    def _select_again(self) -> None:
        """Select a segment where the editor selects none, as Undo and Redo leave it: the current object's, else the
        last one that there is."""
        if self._scene.selected_segment_id:
            return
        current = self._queue.current
        wanted = current.segment_id if current is not None and current.segment_id else self._scene.last_segment_id
        if wanted:
            self._scene.select_segment(wanted)
