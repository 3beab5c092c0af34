"""Previews and runs: what they answer, their events, and every way in which they end."""

from __future__ import annotations

import gc
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests
import SimpleITK as sitk
from service_support import BOX, STAND_IN, TOKEN, WAIT, Clock, RunningServer, a_block, served, settings, write_image

from MedSAMSegmentLib.errors import Cancelled, MedSAMError, PromptError, WorkerError
from MedSAMSegmentLib.io.read_segmentation import read_segmentation
from MedSAMSegmentLib.prompts import Box, Line, MaskPrompt, Point
from MedSAMSegmentLib.results import SliceResult
from MedSAMSegmentLib.service.client import RemoteImage, RemoteRun, ServiceClient, ServiceError
from MedSAMSegmentLib.service.mask_bits import mask_from_json
from MedSAMSegmentLib.service.service import Service
from MedSAMSegmentLib.service.settings import Limits
from MedSAMSegmentLib.worker.launch import worker_command

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
BLOCK = a_block() > 0
AROUND = Box(i=(5, 15), j=(3, 11), k=(2, 9))
StartServer = Callable[..., RunningServer]


@pytest.fixture(scope="module")
def server(lite_checkpoint: Path) -> Iterator[RunningServer]:
    """One server, and one worker, for all tests that harm neither."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDSAM_MODEL_DIR", str(lite_checkpoint.parent))
        command = partial(worker_command, script=STAND_IN)
        with served(Service(settings(), command=command)) as started:
            yield started


def until(condition: Callable[[], object]) -> None:
    """Wait for something that must become true."""
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_running(run: RemoteRun) -> bool:
    return run.state()["state"] == "running" and (run.state()["progress"] or {"done": 0})["done"] > 0


def worker_of(server: RunningServer) -> psutil.Process:
    """The worker's process."""
    pid = server.service.owner._client.worker["pid"]
    return psutil.Process(pid)


def test_a_preview_is_the_mask_of_its_slice(server: RunningServer, image: RemoteImage) -> None:
    found = image.preview(AROUND, index=4)
    np.testing.assert_array_equal(found.mask, BLOCK[4])
    assert (found.axis, found.index, found.score, found.flags) == (0, 4, 0.75, ("low-score",))
    across = image.preview([AROUND, Point(8, 6, 4), Point(1, 1, 4, positive=False)], axis=2, index=7, reading=2)
    np.testing.assert_array_equal(across.mask, BLOCK[:, :, 7])
    assert across.flags == ("two-readings",)
    assert server.service.owner.device == "stand-in"
    with pytest.raises(Exception, match="no slice 12 across k"):
        image.preview(AROUND, index=12)


def test_a_preview_may_say_at_once_what_the_slice_looks_like_so_far(server: RunningServer, image: RemoteImage) -> None:
    looks: list[SliceResult] = []
    found = image.preview(AROUND, index=4, on_first_look=looks.append)
    (look,) = looks
    np.testing.assert_array_equal(look.mask, ~BLOCK[4])
    assert look.flags == ("first-look",)
    np.testing.assert_array_equal(found.mask, BLOCK[4])
    assert (found.axis, found.index, found.score, found.flags) == (0, 4, 0.75, ("low-score",))
    with pytest.raises(PromptError, match="no slice 12 across k"):
        image.preview(AROUND, index=12, on_first_look=looks.append)
    assert len(looks) == 1


def test_a_streamed_preview_ends_with_the_reason_where_there_is_none(
    start_server: StartServer, block_file: Path
) -> None:
    server = start_server("slow-slice", limits=Limits(preview_seconds=0.2))
    with (
        server.client() as client,
        client.open(block_file) as image,
        pytest.raises(ServiceError, match="too long") as told,
    ):
        image.preview(AROUND, index=4, on_first_look=lambda _: None)
    assert (told.value.status, told.value.problem) == (503, "slow")


