"""Images that the one who starts a server names: read from where they lie, and open before the first request.

Paths come from the command line alone, never from a request.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..io.read_volume import read_volume
from ..io.report import volume_digest
from .service import Service
from .sessions import ImageSession


def open_local(
    service: Service,
    path: str | Path,
    *,
    series: str | None = None,
    spacing: Sequence[float] | None = None,
    frame: int = 0,
) -> ImageSession:
    """Return the session of an image of this machine, which stays as it is; of a 4D one of a frame.

    Raises `MedSAMError`.
    """
    read = read_volume(path, series=series, spacing=spacing)
    volume = read.frame(frame) if frame or read.frames_tzyx is not None else read
    session_id, folder = service.sessions.reserve()
    session = ImageSession(session_id, folder, volume, volume_digest(read), read.frame_count)
    service.sessions.add(session)
    return session
