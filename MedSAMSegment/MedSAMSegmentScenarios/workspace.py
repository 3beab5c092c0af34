"""A Segment Editor with the effect chosen, as a user has it after loading a volume."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from MedSAMSegmentLib.mrml.segment_reader import read_segment
from MedSAMSegmentLib.mrml.volume_node import geometry_of
from MedSAMSegmentLib.ui.effect.effect import Effect
from MedSAMSegmentLib.ui.effect.state import EffectState
from MedSAMSegmentLib.ui.objects.queue import QueuedObject
from MedSAMSegmentLib.ui.objects.settings import EffectSettings
from MedSAMSegmentLib.ui.run.coordinator import RunCoordinator
from MedSAMSegmentLib.ui.run.estimate import RunEstimator

from .phantom import Phantom
from .stand_in_service import StandInService
from .user import User, show_slice, wait_for_layout, wait_until

EFFECT = "MedSAM"


class Workspace:
    """`volume` in the Segment Editor with a new segmentation and the effect active."""

    def __init__(self, volume: Any, *, stand_in: bool = False, segment: str | None = "Lesion") -> None:
        slicer.util.selectModule("SegmentEditor")
        self.volume = volume
        self.user = User()
        self.editor = slicer.modules.SegmentEditorWidget.editor
        self.segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        self.segmentation.CreateDefaultDisplayNodes()
        self.editor.setSegmentationNode(self.segmentation)
        self.editor.setSourceVolumeNode(volume)
        if segment is not None:
            self.segment_id = str(self.segmentation.GetSegmentation().AddEmptySegment("", segment))
            self.editor.setCurrentSegmentID(self.segment_id)
        self.editor.setActiveEffectByName(EFFECT)
        self.service = StandInService()
        # Scenarios follow each other in one application: nothing of the last one may stay.
        if stand_in:
            self.parts.service.shutdown()
        self.runs.requests.service = self.service if stand_in else self.parts.service
        self.runs.requests.forget_session()
        self.runs.last_error = None
        self.runs.estimator = RunEstimator(self.state.scene)
        self.set(**asdict(EffectSettings()))
        wait_for_layout()

    @property
    def parts(self) -> Effect:
        parts = self.editor.effectByName(EFFECT).self().parts
        assert isinstance(parts, Effect)
        return parts

    @property
    def state(self) -> EffectState:
        return self.parts.state

    @property
    def runs(self) -> RunCoordinator:
        return self.state.runs

    @property
    def current(self) -> QueuedObject:
        item = self.state.queue.current
        assert item is not None, "no object is current"
        return item

    @property
    def shown_mask(self) -> NDArray[np.bool_]:
        """The preview's mask (rows, columns)."""
        shown = self.runs.preview.shown
        assert shown is not None, "no preview is shown"
        return shown.mask

    @property
    def status(self) -> str:
        return str(self.parts.frame.runs.status.text)

    @property
    def estimate(self) -> str:
        """The text about the next run; "" where nothing is shown."""
        label = self.parts.frame.runs.estimate
        return str(label.text) if label.isVisibleTo(label.parent()) else ""

    @property
    def results(self) -> str:
        return str(self.parts.frame.runs.results.text)

    @property
    def parameters(self) -> Any:
        return self.editor.mrmlSegmentEditorNode()

    @property
    def segment_ids(self) -> list[str]:
        segmentation = self.segmentation.GetSegmentation()
        return [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]

    def mask(self, segment_id: str | None = None) -> NDArray[np.bool_]:
        """A segment (z,y,x) on the volume's grid; by default the first."""
        return read_segment(self.segmentation, segment_id or self.segment_ids[0], geometry_of(self.volume))

    def set(self, **settings: Any) -> None:
        """Change options through the stored parameters, as widgets do."""
        from MedSAMSegmentLib.ui.objects import settings as settings_module

        host = self.editor.effectByName(EFFECT)
        settings_module.save(host, settings_module.load(host).changed(**settings))

    def draw_box(self, phantom: Phantom, number: int = 0, k: int | None = None, *, control: bool = False) -> None:
        """Show a ball's middle slice in the red view and drag a box round it."""
        k = round(phantom.balls[number].centre_ijk[2]) if k is None else k
        start, end = phantom.box_corners(number, k)
        show_slice("Red", start)
        self.user.drag("Red", start, end, control=control)

    def propagate(self) -> None:
        self.user.press(self.parts.frame.runs.propagate)

    def wait(self, what: str = "end of the run") -> None:
        wait_until(lambda: not (self.runs.busy or self.runs.batch is not None or self.runs.measuring.busy), what)
        slicer.app.processEvents()

    def wait_for_preview(self) -> None:
        wait_until(lambda: self.runs.preview.shown is not None and not self.runs.busy, "preview")

    def hold_a_run(self, phantom: Phantom, slices: int = 2) -> None:
        """A run of the stand-in that stands still after some slices."""
        self.service.hold_after = slices
        self.draw_box(phantom)
        self.wait_for_preview()
        self.propagate()
        wait_until(lambda: self.service.holding, "slice")

    def write(self, mask: NDArray[np.bool_], segment_id: str | None = None) -> None:
        """Set a segment as Paint and Erase would, with a state for undo."""
        self.editor.saveStateForUndo()
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            mask.astype(np.uint8), self.segmentation, segment_id or self.segment_ids[0], self.volume
        )


@contextmanager
def another_effect(workspace: Workspace) -> Iterator[None]:
    """Leave the effect, do something, come back."""
    workspace.editor.setActiveEffect(None)
    yield
    workspace.editor.setActiveEffectByName(EFFECT)
