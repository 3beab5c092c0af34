"""The description of the API, held against the running server by schemathesis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import requests
from service_support import TOKEN, WAIT, RunningServer

from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.service.settings import Limits

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
AROUND = Box(i=(5, 15), j=(3, 11), k=(2, 9))

CONFIGURATION = """
seed = 1
max-failures = 20

[warnings]
enabled = false

[generation]
max-examples = 12

[checks.positive_data_acceptance]
# What a schema cannot say: a box that is reversed, a point outside the image, a kind of image.
expected-statuses = ["2xx", "400", "404", "409", "413", "415", "422", "429"]

[[operations]]
include-path = ["/api/v1/sessions/{{session_id}}", "/api/v1/sessions/{{session_id}}/runs",
  "/api/v1/sessions/{{session_id}}/preview", "/api/v1/sessions/{{session_id}}/image.nii.gz",
  "/api/v1/sessions/{{session_id}}/segmentation"]
exclude-method = "DELETE"
parameters = {{ "path.session_id" = "{session}" }}

[[operations]]
include-path = ["/api/v1/runs/{{run_id}}", "/api/v1/runs/{{run_id}}/events", "/api/v1/runs/{{run_id}}/result",
  "/api/v1/runs/{{run_id}}/report", "/api/v1/runs/{{run_id}}/cancel"]
parameters = {{ "path.run_id" = "{run}" }}
"""


def description(server: RunningServer) -> dict:
    return requests.get(f"{server.address}/api/v1/openapi.json", headers=AUTHORIZED, timeout=WAIT).json()


def test_the_description_names_every_route_and_its_errors(server: RunningServer) -> None:
    found = description(server)
    routes = {(path, method) for path, operations in found["paths"].items() for method in operations}
    assert routes == {
        ("/health", "get"),
        ("/ready", "get"),
        ("/api/v1/info", "get"),
        ("/api/v1/sessions", "post"),
        ("/api/v1/sessions/{session_id}", "get"),
        ("/api/v1/sessions/{session_id}", "delete"),
        ("/api/v1/sessions/{session_id}/image.nii.gz", "get"),
        ("/api/v1/sessions/{session_id}/segmentation", "post"),
        ("/api/v1/sessions/{session_id}/preview", "post"),
        ("/api/v1/sessions/{session_id}/runs", "post"),
        ("/api/v1/runs/{run_id}", "get"),
        ("/api/v1/runs/{run_id}/events", "get"),
        ("/api/v1/runs/{run_id}/cancel", "post"),
        ("/api/v1/runs/{run_id}/result", "get"),
        ("/api/v1/runs/{run_id}/report", "get"),
    }
    for path, operations in found["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) == path.startswith("/api/")
            assert operation["description"]
            for status, answer in operation["responses"].items():
                if status >= "400":
                    assert list(answer["content"]) == ["application/problem+json"], (path, status)
    assert "HTTPValidationError" not in json.dumps(found)


def test_schemathesis_finds_nothing(start_server: Callable[..., RunningServer], ct: Path, tmp_path: Path) -> None:
    server = start_server(limits=Limits(sessions=10_000, runs=10_000, queue=10_000))
    with server.client() as client:
        image = client.open(ct)
        run = image.run([AROUND])
        run.wait()
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(CONFIGURATION.format(session=image.id, run=run.id), encoding="utf-8")
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration), "run"),
        *("-H", f"Authorization: Bearer {TOKEN}", f"{server.address}/api/v1/openapi.json"),
    ]
    found = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=1200,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-20_000:] + found.stderr[-5000:]
    assert requests.get(f"{server.address}/ready", timeout=WAIT).ok
    assert server.service.owner.alive
