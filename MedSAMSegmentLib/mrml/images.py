"""VTK images as numpy arrays and back. Arrays are z,y,x[,c]; an extent is (i0, i1, j0, j1, k0, k1), inclusive."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from .transforms import to_numpy, to_vtk

Extent: TypeAlias = tuple[int, int, int, int, int, int]


def has_voxels(image: Any) -> bool:
    """Return whether an image exists, has a non-empty extent and allocated scalars."""
    if image is None or image.GetPointData().GetScalars() is None:
        return False
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    return bool(i0 <= i1 and j0 <= j1 and k0 <= k1)


def array_of(image: vtk.vtkImageData) -> NDArray[Any]:
    """Return the voxels (z,y,x), or (z,y,x,c) for several components; a view of the image's own memory."""
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    shape: tuple[int, ...] = (k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
    components = image.GetNumberOfScalarComponents()
    if components > 1:
        shape = (*shape, components)
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)


def image_from_array(values_zyx: NDArray[np.uint8], first_ijk: tuple[int, int, int]) -> vtk.vtkImageData:
    """Return a plain image in voxel coordinates (origin 0, spacing 1) that owns a copy of `values_zyx`."""
    image = vtk.vtkImageData()
    _fill(image, values_zyx, first_ijk)
    return image


def oriented_image(
    values_zyx: NDArray[np.uint8], first_ijk: tuple[int, int, int], ijk_to_node: NDArray[np.float64]
) -> Any:
    """Return a `vtkOrientedImageData` that owns a copy of `values_zyx` at voxel `first_ijk` of the lattice
    `ijk_to_node`.

    The crop is placed by its extent, never by a shifted origin: the Segment Editor drops the latter without a word
    when its intensity mask is on.
    """
    image = slicer.vtkOrientedImageData()
    _fill(image, values_zyx, first_ijk)
    image.SetGeometryFromImageToWorldMatrix(to_vtk(ijk_to_node))
    return image


def ijk_to_node_of(image: Any) -> NDArray[np.float64]:
    """Return the 4x4 voxel-to-RAS matrix of a `vtkOrientedImageData`, in the frame of the node that holds it."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return to_numpy(matrix)


def _fill(image: vtk.vtkImageData, values_zyx: NDArray[np.uint8], first_ijk: tuple[int, int, int]) -> None:
    nk, nj, ni = values_zyx.shape
    i, j, k = first_ijk
    image.SetExtent(i, i + ni - 1, j, j + nj - 1, k, k + nk - 1)
    scalars = numpy_to_vtk(np.ascontiguousarray(values_zyx).ravel(), deep=True, array_type=vtk.VTK_UNSIGNED_CHAR)
    scalars.SetName("ImageScalars")
    image.GetPointData().SetScalars(scalars)
