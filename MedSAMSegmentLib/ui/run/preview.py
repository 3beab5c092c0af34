"""The mask of the slice that was drawn on, before anything is written."""

from __future__ import annotations

from collections.abc import Iterable

from slicer.i18n import tr as _

from ...errors import PromptError
from ...geometry import SlicePlane
from ...prompts import MaskPrompt, Point, Prompt
from ..objects.queue import QueuedObject, Written
from ..objects.settings import EffectSettings
from ..overlay.painter import OverlayPainter
from ..scene.editor_scene import EffectScene, SceneVolume
from .error_boundary import nothing_found
from .planning import session_target
from .protocols import SlicePreview
from .request import RequestScheduler


class LivePreview:
    """Asks for it, shows it in the views, writes it when the user says so.

    `item` is the object whose preview is asked for or shown, None when an answer on its way is no longer wanted.
    `wanted` is the volume when it is to be written as soon as it is there. `remark` is what is told along with it.
    """

    def __init__(self, requests: RequestScheduler, scene: EffectScene, painter: OverlayPainter) -> None:
        self._requests = requests
        self._scene = scene
        self._painter = painter
        self.item: QueuedObject | None = None
        self.shown: SlicePreview | None = None
        self.wanted: SceneVolume | None = None
        self.remark = ""
        self._edits = False
        self._looks = False

    def ask(self, item: QueuedObject, plane: SlicePlane, volume: SceneVolume, settings: EffectSettings) -> bool:
        """False when the slice's prompts outline nothing. Raises `PromptError` for a bad ROI."""
        prompts = self._with_present(item, plane, volume, item.prompts.on(plane))
        if not outlines(prompts):
            return False
        roi = self._scene.roi_box(volume.geometry) if settings.range_rule == "roi" else None
        target = session_target(item, volume, settings, roi, axis=plane.axis, prompts=prompts)
        self.item = item
        return self._requests.preview(target, plane, prompts, item.reading)

    def _with_present(
        self, item: QueuedObject, plane: SlicePlane, volume: SceneVolume, prompts: list[Prompt]
    ) -> list[Prompt]:
        """Return the prompts of a slice; where they are clicks alone, after what the segment holds there: they edit it.

        Without it, the clicks would have to outline the object anew.
        """
        clicked = bool(prompts) and all(isinstance(prompt, Point) for prompt in prompts)
        self._edits = False
        if clicked and item.written is not None and item.segment_id:
            present = self._scene.segment_slice(item.segment_id, volume.geometry, plane)
            if present.any():
                self._edits = True
                return [MaskPrompt(plane.axis, plane.index, present), *prompts]
        return prompts

    def show(self, preview: SlicePreview) -> None:
        self.shown = preview
        self._looks = False
        self._paint(preview)

    def show_first_look(self, preview: SlicePreview) -> None:
        """Show what an answer on its way looks like so far; it cannot be written."""
        self._looks = True
        self._paint(preview)

    def drop_first_look(self) -> None:
        """Show the last answer again, if any: that which a first look promised does not come."""
        if self._looks:
            self._looks = False
            self._painter.clear_masks()
            if self.shown is not None:
                self._paint(self.shown)

    def _paint(self, preview: SlicePreview) -> None:
        self._painter.clear_masks()
        self._painter.set_mask(preview.plane, preview.mask)

    def clear(self) -> None:
        self.item = self.shown = self.wanted = None
        self._looks = False
        self.remark = ""
        self._painter.clear_masks()

    def commit(self, volume: SceneVolume) -> SlicePlane:
        """Write it into the object's segment in one undo step. Raises `PromptError`, `OutputError`."""
        item, preview = self.item, self.shown
        if item is None or preview is None:
            raise PromptError(_("There is nothing to segment yet."), _("Drag a box on a slice."))
        if not preview.mask.any():
            raise nothing_found(item.name)
        plane, geometry = preview.plane, volume.geometry
        again = plane in item.committed or self._edits
        outcome = self._scene.write_slice(
            preview.mask, plane, geometry, segment_id=item.segment_id, name=item.name, replace=again
        )
        item.segment_id = outcome.segment_id
        item.committed.add(plane)
        stored = self._scene.segment_mask(outcome.segment_id, geometry, plane.axis)
        # What was written is the state against which later edits by hand are found.
        item.remember(Written(stored, tuple(item.prompts.all())))
        self.clear()
        return plane


def outlines(prompts: Iterable[Prompt]) -> bool:
    """Return whether something tells where the object is: points that exclude do not."""
    return any(not isinstance(prompt, Point) or prompt.positive for prompt in prompts)
