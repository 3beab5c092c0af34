"""A MRML scene with Slicer's real module logics, without an application: nodes, transforms, the Segment Editor.

Used by the tests of `mrml/` and of the application. Needs the package `slicer-core`.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk

MODULE_LOGICS = (
    "SubjectHierarchyModule",
    "SegmentationsModule",
    "Markups",
    "Volumes",
    "TerminologiesModule",
    "Sequences",
)


class MrmlScene:
    """A scene and what an application sets up around it. Close it, or use it in a `with` block."""

    def __init__(self) -> None:
        self.scene = slicer.vtkMRMLScene()
        self.application_logic = slicer.vtkMRMLApplicationLogic()
        self.application_logic.SetMRMLScene(self.scene)
        self.module_logics = {name: self._start_module(name) for name in MODULE_LOGICS}
        self.hierarchy = slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(self.scene)
        slicer.mrmlScene = self.scene

    def __enter__(self) -> MrmlScene:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove all nodes, so that no node outlives its logic."""
        self.scene.Clear(True)
        for logic in self.module_logics.values():
            logic.SetMRMLScene(None)
        self.application_logic.SetMRMLScene(None)
        if getattr(slicer, "mrmlScene", None) is self.scene:
            del slicer.mrmlScene

    def add(self, class_name: str, name: str = "") -> Any:
        """A new node with display nodes and an item in the subject hierarchy, as the application gives it."""
        node = self.scene.AddNewNodeByClass(class_name, name)
        if hasattr(node, "CreateDefaultDisplayNodes"):
            node.CreateDefaultDisplayNodes()
        if not node.GetHideFromEditors():
            self.hierarchy.CreateItem(self.hierarchy.GetSceneItemID(), node)
        return node

    def add_volume(
        self,
        array_zyx: NDArray[Any],
        ijk_to_ras: NDArray[np.float64] | None = None,
        name: str = "CT",
        class_name: str = "",
    ) -> Any:
        """A volume node that owns a copy of an array (z,y,x), or of colour (z,y,x,c)."""
        colour = array_zyx.ndim == 4
        node = self.add(class_name or ("vtkMRMLVectorVolumeNode" if colour else "vtkMRMLScalarVolumeNode"), name)
        node.SetAndObserveImageData(image_of(array_zyx))
        if ijk_to_ras is not None:
            node.SetIJKToRASMatrix(vtk_matrix(ijk_to_ras))
        return node

    def add_segmentation(self, volume_node: Any = None, name: str = "Segmentation") -> Any:
        """An empty segmentation, with the volume's geometry as its reference if a volume is given."""
        node = self.add("vtkMRMLSegmentationNode", name)
        if volume_node is not None:
            node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
        return node

    def put_under(self, node: Any, matrix: NDArray[np.float64], name: str = "Transform") -> Any:
        """Give a node a linear parent transform."""
        transform = self.add("vtkMRMLLinearTransformNode", name)
        transform.SetMatrixTransformToParent(vtk_matrix(matrix))
        node.SetAndObserveTransformNodeID(transform.GetID())
        return transform

    def put_under_warp(self, node: Any, name: str = "Warp") -> Any:
        """Give a node a parent transform that is not linear."""
        warp = vtk.vtkThinPlateSplineTransform()
        source, target = vtk.vtkPoints(), vtk.vtkPoints()
        for point in ((0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50), (50, 50, 50)):
            source.InsertNextPoint(point)
            target.InsertNextPoint(point[0], point[1], point[2] + 0.01 * point[0] * point[1])
        warp.SetSourceLandmarks(source)
        warp.SetTargetLandmarks(target)
        warp.SetBasisToR()
        transform = self.add("vtkMRMLTransformNode", name)
        transform.SetAndObserveTransformToParent(warp)
        node.SetAndObserveTransformNodeID(transform.GetID())
        return transform

    def _start_module(self, name: str) -> Any:
        logic = getattr(slicer, f"vtkSlicer{name}Logic")()
        logic.SetMRMLApplicationLogic(self.application_logic)
        logic.SetMRMLScene(self.scene)
        self.application_logic.SetModuleLogic(name.removesuffix("Module"), logic)
        return logic


def image_of(array_zyx: NDArray[Any]) -> vtk.vtkImageData:
    image = vtk.vtkImageData()
    nk, nj, ni = array_zyx.shape[:3]
    image.SetDimensions(ni, nj, nk)
    components = array_zyx.shape[3] if array_zyx.ndim == 4 else 1
    flat = np.ascontiguousarray(array_zyx).reshape(-1, components)
    image.GetPointData().SetScalars(numpy_to_vtk(flat if components > 1 else flat.ravel(), deep=True))
    return image


def vtk_matrix(matrix: NDArray[np.float64]) -> vtk.vtkMatrix4x4:
    result = vtk.vtkMatrix4x4()
    result.DeepCopy(np.asarray(matrix, dtype=np.float64).ravel().tolist())
    return result


def affine(
    spacing_ijk: Sequence[float] = (1.0, 1.0, 1.0),
    origin: Sequence[float] = (0.0, 0.0, 0.0),
    degrees: Sequence[float] = (0.0, 0.0, 0.0),
    flip: Sequence[int] = (1, 1, 1),
) -> NDArray[np.float64]:
    """An IJK to RAS matrix: spacing, flipped axes, rotation about x, then y, then z, and origin."""
    rotation = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        turn = np.eye(3)
        a, b = (n for n in range(3) if n != axis)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        rotation = turn @ rotation
    matrix = np.eye(4)
    matrix[:3, :3] = rotation @ np.diag(np.array(spacing_ijk, float) * flip)
    matrix[:3, 3] = origin
    return matrix


def blob(shape_zyx: tuple[int, int, int], centre: Sequence[float], radii: Sequence[float]) -> NDArray[np.bool_]:
    """An ellipsoid mask; centre and radii in voxels, z,y,x."""
    grids = np.ogrid[tuple(slice(0, n) for n in shape_zyx)]
    return sum(((g - c) / r) ** 2 for g, c, r in zip(grids, centre, radii, strict=True)) <= 1.0
