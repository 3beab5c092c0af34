"""Run inside 3D Slicer for `native_story.py`: write what can be seen, ten times a second, and press nothing.

    MEDSAM_STORY_STATE   the file that is rewritten, JSON
    MEDSAM_STORY_CT      the volume to load

Positions are pixels of the screen. Of a slice view its rectangle and the matrix from RAS mm to its pixels are written,
so that the story can aim at a place in the body with the real mouse.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import qt
import slicer
from vtk.util.numpy_support import vtk_to_numpy

STATE = Path(os.environ["MEDSAM_STORY_STATE"])
INTERVAL_MS = 100
VIEWS = ("Red", "Green", "Yellow")


class StateWriter:
    """Writes the state from a timer; `longest_stall` is how late a tick came at most since the story asked last."""

    def __init__(self) -> None:
        self._expected = time.monotonic()
        self._stalls: list[float] = []
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._tick)
        self._timer.start()

    def _tick(self) -> None:
        now = time.monotonic()
        self._stalls = [*self._stalls[-600:], max(0.0, now - self._expected)]
        temporary = STATE.with_suffix(".part")
        temporary.write_text(json.dumps(self._state(), default=str), encoding="utf-8")
        temporary.replace(STATE)
        self._expected = time.monotonic() + INTERVAL_MS / 1000

    def _state(self) -> dict[str, Any]:
        window = slicer.util.mainWindow()
        widgets = [child for child in window.findChildren(qt.QWidget) if child.objectName and child.isVisible()]
        dialogs = [w for w in qt.QApplication.topLevelWidgets() if w.isVisible() and w is not window]
        return {
            "time": time.time(),
            "stalls": self._stalls,
            "module": slicer.util.moduleSelector().selectedModule,
            "widgets": {str(child.objectName): described(child) for child in widgets},
            "dialogs": [str(dialog.windowTitle) for dialog in dialogs],
            "views": {name: view_state(name) for name in VIEWS},
            **editor_state(),
        }


def described(widget: Any) -> dict[str, Any]:
    """Return place, text and whether it can be used."""
    corner = widget.mapToGlobal(qt.QPoint(0, 0))
    seen = widget.visibleRegion().boundingRect()
    text = getattr(widget, "plainText", None) or getattr(widget, "text", "")
    return {
        "rectangle": [corner.x(), corner.y(), widget.width, widget.height],
        "enabled": bool(widget.enabled),
        "text": str(text() if callable(text) else text),
        "seen": [seen.x(), seen.y(), seen.width(), seen.height()],
    }


def view_state(name: str) -> dict[str, Any]:
    """Return a slice view's rectangle on the screen and its matrix from view pixels to RAS, by rows."""
    widget = slicer.app.layoutManager().sliceWidget(name)
    node, view = widget.mrmlSliceNode(), widget.sliceView()
    corner = view.mapToGlobal(qt.QPoint(0, 0))
    matrix = node.GetXYToRAS()
    return {
        "rectangle": [corner.x(), corner.y(), view.width, view.height],
        "xy_to_ras": [[matrix.GetElement(row, column) for column in range(4)] for row in range(4)],
        "offset": node.GetSliceOffset(),
    }


def editor_state() -> dict[str, Any]:
    """Return segments with their voxel counts, the active effect, and what the effect says."""
    found: dict[str, Any] = {"segments": {}, "effect": "", "rows": [], "preview": False, "busy": False}
    module = getattr(slicer.modules, "SegmentEditorWidget", None)
    if module is None:
        return found
    editor = module.editor
    effect = editor.activeEffect()
    found["effect"] = str(effect.name) if effect is not None else ""
    node = editor.segmentationNode()
    if node is not None:
        segmentation = node.GetSegmentation()
        for number in range(segmentation.GetNumberOfSegments()):
            segment = segmentation.GetNthSegment(number)
            found["segments"][segment.GetName()] = voxels_of(segment)
    ours = editor.effectByName("MedSAM")
    parts = ours.self().parts if ours is not None else None
    if parts is not None:
        state = parts.state
        found["rows"] = [[row.name, row.state.value] for row in state.queue.rows]
        found["preview"] = state.runs.preview.shown is not None
        found["busy"] = state.runs.busy or state.runs.batch is not None or state.runs.measuring.busy
        found["status"] = str(parts.frame.runs.status.text)
        found["results"] = str(parts.frame.runs.results.text)
    return found


def voxels_of(segment: Any) -> int:
    """Return how many voxels the segment's labelmap holds (other segments of a shared one do not count)."""
    labelmap = segment.GetRepresentation("Binary labelmap")
    if labelmap is None or labelmap.GetNumberOfPoints() == 0:
        return 0
    values = vtk_to_numpy(labelmap.GetPointData().GetScalars())
    return int((values == segment.GetLabelValue()).sum())


slicer.util.mainWindow().showMaximized()
slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView)
volume = slicer.util.loadVolume(os.environ["MEDSAM_STORY_CT"])
slicer.util.setSliceViewerLayers(background=volume, fit=True)
slicer.util.selectModule("MedSAMSegment")
slicer.medsam_story = StateWriter()
