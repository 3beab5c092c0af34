"""What Slicer itself does with the mouse in a slice view, by its real event observer and displayable managers.

Window/level, zoom, the wheel, the double click that maximises a view, the handles of markups and the placing of new
ones are Slicer's own C++ here: what an effect leaves to the application has its consequences, and is consumed.
"""

from __future__ import annotations

from typing import Any

# Slice intersections (wheel, zoom, double click), window/level, markups: the managers that take mouse events.
DISPLAYABLE_MANAGERS = (
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLMarkupsDisplayableManager",
)


class SlicerMouse:
    """The mouse of one slice view. `stop()` must be called before the scene goes."""

    def __init__(self, window: Any, interactor: Any, slice_logic: Any) -> None:
        import slicer
        import vtk

        # A renderer of its own, never drawn: pictures are made by managers of their own (`rendering`).
        renderer = vtk.vtkRenderer()
        renderer.DrawOff()
        window.AddRenderer(renderer)
        self._group = slicer.vtkMRMLDisplayableManagerGroup()
        self._group.SetRenderer(renderer)
        for name in DISPLAYABLE_MANAGERS:
            manager = getattr(slicer, name)()
            manager.SetMRMLApplicationLogic(slice_logic.GetMRMLApplicationLogic())
            self._group.AddDisplayableManager(manager)
        self._group.SetMRMLDisplayableNode(slice_logic.GetSliceNode())
        interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        self._observer = slicer.vtkMRMLSliceViewInteractorStyle()
        self._observer.SetSliceLogic(slice_logic)
        self._observer.SetDisplayableManagers(self._group)
        self._observer.SetInteractor(interactor)

    def stop(self) -> None:
        """Observe nothing any more."""
        self._observer.SetInteractor(None)
        self._observer.SetDisplayableManagers(None)
        self._observer.SetSliceLogic(None)
        self._group.SetMRMLDisplayableNode(None)


def add_singletons(scene: Any) -> None:
    """Add the nodes that the application has one of, and the managers ask for: crosshair and layout."""
    import slicer

    for name, tag in (("vtkMRMLCrosshairNode", "default"), ("vtkMRMLLayoutNode", "vtkMRMLLayoutNode")):
        if scene.GetNumberOfNodesByClass(name) == 0:
            node = getattr(slicer, name)()
            node.SetSingletonTag(tag)
            scene.AddNode(node)
