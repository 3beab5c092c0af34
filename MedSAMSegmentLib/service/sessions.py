"""Images that clients have sent: kept in a folder of their own, deleted with their session, when idle, and at exit."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ..errors import InputError
from ..intensity import range_in_steps, scaling_of, to_uint8
from ..io.volume import Volume
from .problems import ServiceProblem, busy, not_found
from .runs import Run
from .settings import Limits


class ImageSession:
    """An open image: its volume, whose voxels lie on the disk, and the runs on it."""

    def __init__(self, session_id: str, folder: Path, volume: Volume, sha256: str, frames: int) -> None:
        self.id = session_id
        self.folder = folder
        self.volume = volume
        self.sha256 = sha256
        """Of what was sent."""
        self.frames = frames
        self.window = _window_in_words(volume)
        self.runs: dict[str, Run] = {}
        self.removed = False
        self.writing = threading.Lock()

    @property
    def busy(self) -> bool:
        """True while a run of it waits or computes: then it is not idle, whoever asks."""
        return any(not run.over for run in self.runs.values())


def _window_in_words(volume: Volume) -> str:
    """Return what the automatic window is; what is wrong with the values is said by the first request."""
    array, span = volume.array_zyx, (0.0, 0.0)
    for found in range_in_steps(array):
        span = found or span
    with contextlib.suppress(InputError):
        scaling = scaling_of(
            array.dtype, colour=array.ndim == 4, window="auto", modality=volume.modality, value_range=span
        )
        return (scaling or to_uint8(array, "auto", modality=volume.modality)).description
    return ""


class SessionStore:
    """All sessions, for every thread. `clock` gives seconds; `on_removed` hears of each session that is gone."""

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_removed: Callable[[ImageSession], None] = lambda session: None,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._on_removed = on_removed
        self._lock = threading.Lock()
        self._sessions: dict[str, ImageSession] = {}
        self._runs: dict[str, Run] = {}
        self._last_use: dict[str, float] = {}
        self._coming: set[str] = set()
        self.folder = Path(tempfile.mkdtemp(prefix="medsam-service-"))

    def __len__(self) -> int:
        with self._lock:
            return len(self._sessions)

    def reserve(self) -> tuple[str, Path]:
        """Return the id and the folder of a session that is about to be. Raises `ServiceProblem` (429)."""
        self.expire()
        with self._lock:
            if len(self._sessions) + len(self._coming) >= self._limits.sessions:
                raise busy(f"The server holds {self._limits.sessions} images already.", 60)
            session_id = secrets.token_hex(8)
            self._coming.add(session_id)
        folder = self.folder / session_id
        folder.mkdir()
        return session_id, folder

    def give_up(self, session_id: str) -> None:
        """Free what was reserved, unless it has become a session."""
        with self._lock:
            if session_id not in self._coming:
                return
            self._coming.remove(session_id)
        shutil.rmtree(self.folder / session_id, ignore_errors=True)

    def add(self, session: ImageSession) -> None:
        with self._lock:
            self._coming.discard(session.id)
            self._sessions[session.id] = session
            self._last_use[session.id] = self._clock()

    def get(self, session_id: str) -> ImageSession:
        """Return a session, which is in use from now on. Raises `ServiceProblem` (404)."""
        self.expire()
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None:
                raise not_found("session")
            self._last_use[session_id] = self._clock()
            return session

    def idle_seconds(self, session: ImageSession) -> float:
        with self._lock:
            return self._clock() - self._last_use.get(session.id, self._clock())

    def add_run(self, run: Run) -> None:
        """Keep a run; the oldest of its session that is over gives way. Raises `ServiceProblem` (404, 429)."""
        with self._lock:
            session = run.session
            if session.id not in self._sessions:
                raise not_found("session")
            if len(session.runs) >= self._limits.runs:
                oldest = next((old for old in session.runs.values() if old.over), None)
                if oldest is None:
                    raise busy(f"The session has {self._limits.runs} runs already.")
                del session.runs[oldest.id], self._runs[oldest.id]
                for file in session.folder.glob(f"{oldest.id}.*"):
                    file.unlink(missing_ok=True)
            session.runs[run.id] = self._runs[run.id] = run

    def drop_run(self, run: Run) -> None:
        """Forget a run that was not accepted after all."""
        with self._lock:
            run.session.runs.pop(run.id, None)
            self._runs.pop(run.id, None)

    def get_run(self, run_id: str) -> Run:
        """Return a run, whose session is in use from now on. Raises `ServiceProblem` (404)."""
        with self._lock:
            run = self._runs.get(run_id)
        if run is None:
            raise not_found("run")
        self.get(run.session.id)
        return run

    def remove(self, session_id: str) -> None:
        """Delete a session, its files, and end its runs. Raises `ServiceProblem` (404)."""
        with self._lock:
            session = self._sessions.pop(session_id, None)
            if session is None:
                raise not_found("session")
            self._last_use.pop(session_id, None)
            session.removed = True
            for run_id in session.runs:
                self._runs.pop(run_id, None)
            # A run knows its session: without this circle the file of the voxels is closed at once, not whenever
            # Python next looks for circles.
            session.runs = {}
        self._on_removed(session)
        shutil.rmtree(session.folder, ignore_errors=True)

    def expire(self) -> None:
        """Delete the sessions that nobody has used for long."""
        with self._lock:
            now = self._clock()
            for session in self._sessions.values():
                if session.busy:
                    self._last_use[session.id] = now
            old = [key for key, last in self._last_use.items() if now - last > self._limits.idle_seconds]
        for session_id in old:
            # Another thread may have been quicker.
            with contextlib.suppress(ServiceProblem):
                self.remove(session_id)

    def close(self) -> None:
        """Delete everything."""
        with self._lock:
            sessions = list(self._sessions.values())
            self._sessions.clear()
            self._runs.clear()
            self._last_use.clear()
        for session in sessions:
            session.removed = True
            self._on_removed(session)
        shutil.rmtree(self.folder, ignore_errors=True)
