"""The part of an image layer that is segmented, as the library takes it: z,y,x, a grid in mm, and a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..geometry import VolumeGeometry
from ..io.volume import Volume, replace_non_finite
from .reader import VOLUME, place

MOST_AXES = 4
BYTE = 255


@dataclass(frozen=True, eq=False)
class LayerImage:
    """`array_zyx` (z,y,x[,3]) on its grid. `frame` is the layer's first index where it has four axes.

    With `time_axis` k counts frames. `volume` is what the file said, None where the layer came from elsewhere, or was
    moved or scaled since. `ndim` is the layer's number of axes.
    """

    array_zyx: NDArray[Any]
    geometry: VolumeGeometry
    ndim: int
    frame: int | None = None
    time_axis: bool = False
    volume: Volume | None = None

    @property
    def modality(self) -> str | None:
        return self.volume.modality if self.volume is not None else None

    @property
    def place(self) -> tuple[int, ...]:
        """The index of this volume in an array of the layer's shape."""
        return () if self.frame is None else (self.frame,)

    def zyx(self, coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points (n,3) in z,y,x of points (n,ndim) in the layer's indices."""
        points = np.atleast_2d(coordinates)[:, -3:]
        return np.pad(points, ((0, 0), (3 - points.shape[1], 0)))

    def holds(self, coordinates: NDArray[np.float64]) -> bool:
        """Return whether all points (n,ndim) lie in this frame."""
        return self.frame is None or bool((np.floor(coordinates[:, 0] + 0.5) == self.frame).all())


def layer_image(layer: Any, frame: int, *, in_time: bool) -> LayerImage:
    """Return the volume that an image layer shows at a frame of its first of four axes; 0 counts for all others.

    `in_time` says that the first of three axes is time. Raises `InputError` for more axes, or values that are no image.
    """
    data = layer.data[0] if layer.multiscale else layer.data
    ndim = layer.ndim
    if ndim > MOST_AXES:
        raise InputError(
            f"The layer {layer.name} has {ndim} axes; up to {MOST_AXES} are understood: t, z, y, x.",
            "Take a part of it into a layer of its own.",
        )
    at = min(max(frame, 0), data.shape[0] - 1) if ndim == MOST_AXES else None
    array = _values(np.asarray(data if at is None else data[at]), rgb=layer.rgb)
    array = array[None] if ndim == 2 else array
    time_axis = in_time and ndim == 3
    volume = _file_volume(layer, array.shape[:3])
    geometry = volume.geometry if volume is not None else _geometry(layer, array.shape[:3])
    if volume is not None and at is not None:
        volume = volume.frame(at)
    return LayerImage(array, geometry, ndim, at, time_axis, volume)


def _values(array: NDArray[Any], *, rgb: bool) -> NDArray[Any]:
    """Return values that the library takes: colours without alpha and within a byte, whole numbers for truth."""
    if rgb:
        array = array[..., :3]
        if array.dtype.kind == "f":
            # napari shows colours with fractions from 0 to 1.
            array = np.rint(np.clip(np.nan_to_num(array), 0, 1) * BYTE).astype(np.uint8)
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    array, _ = replace_non_finite(array)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _file_volume(layer: Any, shape_zyx: tuple[int, ...]) -> Volume | None:
    """Return the volume of the file that the layer shows, as long as it lies where the file says."""
    volume = layer.metadata.get(VOLUME)
    if not isinstance(volume, Volume) or volume.shape_zyx != tuple(shape_zyx):
        return None
    options = place(volume)
    if len(options["scale"]) != layer.ndim:
        return None
    same = np.allclose(layer.scale, options["scale"]) and np.allclose(layer.affine.affine_matrix, options["affine"])
    moved = np.any(np.asarray(layer.translate)) or not np.allclose(layer.rotate, np.eye(layer.ndim))
    return volume if same and not moved else None


def _geometry(layer: Any, shape_zyx: tuple[int, ...]) -> VolumeGeometry:
    """Return the grid of a layer whose world is LPS in mm, (t,)z,y,x."""
    origin = np.array(layer.data_to_world(np.zeros(layer.ndim)))
    matrix = np.eye(4)
    axes = min(layer.ndim, 3)
    for axis in range(1, axes + 1):
        step = np.zeros(layer.ndim)
        step[-axis] = 1
        column = (np.array(layer.data_to_world(step)) - origin)[-axes:]
        matrix[:axes, axis - 1] = column[::-1]
    matrix[:axes, 3] = origin[-axes:][::-1]
    k, j, i = shape_zyx
    return VolumeGeometry((k, j, i), matrix)
