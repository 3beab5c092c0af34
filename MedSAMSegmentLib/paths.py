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


def default_model_folder() -> Path:
    """Return the folder of the checkpoints of a user who chose none. ImportError without platformdirs."""
    from platformdirs import user_cache_path

    return user_cache_path("MedSAMSegment", appauthor=False) / "models"
