"""The DICOM series below a folder or in a DICOMDIR: found, listed and chosen by number or UID."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from ..errors import InputError
from .dicom_frames import Frame, Instance, read_instance
from .dicom_header import DIRECTORY_CLASS, dicom_errors, may_be_dicom, read_dataset, refuse_kind, sop_class, text
from .dicom_stacks import Stack, make_stacks
from .file_kinds import DICOM_SUFFIXES

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_NAMED = 5
LONGEST_NAME = 255
"""Bytes of a name that file systems take at most."""


@dataclass(frozen=True, eq=False)
class Series:
    """A series of images: its stacks, the one taken by default first. `number` chooses it (`--series`).

    `notes` say what was left out of it.
    """

    number: str
    uid: str
    modality: str
    description: str
    stacks: tuple[Stack, ...]
    files: tuple[Path, ...]
    auxiliary: bool
    notes: tuple[str, ...] = ()

    def key(self, index: int) -> str:
        """Return what chooses one of its stacks: the number alone where there is one only."""
        return self.number if len(self.stacks) == 1 else f"{self.number}:{index + 1}"


@dataclass(frozen=True, eq=False)
class FoundSeries:
    """Everything below a place: `series` in the order of their numbers, `others` names what is no image, `unreadable`
    sentences on files that are DICOM by their mark or name and cannot be read."""

    place: Path
    series: tuple[Series, ...]
    others: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.series)


def find_series(folder: Path) -> FoundSeries:
    """Return all series below a folder, or that a DICOMDIR lists."""
    if folder.is_file():
        return _collect(folder, *_listed(folder))
    return _collect(folder, _candidates(folder), ())


def series_of_file(file: Path) -> FoundSeries:
    """Return the series of a single file. Raises `InputError` for what is no image, by what it is."""
    instance = read_instance(file)
    refuse_kind(instance.other, file)
    return FoundSeries(file, tuple(_numbered([_series([instance], file)])))


def list_series(found: FoundSeries) -> list[dict[str, Any]]:
    """Return one row a stack, for `info`: what chooses it, and what it is."""
    return [_row(series, index) for series in found.series for index in range(len(series.stacks))]


def choose_stack(found: FoundSeries, wanted: str | None) -> tuple[Series, Stack, tuple[str, ...]]:
    """Return the stack that `wanted` names, by default the largest, with notes on the choice. Raises `InputError`."""
    if wanted is None:
        series = min(found.series, key=_rank)
        notes = _choice_note(found, series)
        return series, series.stacks[0], (*notes, *_set_aside(series, 0))
    name, _, part = wanted.strip().partition(":")
    matching = [s for s in found.series if name in (s.number, s.uid)]
    if len(matching) != 1 or (part and not part.isdecimal()):
        raise InputError(f"{found.place} has no series {wanted}.", f"It holds {_listing(found)}.")
    series = matching[0]
    index = int(part) - 1 if part else 0
    if not 0 <= index < len(series.stacks):
        raise InputError(f"Series {name} has no stack {part}.", f"It holds {_listing(found)}.")
    return series, series.stacks[index], () if part else _set_aside(series, index)


def ambiguous(series: Series) -> str:
    """Return the stacks of a series in words, each with what chooses it."""
    words = (f"{series.key(n)}: {_stack_words(stack)}" for n, stack in enumerate(series.stacks))
    return _shortened(list(words), "; ")


def _rank(series: Series) -> tuple[bool, int, int]:
    """The least is taken: a series of images of a patient, with the most slices, with the most pixels."""
    stack = series.stacks[0]
    pixels = stack.frames[0].rows * stack.frames[0].columns
    return (series.auxiliary or stack.is_localizer, -len(stack.frames), -pixels)


def _choice_note(found: FoundSeries, taken: Series) -> tuple[str, ...]:
    if len(found.series) < 2:
        return ()
    others = _shortened([f"{s.uid} ({_size(s)})" for s in found.series if s is not taken], ", ")
    return (
        f"The folder holds {len(found.series)} series; took the largest, {taken.uid} ({_size(taken)}), not {others}.",
        f"It is series {taken.number} of {', '.join(s.number for s in found.series)}; --series NUMBER takes another.",
    )


def _set_aside(series: Series, index: int) -> tuple[str, ...]:
    """Return a sentence on the frames of a series that are not part of the stack."""
    others = [(n, stack) for n, stack in enumerate(series.stacks) if n != index]
    if not others:
        return ()
    words = []
    for n, stack in others:
        files = list(dict.fromkeys(frame.path.name for frame in stack.frames))
        named = f" in {' and '.join(files)}" if len(files) <= 2 else ""
        words.append(f"{series.key(n)}: {_stack_words(stack)}{named}")
    taken = series.stacks[index]
    return (f"Of the series {_stack_words(taken)} were taken; set aside: {_shortened(words, '; ')}.",)


def _stack_words(stack: Stack) -> str:
    count = len(stack.frames)
    return f"{count} slice{'s' if count != 1 else ''}{f' ({stack.label})' if stack.label else ''}"


def _size(series: Series) -> str:
    count, frames = len(series.files), sum(len(stack.frames) for stack in series.stacks)
    return f"{count} file{'s' if count != 1 else ''}" + (f" with {frames} frames" if frames != count else "")


def _listing(found: FoundSeries) -> str:
    return _shortened([f"{s.number}: {s.uid}" for s in found.series], ", ", 12)


def _shortened(words: list[str], separator: str, most: int = _NAMED) -> str:
    more = len(words) - most
    return separator.join(words[:most]) + (f" and {more} more" if more > 0 else "")


def _row(series: Series, index: int) -> dict[str, Any]:
    stack = series.stacks[index]
    first = stack.frames[0]
    row: dict[str, Any] = {
        "number": series.key(index),
        "uid": series.uid,
        "modality": series.modality,
        "description": ", ".join(part for part in (series.description, stack.label) if part),
        "slices": stack.slices,
        "times": stack.times,
        "size_ijk": [first.columns, first.rows, stack.slices],
        "spacing_mm_ijk": _spacing(stack),
    }
    return row


def _spacing(stack: Stack) -> list[float | None]:
    """Return the spacing i, j, k as far as it is stated; k as between most slices."""
    first = stack.frames[0]
    down, across = first.spacing or (None, None)
    step: float | None = None
    if first.position is not None and stack.slices > 1 and not stack.in_time:
        positions = np.array([frame.position for frame in stack.frames[: stack.slices]])
        gaps = np.sort(np.linalg.norm(np.diff(positions, axis=0), axis=1))
        step = float(gaps[(len(gaps) - 1) // 2])
    elif not stack.in_time:
        step = (first.thickness if stack.slices == 1 else first.distance)[0]
    return [None if value is None else float(f"{value:.6g}") for value in (across, down, step)]


def _collect(place: Path, files: Iterable[Path], missing: Sequence[str]) -> FoundSeries:
    """Read the headers of files and sort them into series."""
    groups: dict[tuple[str, str], list[Instance]] = {}
    others: dict[str, int] = {}
    unreadable = [*missing]
    for file in files:
        try:
            found = read_instance(file)
        except InputError as error:
            unreadable.append(f"{_relative(file, place)} was left out: {error.message}")
            continue
        if found.other.startswith("no image"):
            unreadable.append(f"{_relative(file, place)} was left out: it holds {found.other}.")
            continue
        if found.other:
            if found.sop_class != DIRECTORY_CLASS:
                others[found.other] = others.get(found.other, 0) + 1
            continue
        # Without a UID, what lies in one folder belongs together.
        groups.setdefault((found.series, "" if found.series else str(file.parent)), []).append(found)
    series = [_series(instances, place) for instances in groups.values()]
    series.sort(key=lambda one: (not one.number, int(one.number or 0), one.uid))
    return FoundSeries(
        place,
        tuple(_numbered(series)),
        tuple(name if count == 1 else f"{count} times {name}" for name, count in others.items()),
        tuple(unreadable),
    )


def _numbered(series: Sequence[Series]) -> Iterator[Series]:
    """Number series by SeriesNumber where every one has its own, else from 1 on."""
    own = {one.number for one in series}
    keep = len(own) == len(series) and "" not in own
    for index, one in enumerate(series):
        yield one if keep else replace(one, number=str(index + 1))


def _series(instances: list[Instance], place: Path) -> Series:
    kept, notes = _without_duplicates(sorted(instances, key=lambda one: str(one.path)), place)
    frames: list[Frame] = [frame for instance in kept for frame in instance.frames]
    first = kept[0]
    number = first.number
    capture = first.sop_class.startswith(_SECONDARY_CAPTURE) and frames[0].position is None
    said = dict.fromkeys(note for instance in kept for note in instance.notes)
    return Series(
        number="" if number is None or number < 0 else str(number),
        uid=first.series or f"without UID in {_relative(first.path.parent, place)}",
        modality=first.modality,
        description=first.description,
        stacks=make_stacks(frames, cine=any(instance.cine for instance in kept)),
        files=tuple(instance.path for instance in kept),
        auxiliary=capture or first.modality == "RTDOSE",
        notes=(*notes, *said),
    )


def _without_duplicates(instances: Sequence[Instance], place: Path) -> tuple[list[Instance], tuple[str, ...]]:
    """Keep one file of each SOP instance: the longest, as a copy may be cut off.

    Slices that share a UID but not their place, as after a careless anonymisation, are no copies.
    """
    kept: dict[object, Instance] = {}
    dropped: list[Path] = []
    for instance in sorted(instances, key=lambda one: (-one.path.stat().st_size, len(one.path.name), str(one.path))):
        if kept.setdefault(_identity(instance), instance) is not instance:
            dropped.append(instance.path)
    if not dropped:
        return list(kept.values()), ()
    names = _shortened([_relative(path, place) for path in dropped], ", ")
    return list(kept.values()), (f"Copies of an image that is there already were left out: {names}.",)


def _identity(instance: Instance) -> object:
    if not instance.sop_instance:
        return instance.path
    first = instance.frames[0]
    place = None if first.position is None else tuple(first.position.tolist())
    return (instance.sop_instance, place, first.number)


def _relative(path: Path, place: Path) -> str:
    base = place if place.is_dir() else place.parent
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else str(path)


def _candidates(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder that are DICOM by their mark, their first tag or their name; hidden ones are
    not."""
    for root, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            path = Path(root, name)
            if not name.startswith(".") and path.is_file() and _is_candidate(path):
                yield path


