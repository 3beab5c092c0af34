"""Files that are there already are written over with the user's word only."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import Cancelled, OutputError
from ..io.output_files import check_against_each_other, existing
from ..runs.outputs import Outputs


def agree_to_overwrite(files: Sequence[Path], agreed: bool) -> tuple[Path, ...]:
    """Return those of `files` that are there and may be replaced: with `agreed`, or by an answer on the terminal.

    Raises `OutputError` where nobody can be asked, `Cancelled` when the answer is no.
    """
    found = existing(files)
    if not found or agreed:
        return found
    names = ", ".join(map(str, found))
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
        there = "is there already" if len(found) == 1 else "are there already"
        raise OutputError(f"{names} {there}.", "Choose another name, or give --overwrite.")
    print(f"Replace {names}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Cancelled
    return found


def check_all(outputs: Sequence[Outputs], *, overwrite: bool) -> list[Outputs]:
    """Return the outputs of one call, checked against its inputs and one another, with the files that may be replaced.

    Raises `UsageError`, `OutputError`, and `Cancelled` when the user says no.
    """
    for one in outputs:
        one.check()
    files = [file for one in outputs for file in one.files]
    check_against_each_other(files)
    replaced = agree_to_overwrite(files, overwrite)
    return [replace(one, replaced=replaced) for one in outputs]
