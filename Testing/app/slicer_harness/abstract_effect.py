"""What every effect of the Segment Editor has: options frame, parameters, images, and the writing of masks."""

from __future__ import annotations

from typing import Any, ClassVar

from .pythonqt import dress
from .stand_ins import behaviour, state

qt = dress()


@behaviour("qSlicerSegmentEditorAbstractEffect")
class AbstractEffect:
    """What every effect has: options frame, parameters, images and the writing of masks."""

    defaults: ClassVar[dict[str, Any]] = {
        "perSegment": True,
        "requireSegments": True,
        "showEffectCursorInSliceView": True,
        "showEffectCursorInThreeDView": False,
        "name": "",
        "title": "",
    }
    enum_numbers: ClassVar[dict[str, Any]] = {
        "ModificationModeSet": 0,
        "ModificationModeAdd": 1,
        "ModificationModeRemove": 2,
        "ModificationModeRemoveAll": 3,
        "NotConfirmed": 0,
        "ConfirmedWithoutDialog": 1,
        "ConfirmedWithDialog": 2,
    }

    def _init(self: Any) -> None:
        memory = state(self)
        memory.frame = qt.QFrame()
        memory.layout = qt.QFormLayout(memory.frame)
        memory.active, memory.node, memory.editor, memory.bound, memory.logged = False, None, None, {}, []
        memory.python, memory.source = None, ""

    def _get_title(self: Any) -> str:
        return state(self).properties.get("title") or self.name

    # Options frame

    def optionsFrame(self: Any) -> Any:
        return state(self).frame

    def optionsLayout(self: Any) -> Any:
        return state(self).layout

    def addOptionsWidget(self: Any, widget: Any) -> None:
        _replace_size_policy(widget)
        state(self).layout.addRow(widget)

    def addLabeledOptionsWidget(self: Any, label: str, widget: Any) -> Any:
        _replace_size_policy(widget)
        label_widget = qt.QLabel(label)
        state(self).layout.addRow(label_widget, widget)
        return label_widget

    # Nodes

    def parameterSetNode(self: Any) -> Any:
        return state(self).node

    def setParameterSetNode(self: Any, node: Any) -> None:
        state(self).node = node

    def scene(self: Any) -> Any:
        return state(self).node.GetScene() if state(self).node is not None else None

    def active(self: Any) -> bool:
        return state(self).active

    def selectEffect(self: Any, name: str) -> None:
        if state(self).editor is not None:
            state(self).editor.setActiveEffectByName(name)

    # Life cycle: C++ defaults

    def activate(self: Any) -> None:
        state(self).frame.setVisible(True)
        state(self).active = True
        self.updateGUIFromMRML()

    def deactivate(self: Any) -> None:
        state(self).frame.setVisible(False)
        state(self).active = False

    def helpText(self: Any) -> str:
        return ""

    def createCursor(self: Any, view_widget: Any) -> Any:
        return qt.QCursor(qt.Qt.ArrowCursor)

    def updateGUIFromMRML(self: Any) -> None:
        """The C++ default does nothing."""

    def updateMRMLFromGUI(self: Any) -> None:
        """The C++ default does nothing."""

    def cleanup(self: Any) -> None:
        """The C++ default does nothing."""

    # Parameters

    def _log(self: Any, text: str) -> None:
        print(f"[critical] {type(self).__name__}: {text}")
        state(self).logged.append(text)

    def _qualified(self: Any, name: str) -> str:
        return f"{self.name}.{name}"

    def _write_attribute(self: Any, attribute: str, value: str) -> None:
        node = state(self).node
        if node is None:
            return self._log("invalid segment editor parameter set node")
        old = node.GetAttribute(attribute)
        if old == value or (old is None and value == ""):
            return None
        was_disabled = node.GetDisableModifiedEvent()
        node.SetDisableModifiedEvent(1)
        node.SetAttribute(attribute, value)
        node.SetDisableModifiedEvent(was_disabled)
        node.InvokeCustomModifiedEvent(node.EffectParameterModified)
        return None

    def setParameter(self: Any, name: str, value: Any) -> None:
        self._write_attribute(self._qualified(name), parameter_text(value))

    def setCommonParameter(self: Any, name: str, value: Any) -> None:
        self._write_attribute(name, parameter_text(value))

    def setParameterDefault(self: Any, name: str, value: Any) -> None:
        text = parameter_text(value)
        if state(self).node is not None and not state(self).node.GetAttribute(self._qualified(name)):
            self._write_attribute(self._qualified(name), text)

    def setCommonParameterDefault(self: Any, name: str, value: Any) -> None:
        text = parameter_text(value)
        if state(self).node is not None and not state(self).node.GetAttribute(name):
            self._write_attribute(name, text)

    def parameter(self: Any, name: str) -> str:
        if state(self).node is None:
            self._log("invalid segment editor parameter set node")
            return ""
        for attribute in (self._qualified(name), name):
            value = state(self).node.GetAttribute(attribute)
            if value:
                return value
        if state(self).node.GetAttribute(self._qualified(name)) is None:
            self._log(f"parameter named {name!r} cannot be found for effect {self.name!r}")
        return ""

    def integerParameter(self: Any, name: str) -> int:
        try:
            return int(self.parameter(name))
        except ValueError:
            self._log(f"parameter {name!r} cannot be converted to integer")
            return 0

    def doubleParameter(self: Any, name: str) -> float:
        try:
            return float(self.parameter(name))
        except ValueError:
            self._log(f"parameter {name!r} cannot be converted to floating point number")
            return 0.0

    def parameterDefined(self: Any, name: str) -> bool:
        return state(self).node is not None and bool(state(self).node.GetAttribute(self._qualified(name)))

    def commonParameterDefined(self: Any, name: str) -> bool:
        return state(self).node is not None and bool(state(self).node.GetAttribute(name))

    def nodeReference(self: Any, name: str) -> Any:
        return state(self).node.GetNodeReference(self._qualified(name)) or state(self).node.GetNodeReference(name)

    def setNodeReference(self: Any, name: str, node: Any) -> None:
        self._reference(self._qualified(name), node)

    def setCommonNodeReference(self: Any, name: str, node: Any) -> None:
        self._reference(name, node)

    def _reference(self: Any, role: str, node: Any) -> None:
        state(self).node.SetNodeReferenceID(role, node.GetID() if node is not None else None)
        state(self).node.InvokeCustomModifiedEvent(state(self).node.EffectParameterModified)

    # Images

    def _logic(self: Any) -> Any:
        return state(self).editor.harness_logic() if state(self).editor is not None else None

    def referenceGeometryImage(self: Any) -> Any:
        logic = self._logic()
        return logic.GetReferenceGeometryImage() if logic is not None and logic.UpdateReferenceGeometryImage() else None

    def defaultModifierLabelmap(self: Any) -> Any:
        logic = self._logic()
        return logic.GetModifierLabelmap() if logic is not None and logic.ResetModifierLabelmapToDefault() else None

    def modifierLabelmap(self: Any) -> Any:
        logic = self._logic()
        return logic.GetModifierLabelmap() if logic is not None else None

    def sourceVolumeImageData(self: Any) -> Any:
        logic = self._logic()
        return logic.GetAlignedSourceVolume() if logic is not None and logic.UpdateAlignedSourceVolume() else None

    def masterVolumeImageData(self: Any) -> Any:
        return self.sourceVolumeImageData()

    def selectedSegmentLabelmap(self: Any) -> Any:
        logic = self._logic()
        return (
            logic.GetSelectedSegmentLabelmap() if logic is not None and logic.UpdateSelectedSegmentLabelmap() else None
        )

    def maskLabelmap(self: Any) -> Any:
        logic = self._logic()
        return logic.GetMaskLabelmap() if logic is not None and logic.UpdateMaskLabelmap() else None

    # Writing

    def modifySelectedSegmentByLabelmap(self: Any, labelmap: Any, mode: int, *rest: Any) -> None:
        extent, bypass = _extent_and_bypass(rest)
        node = state(self).node
        self._modify(
            node.GetSegmentationNode(), node.GetSelectedSegmentID() or "", labelmap, mode, extent=extent, bypass=bypass
        )

    def modifySegmentByLabelmap(
        self: Any, segmentation: Any, segment_id: str, labelmap: Any, mode: int, *rest: Any
    ) -> None:
        if rest and not isinstance(rest[0], bool | int):
            raise TypeError("modifySegmentByLabelmap takes int[6] in C++: no Python list can be passed as extent")
        self._modify(segmentation, segment_id, labelmap, mode, extent=None, bypass=bool(rest and rest[0]))

    def _modify(
        self: Any, segmentation: Any, segment_id: str, labelmap: Any, mode: int, *, extent: Any, bypass: bool
    ) -> None:
        logic = self._logic()
        if logic is None:
            return
        modes = (
            logic.ModificationModeSet,
            logic.ModificationModeAdd,
            logic.ModificationModeRemove,
            logic.ModificationModeRemoveAll,
        )
        window = (extent,) if extent is not None else ()
        logic.ModifySegmentByLabelmap(segmentation, segment_id, labelmap, modes[mode], *window, self.perSegment, bypass)

    def saveStateForUndo(self: Any) -> None:
        if self._logic() is not None:
            self._logic().SaveStateForUndo()

    def confirmCurrentSegmentVisible(self: Any) -> int:
        logic = self._logic()
        if logic is None or logic.IsSelectedSegmentVisible() or not state(self).node.GetSelectedSegmentID():
            return self.ConfirmedWithoutDialog
        return self.ConfirmedWithDialog if state(self).editor.harness_confirm("hidden segment") else self.NotConfirmed

    # Views

    def renderWindow(self: Any, view: Any) -> Any:
        return view.sliceView().renderWindow()

    def renderer(self: Any, view: Any) -> Any:
        return view.sliceView().renderWindow().GetRenderers().GetFirstRenderer()

    def viewNode(self: Any, view: Any) -> Any:
        return view.mrmlSliceNode()

    def addActor2D(self: Any, view: Any, actor: Any) -> None:
        self.renderer(view).AddViewProp(actor)

    def removeActor2D(self: Any, view: Any, actor: Any) -> None:
        self.renderer(view).RemoveViewProp(actor)

    def addActor3D(self: Any, view: Any, actor: Any) -> None:
        self.renderer(view).AddViewProp(actor)

    def removeActor3D(self: Any, view: Any, actor: Any) -> None:
        self.renderer(view).RemoveViewProp(actor)

    def forceRender(self: Any, view: Any) -> None:
        view.sliceView().forceRender()

    def scheduleRender(self: Any, view: Any) -> None:
        view.sliceView().scheduleRender()

    def cursorOff(self: Any, view: Any) -> None:
        view.sliceView().setViewCursor(qt.QCursor(qt.Qt.BlankCursor))

    def cursorOn(self: Any, view: Any) -> None:
        view.sliceView().unsetViewCursor()

    def segmentationDisplayableInView(self: Any, view_node: Any) -> bool:
        return self._logic().IsSegmentationDisplayableInView(view_node)

    def sliceSpacing(self: Any, view: Any) -> float:
        return self._logic().GetSliceSpacing(view.sliceLogic())

    def rasToXy(self: Any, ras: Any, view: Any) -> Any:
        x, y = view.harness_ras_to_xy((ras.x(), ras.y(), ras.z()))[:2]
        return qt.QPoint(round(x), round(y))

    def xyToRas(self: Any, xy: Any, view: Any) -> Any:
        return qt.QVector3D(*view.harness_xyz_to_ras((xy.x(), xy.y(), 0.0)))

    def xyzToRas(self: Any, xyz: Any, view: Any) -> Any:
        return qt.QVector3D(*view.harness_xyz_to_ras((xyz.x(), xyz.y(), xyz.z())))

    def xyToIjk(self: Any, xy: Any, view: Any, image: Any, parent_transform: Any = None) -> Any:
        return self._ras_to_ijk(self.xyToRas(xy, view), image, parent_transform)

    def xyzToIjk(self: Any, xyz: Any, view: Any, image: Any, parent_transform: Any = None) -> Any:
        return self._ras_to_ijk(self.xyzToRas(xyz, view), image, parent_transform)

    def _ras_to_ijk(self: Any, ras: Any, image: Any, parent_transform: Any) -> Any:
        import slicer
        import vtk

        to_parent = vtk.vtkGeneralTransform()
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, parent_transform, to_parent)
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        matrix.Invert()
        point = matrix.MultiplyPoint((*to_parent.TransformPoint((ras.x(), ras.y(), ras.z())), 1.0))
        return qt.QVector3D(*(round(value) for value in point[:3]))


def _replace_size_policy(widget: Any) -> None:
    """A widget that is added to the options loses the size policy that it had; one within a layout keeps it."""
    if isinstance(widget, qt.QWidget):
        widget.setSizePolicy(qt.QSizePolicy.Preferred, qt.QSizePolicy.MinimumExpanding)


def parameter_text(value: Any) -> str:
    """The text that a parameter is stored as: doubles with six significant digits, no overload for bool."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(f"setParameter takes str, int or float, not {type(value).__name__}")
    return format(value, ".6g") if isinstance(value, float) else str(value)


def _extent_and_bypass(rest: tuple[Any, ...]) -> tuple[tuple[int, ...] | None, bool]:
    if rest and not isinstance(rest[0], bool | int):
        extent = tuple(rest[0])
        if len(extent) != 6:
            raise ValueError("extent must have 6 int values")
        return extent, bool(len(rest) > 1 and rest[1])
    if len(rest) > 1:
        raise TypeError(
            "modifySelectedSegmentByLabelmap(labelmap, mode, extent, bypassMasking): extent must be a list of 6"
        )
    return None, bool(rest and rest[0])
