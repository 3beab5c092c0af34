"""Markups of a scene as prompts on a volume's grid: ROI to box, point list to points, line to RECIST line.

All positions are taken in the world, parent transforms applied. A point is negative when its label, its description
or its list's name says so (`prompts.is_negative_label`), as in markups files; points that are not selected (unticked
in the Markups module) or not placed yet take no part.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from ..errors import PromptError
from ..geometry import VolumeGeometry
from ..prompts import Box, Line, Point, is_negative_label
from .transforms import apply, to_numpy


def box_of_roi(node: Any, geometry: VolumeGeometry) -> Box:
    """Return the box of voxels between an ROI's eight corners, clipped to the volume and rounded once.

    An ROI that is rotated against the volume gives the smallest box around it. Raises `PromptError` when the ROI is
    not placed, has no size or lies outside.
    """
    size = np.array(node.GetSize(), dtype=np.float64)
    if not roi_is_placed(node):
        raise PromptError(f"The ROI {node.GetName()} is not placed yet.", "Click two of its corners on the image.")
    signs = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    # Not GetObjectToWorldMatrix: it is made orthogonal again, which loses a parent's scale and shear.
    corners = _through_parent(node, apply(to_numpy(node.GetObjectToNodeMatrix()), signs * size))
    return Box.enclosing(geometry.ras_to_ijk(corners)).fitted(geometry.shape_zyx)


def roi_is_placed(node: Any) -> bool:
    """Tell whether an ROI has a place and a size."""
    return bool(node.GetNumberOfDefinedControlPoints() > 0 and all(size > 0 for size in node.GetSize()))


def points_of(node: Any, geometry: VolumeGeometry) -> list[Point]:
    """Return the selected points of a list, in order. Raises `PromptError` when one lies outside."""
    points = []
    for index in _placed(node):
        if not node.GetNthControlPointSelected(index):
            continue
        texts = (node.GetName(), node.GetNthControlPointLabel(index), node.GetNthControlPointDescription(index))
        i, j, k = _ijk(node, index, geometry)
        points.append(Point(i, j, k, positive=not is_negative_label(*texts)).fitted(geometry.shape_zyx))
    return points


def line_of(node: Any, geometry: VolumeGeometry) -> Line:
    """Return the two ends of a line. Raises `PromptError` when they are not both placed, coincide or lie outside."""
    ends = [_ijk(node, index, geometry) for index in _placed(node)]
    if len(ends) != 2:
        raise PromptError(f"The line {node.GetName()} has {len(ends)} placed ends.", "Place both ends.")
    return Line(ends[0], ends[1]).fitted(geometry.shape_zyx)


def _placed(node: Any) -> list[int]:
    """Return the indices of the points with a final position: place mode adds a preview that follows the mouse."""
    defined = slicer.vtkMRMLMarkupsNode.PositionDefined
    count = node.GetNumberOfControlPoints()
    return [n for n in range(count) if node.GetNthControlPointPositionStatus(n) == defined]


def _ijk(node: Any, index: int, geometry: VolumeGeometry) -> tuple[float, float, float]:
    i, j, k = geometry.ras_to_ijk(np.array(node.GetNthControlPointPositionWorld(index)))[0]
    return (float(i), float(j), float(k))


def _through_parent(node: Any, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the points (n,3) of a node's frame in the world. Unlike voxels, single points can follow any transform."""
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, transform)
    return np.array([transform.TransformPoint(*point) for point in points])
