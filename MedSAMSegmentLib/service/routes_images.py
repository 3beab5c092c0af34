"""Routes of images: send one, ask for it, delete it, and segment one slice of it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from ..errors import PromptError
from ..results import SliceResult
from .answers import TheService, file_answer, problems, session_answer
from .combined import Part, combined_file, remove_combined
from .mask_bits import mask_to_json
from .problems import ServiceProblem
from .results import MEDIA_TYPES, image_file, result_suffix
from .runs import Preview
from .schemas import AXIS_NUMBERS, MaskBits, PreviewAnswer, PreviewBody, SegmentationBody, SessionAnswer
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


@router.post("/{session_id}/preview", responses=problems(404, 409, 429, 503))
async def preview(session_id: str, body: PreviewBody, service: TheService) -> PreviewAnswer:
    """Segment one object on one slice, and answer with the mask."""
    job = await run_in_threadpool(_asked, service.sessions.get(session_id), body, service)
    try:
        result: SliceResult = await asyncio.wait_for(
            asyncio.wrap_future(job.answer), service.settings.limits.preview_seconds
        )
    except (TimeoutError, asyncio.TimeoutError) as error:
        service.give_up(job)
        raise ServiceProblem(
            "The worker was busy for too long.", "Try again.", status=503, code="slow", headers={"Retry-After": "10"}
        ) from error
    return PreviewAnswer(
        axis=body.axis,
        index=result.index,
        score=result.score,
        flags=list(result.flags),
        mask=MaskBits(**mask_to_json(result.mask)),
    )


def _read(session_id: str, upload: Upload, service: Service, series: str | None, frame: int) -> ImageSession:
    volume, frames = read_upload(upload, service.settings.limits, series=series, frame=frame)
    return ImageSession(session_id, upload.path.parent, volume, upload.sha256, frames)


def _asked(session: ImageSession, body: PreviewBody, service: Service) -> Preview:
    axis = AXIS_NUMBERS[body.axis]
    slices = session.volume.shape_zyx[axis]
    if body.index >= slices:
        raise PromptError(f"There is no slice {body.index} across {body.axis}.", f"Slices run from 0 to {slices - 1}.")
    prompts = [prompt.prompt(session.volume.geometry) for prompt in body.prompts]
    return service.preview(
        session, prompts, axis=axis, index=body.index, model=body.model, window=body.window, reading=body.reading
    )
