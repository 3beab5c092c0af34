"""The state that the effect's commands share: scene, objects, options, the volume at hand, and what shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from slicer.i18n import tr as _

from ...errors import MedSAMError
from ..objects.queue import ObjectQueue, QueuedObject
from ..objects.settings import EffectSettings
from ..overlay.painter import PREVIEW_COLOR, OverlayPainter
from ..overlay.views import ViewPainting
from ..run.coordinator import EffectPanel, RunCoordinator
from ..run.protocols import InferenceService
from ..scene.editor_scene import EffectScene, SceneVolume
from ..scene.observers import SceneObservers
from ..server_settings import chosen_server
from ..worker_settings import is_at_hand

Later = Callable[[Callable[[], None]], None]


class EffectState:
    """One effect of one editor. All methods run in the main thread and return at once.

    `volume` is None where there is none that can be segmented. `later` calls a function when the event loop runs again.
    """

    def __init__(
        self,
        host: Any,
        panel: EffectPanel,
        service: InferenceService,
        views: Callable[[], Sequence[Any]],
        later: Later,
    ) -> None:
        self.host = host
        self.panel = panel
        self.scene = EffectScene(host)
        self.painter = OverlayPainter(host)
        self.queue = ObjectQueue()
        self.settings = EffectSettings()
        self.active = False
        self.volume: SceneVolume | None = None
        self.runs = RunCoordinator(
            service,
            panel,
            self.scene,
            self.queue,
            self.painter,
            changed=self.refresh,
            later=later,
            at_hand=is_at_hand,
            server=lambda: server.address if (server := chosen_server()) is not None else "",
        )
        self.painting = ViewPainting(host, self.scene, self.painter, views)
        self.observers = SceneObservers()

    def update_volume(self) -> SceneVolume | None:
        """Read where the volume is now. What belonged to another volume, or to its former voxels or place, is dropped.

        Return None, and say why, where it cannot be segmented.
        """
        if self.scene.closing:
            return self.volume
        before = self.volume
        known = self._read_volume()
        if before is not None and not (known and before.same_as(self.volume)):
            self.drop_all(_("The volume changed; nothing was written."))
            known = self._read_volume()
        if self.active and known:
            self.observe()
        return self.volume

    def observe(self) -> None:
        """Observe the nodes that the editor has chosen now."""
        self.observers.start(self.scene.parameter_node, self.host.scene(), self.scene.roi_node())

    def drop_all(self, reason: str) -> None:
        """Empty the queue, drop the preview and the worker's session, end what runs: it belonged to other nodes."""
        self.runs.forget(reason)
        self.queue.clear()
        self.volume = None
        self.refresh()

    def remove_row(self, item: QueuedObject) -> None:
        """Take an object out of the list. Without a current one that of the selected segment is current."""
        self.queue.remove(item)
        if self.queue.current is None:
            self.queue.select(self.queue.of_segment(self.scene.selected_segment_id))

    def refresh(self) -> None:
        """Bring the options frame and the views up to date."""
        self.panel.show_queue(self.queue)
        self.runs.run_state_changed()
        self.show_estimate()
        if not self.active or self.volume is None:
            return
        item = self.queue.current
        color = self.scene.segment_color(item.segment_id) if item is not None else None
        self.painter.color = color or PREVIEW_COLOR
        self.painting.paint_all(self.volume, self.queue)

    def show_estimate(self) -> None:
        """Show what a run of the objects that wait takes."""
        self.runs.show_estimate(self.queue.waiting(), self.volume, self.settings)

    def paint_view(self, view_widget: Any) -> None:
        """Paint one view, which scrolled, zoomed or turned."""
        if self.active and self.volume is not None:
            self.painting.paint(view_widget, self.volume, self.queue)

    def _read_volume(self) -> bool:
        try:
            self.volume = self.scene.volume()
        except MedSAMError as error:
            self.volume = None
            if self.active:
                self.runs.show_error(error)
            return False
        axis = self.queue.current.axis if self.queue.current is not None else 0
        self.panel.show_range_limits(self.volume.geometry.shape_zyx[axis])
        return True