def test_prompts_in_millimetres_mean_the_same_voxels(
    server: RunningServer, image: RemoteImage, block_file: Path
) -> None:
    original = sitk.ReadImage(str(block_file))
    corners = np.array([original.TransformIndexToPhysicalPoint(ijk) for ijk in ((7, 5, 4), (11, 8, 7))])
    # On an oblique grid the box in millimetres is turned against that in voxels, which encloses it.
    lower, upper = corners.min(axis=0), corners.max(axis=0)
    turned = [original.TransformPhysicalPointToContinuousIndex(p) for p in product(*zip(lower, upper, strict=True))]
    expected = image.preview(Box.enclosing(np.array(turned)), index=5).mask
    assert 0 < expected.sum() < BLOCK[5].sum()
    with server.client() as client:
        for space, sign in (("LPS", (1, 1, 1)), ("RAS", (-1, -1, 1))):
            prompt = {"type": "box", "space": space, "lower": list(lower * sign), "upper": list(upper * sign)}
            found = client.request("POST", f"{image.path}/preview", json={"prompts": [prompt], "index": 5}).json()
            np.testing.assert_array_equal(mask_from_json(**found["mask"]), expected)


def test_all_prompts_travel_from_the_client(server: RunningServer, image: RemoteImage) -> None:
    painted = MaskPrompt(1, 6, BLOCK[:, 6])
    prompts = [AROUND, Point(8, 6, 4, positive=False), Line((6, 4, 5), (13, 9, 5)), painted]
    run = image.run([prompts])
    run.wait()
    (kept,) = server.service.sessions.get_run(run.id).order.objects
    assert list(kept[:3]) == prompts[:3]
    assert isinstance(kept[3], MaskPrompt)
    assert (kept[3].axis, kept[3].index) == (1, 6)
    np.testing.assert_array_equal(kept[3].mask, painted.mask)


def test_a_run_tells_of_itself_and_gives_its_masks(server: RunningServer, image: RemoteImage, tmp_path: Path) -> None:
    half = Box(i=(5, 9), j=(3, 11), k=(2, 9))
    run = image.run([AROUND, half], names=["whole"], slice_range=[3, 6])
    events = list(run.events())
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    assert [event.kind for event in events[:-1]] == ["progress"] * (len(events) - 1)
    assert events[-2].fields == {"stage": "slices", "done": 4, "total": 4}
    assert events[-1].kind == "done"
    assert list(run.events(after=3)) == events[3:]
    assert list(run.events(after=10**6)) == []
    state = run.state()
    assert (state["state"], state["objects"], state["problem"]) == ("done", ["whole", "Segment_2"], None)
    expected = BLOCK.copy()
    expected[:3] = expected[7:] = False
    labels = expected.astype(np.uint16)
    labels[:, :, 6:10] *= 2
    np.testing.assert_array_equal(run.labels(), labels)
    run.save(tmp_path / "a.seg.nrrd")
    run.save(tmp_path / "a.nii.gz")
    file = read_segmentation(tmp_path / "a.seg.nrrd")
    assert [segment.name for segment in file.segments] == ["whole", "Segment_2"]
    np.testing.assert_array_equal(file.segments[0].mask_zyx, expected)
    np.testing.assert_allclose(file.geometry.ijk_to_lps, image.facts["ijk_to_lps"], atol=1e-6)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.nii.gz"))), labels)
    report = run.report()
    assert [item["voxels"] for item in report["objects"]] == [int(expected.sum()), int((labels == 2).sum())]
    assert report["objects"][0]["prompts"] == [{"kind": "box", "i": [5, 15], "j": [3, 11], "k": [2, 9]}]
    assert len(report["input"]["sha256"]) == 64
    assert "DOE" not in str(report)
    assert image.facts["shape_zyx"] == [12, 20, 24]


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [("format=dcm", 415, "result-kind"), ("format=rtstruct", 415, "result-kind"), ("format=stl", 422, "request")],
)
def test_a_format_that_is_not_made_is_said(
    image: RemoteImage, server: RunningServer, asked: str, status: int, code: str
) -> None:
    run = image.run([AROUND])
    run.wait()
    answer = requests.get(f"{server.address}{run.path}/result?{asked}", headers=AUTHORIZED, timeout=WAIT)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_objects_share_a_window_as_on_the_command_line(server: RunningServer, tmp_path: Path) -> None:
    chest = np.full((6, 20, 32), -1000, np.int16)
    chest[:, 2:18, 2:30] = 40
    chest[:, 4:16, 4:16] = -850
    lung, liver = Box(i=(5, 14), j=(5, 14), k=(1, 4)), Box(i=(20, 28), j=(5, 14), k=(1, 4))
    found = []
    with server.client() as client, client.open(write_image(tmp_path / "chest.nrrd", chest)) as image:
        for objects in ([lung], [lung, lung], [liver], [lung, liver]):
            run = image.run(objects)
            run.wait()
            found.append(json.loads(run.report()["window"])["window"])
    assert found == ["ct-lung", "ct-lung", "auto", "auto"]


