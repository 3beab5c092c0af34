"""Gradio's page on the service: behind the same guard, silent towards other hosts, and open to `gradio_client`."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from PIL import Image
from service_support import STAND_IN, TOKEN, WAIT, RunningServer, served, settings

from MedSAMSegmentLib.cli import main
from MedSAMSegmentLib.errors import PromptError
from MedSAMSegmentLib.service.gradio_page import asked_for
from MedSAMSegmentLib.service.guard import COOKIE
from MedSAMSegmentLib.service.service import Service
from MedSAMSegmentLib.service.settings import Limits
from MedSAMSegmentLib.worker.launch import worker_command

sys.path.append(str(Path(__file__).parents[1] / "viewer"))
from browser import Browser, executable

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
BOX = {"xmin": 5, "ymin": 3, "xmax": 15, "ymax": 11}


def a_picture() -> np.ndarray:
    """Rows and columns of 20 x 24, black but for a block of 6 x 8."""
    pixels = np.zeros((20, 24), np.uint8)
    pixels[4:10, 6:14] = 100
    return pixels


def require_gradio() -> None:
    for name in ("gradio", "gradio_image_annotation"):
        pytest.importorskip(name, reason="the extra gradio is not installed")


@pytest.fixture(scope="module")
def page(lite_checkpoint: Path) -> Iterator[RunningServer]:
    require_gradio()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDSAM_MODEL_DIR", str(lite_checkpoint.parent))
        command = partial(worker_command, script=STAND_IN)
        with served(Service(settings(gradio=True), command=command)) as started:
            yield started


def test_what_was_drawn_becomes_boxes_within_the_picture() -> None:
    pixels = np.zeros((20, 24, 3), np.uint8)
    pixels[0, 0] = 9
    drawn = [BOX, {"xmin": 30, "ymin": 25, "xmax": -4, "ymax": 18, "label": "lesion"}]
    found, boxes, names = asked_for({"image": pixels, "boxes": drawn})
    np.testing.assert_array_equal(found, pixels)
    assert [(box.i, box.j, box.k) for box in boxes] == [((5, 15), (3, 11), (0, 0)), ((0, 23), (18, 19), (0, 0))]
    assert names == ["Segment_1", "lesion"]
    turned, boxes, _ = asked_for({"image": pixels, "boxes": [BOX], "orientation": 1})
    assert turned.shape == (24, 20, 3)
    assert turned[0, 19].tolist() == [9, 9, 9], "clockwise"
    assert boxes[0].i == (5, 15)


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        (None, "no picture"),
        ({}, "no picture"),
        ({"image": np.zeros((2, 2, 3), np.uint8), "boxes": []}, "no box"),
        ({"image": "drawing.svg", "boxes": [BOX]}, "SVG"),
    ],
)
def test_what_cannot_be_segmented_is_said(drawn: dict | None, words: str) -> None:
    with pytest.raises(PromptError, match=words):
        asked_for(drawn)


def test_without_the_extra_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["serve", "--gradio", "--offline"]) == 2
    said = capsys.readouterr().err
    assert 'pip install "MedSAMSegmentLib[service,gradio]"' in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("path", ["/gradio/", "/gradio/config", "/gradio/gradio_api/info", "/gradio/nothing"])
def test_the_page_needs_the_token(page: RunningServer, path: str) -> None:
    for given in ({}, {"Authorization": "Bearer wrong-token-of-some-length"}, {"Cookie": f"{COOKIE}={TOKEN}"}):
        answer = requests.get(page.address + path, headers=given, timeout=WAIT)
        assert (answer.status_code, answer.json()["code"]) == (401, "token"), given
    wrong = requests.get(page.address + path, params={"token": "wrong-token-of-some-length"}, timeout=WAIT)
    assert wrong.status_code == 401
    assert "Set-Cookie" not in wrong.headers
    assert requests.get(page.address + path, headers=AUTHORIZED, timeout=WAIT).status_code != 401
    host = requests.get(page.address + path, headers={**AUTHORIZED, "Host": "evil.example"}, timeout=WAIT)
    assert host.status_code == 400


def test_the_address_with_the_token_admits_a_browser_to_this_page_alone(page: RunningServer) -> None:
    answer = requests.get(f"{page.address}/gradio/?token={TOKEN}", allow_redirects=False, timeout=WAIT)
    assert (answer.status_code, answer.headers["location"]) == (303, "/gradio/")
    kept = answer.headers["set-cookie"]
    assert TOKEN not in kept
    assert all(word in kept for word in ("Path=/gradio", "HttpOnly", "SameSite=Strict"))
    cookie = {"Cookie": kept.partition(";")[0]}
    assert requests.get(f"{page.address}/gradio/", headers=cookie, timeout=WAIT).ok
    assert requests.get(f"{page.address}/api/v1/info", headers=cookie, timeout=WAIT).status_code == 401
    join = f"{page.address}/gradio/gradio_api/queue/join"
    for origin in ("http://evil.example", "http://127.0.0.1:1", "null"):
        answer = requests.post(join, json={}, headers={**cookie, "Origin": origin}, timeout=WAIT)
        assert answer.status_code == 401, origin
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    elsewhere = {**cookie, "Sec-Fetch-Site": "same-site"}
    assert requests.post(join, json={}, headers=elsewhere, timeout=WAIT).status_code == 401
    own = requests.post(join, json={}, headers={**cookie, "Origin": page.address}, timeout=WAIT)
    assert own.status_code == 422
    assert not [name for name in own.headers if name.lower().startswith("access-control")]


def test_the_page_asks_no_other_host_for_anything(page: RunningServer) -> None:
    answer = requests.get(f"{page.address}/gradio/", headers=AUTHORIZED, timeout=WAIT)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self' ")
    assert "http" not in policy
    assert "*" not in policy
    theme = requests.get(f"{page.address}/gradio/theme.css", headers=AUTHORIZED, timeout=WAIT).text
    assert answer.ok
    assert "system-ui" in theme
    asked = re.findall(r"""<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=["']([^"']+)""", answer.text)
    asked += re.findall(r"""(?:url\(|@import\s+)["']?([^"')]+)""", answer.text + theme)
    assert asked
    away = {urlsplit(one).netloc for one in asked} - {"", urlsplit(page.address).netloc}
    assert away == set()


def test_gradio_client_gets_the_mask_of_each_box(
    page: RunningServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    gradio_client = pytest.importorskip("gradio_client")
    Image.fromarray(a_picture()).save(tmp_path / "DOE^JANE.png")
    folder = tmp_path / "answers"
    client = gradio_client.Client(
        f"{page.address}/gradio/", headers=AUTHORIZED, verbose=False, download_files=folder, analytics_enabled=False
    )
    picture = {"path": None, **gradio_client.handle_file(tmp_path / "DOE^JANE.png")}
    boxes = [{**BOX, "label": "whole"}, {**BOX, "xmax": 9}]
    found = client.predict({"image": picture, "boxes": boxes}, api_name="/segment")
    assert [one["label"] for one in found["annotations"]] == ["whole", "Segment_2"]
    whole, half = (np.array(Image.open(one["image"]).convert("RGBA"))[..., 3] > 0 for one in found["annotations"])
    np.testing.assert_array_equal(whole, a_picture() > 0)
    expected = a_picture() > 0
    expected[:, 10:] = False
    np.testing.assert_array_equal(half, expected)
    assert len(page.service.sessions) == 0
    away = {**picture, "path": "http://127.0.0.1:9/picture.png", "url": "http://127.0.0.1:9/picture.png"}
    with pytest.raises(Exception, match="fetches no pictures"):
        client.predict({"image": away, "boxes": boxes}, api_name="/segment")
    with pytest.raises(Exception, match="no box"):
        client.predict({"image": picture, "boxes": []}, api_name="/segment")
    (tmp_path / "DOE^JANE broken.png").write_bytes(b"no picture")
    broken = gradio_client.handle_file(tmp_path / "DOE^JANE broken.png")
    with pytest.raises(Exception, match=r"cannot be read\. Export it again\.$"):
        client.predict({"image": broken, "boxes": boxes}, api_name="/segment")
    said = capfd.readouterr()
    assert "DOE" not in said.out + said.err
    # What Gradio keeps lies in the server's folder, and goes with it.
    kept = [path for path in page.service.sessions.folder.rglob("*") if path.is_file()]
    assert kept
    assert all(path.relative_to(page.service.sessions.folder).parts[0] == "gradio" for path in kept)


def test_a_picture_that_nobody_uses_is_deleted(lite_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_gradio()
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(lite_checkpoint.parent))
    with served(Service(settings(gradio=True, limits=Limits(idle_seconds=1)))) as server:
        upload = f"{server.address}/gradio/gradio_api/upload"
        files = {"files": ("DOE^JANE.png", b"x" * 1000)}
        (path,) = requests.post(upload, files=files, headers=AUTHORIZED, timeout=WAIT).json()
        assert Path(path).is_relative_to(server.service.sessions.folder)
        until = time.monotonic() + WAIT
        while Path(path).exists():
            assert time.monotonic() < until
            time.sleep(0.05)


def test_a_browser_gets_from_a_picture_to_a_mask_and_asks_no_other_host(page: RunningServer, tmp_path: Path) -> None:
    program = executable()
    if program is None:
        pytest.skip("no chromium is installed")
    Image.fromarray(np.kron(a_picture(), np.ones((10, 10), np.uint8))).save(tmp_path / "picture.png")
    browser = Browser(program)
    try:
        with browser.page() as tab:
            tab.go(f"{page.address}/gradio/?token={TOKEN}")
            tab.until("!!document.querySelector('input[type=file]')")
            assert TOKEN not in tab.evaluate("location.href")
            tab.choose_files("input[type=file]", tmp_path / "picture.png")
            tab.until("(document.querySelector('canvas')?.getBoundingClientRect().height ?? 0) > 150")
            # The picture lies in the middle of the canvas, as large as it is.
            across, down = tab.middle("canvas")
            tab.drag((across - 90, down - 80), (across + 60, down + 40), steps=8)
            tab.click("button.primary")
            tab.until("document.body.innerText.includes('Segment_1')")
            complaints = [said for said in tab.complaints if "favicon" not in said]
            asked = {urlsplit(one).netloc for one in tab.requests if one.startswith("http")}
    finally:
        browser.close()
    assert asked == {urlsplit(page.address).netloc}
    assert complaints == []
