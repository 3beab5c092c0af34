"""The Segment Editor's widget: calls effects in the order in which qMRMLSegmentEditorWidget does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from .editor_effects import EditorEffects
from .editor_shortcuts import EditorShortcuts
from .editor_views import EditorViews
from .pythonqt import dress
from .recorder import RECORDER
from .stand_ins import behaviour, emit, state

qt = dress()


@behaviour("qMRMLSegmentEditorWidget")
class SegmentEditorWidget(EditorEffects, EditorViews, EditorShortcuts):
    """Scene, nodes and the update from MRML; the mixins hold the rest."""

    defaults: ClassVar[dict[str, Any]] = {
        "addRemoveSegmentButtonsVisible": True,
        "autoShowMasterVolumeNode": True,
        "autoShowSourceVolumeNode": True,
        "defaultTerminologyEntry": "",
        "defaultTerminologyEntrySettingsKey": "",
        "effectButtonStyle": 0,
        "effectColumnCount": 2,
        "jumpToSelectedSegmentEnabled": False,
        "maskingSectionVisible": True,
        "masterVolumeNodeSelectorVisible": True,
        "maximumNumberOfUndoStates": 10,
        "readOnly": False,
        "segmentationNodeSelectorVisible": True,
        "show3DButtonVisible": True,
        "sourceVolumeNodeSelectorVisible": True,
        "specifyGeometryButtonVisible": True,
        "switchToSegmentationsButtonVisible": True,
        "undoEnabled": True,
        "unorderedEffectsVisible": True,
    }

    def _init(self: Any) -> None:
        import slicer

        memory = state(self)
        memory.logic = slicer.vtkSlicerSegmentEditorLogic()
        memory.node, memory.active, memory.last_active, memory.interaction = None, None, None, None
        memory.segmentation, memory.source, memory.selected = None, None, None
        memory.effects, memory.buttons, memory.shortcuts = [], {}, []
        memory.observations, memory.view_observations = [], []
        memory.answers_hidden_segment = True
        layout = qt.QVBoxLayout(self)
        memory.buttons_layout = qt.QGridLayout()
        layout.addLayout(memory.buttons_layout)
        memory.options = qt.QGroupBox(self)
        memory.options_layout = qt.QVBoxLayout(memory.options)
        layout.addWidget(memory.options)
        memory.help = qt.QLabel(self)
        self.updateEffectList()

    def harness_logic(self: Any) -> Any:
        return state(self).logic

    def harness_confirm(self: Any, question: str) -> bool:
        return state(self).answers_hidden_segment

    # Scene and nodes

    def setMRMLScene(self: Any, scene: Any) -> None:
        import slicer

        if scene is getattr(state(self), "scene", None):
            return
        state(self).scene = scene
        logic = state(self).logic
        logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        logic.SetMRMLScene(scene)
        logic.SetVerbose(True)
        if scene is not None:
            self.setInteractionNode(scene.GetNodeByID("vtkMRMLInteractionNodeSingleton"))
            self._observe(scene, scene.EndCloseEvent, self._on_scene_end_close)
            self._observe(scene, scene.EndBatchProcessEvent, self.updateWidgetFromMRML)
            slicer.app.layoutManager().connect("layoutChanged(int)", self._on_layout_changed)
        self.updateWidgetFromMRML()

    def _observe(self: Any, target: Any, event: Any, slot: Callable[[], None]) -> None:
        def call(_caller: Any, _event: Any) -> None:
            try:
                slot()
            except Exception as error:  # noqa: BLE001 - VTK would print it and go on
                RECORDER.record(f"editor, {event}", error)

        state(self).observations.append((target, target.AddObserver(event, call)))

    def interactionNode(self: Any) -> Any:
        return state(self).interaction

    def setInteractionNode(self: Any, node: Any) -> None:
        state(self).interaction = node
        if node is not None:
            self._observe(node, "ModifiedEvent", self._on_interaction_node_modified)

    def _on_interaction_node_modified(self: Any) -> None:
        if state(self).interaction is not None and state(self).active is not None:
            state(self).active.harness_interaction_node_modified(state(self).interaction)

    def _on_scene_end_close(self: Any) -> None:
        self._initialise_parameter_set()
        self.updateWidgetFromMRML()

    def mrmlSegmentEditorNode(self: Any) -> Any:
        return state(self).node

    def setMRMLSegmentEditorNode(self: Any, node: Any) -> None:
        if state(self).node is node:
            return
        state(self).node = node
        state(self).logic.SetSegmentEditorNode(node)
        if node is None:
            return
        self._observe(node, "ModifiedEvent", self.updateWidgetFromMRML)
        self._observe(node, node.EffectParameterModified, self._on_effect_parameter_modified)
        self._initialise_parameter_set()
        self.updateWidgetFromMRML()

    def _on_effect_parameter_modified(self: Any) -> None:
        for effect in state(self).effects:
            effect.updateGUIFromMRML()

    def _initialise_parameter_set(self: Any) -> None:
        node = state(self).node
        if node is None:
            return
        was_modifying = node.StartModify()
        for effect in state(self).effects:
            effect.setParameterSetNode(node)
            effect.harness_notify("setMRMLDefaults")
        node.EndModify(was_modifying)

    def segmentationNode(self: Any) -> Any:
        return state(self).logic.GetSegmentationNode()

    def segmentationNodeID(self: Any) -> str:
        node = self.segmentationNode()
        return node.GetID() if node is not None else ""

    def setSegmentationNode(self: Any, node: Any) -> None:
        if state(self).logic.GetSegmentationNode() is node:
            return
        state(self).logic.SetSegmentationNode(node)
        self.setActiveEffect(None)

    def setSegmentationNodeID(self: Any, identifier: str) -> None:
        self.setSegmentationNode(state(self).scene.GetNodeByID(identifier))

    def sourceVolumeNode(self: Any) -> Any:
        return state(self).logic.GetSourceVolumeNode()

    def sourceVolumeNodeID(self: Any) -> str:
        node = self.sourceVolumeNode()
        return node.GetID() if node is not None else ""

    def setSourceVolumeNode(self: Any, node: Any) -> None:
        state(self).logic.SetSourceVolumeNode(node)

    def setSourceVolumeNodeID(self: Any, identifier: str) -> None:
        self.setSourceVolumeNode(state(self).scene.GetNodeByID(identifier))

    def masterVolumeNode(self: Any) -> Any:
        return self.sourceVolumeNode()

    def setMasterVolumeNode(self: Any, node: Any) -> None:
        self.setSourceVolumeNode(node)

    def currentSegmentID(self: Any) -> str:
        return state(self).logic.GetCurrentSegmentID()

    def setCurrentSegmentID(self: Any, identifier: str) -> None:
        if state(self).node is not None:
            state(self).node.SetSelectedSegmentID(identifier)

    def selectNextSegment(self: Any) -> None:
        self.selectSegmentAtOffset(1)

    def selectPreviousSegment(self: Any) -> None:
        self.selectSegmentAtOffset(-1)

    def selectSegmentAtOffset(self: Any, offset: int) -> None:
        state(self).logic.SelectSegmentAtOffset(offset)

    # Updates from MRML

    def updateWidgetFromMRML(self: Any) -> None:
        if getattr(state(self), "scene", None) is None or state(self).node is None or state(self).scene.IsClosing():
            return
        self._update_segmentation()
        self._update_source_volume()
        self._update_selected_segment()
        self._update_effects_section()

    def _update_segmentation(self: Any) -> None:
        import slicer

        segmentation = state(self).logic.GetSegmentationNode()
        if segmentation is state(self).segmentation:
            return
        state(self).segmentation = segmentation
        if segmentation is not None:
            self._observe(segmentation, slicer.vtkSegmentation.SegmentAdded, self._on_segment_added_or_removed)
            self._observe(segmentation, slicer.vtkSegmentation.SegmentRemoved, self._on_segment_added_or_removed)
            reference = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
            if reference is not None:
                self.setSourceVolumeNode(reference)
            segmentation.CreateDefaultDisplayNodes()
            if segmentation.GetSegmentation().GetNumberOfSegments() > 0 and not state(self).node.GetSelectedSegmentID():
                state(self).logic.SelectFirstSegment()
        emit(self, "segmentationNodeChanged(vtkMRMLSegmentationNode*)", segmentation)

    def _on_segment_added_or_removed(self: Any) -> None:
        segmentation, node = state(self).segmentation, state(self).node
        if segmentation is None or node is None or segmentation.GetSegmentation() is None:
            return
        selected = node.GetSelectedSegmentID()
        if selected and segmentation.GetSegmentation().GetSegment(selected) is None:
            first = (
                segmentation.GetSegmentation().GetNthSegmentID(0)
                if segmentation.GetSegmentation().GetNumberOfSegments()
                else None
            )
            node.SetSelectedSegmentID(first)
        self.updateWidgetFromMRML()

    def _update_source_volume(self: Any) -> None:
        if state(self).node.GetSegmentationNode() is None:
            return
        source = state(self).logic.GetSourceVolumeNode()
        if source is state(self).source:
            return
        state(self).source = source
        if source is not None and self.autoShowSourceVolumeNode:
            self.showSourceVolumeInSliceViewers()
        emit(self, "sourceVolumeNodeChanged(vtkMRMLVolumeNode*)", source)
        emit(self, "masterVolumeNodeChanged(vtkMRMLVolumeNode*)", source)
        for effect in state(self).effects:
            effect.harness_notify("sourceVolumeNodeChanged")
            effect.harness_notify("masterVolumeNodeChanged")

    def showSourceVolumeInSliceViewers(self: Any, forceShowInBackground: bool = False, fitSlice: bool = False) -> None:
        import slicer

        manager = slicer.app.layoutManager()
        for name in manager.sliceViewNames():
            widget = manager.sliceWidget(name)
            if widget.mrmlSliceCompositeNode().GetBackgroundVolumeID() != state(self).source.GetID():
                widget.mrmlSliceCompositeNode().SetBackgroundVolumeID(state(self).source.GetID())
                widget.fitSliceToBackground()

    def _update_selected_segment(self: Any) -> None:
        selected = state(self).node.GetSelectedSegmentID() or ""
        if selected == (state(self).selected or ""):
            return
        state(self).selected = selected
        if not selected and state(self).active is not None and state(self).active.perSegment:
            self.setActiveEffect(None)
        emit(self, "currentSegmentIDChanged(QString)", selected)

    def _update_effects_section(self: Any) -> None:
        memory = state(self)
        enabled = memory.node.GetSourceVolumeNode() is not None
        memory.options.setEnabled(enabled)
        segmentation = memory.node.GetSegmentationNode()
        available = segmentation is not None and segmentation.GetSegmentation().GetNumberOfSegments() > 0
        for effect in memory.effects:
            usable = not effect.requireSegments or (
                available and (bool(memory.node.GetSelectedSegmentID()) or not effect.perSegment)
            )
            memory.buttons[effect.name].setEnabled(enabled and usable)
        chosen = self.effectByName(memory.node.GetActiveEffectName() or "")
        if chosen is memory.active:
            return
        if memory.active is not None:
            memory.active.deactivate()
        if chosen is not None:
            chosen = self._activate(chosen)
        if chosen is None:
            memory.options.hide()
            self.removeViewObservations()
        for effect in memory.effects:
            memory.buttons[effect.name].setChecked(effect is chosen)
        if memory.interaction.GetCurrentInteractionMode() == memory.interaction.ViewTransform:
            self.setEffectCursor(chosen)
        memory.last_active, memory.active = memory.active, chosen

    def _activate(self: Any, effect: Any) -> Any:
        memory = state(self)
        if not memory.logic.SetSourceRepresentationToBinaryLabelMap():
            return None
        self.setupViewObservations()
        if memory.interaction.GetCurrentInteractionMode() != memory.interaction.ViewTransform:
            memory.interaction.SetCurrentInteractionMode(memory.interaction.ViewTransform)
        effect.activate()
        memory.options.show()
        memory.options.title = effect.title
        memory.help.text = effect.harness_help_text()
        return effect

    # Undo, end

    def undo(self: Any) -> None:
        state(self).logic.Undo()

    def redo(self: Any) -> None:
        state(self).logic.Redo()

    def saveStateForUndo(self: Any) -> None:
        state(self).logic.SaveStateForUndo()

    def _set_maximumNumberOfUndoStates(self: Any, count: int) -> None:
        state(self).logic.SetMaximumNumberOfUndoStates(count)

    def toggleSourceVolumeIntensityMaskEnabled(self: Any) -> None:
        state(self).logic.ToggleSourceVolumeIntensityMask()

    def harness_close(self: Any) -> None:
        """What the widget's destructor does: the effects' cleanup(), observers off."""
        self.uninstallKeyboardShortcuts()
        self.removeViewObservations()
        for target, tag in state(self).observations:
            target.RemoveObserver(tag)
        for effect in state(self).effects:
            effect.harness_notify("cleanup")
        state(self).effects, state(self).active = [], None
