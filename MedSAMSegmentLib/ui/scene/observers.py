"""Notices when the segment, segmentation, volume or scene under a run changes or goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk


class SceneObservers:
    """Observes the editor's parameter node, its nodes and the scene while the effect is active.

    `on_selection` hears that another segment, segmentation or volume may be chosen; `on_segments` that segments were
    added or removed; `on_contents` that a segment's voxels changed; `on_volume` that the volume's voxels or place
    changed; `on_mouse_mode` that a placement may have ended; `on_roi` that the user let go of the chosen ROI, which
    was moved or resized; `on_scene_loaded` that nodes came from a file; `on_scene_closing` that the scene goes.
    """

    def __init__(self) -> None:
        self.on_selection: Callable[[], None] = _ignore
        self.on_segments: Callable[[], None] = _ignore
        self.on_contents: Callable[[], None] = _ignore
        self.on_volume: Callable[[], None] = _ignore
        self.on_mouse_mode: Callable[[], None] = _ignore
        self.on_roi: Callable[[], None] = _ignore
        self.on_scene_loaded: Callable[[], None] = _ignore
        self.on_scene_closing: Callable[[], None] = _ignore
        self._tags: list[tuple[Any, int]] = []
        self._watched: tuple[Any, ...] | None = None

    def start(self, parameter_node: Any, scene: Any, roi_node: Any = None) -> None:
        """Watch these; nothing happens when they are watched already."""
        nodes = (
            (parameter_node, parameter_node.GetSegmentationNode(), parameter_node.GetSourceVolumeNode(), roi_node)
            if parameter_node is not None
            else ()
        )
        if self._watched == (scene, *nodes):
            return
        self.stop()
        self._watched = (scene, *nodes)
        self._observe(scene, slicer.vtkMRMLScene.StartCloseEvent, self.on_scene_closing)
        for event in (slicer.vtkMRMLScene.EndImportEvent, slicer.vtkMRMLScene.EndBatchProcessEvent):
            self._observe(scene, event, self.on_scene_loaded)
        if parameter_node is None:
            return
        mouse = scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
        if mouse is not None:
            self._observe(mouse, slicer.vtkMRMLInteractionNode.InteractionModeChangedEvent, self.on_mouse_mode)
        if roi_node is not None:
            self._observe(roi_node, slicer.vtkMRMLMarkupsNode.PointEndInteractionEvent, self.on_roi)
        self._observe(parameter_node, vtk.vtkCommand.ModifiedEvent, self.on_selection)
        segmentation = parameter_node.GetSegmentationNode()
        if segmentation is not None:
            vtk_segmentation = segmentation.GetSegmentation()
            for event in (vtk_segmentation.SegmentAdded, vtk_segmentation.SegmentRemoved):
                self._observe(vtk_segmentation, event, self.on_segments)
            # Edits tell the one, Undo and Redo the other.
            for event in (vtk_segmentation.SourceRepresentationModified, vtk_segmentation.SegmentModified):
                self._observe(vtk_segmentation, event, self.on_contents)
            self._observe(segmentation, slicer.vtkMRMLTransformableNode.TransformModifiedEvent, self.on_volume)
        volume = parameter_node.GetSourceVolumeNode()
        if volume is not None:
            # Voxels changed in place are told by the node's own event only.
            for event in (vtk.vtkCommand.ModifiedEvent, slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent):
                self._observe(volume, event, self.on_volume)
            self._observe(volume, slicer.vtkMRMLTransformableNode.TransformModifiedEvent, self.on_volume)

    def stop(self) -> None:
        for observed, tag in self._tags:
            observed.RemoveObserver(tag)
        self._tags = []
        self._watched = None

    def _observe(self, observed: Any, event: Any, handler: Callable[[], None]) -> None:
        def call(caller: Any, name: str) -> None:
            handler()

        self._tags.append((observed, observed.AddObserver(event, call)))


def _ignore() -> None:
    """Do nothing: nobody listens yet."""
