"""The command that starts a worker: interpreter, arguments, environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import WorkerError
from ..threads import set_passive_wait_policy
from .launcher import without_launcher

BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
LIBRARY_FOLDER = Path(__file__).parents[2]

ADDRESS_VARIABLE = "MEDSAM_SERVER_ADDRESS"
TOKEN_VARIABLE = "MEDSAM_SERVER_TOKEN"
"""The token is no argument: those of a process can be seen by every user of the machine."""

SERVER_GRACE_SECONDS = 15.0
"""A cancel is on its way behind what was sent before."""

OWN_PREFIX = "MEDSAM_"
FOREIGN_VARIABLES = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__")
"""What Slicer sets for its own Python and what would break another one."""


@dataclass(frozen=True)
class LaunchCommand:
    """A program, its arguments and its whole environment."""

    program: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    grace_seconds: float | None = None
    """How long a request that is cancelled may take to stop; None leaves that to the client."""

    @property
    def identity(self) -> tuple[str, tuple[str, ...], dict[str, str]]:
        """Return what a worker is started for: program, arguments, and our own variables of its environment.

        Slicer's modules change other variables at any time, which is no reason to start anew.
        """
        ours = {name: value for name, value in self.environment.items() if name.startswith(OWN_PREFIX)}
        return self.program, self.arguments, ours


def worker_command(
    interpreter: str | Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    script: Path = BOOTSTRAP,
) -> LaunchCommand:
    """Return the command that starts a worker.

    `interpreter` is this one's by default (in Slicer: the one behind PythonSlicer). For another, the variables that
    belong to this Python are removed; inside Slicer give `slicer.util.startupEnvironment()` as `environment`, so that
    the foreign interpreter does not load Slicer's libraries. The library is found through an argument, not a variable.
    Raises `WorkerError` when there is no such program.
    """
    program = str(interpreter or sys.executable)
    if not program or not Path(program).is_file():
        raise WorkerError(
            f"There is no Python interpreter at {program or '(nowhere)'}.",
            "Choose an existing Python 3.10 or later in the settings.",
        )
    variables = dict(os.environ if environment is None else environment)
    if Path(program) == Path(sys.executable):
        program = without_launcher(program, variables)
    else:
        variables = foreign_environment(variables)
    variables.update(PYTHONUTF8="1", PYTHONNOUSERSITE="1")
    set_passive_wait_policy(variables)
    return LaunchCommand(program, ("-s", str(script), str(LIBRARY_FOLDER), *options), variables)


def server_command(address: str, token: str, *, environment: Mapping[str, str] | None = None) -> LaunchCommand:
    """Return the command that stands for a worker on the server at `address`; see `bridge`. Raises `WorkerError`."""
    command = worker_command(environment=environment, options=("--server",))
    variables = {**command.environment, ADDRESS_VARIABLE: address, TOKEN_VARIABLE: token}
    return replace(command, environment=variables, grace_seconds=SERVER_GRACE_SECONDS)


def foreign_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what belongs to this process's Python."""
    return {name: value for name, value in variables.items() if name.upper() not in FOREIGN_VARIABLES}
