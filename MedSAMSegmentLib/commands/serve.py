"""`medsam-segment serve`: the engine over HTTP."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..checkpoints.custom_models import find_entry, is_custom
from ..checkpoints.store import CheckpointStore
from ..errors import UsageError
from .opening import fetch_weights
from .progress import say

if TYPE_CHECKING:
    from ..service.settings import ServiceSettings

TOKEN_VARIABLE = "MEDSAM_SERVICE_TOKEN"
"""Environment variable that holds the token, for containers and services of the system."""

NEEDED = ("fastapi", "uvicorn", "sse_starlette")
NEEDED_BY_GRADIO = ("gradio", "gradio_image_annotation")

GOODBYE = "Images are deleted with their session, when nobody uses them, and at the end. Ctrl+C ends the server."


def run(options: argparse.Namespace) -> None:
    require_packages()
    if options.gradio:
        require_packages(NEEDED_BY_GRADIO, "The page made with Gradio", "service,gradio")
    from ..service.server import serve
    from ..service.service import Service

    given = _given_token(options)
    settings = _settings(options, given or secrets.token_urlsafe(24))
    require_model(options)

    def announce(address: str) -> None:
        # A token that was given is known already, and need not be in anybody's log.
        print(f"Serving on {address}/api/v1/info" + ("" if given else f"?token={settings.token}"), flush=True)
        if options.gradio:
            print(f"Gradio's page is {address}/gradio/" + ("" if given else f"?token={settings.token}"), flush=True)
        say(GOODBYE, options.quiet)

    # Ctrl+C is how it is meant to end.
    with contextlib.suppress(KeyboardInterrupt):
        serve(Service(settings, prepare=True), announce)


def require_packages(names: Sequence[str] = NEEDED, what: str = "The server", extras: str = "service") -> None:
    """Raise `UsageError` where packages that `what` needs are missing; `extras` bring them."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{what} needs packages that are not installed ({', '.join(missing)}).",
            f'Install them: pip install "MedSAMSegmentLib[{extras}]".',
        )


def require_model(options: argparse.Namespace) -> None:
    """Fetch the weights of the model, unless that is forbidden.

    Raises `MedSAMError`: an unknown model is said now, not to the first client.
    """
    find_entry(options.model, CheckpointStore())
    if not options.offline and not is_custom(options.model):
        fetch_weights(options.model, options.quiet)


def _given_token(options: argparse.Namespace) -> str:
    """Return the token of the file or of the environment, "" where there is none. Raises `UsageError`."""
    if not options.token_file:
        return os.environ.get(TOKEN_VARIABLE, "").strip()
    try:
        token = Path(options.token_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{options.token_file} cannot be read.", "Check the path.") from error
    if not token:
        raise UsageError(f"{options.token_file} is empty.", "Write the token into it.")
    return token


def _settings(options: argparse.Namespace, token: str) -> ServiceSettings:
    from ..service.settings import MEGABYTE, ComputeSettings, Limits, ServiceSettings

    for name in ("max_upload", "max_sessions", "max_queue", "idle_minutes"):
        if not getattr(options, name) > 0:
            raise UsageError(f"--{name.replace('_', '-')} must be above zero.", "Leave it out for the default.")
    if options.max_workers < 0:
        raise UsageError("--max-workers must not be below zero.", "Use 0 to lend none.")
    return ServiceSettings(
        host=options.host,
        port=options.port,
        token=token,
        certificate=Path(options.tls_cert) if options.tls_cert else None,
        key=Path(options.tls_key) if options.tls_key else None,
        behind_proxy=options.behind_proxy,
        trusted_hosts=tuple(options.trusted_host),
        limits=Limits(
            upload_bytes=options.max_upload * MEGABYTE,
            unpacked_bytes=4 * options.max_upload * MEGABYTE,
            sessions=options.max_sessions,
            queue=options.max_queue,
            workers=options.max_workers,
            idle_seconds=60 * options.idle_minutes,
        ),
        compute=ComputeSettings(options.model, options.device, options.precision, options.engine),
        gradio=options.gradio,
    )
