"""The client with a real child process whose model is a stand-in."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from MedSAMSegmentLib.errors import Cancelled, InputError, ModelError, PromptError, UsageError, WorkerError
from MedSAMSegmentLib.intensity import Window
from MedSAMSegmentLib.prompts import Box, MaskPrompt, Point
from MedSAMSegmentLib.propagation import StopRule
from MedSAMSegmentLib.results import Progress, SliceResult
from MedSAMSegmentLib.worker import remote_volume
from MedSAMSegmentLib.worker.client import WorkerClient
from MedSAMSegmentLib.worker.pending import Pending
from MedSAMSegmentLib.worker.protocol import OpenVolume
from MedSAMSegmentLib.worker.remote_volume import RemoteVolume

WAIT = 120.0
A_BOX = Box(i=(4, 15), j=(2, 12), k=(2, 9))
OTHER_BOX = Box(i=(10, 12), j=(4, 6), k=(5, 6))

StartClient = Callable[..., WorkerClient]
Volume = NDArray[np.int16]


def expected_mask(volume: Volume, box: Box, first: int = 0, last: int = 1000) -> NDArray[np.bool_]:
    inside = np.zeros(volume.shape, dtype=bool)
    (k0, k1), (j0, j1), (i0, i1) = box.bounds_zyx
    inside[max(k0, first) : min(k1, last) + 1, j0 : j1 + 1, i0 : i1 + 1] = True
    return inside & (volume > 0)


def count_opens(monkeypatch: pytest.MonkeyPatch) -> list[OpenVolume]:
    sent: list[OpenVolume] = []

    def record(*args: Any) -> OpenVolume:
        sent.append(OpenVolume(*args))
        return sent[-1]

    monkeypatch.setattr(remote_volume, "OpenVolume", record)
    return sent


def test_a_propagation_answers_with_slices_progress_and_every_object(
    start_client: StartClient, a_volume: Volume
) -> None:
    client = start_client()
    volume = RemoteVolume(client, "any", a_volume)
    slices: list[SliceResult] = []
    progress: list[Progress] = []
    pending = volume.propagate(
        [A_BOX, [OTHER_BOX]],
        slice_range=(2, 9),
        names=["liver", "spleen"],
        on_slice=slices.append,
        on_progress=progress.append,
    )
    run = client.wait(pending, WAIT)
    assert [item.name for item in run.objects] == ["liver", "spleen"]
    np.testing.assert_array_equal(run.objects[0].mask, expected_mask(a_volume, A_BOX))
    np.testing.assert_array_equal(run.objects[1].mask, expected_mask(a_volume, OTHER_BOX))
    assert run.objects[0].slices[5].area == 49
    assert run.objects[0].flagged == [2, 9]
    assert len(slices) == 16
    np.testing.assert_array_equal(slices[6].mask, a_volume[5] > 0)
    assert progress[-1] == Progress(8, 8)
    assert (run.model, run.seconds, run.encodes, run.predictions) == ("stand-in", 0.5, 3, 4)


def test_a_second_preview_sends_prompts_only(
    start_client: StartClient, a_volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens = count_opens(monkeypatch)
    client = start_client()
    volume = RemoteVolume(client, "any", a_volume)
    for box in (A_BOX, OTHER_BOX):
        preview = client.wait(volume.segment_slice(0, 5, box), WAIT)
        np.testing.assert_array_equal(preview.mask, expected_mask(a_volume, box)[5])
    assert (preview.score, preview.flags, preview.key) == (0.75, ("low-score",), True)
    assert len(opens) == 1


def test_only_the_slices_of_the_range_are_sent(
    start_client: StartClient, a_volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens = count_opens(monkeypatch)
    client = start_client()
    volume = RemoteVolume(client, "any", a_volume, slice_range=(2, 9), window="ct-abdomen")
    run = client.wait(volume.propagate([A_BOX], slice_range=(4, 8)), WAIT)
    np.testing.assert_array_equal(run.mask, expected_mask(a_volume, A_BOX, 4, 8))
    assert sorted(run.objects[0].slices) == [4, 5, 6, 7, 8]
    assert run.shape_zyx == a_volume.shape
    coronal = client.wait(volume.segment_slice(1, 5, A_BOX), WAIT)
    np.testing.assert_array_equal(coronal.mask, expected_mask(a_volume, A_BOX)[:, 5])
    assert [request.shape for request in opens] == [(8, 20, 24)]


@pytest.mark.parametrize(
    ("slice_range", "prompt"),
    [((3, 10), A_BOX), ((2, 9), Box(i=(4, 15), j=(2, 12), k=(0, 9))), (None, Point(7, 5, 5))],
)
def test_a_request_beyond_the_sent_slices_sends_the_whole_volume(
    start_client: StartClient,
    a_volume: Volume,
    monkeypatch: pytest.MonkeyPatch,
    slice_range: tuple[int, int] | None,
    prompt: Any,
) -> None:
    opens = count_opens(monkeypatch)
    client = start_client()
    volume = RemoteVolume(client, "any", a_volume, slice_range=(2, 9), window="ct-abdomen")
    client.wait(volume.open(), WAIT)
    run = client.wait(volume.propagate([[prompt, A_BOX]], slice_range=slice_range), WAIT)
    assert [request.shape[0] for request in opens] == ([8] if slice_range is None else [8, 12])
    assert run.shape_zyx == a_volume.shape
    assert not run.mask[0].any()


def test_a_painted_slice_is_cut_with_the_part_it_belongs_to(start_client: StartClient, a_volume: Volume) -> None:
    client = start_client()
    volume = RemoteVolume(client, "any", a_volume, axis=0, slice_range=(2, 9), window="ct-abdomen")
    painted = MaskPrompt(0, 5, a_volume[5] > 0)
    answer = client.wait(volume.segment_slice(0, 5, [painted, A_BOX]), WAIT)
    np.testing.assert_array_equal(answer.mask, a_volume[5] > 0)
    assert answer.index == 5


def test_a_preview_and_a_run_ask_for_a_reading(start_client: StartClient, a_volume: Volume) -> None:
    client = start_client()
    volume = RemoteVolume(client, "any", a_volume)
    previews = [client.wait(volume.segment_slice(0, 5, A_BOX, **asked), WAIT) for asked in ({}, {"reading": 2})]
    assert [preview.flags for preview in previews] == [("low-score",), ("two-readings",)]
    runs = [client.wait(volume.propagate([A_BOX], slice_range=(5, 6), **asked), WAIT) for asked in ({}, {"reading": 2})]
    assert [run.objects[0].slices[5].flags for run in runs] == [(), ("two-readings",)]


def test_a_window_found_from_intensities_is_found_from_the_whole_volume(start_client: StartClient) -> None:
    volume = np.zeros((10, 16, 16), dtype=np.int16)
    volume[:5] = np.arange(256).reshape(16, 16)
    volume[5:] = 5000
    client = start_client()
    part = RemoteVolume(client, "any", volume, slice_range=(0, 4), window="mr")
    lower, upper = json.loads(client.wait(part.open(), WAIT)["window"])["window"]
    assert lower < 100
    assert upper == 5000


def test_options_travel_as_plain_values(start_client: StartClient, a_volume: Volume) -> None:
    client = start_client()
    volume = RemoteVolume(client, "any", a_volume, window=Window(-160, 240), device="cpu", modality=None)
    opened = client.wait(volume.open(), WAIT)
    assert json.loads(opened["window"]) == {"device": "cpu", "window": [-160, 240]}
    assert opened["device"] == "stand-in"
    run = client.wait(volume.propagate([A_BOX], stop=StopRule(growth=2.0), direction="up"), WAIT)
    np.testing.assert_array_equal(run.mask, expected_mask(a_volume, A_BOX))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("open-refused", r"The model is not here\. Download it\."),
        ("open-no-torch", "cannot load the package 'torch'"),
    ],
)
def test_a_refused_volume_is_named_in_the_answer_to_the_request_behind_it(
    start_client: StartClient, a_volume: Volume, fault: str, words: str
) -> None:
    client = start_client(fault)
    volume = RemoteVolume(client, "any", a_volume)
    with pytest.raises(ModelError, match=words):
        client.wait(volume.propagate([A_BOX]), WAIT)
    assert client.running


def test_a_prompt_outside_the_volume_is_refused_before_it_is_sent(start_client: StartClient, a_volume: Volume) -> None:
    volume = RemoteVolume(start_client(), "any", a_volume)
    with pytest.raises(PromptError, match="outside the volume"):
        volume.segment_slice(0, 5, Point(100, 5, 5))


def test_every_real_voxel_type_arrives(start_client: StartClient, a_volume: Volume) -> None:
    client = start_client()
    for dtype in ("bool", "u1", "i1", "u2", "<i4", "i8", ">i2", "f4", "f8"):
        values = (a_volume > 0).astype(dtype)
        volume = RemoteVolume(client, "any", np.asfortranarray(values))
        preview = client.wait(volume.segment_slice(0, 5, A_BOX), WAIT)
        np.testing.assert_array_equal(preview.mask, a_volume[5] > 0, err_msg=dtype)


def test_complex_voxels_are_refused(start_client: StartClient, a_volume: Volume) -> None:
    with pytest.raises(InputError, match="complex64"):
        RemoteVolume(start_client(), "any", a_volume.astype(np.complex64)).open()


def test_the_worker_starts_at_the_first_request_and_stays_for_the_next(
    start_client: StartClient, a_volume: Volume
) -> None:
    client = start_client()
    volume = RemoteVolume(client, "any", a_volume)
    assert not client.running
    client.wait(volume.segment_slice(0, 5, A_BOX), WAIT)
    pid = client.worker["pid"]
    client.wait(volume.segment_slice(0, 6, A_BOX), WAIT)
    assert client.worker["pid"] == pid
    assert client.generation == 1
    assert client.worker["executable"] == sys.executable


def test_an_idle_worker_ends_and_the_next_request_opens_the_volume_again(
    start_client: StartClient, a_volume: Volume
) -> None:
    now = [0.0]
    client = start_client(idle_seconds=300, clock=lambda: now[0])
    volume = RemoteVolume(client, "any", a_volume)
    client.wait(volume.segment_slice(0, 5, A_BOX))
    process = psutil.Process(client.worker["pid"])
    now[0] = 299.0
    client.poll()
    assert client.running
    now[0] = 301.0
    client.poll()
    assert not client.running
    process.wait(WAIT)
    preview = client.wait(volume.segment_slice(0, 5, A_BOX))
    np.testing.assert_array_equal(preview.mask, a_volume[5] > 0)
    assert client.generation == 2


def test_a_worker_of_another_command_is_renewed_when_nothing_is_asked_of_it(
    start_client: StartClient, a_volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another model folder or interpreter was chosen; any other variable is no reason."""
    client = start_client()
    volume = RemoteVolume(client, "any", a_volume)
    client.wait(volume.segment_slice(0, 5, A_BOX), WAIT)
    monkeypatch.setenv("SOME_VARIABLE", "1")
    client.renew()
    assert client.running
    process = psutil.Process(client.worker["pid"])
    monkeypatch.setenv("MEDSAM_MODEL_DIR", "elsewhere")
    asked = volume.segment_slice(0, 6, A_BOX)
    client.renew()
    assert client.running, "a busy worker goes on"
    client.wait(asked, WAIT)
    client.renew()
    assert not client.running
    client.wait(volume.segment_slice(0, 5, A_BOX), WAIT)
    assert client.generation == 2
    process.wait(WAIT)


