"""Images that are sent: streamed to the disk, unpacked within limits, read, and kept as an array on the disk.

Nothing of the name that a client gives reaches the disk or a log but its suffix.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import stat
import zipfile
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from ..errors import InputError, MedSAMError
from ..io.file_kinds import DICOM_SUFFIXES, IMAGE_SUFFIXES, image_suffix
from ..io.read_volume import read_volume
from ..io.volume import SliceSource, Volume
from .problems import ServiceProblem, too_large
from .settings import Limits

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".npz", *IMAGE_SUFFIXES, *DICOM_SUFFIXES, ".zip")
"""Kinds that are one file. What has its voxels in a second file is sent as a .zip, as a DICOM folder is."""

HEADERS = (".mhd", ".nhdr", ".hdr")
BLOCK = 1 << 20
SOURCES = "sources"
"""The folder, in a session's own, of the DICOM files that the slices were read from."""


@dataclass(frozen=True, eq=False)
class Upload:
    """A file as it was sent: where it lies, and its SHA-256."""

    path: Path
    sha256: str


def suffix_of(name: str) -> str:
    """Return the suffix of a file's name, of which nothing else is used. Raises `ServiceProblem` (415)."""
    suffix = image_suffix(Path(PureWindowsPath(name).name))
    if suffix not in SUFFIXES:
        raise ServiceProblem(
            "Images of this kind are not taken.",
            f"Send one of {', '.join(SUFFIXES)}; what is several files, such as DICOM, as a .zip.",
            status=415,
            code="image-kind",
        )
    return suffix


async def receive(chunks: AsyncIterator[bytes], folder: Path, suffix: str, limits: Limits) -> Upload:
    """Write a body to the disk as it comes. Raises `ServiceProblem` when it is too large, empty, or stalls."""
    path = folder / f"image{suffix}"
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as file:
        while True:
            try:
                chunk = await asyncio.wait_for(anext(chunks, None), limits.stall_seconds)
            except TimeoutError as error:
                raise _stalled() from error
            except asyncio.TimeoutError as error:
                raise _stalled() from error
            if chunk is None:
                break
            size += len(chunk)
            if size > limits.upload_bytes:
                raise too_large(limits.upload_bytes)
            digest.update(chunk)
            await asyncio.to_thread(file.write, chunk)
    if size == 0:
        raise ServiceProblem(
            "The request has no body.", "Send the bytes of the image as the body.", status=400, code="no-image"
        )
    return Upload(path, digest.hexdigest())


def _stalled() -> ServiceProblem:
    return ServiceProblem("The rest of the image did not come.", "Send it again.", status=408, code="stalled")


def read_upload(upload: Upload, limits: Limits, *, series: str | None, frame: int) -> tuple[Volume, int]:
    """Return the volume of an upload, with its voxels in a file beside it, and the frames it had; remove what was sent.

    Of a 4D image one frame is kept, of DICOM the files of its slices too. Raises `MedSAMError` for what cannot be
    read.
    """
    place = upload.path.parent
    try:
        source = upload.path
        if source.suffix == ".zip":
            source = _unpack(source, place / "unpacked", limits)
        volume = read_volume(source, series=series, max_bytes=limits.unpacked_bytes)
        frames = volume.frame_count
        volume = _kept(_frame(volume, frame), place)
    except MedSAMError as error:
        raise _without_paths(error, place) from error
    except MemoryError as error:
        raise InputError("The image does not fit in the server's memory.", "Crop or downsample it.") from error
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError("The image cannot be read.", "Export it again.", type(error).__name__) from error
    finally:
        upload.path.unlink(missing_ok=True)
        shutil.rmtree(place / "unpacked", ignore_errors=True)
    return volume, frames


def _frame(volume: Volume, frame: int) -> Volume:
    if volume.frames_tzyx is None:
        if frame:
            raise InputError("The image has no frames to choose from.", "Leave the frame out.")
        return volume
    said = f"Frame {frame} of {volume.frame_count} was taken."
    return replace(volume.frame(frame), notes=(*volume.notes, said))


