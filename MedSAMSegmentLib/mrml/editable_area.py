"""The area in which the Segment Editor's masking settings allow the selected segment to change."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from ..errors import OutputError
from .editor_host import EditorHost
from .images import Extent, array_of, has_voxels
from .mask_block import array_slices, extent_intersection, is_empty


def editable_area(host: EditorHost, extent: Extent) -> NDArray[np.bool_]:
    """Return an array that is True (z,y,x over `extent` of the reference lattice) where the selected segment may be
    edited.

    Both the mask mode and the intensity range count, as when the editor applies a labelmap. Raises `OutputError` when
    the editor cannot compute its mask.
    """
    node = host.parameterSetNode()
    i0, i1, j0, j1, k0, k1 = extent
    editable = np.ones((k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1), bool)
    if node.GetMaskMode() != slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere:
        editable &= _over(host.maskLabelmap(), extent, "mask", outside=1) == 0
    if node.GetSourceVolumeIntensityMask():
        values = _over(host.sourceVolumeImageData(), extent, "source volume", outside=0)
        low, high = _threshold(node.GetSourceVolumeIntensityMaskRange(), values.dtype)
        editable &= (values >= low) & (values <= high)
    return editable


def is_masked(host: EditorHost) -> bool:
    """Return whether any masking is on."""
    node = host.parameterSetNode()
    everywhere = slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere
    return bool(node.GetMaskMode() != everywhere or node.GetSourceVolumeIntensityMask())


def _over(image: Any, extent: Extent, what: str, outside: float) -> NDArray[Any]:
    """Return a copy of an image's first component (z,y,x) over `extent`."""
    if not has_voxels(image):
        raise OutputError(f"The Segment Editor cannot compute its {what}.", "Check the Masking settings.")
    values = array_of(image)
    values = values if values.ndim == 3 else values[..., 0]
    i0, i1, j0, j1, k0, k1 = extent
    result = np.full((k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1), outside, values.dtype)
    shared = extent_intersection(image.GetExtent(), extent)
    if not is_empty(shared):
        result[array_slices(shared, extent)] = values[array_slices(shared, image.GetExtent())]
    return result


def _threshold(limits: tuple[float, float], dtype: np.dtype[Any]) -> tuple[float, float]:
    """Return the limits as vtkImageThreshold compares them: cut to the image's type, fractions dropped for whole
    numbers."""
    if not np.issubdtype(dtype, np.integer):
        return limits
    info = np.iinfo(dtype)
    low, high = (float(np.trunc(np.clip(value, info.min, info.max))) for value in limits)
    return (low, high)