def test_closing_the_client_ends_an_idle_worker_in_order(start_client: StartClient, a_volume: Volume) -> None:
    client = start_client(grace_seconds=WAIT)
    client.wait(RemoteVolume(client, "any", a_volume).open(), WAIT)
    process = psutil.Process(client.worker["pid"])
    client.close()
    assert not process.is_running()
    assert client.error_text == "closed\n"


def test_callbacks_come_once_and_only_from_poll(start_client: StartClient, a_volume: Volume) -> None:
    client = start_client()
    volume = RemoteVolume(client, "any", a_volume)
    seen: list[str] = []
    pending = volume.segment_slice(
        0, 5, A_BOX, on_done=lambda _: seen.append("done"), on_error=lambda _: seen.append("error")
    )
    psutil.cpu_percent(0.3)
    assert seen == []
    client.wait(pending, WAIT)
    client.poll()
    client.cancel(pending)
    client.poll()
    assert seen == ["done"]


def test_a_callback_may_send_the_next_request_but_not_wait_for_it(start_client: StartClient, a_volume: Volume) -> None:
    client = start_client()
    volume = RemoteVolume(client, "any", a_volume)
    following: list[Pending[SliceResult]] = []
    refused: list[UsageError] = []

    def go_on(_: SliceResult) -> None:
        following.append(volume.segment_slice(0, 6, OTHER_BOX))
        try:
            client.wait(following[0])
        except UsageError as error:
            refused.append(error)

    client.wait(volume.segment_slice(0, 5, A_BOX, on_done=go_on), WAIT)
    assert len(refused) == 1
    assert client.wait(following[0], WAIT).index == 6


