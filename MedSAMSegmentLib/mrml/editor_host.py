"""The hosts that carry out edits: Slicer's effect host, or the same editor logic without an application around it."""

from __future__ import annotations

from typing import Any, Protocol

import slicer


class EditorHost(Protocol):
    """The writer's needs of `scriptedEffect`, under its own names, so that the effect passes that object itself."""

    @property
    def ModificationModeSet(self) -> int: ...
    @property
    def ModificationModeAdd(self) -> int: ...
    @property
    def ModificationModeRemove(self) -> int: ...

    def parameterSetNode(self) -> Any:
        """Return the `vtkMRMLSegmentEditorNode` with segmentation, selection, masking and overwrite mode."""

    def saveStateForUndo(self) -> None: ...

    def referenceGeometryImage(self) -> Any:
        """Return the segmentation's grid as a `vtkOrientedImageData` without voxels."""

    def maskLabelmap(self) -> Any:
        """Return an image that is 1 where the mask mode forbids editing the *selected* segment; the intensity range is
        not in it."""

    def sourceVolumeImageData(self) -> Any:
        """Return the source volume on the segmentation's grid."""

    def modifySegmentByLabelmap(
        self, segmentation_node: Any, segment_id: str, labelmap: Any, mode: int, bypass_masking: bool = False
    ) -> None: ...


class LogicHost:
    """The host's methods over `vtkSlicerSegmentEditorLogic`, the code that runs behind them in Slicer >= 5.10."""

    def __init__(self, logic: Any) -> None:
        """`logic` has its application logic, scene, editor node, segmentation and source volume set."""
        self.logic = logic
        self._modes = {
            int(mode): mode
            for mode in (
                logic.ModificationModeSet,
                logic.ModificationModeAdd,
                logic.ModificationModeRemove,
                logic.ModificationModeRemoveAll,
            )
        }

    @classmethod
    def open(
        cls, application_logic: Any, segmentation_node: Any, volume_node: Any, editor_node: Any = None
    ) -> LogicHost:
        """Return a host with an editor logic of its own; the editor node is made in the segmentation's scene if not
        given."""
        scene = segmentation_node.GetScene()
        logic = slicer.vtkSlicerSegmentEditorLogic()
        logic.SetMRMLApplicationLogic(application_logic)
        logic.SetMRMLScene(scene)
        logic.SetVerbose(True)
        logic.SetSegmentEditorNode(editor_node or scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
        logic.SetSegmentationNode(segmentation_node)
        logic.SetSourceVolumeNode(volume_node)
        return cls(logic)

    @property
    def ModificationModeSet(self) -> int:
        return int(self.logic.ModificationModeSet)

    @property
    def ModificationModeAdd(self) -> int:
        return int(self.logic.ModificationModeAdd)

    @property
    def ModificationModeRemove(self) -> int:
        return int(self.logic.ModificationModeRemove)

    def parameterSetNode(self) -> Any:
        return self.logic.GetSegmentEditorNode()

    def saveStateForUndo(self) -> None:
        self.logic.SaveStateForUndo()

    def referenceGeometryImage(self) -> Any:
        return self.logic.GetReferenceGeometryImage() if self.logic.UpdateReferenceGeometryImage() else None

    def maskLabelmap(self) -> Any:
        return self.logic.GetMaskLabelmap() if self.logic.UpdateMaskLabelmap() else None

    def sourceVolumeImageData(self) -> Any:
        return self.logic.GetAlignedSourceVolume() if self.logic.UpdateAlignedSourceVolume() else None

    def modifySegmentByLabelmap(
        self, segmentation_node: Any, segment_id: str, labelmap: Any, mode: int, bypass_masking: bool = False
    ) -> None:
        is_per_segment = False  # as the effect declares itself
        # The logic takes its own enum only, never an int.
        self.logic.ModifySegmentByLabelmap(
            segmentation_node, segment_id, labelmap, self._modes[int(mode)], is_per_segment, bypass_masking
        )
