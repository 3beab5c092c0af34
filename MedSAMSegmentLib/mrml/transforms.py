"""Matrices between MRML nodes, as numpy 4x4 affines in RAS millimetres."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray

from ..errors import GeometryError


def to_numpy(matrix: vtk.vtkMatrix4x4) -> NDArray[np.float64]:
    """Return a 4x4 copy of a VTK matrix."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def to_vtk(matrix: NDArray[np.float64]) -> vtk.vtkMatrix4x4:
    """Return a VTK copy of a 4x4 matrix."""
    result = vtk.vtkMatrix4x4()
    result.DeepCopy(np.asarray(matrix, dtype=np.float64).ravel().tolist())
    return result


def node_to_world(node: Any) -> NDArray[np.float64]:
    """Return the 4x4 matrix of a node's parent transforms, all of them; the identity when it has none.

    Raises `GeometryError` when one of them is not linear: voxels cannot follow it without being resampled.
    """
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        raise GeometryError(
            f"{node.GetName()} is under the transform {parent.GetName()}, which is not linear.",
            "Harden the transform on it (Data module, right-click), then try again.",
        )
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    return to_numpy(matrix)


def inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverse of a 4x4 affine."""
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def apply(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the points (n,3) through a 4x4 affine."""
    points = np.atleast_2d(np.asarray(points, dtype=np.float64))
    return points @ matrix[:3, :3].T + matrix[:3, 3]
