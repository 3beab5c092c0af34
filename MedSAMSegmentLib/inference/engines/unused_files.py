"""Old files in the folder of what engines derive from weights: of earlier releases, other precisions or processors.

Each release of this library and of OpenVINO derives its own. What nothing has used for a while is deleted, so that the
folder does not grow by the size of a model with every update; losing a file costs some seconds, never correctness.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from .base import EngineFiles
from .sealed_files import seal_path

DAYS = 14
"""Long enough for two releases that are used in turn to leave each other's files alone."""


def touch_files(*paths: Path) -> None:
    """Set the time of the last use. A file's age is the time since it was last read. Where it cannot be set, that since
    it was written."""
    for path in paths:
        for file in (path, seal_path(path)):
            with contextlib.suppress(OSError):
                os.utime(file)


def remove_unused(files: EngineFiles) -> None:
    """Delete what was derived from a model's weights and not used for `DAYS`. A file that cannot be is left."""
    if files.folder is None or not files.weights_sha256:
        return
    oldest = time.time() - DAYS * 24 * 3600
    with contextlib.suppress(OSError):
        for path in files.folder.iterdir():
            with contextlib.suppress(OSError):  # Windows: a worker still looks into it
                if path.name.startswith(files.weights_stem) and path.lstat().st_mtime < oldest:
                    path.unlink()
