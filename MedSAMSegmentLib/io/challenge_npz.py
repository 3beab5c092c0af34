"""The `.npz` of the CVPR 2024 challenge: `imgs`, `spacing` (x,y,z), `boxes`, `gts` in; `segs` out. Never a pickle.

That of the CVPR 2025 challenge is read by `interactive_npz`.

Sizes are read from the archive's own headers before memory is taken, so a small file cannot claim gigabytes.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OutputError
from ..geometry import VolumeGeometry
from ..prompts import Box
from .atomic import atomic_write
from .volume import MAX_BYTES, Volume, check_size, make_volume

IMAGE_ARRAYS = ("imgs", "spacing", "direction", "origin")
"""Arrays that make the volume; all but the first may be missing."""


@dataclass(frozen=True, eq=False)
class ChallengeCase:
    """`volume`; `boxes` in file order; `reference` labels (z,y,x) if the file has `gts`.

    `is_picture`: the file's arrays have no axis for slices.
    """

    volume: Volume
    boxes: tuple[Box, ...]
    reference: NDArray | None
    is_picture: bool = False


def read_challenge_npz(path: str | Path, *, max_bytes: int = MAX_BYTES) -> ChallengeCase:
    """Read a case. `boxes` rows are [x0,y0,x1,y1] or [x0,y0,z0,x1,y1,z1], inclusive. Raises `InputError`."""
    path = Path(path)
    arrays = read_npz(path, (*IMAGE_ARRAYS, "gts", "boxes"), max_bytes=max_bytes)
    volume = volume_of(arrays, path)
    boxes = rows_to_boxes(arrays.get("boxes"), volume.shape_zyx, path)
    flat = arrays["imgs"].ndim < volume.array_zyx.ndim
    return ChallengeCase(volume, boxes, labels_of(arrays, "gts", volume, path), flat)


def volume_of(arrays: Mapping[str, NDArray], path: Path) -> Volume:
    """Return the volume of the arrays `IMAGE_ARRAYS`, of which `imgs` alone has to be there. Raises `InputError`."""
    if "imgs" not in arrays:
        raise InputError(f"{path.name} has no array named imgs.", "Use a challenge .npz.")
    images = _as_volume(arrays["imgs"], path)
    z, y, x = images.shape[:3]
    geometry = VolumeGeometry((z, y, x), _affine(arrays, path))
    known = "spacing" in arrays
    return replace(make_volume(images, geometry, path, "npz"), spacing_known_zyx=(known, known, known))


def labels_of(arrays: Mapping[str, NDArray], name: str, volume: Volume, path: Path) -> NDArray | None:
    """Return the labels (z,y,x) of that name, None where there are none. Raises `InputError` for another shape."""
    labels = arrays.get(name)
    if labels is None:
        return None
    labels = labels if labels.ndim == 3 else labels[np.newaxis]
    if labels.shape != volume.shape_zyx:
        raise InputError(
            f"{path.name}: {name} has the shape {labels.shape}, imgs {volume.array_zyx.shape}.", "Repair it."
        )
    return labels


def read_npz(path: Path, names: Sequence[str] | None = None, *, max_bytes: int = MAX_BYTES) -> dict[str, NDArray]:
    """Return the named arrays (or all) of an .npz, sizes checked first, pickles refused. Raises `InputError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            wanted = [name for name in (names or members) if name in members]
            total = sum(_claimed_bytes(archive, members[name], path) for name in wanted)
            check_size(max(total, 1), 1, path, max_bytes)
            arrays = {}
            for name in wanted:
                with archive.open(members[name]) as file:
                    arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
            return arrays
    except PermissionError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, RuntimeError) as error:
        raise InputError(f"{path.name} is not a sound .npz file.", "Save it again.", str(error)) from error
    except MemoryError as error:
        raise InputError(f"{path.name} does not fit in memory.", "Crop or downsample it.") from error


def write_challenge_npz(path: str | Path, labels_zyx: NDArray, spacing_zyx: tuple[float, float, float]) -> None:
    """Write `segs` (z,y,x) and `spacing` (x,y,z). Raises `OutputError`."""
    labels = np.asarray(labels_zyx)
    if labels.ndim != 3:
        raise OutputError(f"The labels have {labels.ndim} axes.", "Give z,y,x.")
    _write(path, segs=_smallest(labels), spacing=np.array(spacing_zyx[::-1], np.float64))


def write_case(path: str | Path, images: NDArray, labels: NDArray, geometry: VolumeGeometry) -> None:
    """Write a case with its answer, as `read_challenge_npz` reads it: `imgs` (z,y,x[,3]) in any numbers, `gts` (z,y,x)
    and their place. Raises `OutputError`."""
    x, y, z = geometry.spacing_zyx[::-1]
    direction = geometry.ijk_to_lps[:3, :3] / (x, y, z)
    with atomic_write(path, ".npz") as temporary, temporary.open("wb") as file:
        # Not compressed: whoever waits for it has the disk.
        np.savez(
            file,
            imgs=images,
            gts=_smallest(np.asarray(labels)),
            spacing=np.array((x, y, z)),
            direction=direction.ravel(),
            origin=geometry.ijk_to_lps[:3, 3],
        )


def write_segs(path: str | Path, labels: NDArray, steps: Sequence[NDArray] = ()) -> None:
    """Write an answer as the challenges take it: `segs` (z,y,x), or (y,x) for a picture, and nothing else.

    Of an interactive run all `steps` are kept as `all_segs` (step,z,y,x). Raises `OutputError`.
    """
    labels = np.asarray(labels)
    if labels.ndim not in (2, 3):
        raise OutputError(f"The labels have {labels.ndim} axes.", "Give z,y,x, or y,x for a picture.")
    if steps:
        _write(path, segs=_smallest(labels), all_segs=_smallest(np.stack(steps)))
    else:
        _write(path, segs=_smallest(labels))


def _smallest(labels: NDArray) -> NDArray:
    return labels.astype(np.uint8 if int(labels.max(initial=0)) < 256 else np.uint16)


def _write(path: str | Path, **arrays: NDArray) -> None:
    with atomic_write(path, ".npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def _claimed_bytes(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> int:
    """Return the bytes of the array that a member's header announces; the archive must hold just as many."""
    with archive.open(member) as file:
        shape, dtype = npy_header(file)
        header = file.tell()
    if dtype.hasobject or dtype.kind not in "biuf":
        raise InputError(f"{path.name}: {member.filename} holds {dtype}, not numbers.", "Save plain arrays.")
    size = dtype.itemsize
    for length in shape:
        size *= length
    if size != member.file_size - header:
        raise InputError(f"{path.name}: {member.filename} is cut or lies about its size.", "Save it again.")
    return size


def npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape and type that an .npy file's header announces; the file is left behind it. Raises ValueError."""
    version = np.lib.format.read_magic(file)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = reader(file)
    return shape, dtype


def _as_volume(images: NDArray, path: Path) -> NDArray:
    """Return (z,y,x) or (z,y,x,3) from those or from a single slice (y,x) or (y,x,3)."""
    if images.ndim == 2 or (images.ndim == 3 and images.shape[-1] == 3 and images.shape[0] > 3):
        images = images[np.newaxis]
    if images.ndim == 3 or (images.ndim == 4 and images.shape[-1] == 3):
        if images.size == 0:
            raise InputError(f"{path.name}: imgs is empty.", "Use an image with at least one voxel.")
        return images
    raise InputError(f"{path.name}: imgs has the shape {images.shape}.", "Use z,y,x or z,y,x and three colours.")


def _affine(arrays: Mapping[str, NDArray], path: Path) -> NDArray[np.float64]:
    """Return the affine from IJK to LPS by spacing x,y,z and, where given, direction (3x3, row by row) and origin."""
    matrix = np.eye(4)
    for name, size in (("spacing", 3), ("direction", 9), ("origin", 3)):
        if name in arrays and (arrays[name].size != size or not np.isfinite(arrays[name]).all()):
            raise InputError(f"{path.name}: {name} is not {size} finite numbers.", "Repair it.")
    spacing = np.asarray(arrays.get("spacing", np.ones(3)), np.float64).ravel()
    if (spacing <= 0).any():
        raise InputError(f"{path.name}: the spacing {spacing.tolist()} is not positive.", "Repair it.")
    direction = np.asarray(arrays.get("direction", np.eye(3)), np.float64).reshape(3, 3)
    matrix[:3, :3] = direction * spacing
    matrix[:3, 3] = np.asarray(arrays.get("origin", np.zeros(3)), np.float64).ravel()
    return matrix


def rows_to_boxes(rows: NDArray | None, shape_zyx: tuple[int, int, int], path: Path) -> tuple[Box, ...]:
    """Return boxes of rows [x0,y0,x1,y1] on all slices, or [x0,y0,z0,x1,y1,z1], inclusive. Raises `InputError`."""
    if rows is None or rows.size == 0:
        return ()
    rows = np.atleast_2d(rows)
    if rows.ndim != 2 or rows.shape[1] not in (4, 6) or not np.isfinite(rows).all():
        raise InputError(f"{path.name}: boxes has the shape {rows.shape}.", "Use rows of 4 or 6 finite numbers.")
    boxes = []
    for row in np.trunc(rows).astype(int).tolist():
        if len(row) == 4:
            x0, y0, x1, y1 = row
            z0, z1 = 0, shape_zyx[0] - 1
        else:
            x0, y0, z0, x1, y1, z1 = row
        boxes.append(Box(i=(x0, x1), j=(y0, y1), k=(z0, z1)))
    return tuple(boxes)
