"""SimpleITK images to arrays with their geometry, and back. One place knows ITK's conventions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OutputError, is_out_of_memory
from ..geometry import VolumeGeometry
from .claimed_size import require_plausible_voxels
from .compressed_voxels import check_compressed_voxels
from .detached_headers import require_data_files
from .nifti_header import NEARLY_RIGHT_ANGLES
from .nifti_integrity import check_nifti_integrity
from .volume import MAX_BYTES, Volume, check_size, make_volume

if TYPE_CHECKING:
    import SimpleITK as sitk

ITK_READERS = {"nifti": "NiftiImageIO", "nrrd": "NrrdImageIO", "metaimage": "MetaImageIO"}
"""The reader of each kind, so that it does not depend on the file's name."""


def read_itk(path: Path, kind: str, max_bytes: int = MAX_BYTES) -> Volume:
    """Read a file in a format of ITK. Raises `InputError` for what cannot be an image volume, before reading it."""
    require_data_files(path)
    with itk_errors(path):
        import SimpleITK as sitk

        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.SetImageIO(ITK_READERS.get(kind, ""))
        reader.ReadImageInformation()
        claimed = check_header(reader, path, max_bytes)
        if kind == "nifti":
            check_nifti_integrity(path)
        elif kind in ITK_READERS:
            require_plausible_voxels(path, claimed)
            check_compressed_voxels(path)
        image = reader.Execute()
    keys = set(image.GetMetaDataKeys())
    modality = image.GetMetaData("modality") if "modality" in keys else None
    pixel_axis = image.GetMetaData("NRRD_kinds[pixel]") if "NRRD_kinds[pixel]" in keys else ""
    # Slicer's sequences keep their frames on a leading axis, which ITK takes for the components of a voxel.
    listed = pixel_axis in ("list", "time") or path.name.lower().endswith(".seq.nrrd")
    return volume_from_image(image, path, kind, modality=modality, components_are_frames=listed)


