"""Settings of a server: who may ask, how much, and what computes."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UsageError

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")

LEAST_TOKEN = 16
"""Characters: a shorter token could be guessed."""

MEGABYTE = 1_000_000
HIGHEST_PORT = 65535


@dataclass(frozen=True)
class Limits:
    """Bounds that hold for every request and for the server as a whole."""

    upload_bytes: int = 1000 * MEGABYTE
    """Of the body of an image that is sent."""
    unpacked_bytes: int = 4000 * MEGABYTE
    """Of all files in a zip archive, and of the voxels of an image."""
    zip_files: int = 20_000
    json_bytes: int = 8 * MEGABYTE
    """Of the body of any other request."""
    sessions: int = 16
    queue: int = 16
    """Previews and runs that wait for the worker; the one that it computes is not counted."""
    workers: int = 4
    """Processes at a time for the effect in 3D Slicer on other machines; 0 lends none."""
    runs: int = 50
    """Runs that a session keeps; the oldest that is over gives way."""
    idle_seconds: float = 3600.0
    """After so long without a request a session is deleted with its image, and a client's worker is ended."""
    preview_seconds: float = 120.0
    """A preview that has no answer after so long is given up."""
    stall_seconds: float = 60.0
    """An upload of which nothing arrives for so long is given up, and a worker's client that says nothing."""


@dataclass(frozen=True)
class ComputeSettings:
    """The model that is used where a request names none, and the options of loading any of them."""

    model: str = "lite_medsam"
    device: str = "auto"
    precision: str = "auto"
    engine: str = "auto"

    @property
    def loading(self) -> dict[str, Any]:
        return {"device": self.device, "precision": self.precision, "engine": self.engine}


@dataclass(frozen=True)
class ServiceSettings:
    """Everything a server is started with. `trusted_hosts` are names besides loopback's under which it is called.

    Raises `UsageError` for an address that others can reach without TLS, a port that is none, and a token that could be
    guessed.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    certificate: Path | None = None
    key: Path | None = None
    behind_proxy: bool = False
    trusted_hosts: Sequence[str] = ()
    limits: Limits = Limits()
    compute: ComputeSettings = ComputeSettings()
    ping_seconds: float = 15.0
    gradio: bool = False
    """Also serve Gradio's page."""

    def __post_init__(self) -> None:
        if len(self.token) < LEAST_TOKEN or not self.token.isascii() or not self.token.isprintable():
            raise UsageError(
                f"The token is shorter than {LEAST_TOKEN} characters, or has others than those of a keyboard.",
                "Use a longer one, or leave it out: one is made at each start.",
            )
        if not 0 <= self.port <= HIGHEST_PORT:
            # The system would take the remainder for a port.
            raise UsageError(f"There is no port {self.port}.", f"Use one up to {HIGHEST_PORT}, or 0 for a free one.")
        if (self.certificate is None) != (self.key is None):
            raise UsageError("TLS needs a certificate and its key.", "Give --tls-cert and --tls-key.")
        for file in (self.certificate, self.key):
            if file is not None and not file.is_file():
                raise UsageError(f"{file} does not exist.", "Check the path.")
        if not self.is_local and self.certificate is None and not self.behind_proxy:
            raise UsageError(
                f"Under {self.host} others could read images on their way.",
                "Give --tls-cert and --tls-key, or --behind-proxy if a proxy does the encryption; or leave --host out.",
            )

    @property
    def is_local(self) -> bool:
        """True when only this machine can reach the server."""
        if self.host in LOOPBACK_NAMES:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def known_hosts(self) -> frozenset[str]:
        """The names that a request may call the server by, in lower case and without a port."""
        anywhere = self.host in ("0.0.0.0", "::")
        names = (*LOOPBACK_NAMES, *self.trusted_hosts, *(() if anywhere else (self.host,)))
        return frozenset(name.lower().strip("[]") for name in names)

    def address(self, port: int) -> str:
        """Return the address to call the server by, where it listens on `port`."""
        named = self.trusted_hosts[0] if self.trusted_hosts else self.host
        host = f"[{named}]" if ":" in named else named
        return f"{'https' if self.certificate else 'http'}://{host}:{port}"
