"""A slice view rendered by Slicer's real displayable managers to a PNG, and widgets grabbed to a PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

DISPLAYABLE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
)


def render_slice_view(view: Any, path: Path) -> Any:
    """Render what the view shows: the blended slice image, segmentations and markups by their displayable managers.

    Returns the picture as an array (rows, columns, 3) uint8, first row on top. Actors that an effect added to the
    view's renderer are in it too.
    """
    import slicer
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    slice_view = view.sliceView()
    window, renderer = slice_view.renderWindow(), slice_view.renderWindow().GetRenderers().GetFirstRenderer()
    mapper = vtk.vtkImageMapper()
    mapper.SetColorWindow(255)
    mapper.SetColorLevel(127.5)
    mapper.SetInputConnection(view.sliceLogic().GetImageDataConnection())
    image = vtk.vtkActor2D()
    image.SetMapper(mapper)
    image.SetLayerNumber(0)
    # Behind the actors that effects added before: props are drawn in the order in which they came.
    drawn_over = [renderer.GetViewProps().GetItemAsObject(n) for n in range(renderer.GetViewProps().GetNumberOfItems())]
    for prop in drawn_over:
        renderer.RemoveViewProp(prop)
    for prop in (image, *drawn_over):
        renderer.AddViewProp(prop)
    group = slicer.vtkMRMLDisplayableManagerGroup()
    group.Initialize(_factory(), renderer)
    group.SetMRMLDisplayableNode(view.mrmlSliceNode())
    window.Render()
    grabber = vtk.vtkWindowToImageFilter()
    grabber.SetInput(window)
    grabber.ReadFrontBufferOff()
    grabber.Update()
    writer = vtk.vtkPNGWriter()
    writer.SetInputConnection(grabber.GetOutputPort())
    writer.SetFileName(str(path))
    writer.Write()
    group.SetMRMLDisplayableNode(None)
    renderer.RemoveViewProp(image)
    width, height, _ = grabber.GetOutput().GetDimensions()
    return vtk_to_numpy(grabber.GetOutput().GetPointData().GetScalars()).reshape(height, width, -1)[::-1, :, :3].copy()


def grab_widget(widget: Any, path: Path) -> None:
    """Draw a widget as the user would see it."""
    import slicer

    widget.show()
    slicer.app.processEvents()
    if not widget.grab().save(str(path)):
        raise OSError(f"could not write {path}")


def _factory() -> Any:
    import slicer

    factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
    factory.SetMRMLApplicationLogic(slicer.app.applicationLogic())
    for name in DISPLAYABLE_MANAGERS:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    return factory
