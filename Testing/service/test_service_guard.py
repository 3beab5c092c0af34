"""Who is let in, how much may come, and what every answer carries: hostile requests to a real server."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator

import pytest
import requests
from service_support import BOX, TOKEN, WAIT, RunningServer

from MedSAMSegmentLib.errors import UsageError
from MedSAMSegmentLib.service.client import RemoteImage, ServiceClient, ServiceError
from MedSAMSegmentLib.service.settings import Limits, ServiceSettings

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
PROBLEM_FIELDS = {"type", "title", "status", "code", "message", "cure"}


def problem(answer: requests.Response, status: int, code: str) -> dict:
    """The fields of an answer that must be this problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    fields = answer.json()
    assert set(fields) >= PROBLEM_FIELDS
    assert (fields["status"], fields["code"]) == (status, code)
    assert fields["message"].endswith(".")
    return fields


def a_mask(bits: str) -> dict:
    return {"type": "mask", "axis": "k", "index": 1, "mask": {"rows": 20, "columns": 24, "bits": bits}}


def raw(server: RunningServer, head: str, body: bytes = b"") -> bytes:
    """Send bytes as they are; return the head of the answer, and as much of its body as the head announces."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
        answer = b""
        while part := connection.recv(65536):
            answer += part
            begun, end, rest = answer.partition(b"\r\n\r\n")
            announced = re.search(rb"content-length: (\d+)", begun, re.IGNORECASE)
            if end and len(rest) >= (int(announced[1]) if announced else 0):
                break
        return answer


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer \xff\xfe"},
    ],
)
def test_without_the_token_nothing_is_answered(server: RunningServer, headers: dict[str, str]) -> None:
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    for method, path in (
        ("GET", "/api/v1/info"),
        ("GET", "/api/v1/openapi.json"),
        ("POST", "/api/v1/sessions?name=a.nrrd"),
        ("DELETE", "/api/v1/sessions/x"),
        ("GET", "/api/v1/nothing"),
    ):
        answer = requests.request(method, server.address + path, headers=encoded, timeout=WAIT)
        problem(answer, 401, "token")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in answer.text


def test_a_token_in_the_address_lets_only_reading_in(server: RunningServer) -> None:
    asked = {"token": TOKEN}
    assert requests.get(server.address + "/api/v1/info", params=asked, timeout=WAIT).ok
    problem(requests.get(server.address + "/api/v1/info", params={"token": "no"}, timeout=WAIT), 401, "token")
    sent = requests.post(
        server.address + "/api/v1/sessions", params={**asked, "name": "a.nrrd"}, data=b"x", timeout=WAIT
    )
    problem(sent, 401, "token")


def test_health_needs_no_token_and_tells_nothing(server: RunningServer) -> None:
    assert requests.get(server.address + "/health", timeout=WAIT).json() == {"status": "ok"}
    assert requests.get(server.address + "/ready", timeout=WAIT).json() == {"status": "ready"}


def test_a_server_without_its_model_is_not_ready(
    start_server: Callable[..., RunningServer], monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    server = start_server()
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(tmp_path))
    problem(requests.get(server.address + "/ready", timeout=WAIT), 503, "not-ready")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::2]:80", "localhost@evil.example"])
def test_a_foreign_name_of_the_server_is_refused(server: RunningServer, host: str) -> None:
    """A page of another site that has its own name lead to this machine gets nothing."""
    answer = raw(server, f"GET /health HTTP/1.1\nHost: {host}\nConnection: close")
    assert b" 400 " in answer.split(b"\r\n")[0]
    assert b'"code": "host"' in answer


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "LOCALHOST", "[::1]:8000"])
def test_the_names_of_this_machine_are_taken(server: RunningServer, host: str) -> None:
    assert b" 200 " in raw(server, f"GET /health HTTP/1.1\nHost: {host}\nConnection: close").split(b"\r\n")[0]


def test_every_answer_forbids_what_a_page_could_do_with_it(server: RunningServer) -> None:
    for path in ("/health", "/api/v1/info", "/nothing"):
        headers = requests.get(
            server.address + path, headers={**AUTHORIZED, "Origin": "http://evil.example"}, timeout=WAIT
        ).headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
        assert not [name for name in headers if name.lower().startswith("access-control")]


def test_pages_and_methods_that_do_not_exist_are_problems(server: RunningServer) -> None:
    problem(requests.get(server.address + "/nothing", timeout=WAIT), 404, "not-found")
    answer = requests.put(server.address + "/api/v1/info", headers=AUTHORIZED, timeout=WAIT)
    problem(answer, 405, "method")
    assert answer.headers["allow"] == "GET"
    answer = requests.put(server.address + "/api/v1/sessions/any", headers=AUTHORIZED, timeout=WAIT)
    problem(answer, 405, "method")
    assert answer.headers["allow"] == "DELETE, GET"


@pytest.mark.parametrize("length", [str(10**10), "9" * 400])
def test_a_body_that_says_it_is_huge_is_refused_before_it_comes(server: RunningServer, length: str) -> None:
    head = f"POST /api/v1/sessions?name=a.nrrd HTTP/1.1\nHost: localhost\nAuthorization: Bearer {TOKEN}\n"
    first = raw(server, head + f"Content-Length: {length}\nConnection: close").split(b"\r\n")[0]
    # A number of hundreds of digits is no length at all for the parser of HTTP.
    assert b" 413 " in first or b" 400 " in first
    assert not list(server.service.sessions.folder.iterdir())


def _chunks(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield b"x" * 100_000


def test_a_body_that_does_not_say_how_long_it_is_ends_at_the_limit(
    start_server: Callable[..., RunningServer],
) -> None:
    server = start_server(limits=Limits(upload_bytes=250_000, json_bytes=150_000))
    for path, count in (("/api/v1/sessions?name=a.nrrd", 5), ("/api/v1/sessions/x/runs", 3)):
        headers = {**AUTHORIZED, "Content-Type": "application/json"}
        answer = requests.post(server.address + path, headers=headers, data=_chunks(count), timeout=WAIT)
        assert problem(answer, 413, "too-large")["message"].startswith("The request is larger than 0.")
    assert not list(server.service.sessions.folder.iterdir())


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b'{"a": ' + b"9" * 5000 + b"}", 400),
        (b"\xff\xfe{}", 400),
        (b"null", 422),
        (b"[]", 422),
        (b'"text"', 422),
        (b'{"objects": []}', 422),
        (b'{"objects": [{"prompts": []}]}', 422),
        (b'{"objects": [{"prompts": [{"type": "circle"}]}]}', 422),
        (b'{"objects": [{"prompts": [{"type": "point", "position": [NaN, 1, 1]}]}]}', 422),
        (b'{"objects": [{"prompts": [{"type": "point", "position": [1e400, 1, 1]}]}]}', 422),
        (b'{"objects": [{"prompts": [{"type": "point", "position": ["1", 1, 1]}]}]}', 422),
        (b'{"objects": [{"prompts": [{"type": "point", "position": [1, 1]}]}]}', 422),
        (b'{"objects": [{"prompts": [{"type": "point", "position": [1, 1, 1], "extra": 1}]}]}', 422),
        (b'{"objects": [{"prompts": [{"type": "point", "position": [99, 1, 1]}]}]}', 422),
        (b'{"objects": [{"prompts": [{"type": "box", "lower": [9, 9, 9], "upper": [1, 1, 1]}]}]}', 422),
        (b'{"objects": [{"prompts": [{"type": "box", "lower": [0.5, 0, 0], "upper": [9, 9, 9]}]}]}', 422),
        (b'{"objects": [{"name": "\\ud800", "prompts": [{"type": "point", "position": [1, 1, 1]}]}]}', 422),
        (b'{"objects": [{"name": "a\\nb", "prompts": [{"type": "point", "position": [1, 1, 1]}]}]}', 422),
    ],
)  # fmt: skip
def test_bodies_that_are_none_are_refused_with_a_reason(
    server: RunningServer, image: RemoteImage, body: bytes, status: int
) -> None:
    headers = {**AUTHORIZED, "Content-Type": "application/json"}
    answer = requests.post(f"{server.address}{image.path}/runs", headers=headers, data=body, timeout=WAIT)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) >= PROBLEM_FIELDS
    assert not server.service.sessions.get(image.id).runs


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"axis": "z"}, "axis"),
        ({"axis": 0}, "axis"),
        ({"stop": "yes"}, "stop"),
        ({"reading": 3}, "reading"),
        ({"reading": True}, "reading"),
        ({"slice_range": [1]}, "slice_range"),
        ({"slice_range": [1.5, 2]}, "slice_range"),
        ({"direction": "left"}, "direction"),
        ({"weights": "/etc/passwd"}, "weights"),
        ({"device": "cuda"}, "device"),
    ],
)
def test_a_wrong_or_unknown_field_is_named(server: RunningServer, image: RemoteImage, change: dict, field: str) -> None:
    body = {"objects": [{"prompts": [BOX]}], **change}
    answer = requests.post(f"{server.address}{image.path}/runs", headers=AUTHORIZED, json=body, timeout=WAIT)
    errors = problem(answer, 422, "request")["errors"]
    assert any(f"body.{field}" in error["field"] for error in errors)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"slice_range": [5, 2]}, 422, "prompt"),
        ({"slice_range": [0, 12]}, 422, "prompt"),
        ({"model": "no_such_model"}, 400, "usage"),
        ({"model": "../../etc/passwd"}, 400, "usage"),
        ({"model": "medsam2_recist"}, 409, "checkpoint-missing"),
        ({"window": "bright"}, 400, "usage"),
        ({"objects": [{"prompts": [BOX], "terminology": "SCT:1"}]}, 400, "usage"),
        ({"objects": [{"prompts": [a_mask("AA==")]}]}, 422, "prompt"),
        ({"objects": [{"prompts": [a_mask("?")]}]}, 422, "prompt"),
    ],
)
def test_what_cannot_be_computed_is_said_at_once(
    server: RunningServer, image: RemoteImage, change: dict, status: int, code: str
) -> None:
    body = {"objects": [{"prompts": [BOX]}], **change}
    answer = requests.post(f"{server.address}{image.path}/runs", headers=AUTHORIZED, json=body, timeout=WAIT)
    problem(answer, status, code)


def test_the_client_speaks_with_the_errors_of_the_library(server: RunningServer, image: RemoteImage) -> None:
    with server.client() as client, pytest.raises(UsageError, match="no model named 'nothing'"):
        client.request("POST", f"{image.path}/runs", json={"objects": [{"prompts": [BOX]}], "model": "nothing"})
    with server.client("another-token-than-that") as client, pytest.raises(ServiceError, match="token") as caught:
        client.info()
    assert (caught.value.status, caught.value.problem) == (401, "token")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_other_machines_need_tls_or_a_proxy(host: str) -> None:
    with pytest.raises(UsageError, match="others could read images"):
        ServiceSettings(host=host)
    assert not ServiceSettings(host=host, behind_proxy=True).is_local


def test_this_machine_needs_neither() -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.0.0.9"):
        made = ServiceSettings(host=host)
        assert made.is_local
        assert len(made.token) >= 32
        assert made.token not in repr(made)
    assert ServiceSettings().token != ServiceSettings().token


@pytest.mark.parametrize("token", ["", "short", "x" * 15, "\u00fc" * 20, "with\nbreaks-and-more"])
def test_a_token_that_could_be_guessed_or_not_be_sent_is_refused(token: str) -> None:
    with pytest.raises(UsageError, match="token"):
        ServiceSettings(token=token)


def test_a_certificate_needs_its_key(tmp_path) -> None:
    (tmp_path / "a.pem").write_text("x")
    with pytest.raises(UsageError, match="certificate and its key"):
        ServiceSettings(certificate=tmp_path / "a.pem")
    with pytest.raises(UsageError, match="does not exist"):
        ServiceSettings(certificate=tmp_path / "a.pem", key=tmp_path / "b.pem")


def test_the_client_needs_no_server_to_say_that_there_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        ServiceClient(f"http://127.0.0.1:{port}", TOKEN, timeout=5) as client,
        pytest.raises(Exception, match="does not answer"),
    ):
        client.info()
