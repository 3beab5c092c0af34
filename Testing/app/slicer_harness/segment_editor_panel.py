"""The Segment Editor's panel, and the items of data nodes in the subject hierarchy: what Qt code does in Slicer."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from .pythonqt import dress
from .stand_ins import create, state

qt = dress()


class SubjectHierarchyItems:
    """Gives each data node its item in the subject hierarchy, which in Slicer is the work of a Qt plugin."""

    KINDS = (
        "vtkMRMLVolumeNode",
        "vtkMRMLSegmentationNode",
        "vtkMRMLMarkupsNode",
        "vtkMRMLModelNode",
        "vtkMRMLTransformNode",
        "vtkMRMLTableNode",
        "vtkMRMLTextNode",
        "vtkMRMLSequenceNode",
        "vtkMRMLSequenceBrowserNode",
    )

    def __init__(self, scene: Any):
        self._scene = scene
        self.on_added.__func__.CallDataType = vtk.VTK_OBJECT  # type: ignore[attr-defined]
        self._tag = scene.AddObserver(scene.NodeAddedEvent, self.on_added)

    def on_added(self, _scene: Any, _event: str, node: Any) -> None:
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)
        if hierarchy is None or node.GetHideFromEditors() or not any(node.IsA(kind) for kind in self.KINDS):
            return
        if not hierarchy.GetItemByDataNode(node):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

    def stop(self) -> None:
        self._scene.RemoveObserver(self._tag)


class SegmentEditorPanel:
    """`slicer.modules.SegmentEditorWidget`: the panel with the editor and its singleton parameter node."""

    def __init__(self, scene: Any):
        self.host = create("qSlicerScriptedLoadableModuleWidget", None)
        state(self.host).module, state(self.host).python = slicer.modules.segmenteditor, self
        layout = qt.QVBoxLayout(self.host)
        self.editor = slicer.qMRMLSegmentEditorWidget()
        self.editor.setMaximumNumberOfUndoStates(10)
        layout.addWidget(self.editor)
        self.parameterSetNode = None
        self.selectParameterNode()
        self.editor.setMRMLScene(scene)
        slicer.qSlicerSegmentEditorEffectFactory.instance().connect(
            "effectRegistered(QString)", self.editorEffectRegistered
        )
        self._observers = [
            (
                scene,
                scene.AddObserver(scene.StartCloseEvent, self.onSceneStartClose),
            ),
            (scene, scene.AddObserver(scene.EndCloseEvent, self.onSceneEndClose)),
        ]

    def selectParameterNode(self) -> None:
        node = slicer.mrmlScene.GetSingletonNode("SegmentEditor", "vtkMRMLSegmentEditorNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetSingletonTag("SegmentEditor")
            node = slicer.mrmlScene.AddNode(node)
        if node is not self.parameterSetNode:
            self.parameterSetNode = node
            self.editor.setMRMLSegmentEditorNode(node)

    def editorEffectRegistered(self) -> None:
        self.editor.updateEffectList()

    def enter(self) -> None:
        self.selectParameterNode()
        self.editor.setupViewObservations()
        self.editor.installKeyboardShortcuts()
        self.editor.updateWidgetFromMRML()

    def exit(self) -> None:
        self.editor.setActiveEffect(None)
        self.editor.uninstallKeyboardShortcuts()
        self.editor.removeViewObservations()

    def stop_observing(self) -> None:
        for target, tag in self._observers:
            target.RemoveObserver(tag)
        self._observers = []

    def onSceneStartClose(self, _caller: Any = None, _event: Any = None) -> None:
        self.parameterSetNode = None
        self.editor.setSegmentationNode(None)
        self.editor.removeViewObservations()

    def onSceneEndClose(self, _caller: Any = None, _event: Any = None) -> None:
        self.selectParameterNode()
        self.editor.updateWidgetFromMRML()
