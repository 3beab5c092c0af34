"""Routes of workers for the effect in 3D Slicer on another machine: its frames go in, those of the worker come out.

They are no interface for programs (that are the images and runs), and are not in its description: both ends have to be
of the same version.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from .answers import TheService
from .problems import ServiceProblem, too_large
from .remote_workers import RemoteWorker, RemoteWorkers

router = APIRouter(prefix="/api/v1/workers", include_in_schema=False)

MEDIA_TYPE = "application/octet-stream"
DEFLATE = "deflate"


class WorkerOutput(StreamingResponse):
    """The worker's output, as long as it comes. However it ends, so does the worker."""

    def __init__(self, worker: RemoteWorker, workers: RemoteWorkers) -> None:
        # A proxy that collects an answer before it hands it on would keep the client waiting.
        headers = {"Location": f"{router.prefix}/{worker.id}", "X-Accel-Buffering": "no"}
        super().__init__(worker.records(), status_code=201, headers=headers, media_type=MEDIA_TYPE)
        self._worker = worker
        self._workers = workers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Also when this very task is cancelled, as it is when the client goes or the server ends.
            self._worker.kill()
            await asyncio.shield(self._workers.end(self._worker))


@router.post("")
async def create_worker(service: TheService) -> Response:
    """Start a worker; the answer is its output, and the header Location says where its input goes."""
    return WorkerOutput(await service.workers.start(), service.workers)


@router.post("/{worker_id}/input", status_code=204)
async def send_input(
    worker_id: str,
    request: Request,
    service: TheService,
    offset: Annotated[int, Query(ge=0, le=2**60)],
    content_encoding: Annotated[str, Header(max_length=20)] = "",
) -> Response:
    """Hand the worker bytes, of which the first is number `offset`. An empty body is a sign of life."""
    worker, limits = service.workers.get(worker_id), service.settings.limits
    try:
        body = await asyncio.wait_for(request.body(), limits.stall_seconds)
    except asyncio.TimeoutError as error:
        raise ServiceProblem(
            "The rest of the bytes did not come.", "Send them again.", status=408, code="stalled"
        ) from error
    except ClientDisconnect as error:
        raise ServiceProblem("The client went away.", "Start again.", status=400, code="disconnected") from error
    if content_encoding == DEFLATE:
        body = await asyncio.to_thread(_inflated, body, limits.json_bytes)
    elif content_encoding:
        raise ServiceProblem("This encoding is not taken.", "Send deflate, or none.", status=415, code="encoding")
    await worker.write(offset, body)
    return Response(status_code=204)


def _inflated(body: bytes, limit: int) -> bytes:
    """Return what was compressed. Raises `ServiceProblem` for more than `limit` bytes, and for what cannot be read."""
    unpacking = zlib.decompressobj()
    try:
        found = unpacking.decompress(body, limit + 1)
    except zlib.error as error:
        raise ServiceProblem("The body cannot be unpacked.", "Start again.", status=400, code="encoding") from error
    if len(found) > limit:
        raise too_large(limit)
    if not unpacking.eof or unpacking.unused_data:
        raise ServiceProblem("The body cannot be unpacked.", "Start again.", status=400, code="encoding")
    return found
