"""The images to train on and their segments: which files there are, whose they are, and what one holds.

A CSV or JSONL file has the columns image and reference, and may have patient (or id), window and series, so that a
cohort's manifest with references will do. In a folder, segmentations and label maps lie beside their images as
`cohort prepare` looks for them, and each image counts as a patient.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..auto_window import window_of_prompts
from ..checkpoints.transfer import digest_file
from ..cohort.preparing import find_rows
from ..errors import InputError, UsageError
from ..geometry import VolumeGeometry
from ..intensity import parse_window
from ..io.read_segmentation import read_segmentation
from ..io.read_volume import read_volume
from ..io.segments import SegmentationFile
from ..io.volume import Volume
from ..prompts import Box

MOST_MANIFEST_BYTES = 20_000_000
MOST_NAMED = 12


@dataclass(frozen=True)
class TrainingSource:
    """One image and the file with its segments; images of one `patient` are never on both sides of the split."""

    patient: str
    image: Path
    reference: Path
    window: str = "auto"
    series: str | None = None


@dataclass(frozen=True, eq=False)
class LabelledVolume:
    """An image (z,y,x[,3]) in its file's numbers, the mask (z,y,x) of the label, and the window to see it in."""

    source: TrainingSource
    volume: Volume
    mask_zyx: NDArray[np.bool_]
    window: str


def find_sources(data: str | Path, say: Callable[[str], None] = lambda text: None) -> list[TrainingSource]:
    """Return the sources of a manifest or a folder, in order. Raises `InputError` for what is missing or wrong.

    `say` gets a sentence on each segmentation of a folder that cannot be read, which is left out.
    """
    path = Path(data)
    sources = _of_folder(path, say) if path.is_dir() else _of_manifest(path)
    for source in sources:
        for file in (source.image, source.reference):
            _require_readable(file, path)
    return sources


def _require_readable(file: Path, data: Path) -> None:
    """Raise `InputError` for a file that is not there or cannot be opened; of a folder only that it is there."""
    try:
        if not file.exists():
            raise InputError(f"{file} does not exist.", f"Correct {data.name}; nothing was computed.")
        if file.is_file():
            file.open("rb").close()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.", "Check its permissions.") from error


def _of_folder(folder: Path, say: Callable[[str], None]) -> list[TrainingSource]:
    rows, unreadable = find_rows(folder, folder, boxes_needed=False)
    for note in unreadable:
        say(note)
    found: dict[tuple[str, str], TrainingSource] = {}
    for row in rows:
        # A segment on one slice is a prompt to a cohort; here it is a reference like any other.
        reference = row.get("reference") or row.get("mask", "").rpartition(":")[0]
        if not reference and row["image"].lower().endswith(".npz"):
            reference = row["image"]
        if reference:
            source = TrainingSource(row["id"], folder / row["image"], folder / reference)
            found.setdefault((row["image"], reference), source)
    if not found and unreadable:
        raise InputError(
            f"{folder} holds no segmentation to learn from: {len(unreadable)} cannot be read.",
            f"The first: {unreadable[0].removeprefix('left out: ')}",
        )
    if not found:
        raise InputError(
            f"{folder} holds no image with a segmentation beside it.",
            "Save IMAGE.seg.nrrd or IMAGE_label.nii.gz beside IMAGE, or give challenge .npz files or a manifest.",
        )
    return list(found.values())


def _of_manifest(path: Path) -> list[TrainingSource]:
    try:
        if path.stat().st_size > MOST_MANIFEST_BYTES:
            raise InputError(f"{path} is far too large for a manifest.", "Give a CSV or JSONL file.")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InputError(f"{path} cannot be read: {reason}.", "Give a CSV or JSONL file, or a folder.") from error
    rows = _json_rows(text, path) if path.suffix.lower() in (".jsonl", ".ndjson") else _csv_rows(text, path)
    found: dict[tuple[Path, Path], TrainingSource] = {}
    for line, row in rows:
        source = _source(row, path.parent, f"{path.name}, line {line}")
        known = found.setdefault((source.image, source.reference), source)
        if known.patient != source.patient:
            raise InputError(f"{path.name}, line {line}: the image belonged to {known.patient} before.", "Correct it.")
    if not found:
        raise InputError(f"{path.name} has no rows.", "Its columns are patient, image, reference, window, series.")
    return list(found.values())


