"""Actors of one slice view: the rubber band, the prompts, and the mask that is not written yet."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray

YELLOW = (0.95, 0.71, 0.2)
GREEN = (0.18, 0.8, 0.35)
RED = (0.9, 0.25, 0.25)


class ActorHost(Protocol):
    """The part of the host effect that places actors in views."""

    def addActor2D(self, view_widget: Any, actor: Any) -> None: ...
    def removeActor2D(self, view_widget: Any, actor: Any) -> None: ...
    def scheduleRender(self, view_widget: Any) -> None: ...
    def viewNode(self, view_widget: Any) -> Any: ...


class Layer:
    """One coloured set of polygons or lines in view pixels."""

    def __init__(self, color: tuple[float, float, float], opacity: float = 1.0, width: float = 2.0) -> None:
        self.data = vtk.vtkPolyData()
        mapper = vtk.vtkPolyDataMapper2D()
        mapper.SetInputData(self.data)
        self.actor = vtk.vtkActor2D()
        self.actor.SetMapper(mapper)
        self.actor.GetProperty().SetOpacity(opacity)
        self.actor.GetProperty().SetLineWidth(width)
        self.color = color
        self.set_lines(np.empty((0, 2, 2)))

    @property
    def color(self) -> tuple[float, float, float]:
        return self.actor.GetProperty().GetColor()

    @color.setter
    def color(self, value: tuple[float, float, float]) -> None:
        self.actor.GetProperty().SetColor(*value)

    @property
    def count(self) -> int:
        """Number of polygons or lines that are shown."""
        return self.data.GetNumberOfCells() if self.actor.GetVisibility() else 0

    def set_lines(self, segments_xy: NDArray[np.float64]) -> None:
        """Segments (n,2,2): two ends, each x, y."""
        self._set(segments_xy, self.data.SetLines, self.data.SetPolys)

    def set_quads(self, corners_xy: NDArray[np.float64]) -> None:
        """Polygons (n,4,2) in ring order."""
        self._set(corners_xy, self.data.SetPolys, self.data.SetLines)

    def _set(self, cells_xy: NDArray[np.float64], put: Any, clear: Any) -> None:
        number, corners = cells_xy.shape[:2]
        flat = np.zeros((number * corners, 3))
        flat[:, :2] = cells_xy.reshape(-1, 2)
        points = vtk.vtkPoints()
        points.SetData(numpy_to_vtk(flat, deep=True))
        cells = vtk.vtkCellArray()
        offsets = np.arange(0, number * corners + 1, corners, dtype=np.int64)
        members = np.arange(number * corners, dtype=np.int64)
        cells.SetData(numpy_to_vtkIdTypeArray(offsets, deep=True), numpy_to_vtkIdTypeArray(members, deep=True))
        self.data.SetPoints(points)
        clear(vtk.vtkCellArray())
        put(cells)
        self.data.Modified()
        self.actor.SetVisibility(number > 0)


class SliceOverlay:
    """The layers of one slice view, from back to front. Removed as a whole with `remove`."""

    def __init__(self, host: ActorHost, view_widget: Any) -> None:
        self._host = host
        self.view_widget = view_widget
        self.fill = Layer(GREEN, opacity=0.35)
        self.outline = Layer(GREEN)
        self.prompts = Layer(YELLOW)
        self.include = Layer(GREEN, width=3.0)
        self.exclude = Layer(RED, width=3.0)
        self.band = Layer(YELLOW, width=1.5)
        for layer in self.layers:
            host.addActor2D(view_widget, layer.actor)

    @property
    def layers(self) -> tuple[Layer, ...]:
        return (self.fill, self.outline, self.prompts, self.include, self.exclude, self.band)

    def show_mask(self, quads_xy: NDArray[np.float64], outline_xy: NDArray[np.float64]) -> None:
        self.fill.set_quads(quads_xy)
        self.outline.set_lines(outline_xy)

    def set_mask_color(self, color: tuple[float, float, float]) -> None:
        self.fill.color = self.outline.color = color

    def show_band(self, segments_xy: NDArray[np.float64]) -> None:
        self.band.set_lines(segments_xy)
        self.render()

    def hide_band(self) -> None:
        self.show_band(np.empty((0, 2, 2)))

    def render(self) -> None:
        self._host.scheduleRender(self.view_widget)

    def remove(self) -> None:
        for layer in self.layers:
            self._host.removeActor2D(self.view_widget, layer.actor)
        self.render()


def ring(corners_xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sides (n,2,2) of a polygon given by its corners (n,2)."""
    return np.stack([corners_xy, np.roll(corners_xy, -1, axis=0)], axis=1)


def crosses(centres_xy: NDArray[np.float64], size: float = 6.0) -> NDArray[np.float64]:
    """Two strokes (2n,2,2) of `size` pixels to each side for each centre (n,2)."""
    level, upright = np.array([size, 0.0]), np.array([0.0, size])
    strokes = [np.stack([centres_xy - d, centres_xy + d], axis=1) for d in (level, upright)]
    return np.concatenate(strokes)
