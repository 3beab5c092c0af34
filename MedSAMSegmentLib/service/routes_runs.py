"""Routes of runs: start one on an image, follow it, cancel it, fetch what it found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import FileResponse
from sse_starlette import EventSourceResponse

from ..errors import PromptError
from ..io.write_segmentation import parse_terminologies
from .answers import TheService, as_event, file_answer, problems, run_answer
from .results import MEDIA_TYPES, result_file, result_suffix, run_report
from .runs import Event, Run, RunOrder
from .schemas import AXIS_NUMBERS, RunAnswer, RunBody
from .service import Service
from .sessions import ImageSession

router = APIRouter(prefix="/api/v1", tags=["runs"])

_EVENTS = {
    "description": "Numbered events: progress, then one of done, failed, cancelled",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


@router.post("/sessions/{session_id}/runs", status_code=202, responses=problems(404, 409, 429, 503))
def create_run(session_id: str, body: RunBody, response: Response, service: TheService) -> RunAnswer:
    """Segment objects in 3D. The answer comes at once; follow the run by its events, or ask for it."""
    session = service.sessions.get(session_id)
    run = service.run(session, _order(session, body), model=body.model, window=body.window)
    response.headers["Location"] = f"{router.prefix}/runs/{run.id}"
    return run_answer(run)


@router.get("/runs/{run_id}", responses=problems(404))
def get_run(run_id: str, service: TheService) -> RunAnswer:
    """Tell how far a run is."""
    return run_answer(service.sessions.get_run(run_id))


@router.get("/runs/{run_id}/events", response_class=EventSourceResponse, responses={200: _EVENTS, **problems(404)})
async def get_events(
    run_id: str,
    service: TheService,
    last_event_id: Annotated[int, Header(ge=0, le=2**53, description="go on after this event")] = 0,
) -> EventSourceResponse:
    """Follow a run by server-sent events, from its first on, to its end."""
    run = service.sessions.get_run(run_id)
    return EventSourceResponse(_events(run, last_event_id, service), ping=service.settings.ping_seconds)


@router.post("/runs/{run_id}/cancel", status_code=202, responses=problems(404))
def cancel_run(run_id: str, service: TheService) -> RunAnswer:
    """Ask a run to end; one that is over stays as it is."""
    run = service.sessions.get_run(run_id)
    service.cancel(run)
    return run_answer(run)


@router.get(
    "/runs/{run_id}/result",
    response_class=FileResponse,
    responses={200: file_answer("The masks", *dict.fromkeys(MEDIA_TYPES.values())), **problems(404, 409, 415)},
)
def get_result(
    run_id: str,
    service: TheService,
    format: Annotated[Literal["seg.nrrd", "nii.gz", "npz", "dcm", "rtstruct"], Query()] = "seg.nrrd",
) -> FileResponse:
    """Fetch the masks of a run that is done. `dcm` (SEG) and `rtstruct` need an image that was sent as DICOM."""
    path = result_file(service.sessions.get_run(run_id), format)
    return FileResponse(path, media_type=MEDIA_TYPES[format], filename=f"segmentation.{result_suffix(format)}")


@router.get("/runs/{run_id}/report", responses=problems(404, 409))
def get_report(run_id: str, service: TheService) -> dict[str, Any]:
    """Fetch what went into a run, what computed it, and volume, diameters and scores of each object."""
    return run_report(service.sessions.get_run(run_id), service)


def _order(session: ImageSession, body: RunBody) -> RunOrder:
    axis = AXIS_NUMBERS[body.axis]
    slice_range = None if body.slice_range is None else (body.slice_range[0], body.slice_range[1])
    last = session.volume.shape_zyx[axis] - 1
    if slice_range is not None and not 0 <= slice_range[0] <= slice_range[1] <= last:
        raise PromptError("The range of slices is not in the image.", f"Slices run from 0 to {last}.")
    terminologies = [one.terminology or "" for one in body.objects]
    # Of the codes those at the end may be missing; one in the middle is said as what stands for none.
    while terminologies and not terminologies[-1]:
        terminologies.pop()
    terminologies = [text or "SCT:85756007:Tissue" for text in terminologies]
    parse_terminologies(terminologies, len(body.objects))
    return RunOrder(
        objects=[[prompt.prompt(session.volume.geometry) for prompt in one.prompts] for one in body.objects],
        names=[one.name or f"Segment_{number}" for number, one in enumerate(body.objects, 1)],
        terminologies=terminologies,
        axis=axis,
        slice_range=slice_range,
        direction=body.direction,
        strategy=body.strategy,
        stop=body.stop,
        reading=body.reading,
    )


async def _events(run: Run, last: int, service: Service) -> AsyncIterator[dict[str, str]]:
    """Yield the events of a run after the number `last`, as they come, to its end."""
    loop, news = asyncio.get_running_loop(), asyncio.Event()

    def heard() -> None:
        loop.call_soon_threadsafe(news.set)

    run.listen(heard)
    try:
        while True:
            news.clear()
            # Its state is looked at before the events: what ends it is among them, or it ended before.
            over = run.over
            for event in run.events_after(last):
                last = event.number
                yield _as_sent(event)
            if over:
                return
            await news.wait()
    finally:
        run.unlisten(heard)


def _as_sent(event: Event) -> dict[str, str]:
    return {"id": str(event.number), **as_event(event.kind, event.fields)}
