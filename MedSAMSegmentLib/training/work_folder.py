"""The folder beside the output in which a training keeps what it needs to go on; it is gone when the training is
done."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..checkpoints.folder import write_atomically
from ..errors import Cancelled, InputError, OutputError, UsageError
from .store import INDEX

SUFFIX = ".training"
MARKER, KEY, LOCK = "fine-tuning.txt", "key.txt", "running.lock"
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

    @property
    def has_work(self) -> bool:
        """True when anything was computed that a training could go on from."""
        return self.state.exists() or any((side / INDEX).exists() for side in (self.training, self.validation))

    @contextlib.contextmanager
    def held(self, *, resume: bool, overwrite: bool) -> Iterator[None]:
        """Make the folder, or take the one that is there, and let no other training into it meanwhile.

        An error before anything was computed leaves no folder, and neither does the end after `clear`. Raises
        `UsageError` where another training runs or the user has to say what becomes of an unfinished one, and
        `OutputError`.
        """
        from filelock import FileLock, Timeout

        if self.path.exists() and not self.is_ours:
            raise OutputError(f"{self.path} is there, and not of a training.", "Choose another name for the output.")
        if not self.path.exists() and resume:
            raise UsageError(f"There is nothing to resume: {self.path} does not exist.", "Leave out --resume.")
        lock = FileLock(self.path / LOCK, timeout=0)
        try:
            self.path.mkdir(exist_ok=True)
            (self.path / MARKER).write_text(MARKED, encoding="utf-8")
            lock.acquire()
        except Timeout as error:
            raise UsageError(
                f"A training of that name is running already, in {self.path}.",
                "Wait for it or stop it by Ctrl+C there, or choose another name for the output.",
            ) from error
        except OSError as error:
            raise OutputError(f"{self.path} cannot be made: {error.strerror}.", "Choose another folder.") from error
        try:
            self._begin(resume=resume, overwrite=overwrite)
            yield
        except (Cancelled, KeyboardInterrupt):
            # Whoever stops a training is told that --resume goes on.
            lock.release()
            raise
        finally:
            if lock.is_locked:
                self._leave(lock.release)

    def _begin(self, *, resume: bool, overwrite: bool) -> None:
        if resume:
            return
        if self.has_work and not overwrite:
            raise UsageError(
                f"A training of that name was not finished: {self.path}.",
                "Give --resume to go on with it, or --overwrite to begin anew.",
            )
        self.clear()

    def _leave(self, release: Callable[[], object]) -> None:
        """Release the lock, the folder deleted if there is nothing in it to go on from."""
        if self.has_work or self.path.is_symlink():
            release()
            return
        with contextlib.suppress(OSError):
            self.clear()
        # Before the release, so that it is never another training's; where an open file cannot be deleted, the
        # release deletes the lock's.
        for name in (LOCK, MARKER):
            with contextlib.suppress(OSError):
                (self.path / name).unlink()
        release()
        with contextlib.suppress(OSError):
            self.path.rmdir()

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

    def clear(self) -> None:
        """Delete all that was computed, if the folder is one of ours; its mark and its lock stay."""
        if not self.is_ours or self.path.is_symlink():
            return
        for entry in self.path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name not in (MARKER, LOCK):
                with contextlib.suppress(OSError):
                    entry.unlink()
