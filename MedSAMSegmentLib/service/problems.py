"""Errors as `application/problem+json`: code, message and cure, under the status that HTTP has for them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from ..errors import (
    Cancelled,
    CheckpointError,
    InputError,
    MedSAMError,
    MissingCheckpoint,
    ModelError,
    UsageError,
    WorkerError,
)

PROBLEM_TYPE = "application/problem+json"

UNEXPECTED = MedSAMError(
    "The server met an error that it did not expect.", "Try again; if it stays, tell whoever runs the server."
)

_STATUS: tuple[tuple[type[MedSAMError], int], ...] = (
    (UsageError, 400),
    (InputError, 422),
    (Cancelled, 409),
    (MissingCheckpoint, 409),
    (CheckpointError, 503),
    (ModelError, 503),
    (WorkerError, 503),
)


class ServiceProblem(MedSAMError):
    """An answer that is no result: `status` of HTTP, `code` for programs, `headers` to send along."""

    # Its own, so that no error of the worker is taken for one: those are made by their codes.
    code = "service-problem"

    def __init__(
        self,
        message: str,
        cure: str = "",
        detail: str = "",
        *,
        status: int = 500,
        code: str = "service-problem",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, cure, detail)
        self.status = status
        self.problem_code = code
        self.headers = dict(headers or {})


def not_found(what: str) -> ServiceProblem:
    return ServiceProblem(
        f"There is no such {what}.", "It may have been deleted, or have expired.", status=404, code="not-found"
    )


def too_large(limit: int) -> ServiceProblem:
    return ServiceProblem(
        f"The request is larger than {limit / 1e6:g} MB.",
        "Send less, or raise the server's limit.",
        status=413,
        code="too-large",
    )


def busy(message: str, seconds: int = 10) -> ServiceProblem:
    """Return the answer to a request that may be repeated after `seconds`."""
    return ServiceProblem(message, "Try again later.", status=429, code="busy", headers={"Retry-After": str(seconds)})


def status_of(error: MedSAMError) -> int:
    """Return the status of HTTP for an error."""
    if isinstance(error, ServiceProblem):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem_fields(error: MedSAMError) -> dict[str, Any]:
    """Return the body of the answer. An error's detail is for whoever runs the server, and is not in it."""
    status = status_of(error)
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": error.problem_code if isinstance(error, ServiceProblem) else error.code,
        "message": error.message,
        "cure": error.cure,
    }


def problem_headers(error: MedSAMError) -> dict[str, str]:
    """Return the headers of the answer."""
    if isinstance(error, ServiceProblem):
        return error.headers
    return {"Retry-After": "10"} if status_of(error) == 503 else {}
