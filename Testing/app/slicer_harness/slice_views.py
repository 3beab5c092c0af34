"""Slice views: real slice nodes, slice logics, interactors and mouse; rendered only when a picture is asked for."""

from __future__ import annotations

from typing import Any, ClassVar

from .pythonqt import dress
from .slicer_mouse import SlicerMouse, add_singletons
from .stand_ins import behaviour, create, state

qt = dress()
VIEW_SIZE = (400, 400)


def _render_window() -> Any:
    """A window that needs no display; asking for a plain one first tries to reach an X server, three times a test."""
    import vtk

    return vtk.vtkEGLRenderWindow() if hasattr(vtk, "vtkEGLRenderWindow") else vtk.vtkRenderWindow()


@behaviour("qMRMLSliceWidget")
class SliceWidget:
    """One slice view with its controller."""

    defaults: ClassVar[dict[str, Any]] = {"sliceOffsetSliderOrientation": 1}

    def _init(self: Any) -> None:
        state(self).view = create("qMRMLSliceView", self)
        state(self).scene, state(self).logic = None, None
        self.resize(*VIEW_SIZE)
        state(self).view.resize(*VIEW_SIZE)

    def harness_attach(self: Any, logic: Any) -> None:
        """Show the slice of a vtkMRMLSliceLogic."""
        state(self).logic, state(self).scene = logic, logic.GetMRMLScene()
        state(self).view.setMRMLSliceNode(logic.GetSliceNode())
        view = state(self).view
        state(self).mouse = SlicerMouse(view.renderWindow(), view.interactor(), logic)

    def harness_close(self: Any) -> None:
        """What the widget's destructor does."""
        state(self).mouse.stop()
        state(self).view.renderWindow().Finalize()

    def setMRMLScene(self: Any, scene: Any) -> None:
        state(self).scene = scene

    def sliceView(self: Any) -> Any:
        return state(self).view

    def viewWidget(self: Any) -> Any:
        return state(self).view

    def sliceLogic(self: Any) -> Any:
        return state(self).logic

    def logic(self: Any) -> Any:
        return state(self).logic

    def mrmlSliceNode(self: Any) -> Any:
        return state(self).logic.GetSliceNode()

    def mrmlAbstractViewNode(self: Any) -> Any:
        return state(self).logic.GetSliceNode()

    def mrmlSliceCompositeNode(self: Any) -> Any:
        return state(self).logic.GetSliceCompositeNode()

    def sliceOrientation(self: Any) -> str:
        return state(self).logic.GetSliceNode().GetOrientation()

    def setSliceOrientation(self: Any, orientation: str) -> None:
        state(self).logic.GetSliceNode().SetOrientation(orientation)

    def _get_sliceViewName(self: Any) -> str:
        return state(self).logic.GetSliceNode().GetLayoutName()

    def _get_sliceViewLabel(self: Any) -> str:
        return state(self).logic.GetSliceNode().GetLayoutLabel()

    def fitSliceToBackground(self: Any) -> None:
        state(self).logic.FitSliceToBackground(*VIEW_SIZE)

    def interactorStyle(self: Any) -> Any:
        return state(self).view.interactorStyle()

    def harness_xyz_to_ras(self: Any, xyz: tuple[float, float, float]) -> tuple[float, float, float]:
        return self.mrmlSliceNode().GetXYToRAS().MultiplyPoint((*xyz, 1.0))[:3]

    def harness_ras_to_xy(self: Any, ras: tuple[float, float, float]) -> tuple[float, float, float]:
        import vtk

        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.mrmlSliceNode().GetXYToRAS(), inverse)
        return inverse.MultiplyPoint((*ras, 1.0))[:3]


