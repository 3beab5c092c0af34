"""The settings of the application: what computes, where models are kept, how long the worker stays."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import slicer

from ..checkpoints.custom_models import find_entry, is_custom
from ..checkpoints.store import CheckpointStore
from ..errors import MedSAMError
from ..paths import MODEL_FOLDER_VARIABLE
from ..registry import ModelEntry
from ..worker.client import WorkerClient
from ..worker.launch import LaunchCommand, server_command, worker_command
from ..worker.memory import available_bytes
from ..worker.qprocess_transport import QProcessTransport
from .server_settings import Server, chosen_server, server_models

INTERPRETER_KEY = "MedSAMSegment/Interpreter"
MODEL_FOLDER_KEY = "MedSAMSegment/ModelFolder"
IDLE_MINUTES_KEY = "MedSAMSegment/IdleMinutes"
DEFAULT_IDLE_MINUTES = 15

FOLLOWED_PREFIXES = ("MEDSAM_", "PIP_", "PYTORCH_")
"""Variables of this package, of pip (which fetches weights that a Python package holds), and of PyTorch."""

FOLLOWED_VARIABLES = frozenset(
    (
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"),
        *("OMP_NUM_THREADS", "MKL_NUM_THREADS"),
    )
)
"""Network, certificates, the choice of a GPU and the number of threads, in capitals; proxies are set in small letters
too. PATH, LD_LIBRARY_PATH, QT_* and the like are left out: Slicer changes those for its own libraries."""


def chosen_interpreter() -> str:
    """The path of the Python that computes; that of Slicer where none was chosen."""
    return str(slicer.app.userSettings().value(INTERPRETER_KEY) or sys.executable)


def choose_interpreter(path: str) -> None:
    """An empty path means Slicer's own again."""
    slicer.app.userSettings().setValue(INTERPRETER_KEY, path)


def model_folder_is_fixed() -> bool:
    """Return whether the environment says where models are; a choice in the panel would have no effect."""
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
    """Tell whether the weights of a model are where it would run: here as they were when their hash was checked."""
    if chosen_server() is not None:
        return any(entry.id == model_id and state == "ready" for entry, state in server_models())
    store = model_store()
    try:
        entry = find_entry(model_id, store)
        return is_custom(model_id) or store.state(entry) == "ready"
    except MedSAMError:
        return False


def known_entry(model_id: str) -> ModelEntry:
    """Return what is known of a model where it would run. Raises `UsageError`, `CheckpointError`."""
    if chosen_server() is not None:
        for entry, _state in server_models():
            if entry.id == model_id:
                return entry
    return find_entry(model_id, model_store())


def free_memory() -> int | None:
    """Return the bytes that are free where it computes; None where that is not known, as of a server."""
    return available_bytes() if chosen_server() is None else None


def idle_minutes() -> float:
    return float(slicer.app.userSettings().value(IDLE_MINUTES_KEY) or DEFAULT_IDLE_MINUTES)


def worker_environment() -> dict[str, str]:
    """Return the whole environment of a child process.

    Slicer's own Python gets Slicer's environment. Another gets that from before Slicer's start, without the folders of
    Slicer's libraries, and of today's (`.slicerrc.py` and the Python console change it) what `followed` names. Either
    is told the model folder that the panel shows.
    """
    if Path(chosen_interpreter()) == Path(sys.executable):
        variables = dict(os.environ)
    else:
        variables = followed(slicer.util.startupEnvironment(), os.environ, slicer.app.slicerHome)
    # The default folder is unknown until platformdirs is installed.
    with contextlib.suppress(ImportError):
        variables[MODEL_FOLDER_VARIABLE] = str(model_store().folder)
    return variables


def followed(start: Mapping[str, str], now: Mapping[str, str], slicer_home: str) -> dict[str, str]:
    """Return the environment `start`, in which the variables that are followed are as they are `now`.

    A variable removed since is removed here too. One that names a file of Slicer itself counts as unchanged: the
    launcher points SSL_CERT_FILE at the certificates that Slicer brings, which say nothing of the user's network.
    """
    own = {name for name, value in now.items() if _is_inside(value, slicer_home)}
    kept = {name: value for name, value in start.items() if name in own or not _is_followed(name)}
    later = {name: value for name, value in now.items() if name not in own and _is_followed(name)}
    return kept | later


def _is_followed(name: str) -> bool:
    return name.upper() in FOLLOWED_VARIABLES or name.upper().startswith(FOLLOWED_PREFIXES)


def _is_inside(value: str, folder: str) -> bool:
    return bool(folder) and Path(value).is_relative_to(folder)


def launch_command() -> LaunchCommand:
    """Return the command for the place that is chosen now."""
    server = chosen_server()
    return local_command() if server is None else way_to_server(server)


def local_command() -> LaunchCommand:
    return worker_command(chosen_interpreter(), environment=worker_environment())


def way_to_server(server: Server) -> LaunchCommand:
    """Return the command for a worker on a server. Slicer's own Python carries the frames, whichever computes here."""
    return server_command(server.address, server.token, environment=os.environ)


def make_client() -> WorkerClient:
    """A client that starts nothing before its first request."""
    return WorkerClient(launch_command, QProcessTransport, idle_seconds=60 * idle_minutes())
