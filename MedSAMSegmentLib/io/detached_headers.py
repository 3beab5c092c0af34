"""Image files with detached headers: a header may name other files that hold its voxels.

A header is content, and may come from anywhere: it must not lead the reader to a file outside its own folder. What it
names is therefore checked before anything but the header is opened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from ..errors import InputError
from .file_kinds import file_kind

MAX_HEADER = 1 << 24
MAX_FILES = 1 << 16

# Found anywhere, so that no reading of a line differs from the reader's own.
_META_NAME = re.compile(r"ElementDataFile[^\S\r\n]*[=:]?[^\S\r\n]*([^\r\n]*)", re.IGNORECASE)
_META_END = re.compile(r"^ElementDataFile\s*=", re.MULTILINE)
_NRRD_NAME = re.compile(
    r"^[^\S\r\n]*data[^\S\r\n]*file[^\S\r\n]*:(?!=)[^\S\r\n]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE
)
_NRRD_END = re.compile(r"\n\r?\n")
_LIST = re.compile(r"LIST(\s+\d+)?")
"""The word of both formats for names on the lines after it."""

_NUMBERED = re.compile(r"[^%]*%\d{0,2}d[^%]*")
_SHOWN = 100
"""Letters of a name that a message repeats."""


def image_files(path: str | Path) -> tuple[Path, ...]:
    """Return the file itself and those that belong to it: what a header of MetaImage or NRRD names, a NIfTI's other
    half.

    Raises `InputError` when a header names a file outside its folder, or something that is not a file.
    """
    path = Path(path)
    return (path, *(file for file in _named_files(path) if file.exists()))


def require_data_files(path: str | Path) -> None:
    """Raise `InputError` when a header names files that are not there, or as `image_files` does."""
    path = Path(path)
    missing = [file.name for file in _named_files(path) if not file.exists()]
    if missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise InputError(
            f"{path.name} takes its voxels from {shown}, which {'is' if len(missing) == 1 else 'are'} not there.",
            "Copy all files of the image into one folder.",
        )


def _named_files(path: Path) -> list[Path]:
    """Return the other files of an image, be they there or not."""
    kind = _kind(path)
    if kind in (".hdr", ".img"):
        return list(_paired_file(path))
    named = _NAMED.get(kind)
    return [] if named is None else list(dict.fromkeys(_inside(path, name) for name in _names(path, named)))


def _kind(path: Path) -> str:
    try:
        return file_kind(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error


def _paired_file(path: Path) -> Iterator[Path]:
    wanted = (".img", ".img.gz") if path.suffix.lower() == ".hdr" else (".hdr",)
    for suffix in wanted:
        for spelled in (suffix, suffix.upper()):
            if path.with_suffix(spelled).is_file():
                yield path.with_suffix(spelled)
                return
    yield path.with_suffix(wanted[0])


def _names(path: Path, named: Callable[[str, Path], Iterator[tuple[str, str]]]) -> Iterator[str]:
    """Yield the names of data files in a header, lists and numbered patterns unfolded."""
    for value, rest in named(header_text(path), path):
        if value.startswith("LIST"):
            # One reader takes every name that begins so for the word, another one only the word itself.
            yield from (line.strip() for line in rest.splitlines() if line.strip())
            if not _LIST.fullmatch(value):
                yield value
        elif "%" in value:
            yield from _numbered(value.split(), path)
        elif value:
            yield value


def header_text(path: Path) -> str:
    """Return the first bytes of a header, each as one letter. Raises `InputError`."""
    try:
        with path.open("rb") as file:
            # This encoding keeps every byte, so that names can be turned back into the bytes that they are.
            return file.read(MAX_HEADER).decode("latin-1")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error


def _metaimage_names(text: str, path: Path) -> Iterator[tuple[str, str]]:
    """Yield each value of ElementDataFile, with the lines after it."""
    if not _META_END.search(text):
        raise InputError(f"{path.name} cannot be read as an image.", "Export it again.", "no ElementDataFile")
    for found in _META_NAME.finditer(text):
        value = found[1].strip()
        if value.lower() != "local":
            yield value, text[found.end() :]


def _nrrd_names(text: str, path: Path) -> Iterator[tuple[str, str]]:
    """Yield each value of "data file", with the lines after it."""
    end = _NRRD_END.search(text)
    if end is None and len(text) == MAX_HEADER:
        raise InputError(f"The header of {path.name} has no end.", "Export it again.")
    for found in _NRRD_NAME.finditer(text[: end.start()] if end else text):
        yield found[1].strip(), text[found.end() :]


_NAMED = {
    **dict.fromkeys((".mhd", ".mha"), _metaimage_names),
    **dict.fromkeys((".nhdr", ".nrrd", ".seg.nrrd"), _nrrd_names),
}


def _numbered(words: list[str], path: Path) -> Iterator[str]:
    """Yield the names of a pattern such as "slice%03d.raw 1 20 1"; where its end is not stated, the first and those of
    the others that exist."""
    pattern, *numbers = words
    if not _NUMBERED.fullmatch(pattern) or not all(re.fullmatch(r"-?\d{1,6}", number) for number in numbers[:3]):
        raise InputError(f"{path.name} names its data files in a way that is not known.", "Save it as one file.")
    first, last, step = (int(number) for number in (*numbers, *("1", str(MAX_FILES), "1")[len(numbers) :])[:3])
    if step == 0 or abs(last - first) > MAX_FILES:
        raise InputError(f"{path.name} names too many data files.", "Save it as one file.")
    yield pattern % first
    for number in range(first + step, last + (1 if step > 0 else -1), step):
        if len(numbers) > 1 or (path.parent / (pattern % number)).exists():
            yield pattern % number


def _inside(header: Path, written: str) -> Path:
    """Return the path of a data file that lies in the header's folder. Raises `InputError` for any other."""
    name = _as_stored(written)
    parts = (*PurePosixPath(name).parts, *PureWindowsPath(name).parts)
    data = header.parent / name
    away = PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor or ".." in parts or "\0" in name
    if away or not data.resolve().is_relative_to(header.parent.resolve()):
        raise InputError(
            f"{header.name} takes its voxels from {name!r}, outside its own folder: that was not opened.",
            "Put both into one folder, and name the file alone in the header.",
        )
    try:
        no_file = data.exists() and not data.is_file()
    except OSError:  # a name that is too long for one
        no_file = True
    if no_file:
        raise InputError(
            f"{header.name} takes its voxels from {name[:200]!r}, which is not a file.", "Export it again."
        )
    return data


def _as_stored(name: str) -> str:
    try:
        return name.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return name
