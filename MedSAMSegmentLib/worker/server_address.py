"""The address of a server that computes, as a user types or pastes it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, urlsplit

from ..errors import UsageError

CURE = "Enter it as https://NAME:PORT, or paste the line that the server printed."


@dataclass(frozen=True)
class ServerAddress:
    """`address` is scheme, host and port without a path; `token` is "" where none was given along with it."""

    address: str
    token: str = ""

    def __repr__(self) -> str:
        return f"ServerAddress({self.address!r})"


def parse_server(text: str) -> ServerAddress:
    """Return the server that a text names: NAME:PORT, an address, or the line that `medsam-segment serve` prints.

    Raises `UsageError` for what is no address, and for http to another machine: images would travel in the clear.
    """
    words = text.split()
    typed = next((word for word in words if "://" in word), words[0] if len(words) == 1 else "")
    if typed and "://" not in typed:
        host = _split(f"//{typed}").hostname or ""
        typed = f"{'http' if _is_this_machine(host) else 'https'}://{typed}"
    parts = _split(typed)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or not host.isascii():
        raise UsageError("This is no address of a server.", CURE)
    if parts.scheme == "http" and not _is_this_machine(host):
        raise UsageError(
            f"Images must not travel to {host} in the clear.",
            "Use https, or a tunnel to the server that begins on this machine, as ssh -L makes one: http://127.0.0.1.",
        )
    named = f"[{host}]" if ":" in host else host
    port = "" if parts.port is None else f":{parts.port}"
    token = parse_qs(parts.query, max_num_fields=20).get("token", [""])[0]
    return ServerAddress(f"{parts.scheme}://{named}{port}", token)


def _split(text: str) -> SplitResult:
    """Return the parts of an address. Raises `UsageError`."""
    try:
        parts = urlsplit(text)
        # A port that is none is only seen when it is asked for.
        _ = parts.port
    except ValueError as error:
        raise UsageError("This is no address of a server.", CURE) from error
    return parts


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
