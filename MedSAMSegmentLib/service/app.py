"""The application: routes, errors and documentation around one `Service`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from ..errors import MedSAMError
from ..version import __version__
from . import routes_images, routes_runs, routes_server, routes_viewer, routes_workers
from .answers import problem_response
from .guard import API, Guard, TooLarge
from .problems import ServiceProblem, not_found
from .schemas import ProblemAnswer
from .service import Service

EXPIRY_SECONDS = 5.0
"""Sessions are looked through so often, so that they expire when nobody asks for anything too."""

MOST_NAMED = 20


def create_app(service: Service) -> FastAPI:
    """Return the application. Its start starts the service, its end closes it: all images are deleted."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        expiry = asyncio.create_task(_expire(service))
        try:
            yield
        finally:
            expiry.cancel()
            await service.workers.close()
            await asyncio.to_thread(service.close)

    # Pages of documentation that fetch their scripts from another host are not served.
    app = FastAPI(
        title="MedSAMSegment",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{API}v1/openapi.json",
        redirect_slashes=False,
    )
    app.state.service = service
    for routes in (routes_server, routes_images, routes_runs, routes_workers, routes_viewer):
        app.include_router(routes.router)
    app.include_router(routes_server.health)
    app.add_exception_handler(MedSAMError, _medsam_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    if service.settings.gradio:
        from .gradio_page import mount

        mount(app, service)
    app.add_middleware(Guard, settings=service.settings)
    app.openapi = lambda: _openapi(app)
    return app


async def _expire(service: Service) -> None:
    while True:
        await asyncio.sleep(EXPIRY_SECONDS)
        await asyncio.to_thread(service.sessions.expire)
        service.workers.expire()


async def _medsam_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MedSAMError)
    return problem_response(error)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error, TooLarge):
        return problem_response(error.problem)
    if error.status_code == 404:
        return problem_response(not_found("page"))
    if error.status_code == 405:
        problem = ServiceProblem("This is not done here.", "See the API's description.", status=405, code="method")
        # Of an address that the description leaves out the framework's word has to do.
        problem.headers.update(error.headers or {})
        if described := _methods_of(request):
            problem.headers["Allow"] = ", ".join(described)
    else:
        problem = ServiceProblem(
            "The request cannot be read.", "Send JSON in UTF-8.", status=error.status_code, code="request"
        )
        problem.headers.update(error.headers or {})
    return problem_response(problem)


def _methods_of(request: Request) -> list[str]:
    """Return the methods of the request's address; the framework names those of the first route that fits alone."""
    described = request.app.openapi()["paths"].items()
    fitting = [operations for path, operations in described if compile_path(path)[0].match(request.url.path)]
    return sorted({method.upper() for operations in fitting for method in operations})


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """Say which fields are wrong, without repeating what was sent."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    errors = [
        {"field": ".".join(str(part)[:60] for part in one["loc"])[:300], "message": str(one["msg"])[:300]}
        for one in found[:MOST_NAMED]
    ]
    broken = any(one["type"] == "json_invalid" for one in found)
    said = f"{errors[0]['field']}: {errors[0]['message']}." if errors else "The request is not as described."
    problem = ServiceProblem(said, "See the API's description.", status=400 if broken else 422, code="request")
    return problem_response(problem, errors)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Return the description of the API, with the problem that every error is, and the token that it needs."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        components = schema.setdefault("components", {})
        problem = ProblemAnswer.model_json_schema(ref_template="#/components/schemas/{model}")
        components.setdefault("schemas", {})["ProblemAnswer"] = problem
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in schema["paths"].items():
            if path.startswith(API):
                for operation in operations.values():
                    operation["security"] = [{"token": []}]
        app.openapi_schema = schema
    return app.openapi_schema
