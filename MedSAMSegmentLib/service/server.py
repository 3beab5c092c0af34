"""The server: one process, one event loop, one socket."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from ..errors import UsageError
from .app import create_app
from .service import Service

MOST_CONNECTIONS = 200
BACKLOG = 128
KEEP_ALIVE_SECONDS = 75
"""A connection without a request is closed after so long. A client that waits for a run comes back on it: one that is
closed at that moment looks like a server that does not answer."""


class _Server(uvicorn.Server):
    """Calls `ready` once it listens. At its end the clients of workers are told, whose connections last else."""

    def __init__(self, config: uvicorn.Config, service: Service, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._service = service
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._service.workers.close()
        await super().shutdown(sockets)


def make_server(service: Service, ready: Callable[[], None] = lambda: None) -> Any:
    """Return the server, for a socket of `listen`. Nothing is logged but errors: addresses hold names and tokens."""
    settings = service.settings
    config = uvicorn.Config(
        create_app(service),
        access_log=False,
        log_level=logging.ERROR,
        server_header=False,
        proxy_headers=False,
        ws="none",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=3,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
    )
    return _Server(config, service, ready)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound; port 0 takes a free one. Raises `UsageError`."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":
                # Elsewhere it would let another program listen on the same port.
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(place)
            bound.listen(BACKLOG)
        except BaseException:
            bound.close()
            raise
    except OSError as error:
        raise UsageError(
            f"The server cannot listen on {host}, port {port}: {error.strerror or error}.",
            "Choose another --port, or 0.",
        ) from error
    return bound


def serve(service: Service, announce: Callable[[str], None]) -> None:
    """Serve until the process is told to end; `announce` gets the address once it is served."""
    settings = service.settings
    try:
        with listen(settings.host, settings.port) as bound:
            address = settings.address(bound.getsockname()[1])
            make_server(service, lambda: announce(address)).run(sockets=[bound])
    finally:
        # Also where it could not listen: its folder is there.
        service.close()
