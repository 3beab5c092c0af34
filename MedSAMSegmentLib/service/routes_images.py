"""Routes of images: send one, ask for it, delete it, and segment one slice of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import FileResponse
from sse_starlette import EventSourceResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from ..errors import MedSAMError, PromptError
from ..results import SliceResult
from .answers import TheService, as_event, file_answer, problems, session_answer
from .combined import Part, combined_file, remove_combined
from .mask_bits import mask_to_json
from .problems import ServiceProblem, problem_fields
from .results import MEDIA_TYPES, image_file, result_suffix
from .runs import Preview
from .schemas import AXIS_NUMBERS, Axis, MaskBits, PreviewAnswer, PreviewBody, SegmentationBody, SessionAnswer
from .service import Service
from .sessions import ImageSession
from .uploads import Upload, read_upload, receive, suffix_of

router = APIRouter(prefix="/api/v1/sessions", tags=["images"])

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}

EVENT_STREAM = "text/event-stream"

_LOOKS: dict[str, Any] = {
    "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
    "description": "The mask; as events `first_look`, where there is one, then `preview` or `failed`",
}


@router.post("", status_code=201, openapi_extra=_BODY, responses=problems(408, 415, 429))
async def create_session(
    *,
    request: Request,
    response: Response,
    service: TheService,
    name: Annotated[str, Query(max_length=200, description="a file's name, of which the suffix is used")],
    series: Annotated[
        str | None, Query(min_length=1, max_length=80, description="number or UID of a DICOM series")
    ] = None,
    frame: Annotated[int, Query(ge=0, le=100_000, description="of a 4D image")] = 0,
) -> SessionAnswer:
    """Send an image: the bytes of a file, or of a .zip of several, as the body."""
    suffix = suffix_of(name)
    session_id, folder = service.sessions.reserve()
    try:
        try:
            upload = await receive(request.stream(), folder, suffix, service.settings.limits)
        except ClientDisconnect as error:
            raise ServiceProblem(
                "The client went away.", "Send the image again.", status=400, code="disconnected"
            ) from error
        session = await run_in_threadpool(_read, session_id, upload, service, series, frame)
        service.sessions.add(session)
    finally:
        await run_in_threadpool(service.sessions.give_up, session_id)
    response.headers["Location"] = f"{router.prefix}/{session.id}"
    return session_answer(session, service)


@router.get("/{session_id}", responses=problems(404))
def get_session(session_id: str, service: TheService) -> SessionAnswer:
    """Tell what an image is: its grid, its window, and its runs."""
    return session_answer(service.sessions.get(session_id), service)


@router.delete("/{session_id}", status_code=204, responses=problems(404))
def delete_session(session_id: str, service: TheService) -> None:
    """Delete an image with everything that was made of it, and end its runs."""
    service.sessions.remove(session_id)


@router.get(
    "/{session_id}/image.nii.gz",
    response_class=FileResponse,
    responses={200: file_answer("The image on its own grid", "application/gzip"), **problems(404)},
)
def get_image(session_id: str, service: TheService) -> FileResponse:
    """Fetch the image as the server reads it, as NIfTI."""
    return FileResponse(image_file(service.sessions.get(session_id)), media_type="application/gzip")


@router.post(
    "/{session_id}/segmentation",
    response_class=FileResponse,
    responses={200: file_answer("The segments", *dict.fromkeys(MEDIA_TYPES.values())), **problems(404, 409, 415)},
)
def save_segmentation(session_id: str, body: SegmentationBody, service: TheService) -> FileResponse:
    """Fetch the objects of several runs as the segments of one file."""
    session = service.sessions.get(session_id)
    parts = [
        Part(service.sessions.get_run(one.run), one.name, (one.color[0] / 255, one.color[1] / 255, one.color[2] / 255))
        for one in body.segments
    ]
    path = combined_file(session, parts, body.format)
    return FileResponse(
        path,
        media_type=MEDIA_TYPES[body.format],
        filename=f"segmentation.{result_suffix(body.format)}",
        background=BackgroundTask(remove_combined, path),
    )


@router.post(
    "/{session_id}/preview", response_model=PreviewAnswer, responses={200: _LOOKS, **problems(404, 409, 429, 503)}
)
async def preview(
    session_id: str, body: PreviewBody, service: TheService, accept: Annotated[str, Header()] = ""
) -> PreviewAnswer | EventSourceResponse:
    """Segment one object on one slice, and answer with the mask.

    Whoever accepts text/event-stream alone hears at once of what the slice looks like so far, and then of the mask.
    """
    session = service.sessions.get(session_id)
    if accept.partition(";")[0].strip() == EVENT_STREAM:
        loop = asyncio.get_running_loop()
        looks: asyncio.Queue[SliceResult | None] = asyncio.Queue()

        def tell(look: SliceResult | None) -> None:
            # The owner's thread may still speak when the server's loop has ended.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(looks.put_nowait, look)

        job = await run_in_threadpool(_asked, session, body, service, tell)
        job.answer.add_done_callback(lambda _: tell(None))
        return EventSourceResponse(_looks(job, looks, body.axis, service), ping=service.settings.ping_seconds)
    job = await run_in_threadpool(_asked, session, body, service)
    try:
        found = await asyncio.wait_for(asyncio.wrap_future(job.answer), service.settings.limits.preview_seconds)
    except (TimeoutError, asyncio.TimeoutError) as error:
        service.give_up(job)
        raise _slow() from error
    return _preview_answer(found, body.axis)


async def _looks(
    job: Preview, looks: asyncio.Queue[SliceResult | None], axis: Axis, service: Service
) -> AsyncIterator[dict[str, str]]:
    """Yield the first look, where there is one, and the end of a preview: `preview` or `failed`.

    Nobody waits for it any more when the connection closes.
    """
    until = time.monotonic() + service.settings.limits.preview_seconds
    try:
        while (look := await asyncio.wait_for(looks.get(), until - time.monotonic())) is not None:
            yield as_event("first_look", _preview_answer(look, axis).model_dump())
        yield as_event("preview", _preview_answer(job.answer.result(), axis).model_dump())
    except (TimeoutError, asyncio.TimeoutError):
        yield as_event("failed", {"problem": problem_fields(_slow())})
    except MedSAMError as error:
        yield as_event("failed", {"problem": problem_fields(error)})
    finally:
        service.give_up(job)


def _preview_answer(found: SliceResult, axis: Axis) -> PreviewAnswer:
    return PreviewAnswer(
        axis=axis,
        index=found.index,
        score=found.score,
        flags=list(found.flags),
        mask=MaskBits(**mask_to_json(found.mask)),
    )


def _slow() -> ServiceProblem:
    return ServiceProblem(
        "The worker was busy for too long.", "Try again.", status=503, code="slow", headers={"Retry-After": "10"}
    )


def _read(session_id: str, upload: Upload, service: Service, series: str | None, frame: int) -> ImageSession:
    volume, frames = read_upload(upload, service.settings.limits, series=series, frame=frame)
    return ImageSession(session_id, upload.path.parent, volume, upload.sha256, frames)


def _asked(
    session: ImageSession,
    body: PreviewBody,
    service: Service,
    on_first_look: Callable[[SliceResult], None] | None = None,
) -> Preview:
    axis = AXIS_NUMBERS[body.axis]
    slices = session.volume.shape_zyx[axis]
    if body.index >= slices:
        raise PromptError(f"There is no slice {body.index} across {body.axis}.", f"Slices run from 0 to {slices - 1}.")
    prompts = [prompt.prompt(session.volume.geometry) for prompt in body.prompts]
    return service.preview(
        session,
        prompts,
        axis=axis,
        index=body.index,
        model=body.model,
        window=body.window,
        reading=body.reading,
        on_first_look=on_first_look,
    )
