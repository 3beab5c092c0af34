"""Which interpreter computes, where models are kept, how long the worker stays: settings of the application."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import slicer

from ..checkpoints.own_models import find_entry, is_own
from ..checkpoints.store import CheckpointStore
from ..errors import MedSAMError
from ..paths import MODEL_FOLDER_VARIABLE
from ..worker.client import WorkerClient
from ..worker.launch import LaunchCommand, worker_command
from ..worker.qprocess_transport import QProcessTransport

INTERPRETER_KEY = "MedSAMSegment/Interpreter"
MODEL_FOLDER_KEY = "MedSAMSegment/ModelFolder"
IDLE_MINUTES_KEY = "MedSAMSegment/IdleMinutes"
DEFAULT_IDLE_MINUTES = 15


def chosen_interpreter() -> str:
    """The path of the Python that computes; that of Slicer where none was chosen."""
    return str(slicer.app.userSettings().value(INTERPRETER_KEY) or sys.executable)


def choose_interpreter(path: str) -> None:
    """An empty path means Slicer's own again."""
    slicer.app.userSettings().setValue(INTERPRETER_KEY, path)


def model_folder_is_fixed() -> bool:
    """Whether the environment says where models are; a choice in the panel would have no effect."""
    return bool(os.environ.get(MODEL_FOLDER_VARIABLE))


def chosen_model_folder() -> Path | None:
    """The folder that the user chose here; None leaves it to the environment and the default."""
    if model_folder_is_fixed():
        return None
    text = str(slicer.app.userSettings().value(MODEL_FOLDER_KEY) or "")
    return Path(text) if text else None


def choose_model_folder(path: str) -> None:
    slicer.app.userSettings().setValue(MODEL_FOLDER_KEY, path)


def model_store() -> CheckpointStore:
    return CheckpointStore(chosen_model_folder(), interpreter=chosen_interpreter())


def is_at_hand(model_id: str) -> bool:
    """Tell whether the weights of a model are in the folder, as they were when their hash was checked."""
    store = model_store()
    try:
        entry = find_entry(model_id, store)
        return is_own(model_id) or store.state(entry) == "ready"
    except MedSAMError:
        return False


def idle_minutes() -> float:
    return float(slicer.app.userSettings().value(IDLE_MINUTES_KEY) or DEFAULT_IDLE_MINUTES)


def worker_environment() -> dict[str, str]:
    """Slicer's environment for its own Python, that from before Slicer's start for another."""
    own = Path(chosen_interpreter()) == Path(sys.executable)
    variables = dict(os.environ) if own else dict(slicer.util.startupEnvironment())
    folder = chosen_model_folder()
    if folder is not None:
        variables[MODEL_FOLDER_VARIABLE] = str(folder)
    return variables


def launch_command() -> LaunchCommand:
    return worker_command(chosen_interpreter(), environment=worker_environment())


def make_client() -> WorkerClient:
    """A client that starts nothing before its first request."""
    return WorkerClient(launch_command, QProcessTransport, idle_seconds=60 * idle_minutes())
