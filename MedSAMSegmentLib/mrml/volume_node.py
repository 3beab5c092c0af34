"""The content of a volume node of Slicer: voxels, their place in the world, and hints about their intensities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from ..errors import InputError
from ..geometry import VolumeGeometry
from .images import array_of, has_voxels
from .transforms import node_to_world, to_numpy

_MODALITY = "DICOM.Modality"
_HOUNSFIELD_UNITS = ("[hnsf'U]", "HU")
_SUV_UNITS = ("{SUVbw}g/ml", "{SUVlbm}g/ml", "{SUVbsa}cm2/ml", "{SUVibw}g/ml")
_COLOUR_CHANNELS = 3
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True, eq=False)
class NodeVolume:
    """A volume node's content.

    `array_zyx` is (z,y,x), or (z,y,x,3) for colour; `geometry` is in the world, all parent transforms applied;
    `modality` is DICOM's code ("CT", "MR", "PT", ...) or None; `displayed_window` the (lowest, highest) intensity of
    the display's grey scale or None.
    """

    array_zyx: NDArray[Any]
    geometry: VolumeGeometry
    modality: str | None
    displayed_window: tuple[float, float] | None


def read_volume_node(node: Any, *, copy: bool = True) -> NodeVolume:
    """Read a scalar or colour volume node.

    With `copy=False` a grey array is a view of the node's memory, valid while the node keeps its image. Raises
    `InputError` for a node without voxels or of more than colour's channels, `GeometryError` for a non-linear
    transform or a singular orientation.
    """
    array = voxels_of(node)
    return NodeVolume(array.copy() if copy else array, geometry_of(node), modality_of(node), displayed_window_of(node))


def voxels_of(node: Any) -> NDArray[Any]:
    """Return the voxels (z,y,x) or (z,y,x,3); a view where the node holds them so, without the opacity of RGBA."""
    image = _image_of(node)
    components = image.GetNumberOfScalarComponents()
    if components not in (1, _COLOUR_CHANNELS, _COLOUR_CHANNELS + 1):
        raise InputError(
            f"{node.GetName()} has {components} values in each voxel.",
            "Choose a grey or colour volume; extract one component of this one first.",
        )
    array = array_of(image)
    return array[..., :_COLOUR_CHANNELS] if components > 1 else array


def geometry_of(node: Any) -> VolumeGeometry:
    """Return the grid of the node's voxels in the world. Raises `InputError` or `GeometryError` as
    `read_volume_node`."""
    i0, i1, j0, j1, k0, k1 = _image_of(node).GetExtent()
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    first_voxel = np.eye(4)
    first_voxel[:3, 3] = (i0, j0, k0)
    ijk_to_world = node_to_world(node) @ to_numpy(matrix) @ first_voxel
    return VolumeGeometry.from_ras((k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1), ijk_to_world)


def modality_of(node: Any) -> str | None:
    """Return DICOM's modality code from the subject hierarchy or the node, else what the voxels' unit tells, else
    None."""
    found = _hierarchy_attribute(node, _MODALITY) or node.GetAttribute(_MODALITY)
    if found:
        return str(found).strip().upper() or None
    units = node.GetVoxelValueUnits() if hasattr(node, "GetVoxelValueUnits") else None
    code = units.GetCodeValue() if units is not None else None
    if code in _HOUNSFIELD_UNITS:
        return "CT"
    return "PT" if code in _SUV_UNITS else None


def is_spacing_known(node: Any) -> bool:
    """Return whether the node's voxel size comes from somewhere: not of a picture, which Slicer loads with 1 mm."""
    if tuple(node.GetSpacing()) != (1.0, 1.0, 1.0):
        return True
    storage = node.GetStorageNode()
    name = str(storage.GetFileName() or "") if storage is not None else ""
    return not name.lower().endswith(_PICTURES)


def displayed_window_of(node: Any) -> tuple[float, float] | None:
    """Return the intensities shown as black and white: level -/+ half the window. None before the display set them."""
    display = node.GetDisplayNode()
    if display is None or not hasattr(display, "GetWindow") or display.GetWindow() <= 0:
        return None
    half = display.GetWindow() / 2.0
    return (display.GetLevel() - half, display.GetLevel() + half)


def _image_of(node: Any) -> vtk.vtkImageData:
    if node is None:
        raise InputError("No volume is chosen.", "Choose a source volume in the Segment Editor.")
    image = node.GetImageData()
    if not has_voxels(image):
        raise InputError(f"{node.GetName()} holds no voxels.", "Load the volume again or choose another.")
    return image


def _hierarchy_attribute(node: Any, name: str) -> str:
    scene = node.GetScene()
    if scene is None:
        return ""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
    if not item:
        return ""
    return hierarchy.GetItemAttribute(item, name) or hierarchy.GetAttributeFromItemAncestor(item, name) or ""
