"""The routes of the viewer: its page, images of this machine, and objects of several runs in one file."""

from __future__ import annotations

import importlib.util
import re
import tempfile
import time
import webbrowser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from service_support import BOX, WAIT, RunningServer, a_block, write_image

from MedSAMSegmentLib.cli import main
from MedSAMSegmentLib.io.read_segmentation import read_segmentation
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.service.client import RemoteImage, RemoteRun, ServiceError
from MedSAMSegmentLib.service.local_images import open_local
from MedSAMSegmentLib.service.routes_viewer import FILES, PAGE

UPPER_HALF = Box(i=(5, 15), j=(3, 6), k=(2, 9))
WHOLE = Box(i=(5, 15), j=(3, 11), k=(2, 9))


def get(server: RunningServer, path: str) -> requests.Response:
    return requests.get(server.address + path, timeout=WAIT, allow_redirects=False)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "reason"),
    [
        (("nothing.nrrd",), 3, "nothing.nrrd does not exist"),
        (("note.txt",), 3, "note.txt"),
        (("--model", "nothing"), 2, "no model named"),
        (("--port", "99999"), 2, "no port 99999"),
        (("block.nrrd", "--frame", "3"), 2, "There is no frame 3"),
    ],
)
def test_a_viewer_that_cannot_be_is_refused_before_a_browser_is_opened(
    *,
    arguments: tuple[str, ...],
    exit_code: int,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    Path("note.txt").write_text("no image", encoding="utf-8")
    write_image(tmp_path / "block.nrrd", a_block())
    assert main(["view", "--offline", *arguments]) == exit_code
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert reason in line
    assert opened == []
    assert not list((tmp_path / "temporary").iterdir())


def test_without_the_extra_one_sentence_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "uvicorn" else found(name, *more)
    )
    assert main(["view"]) == 2
    assert 'pip install "MedSAMSegmentLib[service]"' in capsys.readouterr().err


def test_the_page_needs_no_token_and_lets_nothing_foreign_in(server: RunningServer) -> None:
    for address, (file, media_type) in FILES.items():
        answer = get(server, f"/viewer/{address}")
        assert answer.status_code == 200
        assert answer.content == (PAGE / file).read_bytes()
        assert answer.headers["Content-Type"] == media_type
        # One policy: two would both have to allow a thing, and a browser would say so.
        policy = answer.raw.headers.getlist("Content-Security-Policy")
        assert len(policy) == 1
        assert "default-src 'none'" in policy[0]
        assert "unsafe" not in policy[0]
    assert get(server, "/").headers["Location"] == "/viewer/"
    assert {path.name for path in PAGE.iterdir()} == {file for file, _ in FILES.values()}


@pytest.mark.parametrize("path", ["/viewer/../app.py", "/viewer/%2e%2e/app.py", "/viewer/..%2fapp.py", "/viewer/x.js"])
def test_nothing_else_is_served_beside_it(path: str, server: RunningServer) -> None:
    prepared = requests.Request("GET", server.address).prepare()
    prepared.url = server.address + path
    answer = requests.Session().send(prepared, timeout=WAIT)
    assert answer.status_code == 404
    assert answer.json()["code"] == "not-found"


def test_an_image_of_this_machine_is_open_as_if_it_had_been_sent(
    server: RunningServer, block_file: Path, image: RemoteImage
) -> None:
    local = open_local(server.service, block_file)
    with server.client() as client:
        facts: dict[str, Any] = client.request("GET", f"/api/v1/sessions/{local.id}").json()
        same = ("shape_zyx", "ijk_to_lps", "window", "spacing_zyx")
        assert {name: facts[name] for name in same} == {name: image.facts[name] for name in same}
        assert local.sha256 == server.service.sessions.get(image.id).sha256
        RemoteImage(client, facts).delete()
    assert block_file.is_file()


def save(image: RemoteImage, *segments: dict[str, Any], kind: str = "seg.nrrd") -> bytes:
    body = {"format": kind, "segments": list(segments)}
    return bytes(image._client.request("POST", f"{image.path}/segmentation", json=body).content)


def segment(run: RemoteRun | str, name: str, color: tuple[int, int, int] = (255, 0, 51)) -> dict[str, Any]:
    return {"run": run if isinstance(run, str) else run.id, "name": name, "color": list(color)}


def test_objects_of_several_runs_are_one_file(server: RunningServer, image: RemoteImage, tmp_path: Path) -> None:
    runs = [image.run([box]) for box in (WHOLE, UPPER_HALF)]
    for run in runs:
        run.wait()
    path = tmp_path / "both.seg.nrrd"
    path.write_bytes(save(image, segment(runs[0], "all"), segment(runs[1], "half", (0, 102, 255))))
    first, second = read_segmentation(path).segments
    assert (first.name, second.name) == ("all", "half")
    block = a_block() > 0
    half = block.copy()
    half[:, 7:] = False
    assert np.array_equal(first.mask_zyx, block)
    assert np.array_equal(second.mask_zyx, half)
    colours = re.findall(rb"Segment\d_Color:=([\d. ]+)", path.read_bytes())
    assert [[float(value) for value in one.split()] for one in colours] == [[1, 0, 0.2], [0, 0.4, 1]]
    # What was sent is not kept.
    folder = server.service.sessions.get(image.id).folder
    deadline = time.monotonic() + WAIT
    while list(folder.glob("saved-*")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_cannot_be_saved_is_said(server: RunningServer, image: RemoteImage, tmp_path: Path) -> None:
    run = image.run([WHOLE])
    run.wait()
    with pytest.raises(ServiceError) as refused:
        save(image, segment(run, "all"), kind="dcm")
    assert (refused.value.status, refused.value.problem) == (415, "result-kind")
    with pytest.raises(ServiceError) as refused:
        save(image, segment("0123456789abcdef", "all"))
    assert refused.value.status == 404
    with server.client() as client, client.open(write_image(tmp_path / "other.nrrd", a_block())) as other:
        with pytest.raises(ServiceError) as refused:
            save(other, segment(run, "all"))
        assert refused.value.status == 404


def test_a_run_that_goes_on_cannot_be_saved(start_server: Any, block_file: Path) -> None:
    server = start_server("slow")
    with server.client() as client, client.open(block_file) as image:
        body = {"objects": [{"prompts": [BOX]}]}
        run = client.request("POST", f"{image.path}/runs", json=body).json()["id"]
        client.request("POST", f"/api/v1/runs/{run}/cancel")
        with pytest.raises(ServiceError) as refused:
            save(image, segment(run, "all"))
        assert (refused.value.status, refused.value.problem) == (409, "not-done")