def test_an_error_of_a_callback_reaches_the_caller_and_loses_no_event(
    start_client: StartClient, a_volume: Volume
) -> None:
    client = start_client()
    volume = RemoteVolume(client, "any", a_volume)

    def fail(_: SliceResult) -> None:
        raise PromptError("from the callback")

    first = volume.segment_slice(0, 5, A_BOX, on_done=fail)
    second = volume.segment_slice(0, 6, A_BOX)
    with pytest.raises(PromptError, match="from the callback"):
        client.wait(first, WAIT)
    assert client.wait(second, WAIT).index == 6
    assert client.generation == 1


def test_an_abandoned_preview_ends_at_once_and_leaves_the_worker_alone(
    start_client: StartClient, a_volume: Volume
) -> None:
    client = start_client("slow-slice", grace_seconds=0.1)
    volume = RemoteVolume(client, "any", a_volume)
    client.wait(volume.open(), WAIT)
    old = volume.segment_slice(0, 5, A_BOX)
    older = volume.segment_slice(0, 4, A_BOX)
    client.abandon(old)
    client.abandon(older)
    assert old.over
    assert older.over
    assert client.wait(volume.segment_slice(0, 6, A_BOX), WAIT).index == 6
    with pytest.raises(Cancelled):
        _ = old.result
    assert client.generation == 1


def test_a_wait_with_a_time_limit_ends(start_client: StartClient, a_volume: Volume) -> None:
    client = start_client("deaf")
    volume = RemoteVolume(client, "any", a_volume)
    client.wait(volume.open(), WAIT)
    pending = volume.propagate([A_BOX])
    with pytest.raises(WorkerError, match=r"not answered within 0\.2 seconds"):
        client.wait(pending, 0.2)
    assert not pending.over


def test_a_first_look_comes_before_the_answer_where_it_is_asked_for(
    start_client: StartClient, a_volume: Volume
) -> None:
    client = start_client()
    volume = RemoteVolume(client, "any", a_volume)
    looks: list[SliceResult] = []
    answer = client.wait(volume.segment_slice(0, 5, A_BOX, on_first_look=looks.append), WAIT)
    (look,) = looks
    assert (look.index, look.flags) == (5, ("first-look",))
    np.testing.assert_array_equal(look.mask, ~answer.mask)
    client.wait(volume.segment_slice(0, 5, A_BOX), WAIT)
    assert len(looks) == 1