def check_header(reader: sitk.ImageFileReader, path: Path, max_bytes: int) -> int:
    """Refuse complex, empty and oversized images by their header alone; return the bytes of voxels that it claims."""
    import SimpleITK as sitk

    if reader.GetPixelID() in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
        raise InputError(f"{path.name} holds complex numbers.", "Export its magnitude.")
    voxels = math.prod(reader.GetSize()) * reader.GetNumberOfComponents()
    kind = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    bits = next((n for n in (64, 32, 16, 8) if str(n) in kind), 64)
    check_size(voxels, bits // 8, path, max_bytes)
    return voxels * bits // 8


@contextmanager
def itk_errors(path: Path) -> Iterator[None]:
    """Raise ITK's exceptions as `InputError`, and keep its warnings off the terminal."""
    import SimpleITK as sitk

    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    except RuntimeError as error:
        detail = str(error)
        if is_out_of_memory(error):
            raise InputError(f"{path.name} does not fit in memory.", "Crop or downsample it.", detail) from error
        if "orthonormal" in detail:
            raise InputError(
                f"{path.name} has axes that are not at right angles.", "Resample it first.", detail
            ) from error
        raise InputError(
            f"{path.name} cannot be read as an image.", "Check the file, or export it again.", detail
        ) from error
    except MemoryError as error:
        raise InputError(f"{path.name} does not fit in memory.", "Crop or downsample it.") from error
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def volume_from_image(
    image: sitk.Image,
    path: Path,
    kind: str,
    *,
    modality: str | None = None,
    time_axis: bool = False,
    notes: tuple[str, ...] = (),
    components_are_frames: bool = False,
) -> Volume:
    """Return a `Volume` from a 2D, 3D or 4D image. A 4D image of one slice becomes frames along k."""
    import SimpleITK as sitk

    array = sitk.GetArrayFromImage(image)
    dimension, components = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    if components_are_frames and components > 1 and dimension == 3:
        array, dimension, components = np.moveaxis(array, -1, 0), 4, 1
    return volume_from_axes(
        array, dimension, image_geometry(image), path, kind,
        coloured=components > 1, modality=modality, time_axis=time_axis, notes=notes,
    )  # fmt: skip


def volume_from_axes(
    array: NDArray,
    dimension: int,
    geometry: VolumeGeometry,
    path: Path,
    kind: str,
    *,
    coloured: bool = False,
    modality: str | None = None,
    time_axis: bool = False,
    notes: tuple[str, ...] = (),
) -> Volume:
    """Return a `Volume` from an array of 2 to 4 dimensions, the last of the file first, and with `coloured` channels
    at its end. A 4D array of one slice becomes frames along k."""
    if coloured:
        array, said = colours(array, path)
        notes += said
    while dimension > 3 and array.shape[0] == 1:
        array, dimension = array[0], dimension - 1
    if dimension > 4:
        raise InputError(f"{path.name} has {dimension} dimensions.", "Use a 3D image, or a 4D one with time.")
    if dimension == 4 and geometry.shape_zyx[0] == 1:
        array, dimension, time_axis = array[:, 0], 3, True
        geometry = VolumeGeometry((array.shape[0], *geometry.shape_zyx[1:]), geometry.ijk_to_lps)
    while dimension < 3:
        array, dimension = array[np.newaxis], dimension + 1
    if dimension == 4:
        notes += (f"4D image: {array.shape[0]} frames in time.",)
    return make_volume(
        array, geometry, path, kind, modality=modality, time_axis=time_axis, notes=notes, frames=dimension == 4
    )


def colours(array: NDArray, path: Path) -> tuple[NDArray, tuple[str, ...]]:
    """Return the three colour channels of an array whose last axis holds components: alpha is dropped, and said."""
    components = array.shape[-1]
    if components == 2 and array.dtype.kind == "u":
        return array[..., 0], ("The alpha channel was dropped.",)
    if components not in (3, 4):
        raise InputError(f"{path.name} has {components} values at each voxel.", "Use a grey or RGB image.")
    if array.dtype.kind == "f" and np.nanmin(array) < 0:
        raise InputError(f"{path.name} holds vectors with negative parts, not colours.", "Use a grey or RGB image.")
    if components == 4:
        return np.ascontiguousarray(array[..., :3]), ("The alpha channel was dropped.",)
    return array, ()


def image_geometry(image: sitk.Image) -> VolumeGeometry:
    """Return the 3D grid of an image of 2 to 5 dimensions."""
    size, dimension = image.GetSize(), image.GetDimension()
    direction = np.array(image.GetDirection()).reshape(dimension, dimension)
    matrix = np.eye(4)
    used = min(3, dimension)
    matrix[:used, :used] = direction[:used, :used] * np.array(image.GetSpacing()[:used])
    matrix[:used, 3] = image.GetOrigin()[:used]
    x, y, z = (*size[:used], 1)[:3]
    return VolumeGeometry((z, y, x), matrix)


def image_from_array(array_zyx: NDArray, geometry: VolumeGeometry) -> sitk.Image:
    """Return a SimpleITK image of an array (z,y,x) or (z,y,x,3). Raises `OutputError` when the grid is sheared."""
    import SimpleITK as sitk

    require_right_angles(geometry)
    matrix = geometry.ijk_to_lps[:3, :3]
    spacing = np.linalg.norm(matrix, axis=0)
    direction = matrix / spacing
    image = sitk.GetImageFromArray(array_zyx, isVector=array_zyx.ndim == 4)
    image.SetSpacing([float(v) for v in spacing])
    image.SetDirection([float(v) for v in direction.ravel()])
    image.SetOrigin([float(v) for v in geometry.ijk_to_lps[:3, 3]])
    return image


def require_right_angles(geometry: VolumeGeometry) -> None:
    """Raise `OutputError` for a sheared grid, as a tilted gantry gives: ITK's images have none."""
    matrix = geometry.ijk_to_lps[:3, :3]
    direction = matrix / np.linalg.norm(matrix, axis=0)
    if np.abs(direction.T @ direction - np.eye(3)).max() >= NEARLY_RIGHT_ANGLES:
        raise OutputError("The volume's axes are not at right angles.", "Write a .seg.nrrd file instead.")