def _csv_rows(text: str, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        yield from ((reader.line_num, row) for row in reader)
    except csv.Error as error:
        raise InputError(f"{path.name}, line {reader.line_num}: {error}.", "Save it as CSV again.") from error


def _json_rows(text: str, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path.name}, line {number}: this is not JSON ({error}).", "Correct it.") from error
            if not isinstance(row, dict):
                raise InputError(f"{path.name}, line {number}: this is not an object in {{}}.", "Correct it.")
            yield number, row


def _source(row: Mapping[str, Any], root: Path, where: str) -> TrainingSource:
    def cell(name: str) -> str:
        value = row.get(name)
        return str(value).strip() if isinstance(value, (str, int, float)) else ""

    image, reference = cell("image"), cell("reference")
    if not reference and image.lower().endswith(".npz"):
        reference = image
    if not image or not reference:
        raise InputError(f"{where}: the {'reference' if image else 'image'} is missing.", "Name both files.")
    window = cell("window") or "auto"
    try:
        parse_window(window)
    except UsageError as error:
        raise InputError(f"{where}: {error.message}", error.cure) from error
    patient = cell("patient") or cell("id") or Path(image).name
    return TrainingSource(patient, root / image, root / reference, window, cell("series") or None)


def read_labelled(source: TrainingSource, labels: Sequence[str]) -> LabelledVolume | None:
    """Read an image and the mask of its segments of these names, which count as one object.

    Returns None where the file has no such segment. Raises `InputError`.
    """
    segments = read_segmentation(source.reference)
    chosen = [segment for segment in segments.segments if any(names_match(segment.name, label) for label in labels)]
    if not chosen:
        return None
    volume = read_volume(source.image, series=source.series)
    mask = np.zeros(volume.shape_zyx, dtype=bool)
    for segment in chosen:
        mask |= _on_grid(segment.mask_zyx, segments, volume)
    if not mask.any():
        return None
    window = source.window
    if window == "auto":
        window = window_of_prompts(volume.array_zyx, volume.modality, [Box.around(mask)])
    return LabelledVolume(source, volume, mask, window)


def names_match(name: str, label: str) -> bool:
    """Return whether a segment's name is the label, without regard to case; a number is that of a label map."""
    name, label = (" ".join(text.split()).casefold() for text in (name, label))
    return name == label or (label.isdecimal() and name == f"label {label}")


def require_label(sources: Sequence[TrainingSource], label: str) -> None:
    """Raise `InputError` that names the segments there are when none of the files has the label."""
    names: dict[str, str] = {}
    for reference in dict.fromkeys(source.reference for source in sources):
        for segment in read_segmentation(reference).segments:
            if names_match(segment.name, label):
                return
            names.setdefault(segment.name.casefold(), segment.name)
    near = difflib.get_close_matches(label.casefold(), names, 1)
    meant = f"Did you mean {names[near[0]]!r}? " if near else ""
    shown = sorted(names.values())[:MOST_NAMED]
    more = ", ..." if len(names) > MOST_NAMED else ""
    raise InputError(f"No segment is called {label!r}.", f"{meant}There are: {', '.join(shown) or 'none'}{more}.")


def _on_grid(mask: NDArray[np.bool_], segments: SegmentationFile, volume: Volume) -> NDArray[np.bool_]:
    """Return a mask on the voxels of the volume, by nearest neighbour where it lies on a grid of its own."""
    placeless = volume.kind == "npz" or not volume.has_patient_axes
    same_shape = segments.geometry.shape_zyx == volume.shape_zyx
    if same_shape and (placeless or segments.geometry.agrees_with(volume.geometry)):
        return mask
    if placeless:
        raise InputError(
            f"The segments of {volume.source.name} have {mask.shape} voxels, the image {volume.shape_zyx}.",
            "Give a segmentation on the image's own grid.",
        )
    return resample_mask(mask, segments.geometry, volume.geometry)


def resample_mask(mask: NDArray[np.bool_], of: VolumeGeometry, onto: VolumeGeometry) -> NDArray[np.bool_]:
    """Return a mask (z,y,x) of one grid on another, each voxel that of the nearest centre; False outside."""
    result = np.zeros(onto.shape_zyx, dtype=bool)
    to_index = np.linalg.inv(of.ijk_to_lps) @ onto.ijk_to_lps
    _, rows, columns = onto.shape_zyx
    j, i = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    sides = np.array(of.shape_zyx[::-1])
    for k in range(onto.shape_zyx[0]):
        place = np.stack([i, j, np.full_like(i, k), np.ones_like(i)], axis=-1) @ to_index.T
        index = np.rint(place[..., :3]).astype(np.int64)
        inside = ((index >= 0) & (index < sides)).all(axis=-1)
        at = index[inside]
        result[k][inside] = mask[at[:, 2], at[:, 1], at[:, 0]]
    return result


def hash_files(sources: Sequence[TrainingSource]) -> dict[str, str]:
    """Return the SHA-256 of each file by its name; of a folder that of its files' hashes, in the order of their
    names."""
    hashes: dict[str, str] = {}
    for file in dict.fromkeys(path for source in sources for path in (source.image, source.reference)):
        hashes[str(file)] = _hash_folder(file) if file.is_dir() else digest_file(file).sha256
    return hashes


def _hash_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(folder).as_posix()}\0{digest_file(file).sha256}\0".encode())
    return digest.hexdigest()