def _is_candidate(path: Path) -> bool:
    if path.suffix.lower() in DICOM_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return may_be_dicom(file.read(132))
    except OSError:
        return False


def _listed(directory: Path) -> tuple[list[Path], list[str]]:
    """Return the files that a DICOMDIR lists and that are there, and sentences on those that are not. Raises
    `InputError`."""
    data = read_dataset(directory, pixels=False)
    found, missing = [], []
    with dicom_errors(directory):
        if sop_class(data) != DIRECTORY_CLASS:
            raise InputError(f"{directory.name} is no DICOMDIR.", "Give the folder.")
        records = list(data.get("DirectoryRecordSequence") or ())
        names = [text(record, "ReferencedFileID") for record in records]
    for name in dict.fromkeys(name for name in names if name):
        file = _beside(directory, name)
        if file is None:
            missing.append(f"{name.replace(chr(92), '/')} is listed in {directory.name}, and is not there.")
        else:
            found.append(file)
    return found, missing


def _beside(directory: Path, name: str) -> Path | None:
    """Return the file of a directory record; letters of any case, as a disc may have been copied either way.

    Raises `InputError` for a name that leads out of the folder.
    """
    parts = [part for part in name.split("\\") if part]
    if any(
        part == ".." or "/" in part or PurePosixPath(part).is_absolute() or PureWindowsPath(part).anchor
        for part in parts
    ):
        raise InputError(f"{directory.name} names {name!r}, outside its own folder.", "Give the folder of the images.")
    place = directory.parent
    for part in parts:
        here = place / part
        if len(os.fsencode(part)) > LONGEST_NAME:
            return None
        if not here.exists():
            alike = [p for p in (place.iterdir() if place.is_dir() else ()) if p.name.lower() == part.lower()]
            if not alike:
                return None
            here = alike[0]
        place = here
    return place if place.is_file() else None