def _kept(volume: Volume, place: Path) -> Volume:
    """Return the volume with its voxels in a file that is mapped: many open images need no memory."""
    path = place / "voxels.npy"
    np.save(path, volume.array_zyx, allow_pickle=False)
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    notes = tuple(_plain(note, place) for note in volume.notes)
    sources = _kept_sources(volume.slice_sources, place / SOURCES)
    return replace(volume, array_zyx=mapped, source=path, parts=(), notes=notes, slice_sources=sources)


def _kept_sources(sources: tuple[SliceSource | None, ...], folder: Path) -> tuple[SliceSource | None, ...]:
    """Return the sources of the slices with their files moved to `folder`, where they have numbers for names.

    A DICOM result takes patient, study and place from them.
    """
    moved: dict[Path, Path] = {}
    for source in sources:
        if source is not None and source.path not in moved:
            folder.mkdir(exist_ok=True)
            moved[source.path] = source.path.replace(folder / f"{len(moved):06d}.dcm")
    return tuple(None if source is None else replace(source, path=moved[source.path]) for source in sources)


def _without_paths(error: MedSAMError, place: Path) -> MedSAMError:
    """Return the error without the server's own paths."""
    return (
        type(error)(_plain(error.message, place), _plain(error.cure, place))
        if not isinstance(error, ServiceProblem)
        else error
    )


def _plain(text: str, place: Path) -> str:
    for folder in (place / "unpacked", place):
        text = text.replace(f"{folder}/", "").replace(str(folder), "the archive")
    return text


def _unpack(archive: Path, folder: Path, limits: Limits) -> Path:
    """Unpack a zip and return what is to be read: its folder, or the one file or header in it.

    Raises `InputError` for an archive that leads out of its folder, is encrypted, or is no archive, `ServiceProblem`
    (413) for one that is larger than the limits say, whatever it claims.
    """
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [info for info in opened.infolist() if not info.is_dir()]
            if len(members) > limits.zip_files:
                raise _too_many(limits)
            if sum(info.file_size for info in members) > limits.unpacked_bytes:
                raise too_large(limits.unpacked_bytes)
            left = limits.unpacked_bytes
            for info in members:
                left -= _extract(opened, info, folder, left, limits)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise InputError("The archive is damaged, or packed in a way that is not known.", "Pack it again.") from error
    files = [path for path in folder.rglob("*") if path.is_file()]
    if not files:
        raise InputError("The archive is empty.", "Pack the image's files.")
    headers = [path for path in files if path.suffix.lower() in HEADERS]
    if len(files) == 1:
        return files[0]
    return headers[0] if len(headers) == 1 else folder


def _too_many(limits: Limits) -> ServiceProblem:
    return ServiceProblem(
        f"The archive holds more than {limits.zip_files} files.", "Send one series alone.", status=413, code="too-large"
    )


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path, room: int, limits: Limits) -> int:
    """Write one member, `room` bytes at most; return its size."""
    target = folder / _inside(info)
    if info.flag_bits & 1:
        raise InputError("The archive is encrypted.", "Pack it without a password.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        written = 0
        with archive.open(info) as source, target.open("xb") as file:
            while block := source.read(BLOCK):
                written += len(block)
                if written > room:
                    raise too_large(limits.unpacked_bytes)
                file.write(block)
    except OSError as error:
        raise InputError("The archive has names that cannot be kept.", "Pack it again.") from error
    return written


def _inside(info: zipfile.ZipInfo) -> PurePosixPath:
    """Return the place of a member within its folder. Raises `InputError` for one that leads out of it."""
    # zipfile cuts a name at a zero byte; what a backslash means depends on the machine, so it is never let through.
    name = info.orig_filename.replace("\\", "/")
    path = PurePosixPath(name)
    away = path.is_absolute() or PureWindowsPath(name).anchor or ".." in path.parts or "\0" in name
    link = stat.S_ISLNK(info.external_attr >> 16)
    if away or link or not path.parts:
        raise InputError("The archive has names that lead out of it.", "Pack the files with plain names.")
    return path
