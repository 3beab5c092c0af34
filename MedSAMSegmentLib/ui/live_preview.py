"""The mask of the slice that was drawn on, before anything is written."""

from __future__ import annotations

from collections.abc import Iterable

from slicer.i18n import tr as _

from ..errors import PromptError
from ..prompts import Point, Prompt
from .batch import nothing_found
from .collaborators import SlicePreview
from .corrections import Written
from .effect_scene import EffectScene, SceneVolume
from .job_builder import session_target
from .lesion_queue import Lesion
from .overlay_painter import OverlayPainter
from .segmentation_run import SegmentationRun
from .settings import EffectSettings
from .slice_plane import SlicePlane


class LivePreview:
    """Asks for it, shows it in the views, writes it when the user says so.

    `wanted` is the volume when it is to be written as soon as it is there.
    """

    def __init__(self, run: SegmentationRun, scene: EffectScene, painter: OverlayPainter) -> None:
        self._run = run
        self._scene = scene
        self._painter = painter
        self.lesion: Lesion | None = None
        self.shown: SlicePreview | None = None
        self.wanted: SceneVolume | None = None

    def ask(self, lesion: Lesion, plane: SlicePlane, volume: SceneVolume, settings: EffectSettings) -> bool:
        """False when the slice's prompts outline nothing. Raises `PromptError` for a bad ROI."""
        prompts = lesion.prompts.on(plane)
        if not outlines(prompts):
            return False
        roi = self._scene.roi_box(volume.geometry) if settings.range_rule == "roi" else None
        target = session_target(lesion, volume, settings, roi, axis=plane.axis, prompts=prompts)
        self.lesion = lesion
        return self._run.preview(target, plane, prompts)

    def show(self, preview: SlicePreview) -> None:
        self.shown = preview
        self._painter.clear_masks()
        self._painter.set_mask(preview.plane, preview.mask)

    def clear(self) -> None:
        self.shown = None
        self.wanted = None
        self._painter.clear_masks()

    def commit(self, volume: SceneVolume) -> SlicePlane:
        """Write it into the object's segment in one undo step. Raises `PromptError`, `OutputError`."""
        lesion, preview = self.lesion, self.shown
        if lesion is None or preview is None:
            raise PromptError(_("There is nothing to segment yet."), _("Drag a box on a slice."))
        if not preview.mask.any():
            raise nothing_found(lesion.name)
        plane, geometry = preview.plane, volume.geometry
        again = plane in lesion.committed
        outcome = self._scene.write_slice(
            preview.mask, plane, geometry, segment_id=lesion.segment_id, name=lesion.name, replace=again
        )
        lesion.segment_id = outcome.segment_id
        lesion.committed.add(plane)
        stored = self._scene.segment_mask(outcome.segment_id, geometry)
        # What was written is the state against which later edits by hand are found.
        lesion.remember(Written.of(stored, plane.axis, lesion.prompts.all()))
        self.clear()
        return plane


def outlines(prompts: Iterable[Prompt]) -> bool:
    """Return whether something tells where the object is: points that exclude do not."""
    return any(not isinstance(prompt, Point) or prompt.positive for prompt in prompts)
