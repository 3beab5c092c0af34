"""The folders of the package on the user's machine."""

from __future__ import annotations

import os
from pathlib import Path

MODEL_FOLDER_VARIABLE = "MEDSAM_MODEL_DIR"
"""Environment variable that names the folder of the checkpoints, for offline and shared installations."""


def model_folder() -> Path:
    """Return the folder of the checkpoints: `MEDSAM_MODEL_DIR`, else `models` in the user's cache folder.

    The variable is read at each call. The folder is not created here.
    """
    chosen = os.environ.get(MODEL_FOLDER_VARIABLE, "").strip()
    return Path(chosen).expanduser().absolute() if chosen else default_model_folder()


CACHE_FOLDER_VARIABLE = "MEDSAM_CACHE_DIR"
"""Environment variable that names the folder of what is computed from checkpoints: each user's own."""


def derived_folder() -> Path:
    """Return the folder of what engines derive from checkpoints: `engines` in `MEDSAM_CACHE_DIR`, else in the user's
    cache folder.

    Never in the folder of the checkpoints, which others may write to. ImportError without platformdirs.
    """
    chosen = os.environ.get(CACHE_FOLDER_VARIABLE, "").strip()
    if chosen:
        return Path(chosen).expanduser().absolute() / "engines"
    from platformdirs import user_cache_path

    return user_cache_path("MedSAMSegment", appauthor=False) / "engines"


def default_model_folder() -> Path:
    """Return the folder of the checkpoints of a user who chose none. ImportError without platformdirs."""
    from platformdirs import user_cache_path

    return user_cache_path("MedSAMSegment", appauthor=False) / "models"