def test_the_codes_of_objects_are_written(server: RunningServer, image: RemoteImage, tmp_path: Path) -> None:
    objects = [{"prompts": [BOX]}, {"prompts": [BOX], "terminology": "SCT:10200004:Liver"}, {"prompts": [BOX]}]
    with server.client() as client:
        run = RemoteRun(client, client.request("POST", f"{image.path}/runs", json={"objects": objects}).json())
        run.wait()
        run.save(tmp_path / "a.seg.nrrd")
    codes = [segment.terminology.type[2] for segment in read_segmentation(tmp_path / "a.seg.nrrd").segments]
    assert codes == ["Tissue", "Liver", "Tissue"]


def test_a_run_that_computes_is_cancelled(start_server: StartServer, block_file: Path) -> None:
    server = start_server("slow", grace_seconds=WAIT)
    with server.client() as client:
        image = client.open(block_file)
        run = image.run([AROUND] * 50)
        until(lambda: is_running(run))
        answer = client.request("GET", f"{run.path}")
        assert answer.json()["state"] == "running"
        for path in ("result", "report"):
            with pytest.raises(ServiceError, match="The run is running") as caught:
                client.request("GET", f"{run.path}/{path}")
            assert caught.value.status == 409
        run.cancel()
        with pytest.raises(Cancelled):
            run.wait()
        assert run.state()["state"] == "cancelled"
        assert [event.kind for event in run.events()][-1] == "cancelled"
        run.cancel()
        assert run.state()["state"] == "cancelled"
        with pytest.raises(ServiceError, match="Start another run"):
            run.report()
        # The worker that stopped by itself goes on.
        before = worker_of(server).pid
        np.testing.assert_array_equal(image.preview(AROUND, index=4).mask, BLOCK[4])
        assert worker_of(server).pid == before


def test_a_worker_that_does_not_stop_is_killed(start_server: StartServer, block_file: Path) -> None:
    server = start_server("deaf")
    with server.client() as client:
        image = client.open(block_file)
        run, waiting = image.run([AROUND]), image.run([AROUND])
        until(lambda: is_running(run))
        worker = worker_of(server)
        assert waiting.state()["state"] == "queued"
        waiting.cancel()
        with pytest.raises(Cancelled):
            waiting.wait()
        assert run.state()["state"] == "running"
        run.cancel()
        with pytest.raises(Cancelled):
            run.wait()
        until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
        np.testing.assert_array_equal(image.preview(AROUND, index=4).mask, BLOCK[4])


def test_a_worker_that_dies_fails_its_run_and_no_other(start_server: StartServer, block_file: Path) -> None:
    server = start_server("slow")
    with server.client() as client:
        image = client.open(block_file)
        run = image.run([AROUND] * 50)
        until(lambda: is_running(run))
        worker_of(server).kill()
        with pytest.raises(WorkerError, match="worker"):
            run.wait()
        state = run.state()
        assert (state["state"], state["problem"]["code"], state["problem"]["status"]) == ("failed", "worker", 503)
        again = image.run([AROUND])
        again.wait()
        assert (again.labels() > 0).sum() == BLOCK.sum()


@pytest.mark.parametrize("trouble", ["unicode", "memory-error"])
def test_an_error_that_nobody_expected_in_the_worker_fails_the_run(
    start_server: StartServer, block_file: Path, trouble: str
) -> None:
    server = start_server(trouble)
    with server.client() as client:
        image = client.open(block_file)
        run = image.run([AROUND])
        with pytest.raises(MedSAMError):
            run.wait()
        state = run.state()
        assert state["state"] == "failed"
        assert state["problem"]["message"]
        assert [event.kind for event in run.events()][-1] == "failed"
        np.testing.assert_array_equal(image.preview(AROUND, index=4).mask, BLOCK[4])


