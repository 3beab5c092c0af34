"""Answers of the routes: sessions and runs as bodies, errors as problems, and the documentation of both."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import JSONResponse

from ..errors import MedSAMError
from .problems import PROBLEM_TYPE, problem_fields, problem_headers, status_of
from .runs import Run
from .schemas import ProblemAnswer, RunAnswer, SessionAnswer
from .service import Service
from .sessions import ImageSession

ALWAYS = (400, 401, 413, 422, 500)
"""Any request may be turned away so: by its host, token, size or form."""


def service_of(request: Request) -> Service:
    """Return the state of the server that a request has reached."""
    service: Service = request.app.state.service
    return service


TheService = Annotated[Service, Depends(service_of)]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of the errors that a route may answer with, besides those of every route."""
    schema = {"schema": {"$ref": "#/components/schemas/ProblemAnswer"}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {PROBLEM_TYPE: schema}}
        for status in sorted({*ALWAYS, *statuses})
    }


def file_answer(description: str, *media_types: str) -> dict[str, Any]:
    """Return the documentation of an answer of bytes."""
    schema = {"schema": {"type": "string", "format": "binary"}}
    return {"description": description, "content": dict.fromkeys(media_types, schema)}


def problem_response(error: MedSAMError, errors: list[dict[str, str]] | None = None) -> JSONResponse:
    """Return an error as the answer to its request; `errors` are the fields that are wrong."""
    fields = problem_fields(error) if errors is None else {**problem_fields(error), "errors": errors}
    return JSONResponse(fields, status_of(error), headers=problem_headers(error), media_type=PROBLEM_TYPE)


def as_event(kind: str, fields: dict[str, Any]) -> dict[str, str]:
    """Return a server-sent event."""
    return {"event": kind, "data": json.dumps(fields)}


def session_answer(session: ImageSession, service: Service) -> SessionAnswer:
    volume = session.volume
    return SessionAnswer(
        id=session.id,
        kind=volume.kind,
        modality=volume.modality,
        shape_zyx=list(volume.shape_zyx),
        channels=3 if volume.is_rgb else 1,
        spacing_zyx=list(volume.spacing_zyx),
        spacing_known_zyx=list(volume.spacing_known_zyx),
        ijk_to_lps=volume.geometry.ijk_to_lps.tolist(),
        time_series=volume.is_time_series,
        frames=session.frames,
        window=session.window,
        notes=list(volume.notes),
        runs=list(session.runs),
        idle_seconds=service.sessions.idle_seconds(session),
    )


def run_answer(run: Run) -> RunAnswer:
    progress, error = run.progress, run.error
    return RunAnswer(
        id=run.id,
        session=run.session.id,
        state=run.state,
        objects=list(run.order.names),
        progress=None if progress is None else vars(progress),
        problem=None if error is None else ProblemAnswer(**problem_fields(error)),
        seconds=run.seconds,
    )
