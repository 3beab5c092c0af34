"""Remedies for a checkpoint that cannot be used or fetched: the cures of this layer's errors."""

from __future__ import annotations

from ..errors import DownloadError
from ..registry import ModelEntry


def reinstall_command(entry: ModelEntry) -> str:
    """Return the commands that replace a damaged file."""
    return f"Run: medsam-segment models remove {entry.id}, then: medsam-segment models pull {entry.id}"


def manual_download(entry: ModelEntry) -> str:
    """Say how to get the file without this program's downloader, for the command line and the panel alike."""
    pages = [source.address for source in entry.sources if source.kind != "package"]
    where = f"fetch {entry.file_name} from {' or '.join(pages)}" if pages else f"get {entry.file_name}"
    return f"By hand: {where}, then import that file as {entry.id}."


def all_sources_failed(entry: ModelEntry, failures: list[DownloadError]) -> DownloadError:
    """Return one error for the failures of all sources, the first one's cure and the way by hand."""
    if not failures:
        return DownloadError(f"{entry.title} has no source to download from.", manual_download(entry))
    message = " ".join(failure.message for failure in failures)
    detail = "\n".join(failure.detail for failure in failures if failure.detail)
    return DownloadError(message, f"{failures[0].cure} {manual_download(entry)}", detail)
