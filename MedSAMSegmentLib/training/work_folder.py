"""The folder beside the output in which a training keeps what it needs to go on; it is gone when the training is
done."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from ..checkpoints.folder import write_atomically
from ..errors import InputError, OutputError, UsageError

SUFFIX = ".training"
MARKER, KEY = "fine-tuning.txt", "key.txt"
MARKED = "What an unfinished fine-tuning of medsam-segment needs to go on. It may be deleted.\n"


@dataclass(frozen=True)
class WorkFolder:
    path: Path

    @classmethod
    def beside(cls, output: Path) -> WorkFolder:
        return cls(output.with_name(output.name + SUFFIX))

    @property
    def training(self) -> Path:
        return self.path / "training"

    @property
    def validation(self) -> Path:
        return self.path / "validation"

    @property
    def state(self) -> Path:
        return self.path / "state.safetensors"

    @property
    def is_ours(self) -> bool:
        return (self.path / MARKER).is_file()

    def open(self, *, resume: bool, overwrite: bool) -> None:
        """Make the folder, or take the one that is there. Raises `UsageError` where the user has to say which, and
        `OutputError`."""
        if self.path.exists() and not self.is_ours:
            raise OutputError(f"{self.path} is there, and not of a training.", "Choose another name for the output.")
        if self.path.exists() and not resume:
            if not overwrite:
                raise UsageError(
                    f"A training of that name was not finished: {self.path}.",
                    "Give --resume to go on with it, or --overwrite to begin anew.",
                )
            self.remove()
        if not self.path.exists() and resume:
            raise UsageError(f"There is nothing to resume: {self.path} does not exist.", "Leave out --resume.")
        try:
            self.path.mkdir(exist_ok=True)
            (self.path / MARKER).write_text(MARKED, encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{self.path} cannot be made: {error.strerror}.", "Choose another folder.") from error

    def claim(self, key: str) -> None:
        """Note which training the folder is of, or refuse the one of another. Raises `InputError`."""
        file = self.path / KEY
        try:
            known = file.read_text(encoding="utf-8", errors="replace") if file.exists() else key
            if known != key:
                raise InputError(
                    f"{self.path} is of a training with other data or options.",
                    "Give the same ones, or start again with --overwrite in place of --resume.",
                )
            write_atomically(file, key)
        except OSError as error:
            raise OutputError(f"{file} cannot be written: {error.strerror}.", "Choose another folder.") from error

    def remove(self) -> None:
        """Delete the folder, if it is one of ours."""
        if self.is_ours and not self.path.is_symlink():
            shutil.rmtree(self.path, ignore_errors=True)
