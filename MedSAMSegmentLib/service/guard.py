"""The outermost layer: who may ask, how much may come, and what every answer carries.

Plain ASGI, so that bodies and events pass as they come.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException

from ..errors import MedSAMError
from .problems import PROBLEM_TYPE, UNEXPECTED, ServiceProblem, problem_fields, problem_headers, status_of, too_large
from .settings import ServiceSettings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

API = "/api/"
UPLOADS = "/api/v1/sessions"
GRADIO = "/gradio"
GRADIO_UPLOADS = "/gradio/gradio_api/upload"
COOKIE = "medsam_gradio"

POLICY = b"content-security-policy"

SECURITY_HEADERS = (
    (POLICY, b"default-src 'self'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)

GRADIO_POLICY = (
    b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self'; "
    b"form-action 'self'; frame-ancestors 'none'"
)
"""Gradio's page is made of scripts that stand in it; from another host it gets nothing all the same."""

_log = logging.getLogger(__name__)


class TooLarge(HTTPException):
    """Raised where a body is read; the handler of `HTTPException` turns it into the problem."""

    def __init__(self, limit: int) -> None:
        super().__init__(413)
        self.problem = too_large(limit)


class Guard:
    """Lets a request through that calls the server by a known name, has the token, and is not too large."""

    def __init__(self, app: App, settings: ServiceSettings) -> None:
        self._app = app
        self._hosts = settings.known_hosts
        self._token = settings.token.encode()
        # What the browser keeps opens Gradio's page, and not the interface for programs.
        self._pass = hmac.new(self._token, b"gradio", "sha256").hexdigest().encode()
        self._limits = settings.limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            # There are no web sockets here; the server closes them.
            return
        started = False

        async def send_on(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                own = list(message.get("headers", ()))
                if _is_gradio(scope):
                    # It would let other pages of this machine read its answers.
                    own = [(name, value) for name, value in own if not name.startswith(b"access-control-")]
                    own.append((POLICY, GRADIO_POLICY))
                # The viewer's page states a policy of its own.
                stated = {name for name, _ in own if name == POLICY}
                message["headers"] = [*own, *(header for header in SECURITY_HEADERS if header[0] not in stated)]
            await send(message)

        try:
            limit = self._checked(scope)
        except ServiceProblem as error:
            await _send_problem(error, send_on)
            return
        if scope["path"] in (GRADIO, f"{GRADIO}/") and b"token=" in scope.get("query_string", b""):
            await self._admit(scope, send_on)
            return
        try:
            await self._app(scope, _limited(receive, limit), send_on)
        except Exception as error:  # noqa: BLE001 - the last boundary: nothing of it may reach a log or a client
            # A trace may hold names of files, and so of patients: the place and the type say enough.
            _log.error("unexpected %s at %s", type(error).__name__, _place(error))
            if started:
                raise ConnectionAbortedError from None
            await _send_problem(UNEXPECTED, send_on)

    def _checked(self, scope: Scope) -> int:
        """Return how large the body may be. Raises `ServiceProblem` for a request that is turned away."""
        headers = {name.lower(): value for name, value in scope["headers"]}
        if _host_name(headers.get(b"host", b"")) not in self._hosts:
            raise ServiceProblem(
                "This is not the server's name.",
                "Use its address, or start it with --trusted-host.",
                status=400,
                code="host",
            )
        gradio = _is_gradio(scope)
        allowed = self._has_token(scope, headers) or (gradio and self._has_pass(scope, headers))
        if (scope["path"].startswith(API) or gradio) and not allowed:
            raise ServiceProblem(
                "The token is missing or wrong.",
                "Send the header 'Authorization: Bearer TOKEN' with the token that the server printed.",
                status=401,
                code="token",
                headers={"WWW-Authenticate": "Bearer"},
            )
        is_upload = scope["path"] in (UPLOADS, GRADIO_UPLOADS)
        limit = self._limits.upload_bytes if is_upload else self._limits.json_bytes
        announced = headers.get(b"content-length", b"")
        # Longer numbers than any size are too large too, and are not worth converting.
        if announced.isdigit() and (len(announced) > 18 or int(announced) > limit):
            raise too_large(limit)
        return limit

    def _has_token(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer":
            return hmac.compare_digest(given.strip(), self._token)
        if scope["method"] not in ("GET", "HEAD"):
            return False
        # A browser can send no header with an address or a stream of events.
        query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"), max_num_fields=50))
        return hmac.compare_digest(query.get("token", "").encode(), self._token)

    def _has_pass(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        """Return whether a browser shows what `_admit` gave it, from the page itself.

        A page at another port of this host would have it sent along, too.
        """
        origin = headers.get(b"origin")
        if origin is not None and origin.partition(b"://")[2] != headers.get(b"host"):
            return False
        if headers.get(b"sec-fetch-site", b"same-origin") not in (b"same-origin", b"none"):
            return False
        kept = SimpleCookie()
        with contextlib.suppress(CookieError):
            kept.load(headers.get(b"cookie", b"").decode("latin-1"))
        shown = kept[COOKIE].value if COOKIE in kept else ""
        return hmac.compare_digest(shown.encode(), self._pass)

    async def _admit(self, scope: Scope, send: Send) -> None:
        """Let the browser keep a pass, and take the token out of its address."""
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        cookie = f"{COOKIE}={self._pass.decode()}; Path={GRADIO}; HttpOnly; SameSite=Strict{secure}"
        headers = [(b"location", f"{GRADIO}/".encode()), (b"set-cookie", cookie.encode()), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _is_gradio(scope: Scope) -> bool:
    return scope["path"] == GRADIO or scope["path"].startswith(GRADIO + "/")


def _limited(receive: Receive, limit: int) -> Receive:
    """Return `receive` that ends a body which is larger than it said, or did not say."""
    received = 0

    async def receive_on() -> Message:
        nonlocal received
        message = await receive()
        if message["type"] == "http.request":
            received += len(message.get("body", b""))
            if received > limit:
                raise TooLarge(limit)
        return message

    return receive_on


def _host_name(value: bytes) -> str:
    """Return the name in a Host header, without its port, in lower case."""
    text = value.decode("latin-1").lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"


async def _send_problem(error: MedSAMError, send: Send) -> None:
    body = json.dumps(problem_fields(error)).encode()
    headers = [(b"content-type", PROBLEM_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem_headers(error).items()]
    await send({"type": "http.response.start", "status": status_of(error), "headers": headers})
    await send({"type": "http.response.body", "body": body})