def test_a_worker_that_cannot_start_is_an_answer(start_server: StartServer, block_file: Path) -> None:
    server = start_server("early-exit")
    with server.client() as client:
        image = client.open(block_file)
        with pytest.raises(WorkerError):
            image.preview(AROUND, index=4)
        with pytest.raises(WorkerError):
            image.run([AROUND]).wait()
        assert client.request("GET", "/health").ok


def test_a_preview_that_takes_too_long_is_given_up(start_server: StartServer, block_file: Path) -> None:
    server = start_server("deaf", limits=Limits(preview_seconds=0.2))
    with server.client() as client:
        image = client.open(block_file)
        run = image.run([AROUND])
        until(lambda: is_running(run))
        with pytest.raises(ServiceError, match="busy for too long") as caught:
            image.preview(AROUND, index=4)
        assert caught.value.status == 503
        assert run.state()["state"] == "running"


def test_a_preview_that_is_given_up_costs_the_others_no_worker(start_server: StartServer, block_file: Path) -> None:
    clock = Clock()
    server = start_server("slow-model", limits=Limits(preview_seconds=0.2), grace_seconds=0.01, clock=clock)
    with server.client() as client:
        image = client.open(block_file)
        image.run([AROUND]).wait()
        worker = worker_of(server)
        for _ in range(2):
            with pytest.raises(ServiceError, match="busy for too long"):
                image.preview(AROUND, index=4)
        image.run([AROUND]).wait()
        assert worker_of(server) == worker
        # One that has answered nothing for a long time has hung, though.
        for _ in range(2):
            with pytest.raises(ServiceError, match="busy for too long"):
                image.preview(AROUND, index=4)
            clock.now += 601
        until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
        image.run([AROUND]).wait()
        assert worker_of(server) != worker


def test_the_file_of_the_voxels_is_closed_with_its_session(server: RunningServer, block_file: Path) -> None:
    process = psutil.Process()
    with server.client() as client:
        gc.collect()
        gc.disable()
        try:
            for number in range(12):
                with client.open(block_file) as image:
                    image.preview(AROUND, index=4)
                    run = image.run([AROUND])
                    run.wait()
                    run.labels()
                if number == 1:
                    before = process.num_fds()
        finally:
            gc.enable()
        # What a connection holds comes and goes.
        assert process.num_fds() <= before + 3


def test_only_so_many_requests_wait(start_server: StartServer, block_file: Path) -> None:
    server = start_server("deaf", limits=Limits(queue=2))
    with server.client() as client:
        image = client.open(block_file)
        runs = [image.run([AROUND])]
        until(lambda: is_running(runs[0]))
        runs += [image.run([AROUND]) for _ in range(2)]
        for asked in (lambda: image.run([AROUND]), lambda: image.preview(AROUND, index=4)):
            with pytest.raises(ServiceError, match="wait already") as caught:
                asked()
            assert caught.value.status == 429
        assert len(client.request("GET", image.path).json()["runs"]) == 3
        answer = requests.post(
            f"{server.address}{image.path}/runs",
            headers=AUTHORIZED,
            json={"objects": [{"prompts": [BOX]}]},
            timeout=WAIT,
        )
        assert int(answer.headers["retry-after"]) > 0


def test_a_session_keeps_its_last_runs(start_server: StartServer, block_file: Path) -> None:
    server = start_server(limits=Limits(runs=2))
    with server.client() as client:
        image = client.open(block_file)
        runs = []
        for _ in range(3):
            runs.append(image.run([AROUND]))
            runs[-1].wait()
            runs[-1].labels()
        with pytest.raises(ServiceError, match="no such run"):
            runs[0].state()
        assert client.request("GET", image.path).json()["runs"] == [run.id for run in runs[1:]]
        kept = sorted(path.name for path in (server.service.sessions.folder / image.id).glob("*.npz"))
        assert kept == sorted(f"{run.id}.npz" for run in runs[1:])


