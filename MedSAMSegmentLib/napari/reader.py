"""Images read by the library as layers of napari: their voxels, their place, and the volume that they came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..geometry import VolumeGeometry
from ..io.read_volume import list_dicom, read_volume
from ..io.volume import Volume

VOLUME = "medsam_volume"
"""In a layer's metadata: the `Volume` that it shows."""

STRAIGHT = 1e-3
"""A direction that differs less from an axis is that axis: a header's rounding turns nothing."""

LayerData: TypeAlias = tuple[NDArray[Any], dict[str, Any], str]


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Return what napari calls to read a path; None for several at once, and for a folder without DICOM."""
    if not isinstance(path, str):
        return None
    if Path(path).is_dir():
        try:
            if list_dicom(path) is None:
                return None
        except InputError:
            # What is wrong with it is said when it is read.
            return read_layers
    return read_layers


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Return the image of a path as one layer. Raises `MedSAMError`."""
    assert isinstance(path, str)
    return [layer_data(read_volume(path), Path(path).name)]


def layer_data(volume: Volume, name: str) -> LayerData:
    """Return a volume as data, options and type of a layer.

    Axes are (t,)z,y,x, the world is LPS in mm. A single slice has the axes y,x. An image that is oblique, or whose
    axes are not the patient's, is shown along its own axes in mm: napari cuts along the axes of a layer only.
    """
    volume = frames_along_k(volume)
    data = volume.array_zyx if volume.frames_tzyx is None else volume.frames_tzyx
    flat = volume.frames_tzyx is None and volume.shape_zyx[0] == 1
    options: dict[str, Any] = {"name": name, "metadata": {VOLUME: volume}, "rgb": volume.is_rgb}
    options |= place(volume)
    return (data[0] if flat else data), options, "image"


def place(volume: Volume) -> dict[str, Any]:
    """Return scale, affine and names of the axes of the layer that shows a volume."""
    matrix = volume.geometry.ijk_to_lps[[2, 1, 0, 3]][:, [2, 1, 0, 3]]
    spacing = np.array(volume.spacing_zyx)
    direction = matrix[:3, :3] / spacing
    affine = np.eye(4)
    if np.abs(direction - np.diag(np.sign(np.diag(direction)))).max() < STRAIGHT:
        affine[:3, :3] = np.diag(np.sign(np.diag(direction)))
        affine[:3, 3] = matrix[:3, 3]
    labels = ["z", "y", "x"]
    if volume.time_axis:
        spacing[0], labels[0] = 1.0, "t"
        affine[0] = (1, 0, 0, 0)
    if volume.frames_tzyx is not None:
        spacing, labels = np.array([1.0, *spacing]), ["t", *labels]
        affine = np.block([[np.ones((1, 1)), np.zeros((1, 4))], [np.zeros((4, 1)), affine]])
    elif volume.shape_zyx[0] == 1:
        spacing, labels, affine = spacing[1:], labels[1:], affine[1:, 1:]
    return {"scale": tuple(spacing), "affine": affine, "axis_labels": tuple(labels)}


def frames_along_k(volume: Volume) -> Volume:
    """Return a 4D volume of single slices as one whose k counts the frames; any other as it is."""
    frames = volume.frames_tzyx
    if frames is None or frames.shape[1] != 1:
        return volume
    array = frames[:, 0]
    geometry = VolumeGeometry(array.shape[:3], volume.geometry.ijk_to_lps)
    return replace(volume, array_zyx=array, geometry=geometry, frames_tzyx=None, time_axis=True, nifti_forms=None)