@behaviour("ctkVTKAbstractView")
class VTKView:
    """The render window and interactor of a view. Rendering is counted, not done."""

    defaults: ClassVar[dict[str, Any]] = {
        "cornerAnnotationText": "",
        "fpsVisible": False,
        "gradientBackground": False,
        "maximumUpdateRate": 60.0,
        "renderEnabled": True,
        "useDepthPeeling": False,
    }

    def _init(self: Any) -> None:
        import vtk

        memory = state(self)
        memory.window = _render_window()
        memory.window.SetOffScreenRendering(1)
        memory.window.SetMultiSamples(0)
        memory.window.SetSize(*VIEW_SIZE)
        memory.renderer = vtk.vtkRenderer()
        memory.renderer.GetActiveCamera().ParallelProjectionOn()
        memory.window.AddRenderer(memory.renderer)
        memory.interactor = vtk.vtkGenericRenderWindowInteractor()
        memory.interactor.SetRenderWindow(memory.window)
        memory.interactor.SetInteractorStyle(None)
        memory.renders, memory.cursor = 0, None

    def renderWindow(self: Any) -> Any:
        return state(self).window

    def interactor(self: Any) -> Any:
        return state(self).interactor

    def interactorStyle(self: Any) -> Any:
        return state(self).interactor.GetInteractorStyle()

    def scheduleRender(self: Any) -> None:
        state(self).renders += 1

    def forceRender(self: Any) -> None:
        state(self).renders += 1

    def pauseRender(self: Any) -> None:
        """Nothing is rendered by itself."""

    def resumeRender(self: Any) -> None:
        """Nothing is rendered by itself."""


@behaviour("qMRMLSliceView")
class SliceView:
    def mrmlSliceNode(self: Any) -> Any:
        return state(self).node

    def setMRMLSliceNode(self: Any, node: Any) -> None:
        state(self).node = node

    def setViewCursor(self: Any, cursor: Any) -> None:
        state(self).cursor = cursor

    def setDefaultViewCursor(self: Any, cursor: Any) -> None:
        state(self).default_cursor = cursor

    def unsetViewCursor(self: Any) -> None:
        state(self).cursor = None

    def convertXYZToRAS(self: Any, xyz: Any) -> list[float]:
        return list(state(self).node.GetXYToRAS().MultiplyPoint((*xyz, 1.0))[:3])

    def convertDeviceToXYZ(self: Any, device: Any) -> list[float]:
        return [float(device[0]), float(device[1]), 0.0]

    def convertRASToXYZ(self: Any, ras: Any) -> list[float]:
        import vtk

        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(state(self).node.GetXYToRAS(), inverse)
        return list(inverse.MultiplyPoint((*ras, 1.0))[:3])


@behaviour("qMRMLLayoutManager")
class LayoutManager:
    """Three slice views: Red, Green, Yellow. No 3D view: its absence is a layout that Slicer offers too."""

    defaults: ClassVar[dict[str, Any]] = {
        "enabled": True,
        "layout": 3,
        "plotViewCount": 0,
        "tableViewCount": 0,
        "threeDViewCount": 0,
    }

    def _init(self: Any) -> None:
        state(self).widgets, state(self).application_logic = {}, None

    def harness_set_up(self: Any, application_logic: Any, scene: Any) -> None:
        """Create the three views for a scene."""
        import slicer
        import vtk

        state(self).application_logic = application_logic
        add_singletons(scene)
        if application_logic.GetSliceLogics() is None:
            application_logic.SetSliceLogics(vtk.vtkCollection())
        for name, orientation in (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal")):
            logic = slicer.vtkMRMLSliceLogic()
            logic.SetMRMLApplicationLogic(application_logic)
            logic.SetMRMLScene(scene)
            application_logic.GetSliceLogics().AddItem(logic)
            node = logic.AddSliceNode(name)
            node.SetOrientation(orientation)
            node.SetDimensions(*VIEW_SIZE, 1)
            widget = create("qMRMLSliceWidget", None)
            widget.harness_attach(logic)
            state(self).widgets[name] = widget

    def sliceViewNames(self: Any) -> tuple[str, ...]:
        return tuple(state(self).widgets)

    def sliceWidget(self: Any, name: str) -> Any:
        return state(self).widgets.get(name)

    def mrmlSliceLogics(self: Any) -> Any:
        return state(self).application_logic.GetSliceLogics()

    def threeDWidget(self: Any, index: int) -> None:
        """There is none."""

    def resetSliceViews(self: Any) -> None:
        for widget in state(self).widgets.values():
            widget.fitSliceToBackground()

    def resetThreeDViews(self: Any) -> None:
        """There is no 3D view."""

    def pauseRender(self: Any) -> None:
        """Nothing is rendered by itself."""

    def resumeRender(self: Any) -> None:
        """Nothing is rendered by itself."""

    def setLayout(self: Any, layout: int) -> None:
        self.layout = layout
