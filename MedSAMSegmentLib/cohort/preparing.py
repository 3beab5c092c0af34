"""A manifest of a folder: images, with markups or masks beside them whose names begin with the image's.

`case1.nrrd` goes with `case1.mrk.json`, `case1_liver.mrk.json`, `case1.seg.nrrd` and `case1_mask.nii.gz`. A segment on
a single slice is a prompt. One on several slices is a reference, and the box around it the prompt, unless markups are
beside the image, too.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError, MedSAMError
from ..io.atomic import atomic_write
from ..io.challenge_npz import read_npz
from ..io.file_kinds import IMAGE_SUFFIXES, ITK_KINDS, image_suffix
from ..io.read_segmentation import read_segmentation
from ..prompts import Box

MARKUPS = ".mrk.json"
SEGMENTATION = ".seg.nrrd"
MASK_WORDS = ("mask", "seg", "segmentation", "label", "labels", "gt")
ROW_COLUMNS = ("id", "image", "box", "roi", "mask", "name", "reference")

_APART = "._- "

Row = dict[str, str]


@dataclass
class Found:
    """An image and what lies beside it."""

    image: Path
    stem: str
    markups: list[Path] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)


def prepare_rows(folder: Path, root: Path) -> tuple[list[Row], list[str]]:
    """Return the rows of a manifest in `root` and sentences on what was left out. Raises `InputError`."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder.", "Give a folder of images.")
    rows, notes = find_rows(folder, root)
    if not rows:
        raise InputError(
            f"{folder} holds no image with markups or a mask beside it.",
            "Save IMAGE.mrk.json or IMAGE_mask.nii.gz beside IMAGE.nii.gz.",
        )
    return rows, notes


def find_rows(folder: Path, root: Path, *, boxes_needed: bool = True) -> tuple[list[Row], list[str]]:
    """Return what `prepare_rows` does, and no rows where nothing lies beside any image.

    Challenge files without boxes are left out where `boxes_needed`. Where they are not, references alone count, and
    the sentences are of files that cannot be read, not of images that nothing lies beside.
    """
    rows: list[Row] = []
    notes: list[str] = []
    ids: set[str] = set()
    for found in _images(folder):
        own = _rows_of(found, root, notes, boxes_needed=boxes_needed)
        if not own:
            if boxes_needed:
                notes.append(f"left out, without a prompt beside it: {found.image.name}")
            continue
        case_id = _free_id(found.stem, ids)
        rows += [{"id": case_id, "image": _relative(found.image, root), **row} for row in own]
    return rows, notes


def write_rows(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write a manifest. Raises `OutputError`."""
    with atomic_write(path, ".csv") as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ROW_COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)


def _images(folder: Path) -> list[Found]:
    """Return the images of a folder by name, each with what belongs to it. A folder is an image, of DICOM or frames."""
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    images = [Found(path, _stem(path)) for path in entries if _may_be_image(path)]
    stems = {found.stem: found for found in images}
    masks = {found.image: owner for found in images if (owner := _owner_of_mask(found.stem, stems))}
    kept = {found.stem: found for found in images if found.image not in masks}
    for path in entries:
        name = path.name.lower()
        if name.endswith(MARKUPS):
            owner = _owner(path.name[: -len(MARKUPS)], kept)
            if owner:
                owner.markups.append(path)
        elif name.endswith(SEGMENTATION):
            owner = _owner(path.name[: -len(SEGMENTATION)], kept)
            if owner:
                owner.masks.append(path)
        elif path in masks and masks[path].stem in kept:
            masks[path].masks.append(path)
    return list(kept.values())


def _may_be_image(path: Path) -> bool:
    if path.is_dir():
        return True
    suffix = image_suffix(path)
    return suffix != ".img" and suffix in (*ITK_KINDS, *IMAGE_SUFFIXES, ".npz")


def _stem(path: Path) -> str:
    return path.name if path.is_dir() else path.name[: -len(image_suffix(path))]


def _owner(stem: str, images: Mapping[str, Found]) -> Found | None:
    """Return the image with the longest name that `stem` is, or begins with."""
    for end in range(len(stem), 0, -1):
        if stem[:end] in images and (end == len(stem) or stem[end] in _APART):
            return images[stem[:end]]
    return None


def _owner_of_mask(stem: str, images: Mapping[str, Found]) -> Found | None:
    """Return the image that a file is the mask of by its name, `case1_mask` or `case1_label_2`."""
    owner = _owner(stem[:-1], images)
    rest = re.split(r"[._\- ]+", stem[len(owner.stem) :].lower()) if owner else []
    return owner if set(rest) & set(MASK_WORDS) else None


def _rows_of(found: Found, root: Path, notes: list[str], *, boxes_needed: bool) -> list[Row]:
    segments: list[Row] = []
    for mask in found.masks:
        try:
            segments += _segment_rows(mask, root)
        except MedSAMError as error:
            notes.append(f"left out: {error}")
    if not found.markups:
        is_challenge_file = found.image.suffix.lower() == ".npz"
        usable = is_challenge_file and (not boxes_needed or _brings_boxes(found.image, notes))
        return segments or ([{}] if usable else [])
    references = {row["name"]: row["reference"] for row in segments if "reference" in row}
    rows = []
    for file in found.markups:
        name = file.name[len(found.stem) : -len(MARKUPS)].strip(_APART)
        row = {"roi": _relative(file, root), "name": name}
        if name in references:
            row["reference"] = references[name]
        elif len(references) == len(found.markups) == 1:
            row["name"], row["reference"] = next(iter(references.items()))
        rows.append(row)
    return rows


def _brings_boxes(image: Path, notes: list[str]) -> bool:
    """Return whether a challenge file has boxes of its own; what cannot be read has none, and is noted."""
    try:
        return bool(len(read_npz(image, ["boxes"]).get("boxes", ())))
    except MedSAMError as error:
        notes.append(f"left out: {error}")
        return False


def _segment_rows(mask: Path, root: Path) -> list[Row]:
    """Return a row for each segment of a file that is not empty. Raises `InputError`."""
    segments = [segment for segment in read_segmentation(mask).segments if segment.mask_zyx.any()]
    rows = []
    for segment in segments:
        box = Box.around(segment.mask_zyx)
        corners = [bounds[side] for side in (0, 1) for bounds in (box.i, box.j, box.k)]
        row = {"name": segment.name, "box": " ".join(f"{corner:g}" for corner in corners)}
        file = _relative(mask, root)
        if box.k[0] < box.k[1]:
            row["reference"] = file
        elif len(segments) == 1:
            row = {"name": segment.name, "mask": f"{file}:{box.k[0]:g}"}
        rows.append(row)
    return rows


def _free_id(stem: str, taken: set[str]) -> str:
    base = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._-")[:70] or "case"
    chosen, number = base, 2
    while chosen.casefold() in taken:
        chosen, number = f"{base}_{number}", number + 1
    taken.add(chosen.casefold())
    return chosen


def _relative(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()
