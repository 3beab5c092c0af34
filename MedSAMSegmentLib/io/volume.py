"""A volume that was read: its array, where it lies, and what the file says about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, UsageError
from ..geometry import VolumeGeometry
from .nifti_header import NiftiForms

MAX_BYTES = 16 << 30
"""Volumes that need more memory than this are refused before they are read."""


@dataclass(frozen=True)
class SliceSource:
    """The DICOM image that a slice was read from: frame `frame` (from 0) of `path`, whose SOP Instance UID is `uid`."""

    path: Path
    frame: int
    uid: str


@dataclass(frozen=True, eq=False)
class Volume:
    """`array_zyx` (z,y,x), or (z,y,x,3) in colour, in the file's own numbers; `geometry` gives its place in LPS mm.

    `kind` is the file kind ("nifti", "nrrd", "dicom", "image", "frames", ...), `modality` the DICOM modality if known,
    `notes` are sentences on what was chosen or repaired. `time_axis` says that k counts frames in time.
    A 4D file keeps all its frames in `frames_tzyx`; `array_zyx` is the first one. `parts` are the files that were read
    when `source` is a folder. `filled` are the slices along k that no file held and that were made from their
    neighbours. `spacing_known_zyx` says along which axes the voxel size is the file's own; else it is 1 mm, and means
    nothing.
    """

    array_zyx: NDArray
    geometry: VolumeGeometry
    source: Path
    kind: str
    modality: str | None = None
    time_axis: bool = False
    notes: tuple[str, ...] = ()
    frames_tzyx: NDArray | None = None
    parts: tuple[Path, ...] = ()
    filled: tuple[int, ...] = ()
    spacing_known_zyx: tuple[bool, bool, bool] = (True, True, True)
    nifti_forms: NiftiForms | None = None
    """What a NIfTI file said about its place, kept for label maps on this grid."""
    slice_sources: tuple[SliceSource | None, ...] = ()
    """Of DICOM, the image of each k, None where a slice was filled or resampled; of a 4D series frame after frame."""

    @property
    def is_rgb(self) -> bool:
        return self.array_zyx.ndim == 4

    @property
    def is_time_series(self) -> bool:
        """True when the file holds frames in time, along k or in `frames_tzyx`."""
        return self.time_axis or self.frames_tzyx is not None

    @property
    def frame_count(self) -> int:
        """Number of frames in time; 1 for a still image."""
        if self.frames_tzyx is not None:
            return int(self.frames_tzyx.shape[0])
        return self.shape_zyx[0] if self.time_axis else 1

    @property
    def has_patient_axes(self) -> bool:
        """True when the axes lie in the patient; pictures, cines and colour images have none to speak of."""
        return self.kind not in ("image", "frames") and not self.time_axis and not self.is_rgb

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        return self.geometry.shape_zyx

    @property
    def spacing_zyx(self) -> tuple[float, float, float]:
        """Voxel size in mm; without meaning along k when `time_axis`."""
        return self.geometry.spacing_zyx

    def frame(self, index: int) -> Volume:
        """Return the volume of one frame of a 4D file, on the same grid. Raises `UsageError` for a frame that is not
        there."""
        count = 1 if self.frames_tzyx is None else len(self.frames_tzyx)
        if not 0 <= index < count:
            raise UsageError(f"There is no frame {index}.", f"Frames run from 0 to {count - 1}.")
        if self.frames_tzyx is None:
            return self
        slices = len(self.slice_sources) // count
        return replace(
            self,
            array_zyx=self.frames_tzyx[index],
            time_axis=False,
            frames_tzyx=None,
            slice_sources=self.slice_sources[index * slices : (index + 1) * slices],
        )


def make_volume(
    array: NDArray,
    geometry: VolumeGeometry,
    source: Path,
    kind: str,
    *,
    modality: str | None = None,
    time_axis: bool = False,
    notes: tuple[str, ...] = (),
    frames: bool = False,
) -> Volume:
    """Return a checked `Volume`; with `frames`, `array` is (t,z,y,x[,3]). Values that are not finite are replaced, and
    said.

    Raises `InputError` when nothing finite is left.
    """
    array, repaired = replace_non_finite(array)
    return Volume(
        array_zyx=array[0] if frames else array,
        geometry=geometry,
        source=source,
        kind=kind,
        modality=(modality or "").strip().upper() or None,
        time_axis=time_axis,
        notes=notes + repaired,
        frames_tzyx=array if frames else None,
    )


def replace_non_finite(array: NDArray) -> tuple[NDArray, tuple[str, ...]]:
    """Replace NaN and -inf by the lowest finite value, +inf by the highest; the second value says how many, if any."""
    if array.dtype.kind in "biu":
        return array, ()
    if array.dtype.kind != "f":
        raise InputError(f"The image's values are of type {array.dtype}.", "Use real numbers.")
    finite = np.isfinite(array)
    count = int(array.size - np.count_nonzero(finite))
    if count == 0:
        return array, ()
    if count == array.size:
        raise InputError("The image has no finite value.", "Export it again.")
    lowest, highest = array[finite].min(), array[finite].max()
    repaired = np.nan_to_num(array, nan=lowest, neginf=lowest, posinf=highest)
    return repaired, (
        f"{count} voxels were not finite numbers and became {float(lowest):g} (+inf {float(highest):g}).",
    )


def check_size(voxels: int, bytes_per_voxel: int, source: Path, limit: int = MAX_BYTES) -> None:
    """Refuse what a header claims before memory is taken for it. Raises `InputError`."""
    if voxels < 1:
        raise InputError(f"{source.name} is empty.", "Use an image with at least one voxel.")
    if voxels * bytes_per_voxel > limit:
        claimed, allowed = (size / 2**30 for size in (voxels * bytes_per_voxel, limit))
        raise InputError(
            f"{source.name} says it holds {claimed:.3g} GiB, more than {allowed:.3g} GiB.",
            "Crop or downsample it.",
        )
