"""The files that outputs would write, held against the inputs, each other and what the disk already holds.

A label map brings a list of labels along, a header names files with voxels: what belongs to a file is kept with it.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import InputError, OutputError
from .detached_headers import image_files
from .file_kinds import kind_by_content
from .label_map import sidecar_path


def image_and_companions(path: str | Path) -> tuple[Path, ...]:
    """Return an input file and the files with its voxels. A header that cannot be read stands alone here: the reader
    says why."""
    path = Path(path)
    try:
        return image_files(path) if path.is_file() else (path,)
    except InputError:
        return (path,)


def segmentation_and_companions(path: str | Path) -> tuple[Path, ...]:
    """Return a segmentation that is an input, the files with its voxels, and the list of its labels, be it there or
    not: what is written under that name would be read as its names."""
    return (*image_and_companions(path), sidecar_path(Path(path)))


def check_against_inputs(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise `OutputError` when an output is one of the inputs' files, by whatever name, or a DICOM file of a folder
    that is one."""
    files = list(inputs)
    names = {os.path.realpath(file) for file in files}
    folders = [Path(os.path.realpath(file)) for file in files if file.is_dir()]
    for output in outputs:
        if os.path.realpath(output) in names or any(_same(output, file) for file in files):
            raise _is_input(output)
        if any(Path(os.path.realpath(output)).is_relative_to(folder) for folder in folders) and _is_dicom(output):
            raise _is_input(output)


def check_against_each_other(outputs: Sequence[Path]) -> None:
    """Raise `OutputError` when two outputs, or what belongs to them, would be one file."""
    seen: dict[tuple[str, str], Path] = {}
    for output in outputs:
        # A disk may keep names without their case, or letters and accents taken apart.
        name = unicodedata.normalize("NFC", output.name).casefold()
        place = (os.path.realpath(output.parent), name)
        if place in seen:
            raise OutputError(f"Two of the outputs would be the one file {output}.", "Choose different names.")
        seen[place] = output


def existing(outputs: Iterable[Path]) -> tuple[Path, ...]:
    """Return the outputs that are there already, also as a link that leads nowhere."""
    return tuple(path for path in outputs if os.path.lexists(path))


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _is_dicom(path: Path) -> bool:
    try:
        return path.is_file() and kind_by_content(path) == ".dcm"
    except OSError:
        return False


def _is_input(path: Path) -> OutputError:
    return OutputError(f"{path} is one of the inputs.", "Choose another name, so that it is kept.")