def test_a_deleted_session_ends_its_runs(start_server: StartServer, block_file: Path) -> None:
    server = start_server("slow")
    with server.client() as client:
        image, other = client.open(block_file), client.open(block_file)
        run, waiting = image.run([AROUND] * 50), image.run([AROUND])
        behind = other.run([AROUND])
        until(lambda: is_running(run))
        heard: list[str] = []
        listener = threading.Thread(target=lambda: heard.extend(event.kind for event in run.events()))
        listener.start()
        until(lambda: server.service.sessions.get_run(run.id)._listeners)
        image.delete()
        listener.join(WAIT)
        assert heard[-1] == "cancelled"
        for gone in (run, waiting):
            with pytest.raises(ServiceError, match="no such run"):
                gone.state()
        behind.wait()
        assert (behind.labels() > 0).sum() == BLOCK.sum()
        assert not (server.service.sessions.folder / image.id).exists()


def test_a_preview_goes_before_the_runs_that_wait(start_server: StartServer, block_file: Path) -> None:
    server = start_server("slow")
    with server.client() as client, server.client() as another:
        image = client.open(block_file)
        first, second = image.run([AROUND] * 3), image.run([AROUND] * 3)
        until(lambda: is_running(first))
        mask = RemoteImage(another, image.facts).preview(AROUND, index=4).mask
        np.testing.assert_array_equal(mask, BLOCK[4])
        # Both runs are followed from the server's side: the preview was asked for last, and answered before.
        order = server.service.sessions.get_run
        assert order(first.id).over
        second.wait()


def test_a_listener_that_goes_away_is_forgotten(start_server: StartServer, block_file: Path) -> None:
    server = start_server("slow")
    with server.client() as client:
        image = client.open(block_file)
        run = image.run([AROUND] * 20)
        until(lambda: is_running(run))
        kept = server.service.sessions.get_run(run.id)
        head = f"GET {run.path}/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT) as connection:
            connection.sendall(head.encode())
            until(lambda: kept._listeners)
            assert b"text/event-stream" in connection.recv(4096)
        until(lambda: not kept._listeners)
        assert not kept.over or kept.state == "done"
        run.wait()


def test_the_events_can_be_followed_by_a_browser(server: RunningServer, image: RemoteImage) -> None:
    """It can send no header with a stream: the token is in the address."""
    run = image.run([AROUND])
    run.wait()
    answer = requests.get(f"{server.address}{run.path}/events", params={"token": TOKEN}, timeout=WAIT)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.count("event: progress") == len(list(run.events())) - 1


@pytest.mark.parametrize("last", ["-1", "x", "1.5", "9" * 30])
def test_a_wrong_number_of_the_last_event_is_refused(server: RunningServer, image: RemoteImage, last: str) -> None:
    run = image.run([AROUND])
    headers = {**AUTHORIZED, "Last-Event-ID": last}
    answer = requests.get(f"{server.address}{run.path}/events", headers=headers, timeout=WAIT)
    assert answer.status_code == 422
    run.wait()


def test_a_server_that_ends_takes_its_worker_along(start_server: StartServer, block_file: Path) -> None:
    server = start_server("deaf")
    with server.client() as client:
        run = client.open(block_file).run([AROUND])
        until(lambda: is_running(run))
        worker = worker_of(server)
    server.stop()
    until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    assert not server.service.sessions.folder.exists()


def test_many_clients_at_once_get_their_own_masks(start_server: StartServer, block_file: Path) -> None:
    server = start_server(limits=Limits(sessions=12, queue=12))

    def one(number: int) -> int:
        box = Box(i=(6, 6 + number), j=(4, 9), k=(3, 8))
        with ServiceClient(server.address, TOKEN) as client, client.open(block_file) as image:
            run = image.run([box])
            run.wait()
            return int((run.labels() > 0).sum()) - 36 * (number + 1)

    with ThreadPoolExecutor(12) as clients:
        assert list(clients.map(one, [n % 7 + 1 for n in range(12)])) == [0] * 12
    assert not len(server.service.sessions)
