"""A volume that goes to the worker in parts: a slice that is asked for first, the rest behind it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from MedSAMSegmentLib.errors import Cancelled, InputError, WorkerError
from MedSAMSegmentLib.intensity import to_uint8
from MedSAMSegmentLib.prompts import Box
from MedSAMSegmentLib.worker import volume_stream
from MedSAMSegmentLib.worker.arriving_volume import ArrivingVolume
from MedSAMSegmentLib.worker.client import WorkerClient
from MedSAMSegmentLib.worker.frames import DTYPES
from MedSAMSegmentLib.worker.outbox import Outbox
from MedSAMSegmentLib.worker.popen_transport import PopenTransport
from MedSAMSegmentLib.worker.protocol import CloseVolume, OpenVolume, SegmentSlice, VolumePart
from MedSAMSegmentLib.worker.remote_volume import RemoteVolume
from MedSAMSegmentLib.worker.session_host import SessionHost, _windowed
from MedSAMSegmentLib.worker.volume_stream import VolumeStream

WAIT = 60.0
A_BOX = Box(i=(4, 15), j=(2, 12), k=(2, 9))
FULL = 1 << 40

StartClient = Callable[..., WorkerClient]


class HeldTransport(PopenTransport):
    """Says that the child takes no more, as long as `full`: then only what is urgent is sent."""

    full = False

    @property
    def backlog(self) -> int:
        return FULL if HeldTransport.full else super().backlog


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The volumes of these tests go in twelve parts and more."""
    monkeypatch.setattr(volume_stream, "PART_BYTES", 1000)
    monkeypatch.setattr(HeldTransport, "full", False)


def hold_after_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the opening one part is sent, then none until the transport is let go."""
    stream_of = VolumeStream.after_open
    first = iter([True])

    def one(stream: VolumeStream) -> Any:
        for part in stream_of(stream):
            if next(first, False):
                HeldTransport.full = True
            yield part

    monkeypatch.setattr(VolumeStream, "after_open", one)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_is_answered_before_the_rest_is_sent(
    start_client: StartClient, a_volume: NDArray, axis: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start_client(transport=HeldTransport)
    volume = RemoteVolume(client, "any", a_volume, window="ct-abdomen")
    hold_after_one_part(monkeypatch)
    client.wait(volume.open(), WAIT)
    preview = client.wait(volume.segment_slice(axis, 5 if axis == 0 else 8, A_BOX), WAIT)
    inside = np.zeros(a_volume.shape, bool)
    inside[2:10, 2:13, 4:16] = True
    np.testing.assert_array_equal(preview.mask, (inside & (a_volume > 0)).take(preview.index, axis))
    assert client.outbox().has_steps, "the rest waits"
    run = volume.propagate([A_BOX])
    client.poll()
    assert not run.over
    HeldTransport.full = False
    np.testing.assert_array_equal(client.wait(run, WAIT).mask, a_volume > 0)


@pytest.fixture
def half_sent(
    start_client: StartClient, a_volume: NDArray, monkeypatch: pytest.MonkeyPatch
) -> tuple[WorkerClient, RemoteVolume]:
    """A volume of which one slice was asked for, and most is still to be sent."""
    hold_after_one_part(monkeypatch)
    client = start_client(transport=HeldTransport)
    volume = RemoteVolume(client, "any", a_volume, window="ct-abdomen")
    client.wait(volume.open(), WAIT)
    client.wait(volume.segment_slice(0, 5, A_BOX), WAIT)
    assert HeldTransport.full
    return client, volume


HalfSent = tuple[WorkerClient, RemoteVolume]


def test_a_worker_that_is_killed_in_between_is_replaced_and_gets_all_again(
    half_sent: HalfSent, a_volume: NDArray
) -> None:
    client, volume = half_sent
    run = volume.propagate([A_BOX])
    psutil.Process(client.worker["pid"]).kill()
    with pytest.raises(WorkerError):
        client.wait(run, WAIT)
    HeldTransport.full = False
    preview = volume.segment_slice(0, 5, A_BOX)
    assert client.wait(preview, WAIT).mask.sum() == 49
    HeldTransport.full = False
    np.testing.assert_array_equal(client.wait(volume.propagate([A_BOX]), WAIT).mask, a_volume > 0)
    assert client.generation == 2


def test_a_run_that_waits_for_its_slices_is_cancelled_at_once(half_sent: HalfSent, a_volume: NDArray) -> None:
    client, volume = half_sent
    run = volume.propagate([A_BOX])
    client.cancel(run)
    assert isinstance(run.error, Cancelled)
    assert client.wait(volume.segment_slice(0, 6, A_BOX), WAIT).index == 6
    HeldTransport.full = False
    np.testing.assert_array_equal(client.wait(volume.propagate([A_BOX]), WAIT).mask, a_volume > 0)
    assert client.generation == 1


def test_a_volume_that_is_closed_on_its_way_is_sent_no_further(half_sent: HalfSent, a_volume: NDArray) -> None:
    client, volume = half_sent
    volume.close()
    closing = next(iter(client._pending.values()))
    client.wait(closing, WAIT)
    assert not client.outbox().has_steps
    HeldTransport.full = False
    other = RemoteVolume(client, "any", a_volume + 1, window="ct-abdomen")
    client.wait(other.open(), WAIT)
    assert client.error_text.count("closed") == 1


def test_a_volume_is_closed_behind_the_run_that_waits_for_it(half_sent: HalfSent, a_volume: NDArray) -> None:
    client, volume = half_sent
    run = volume.propagate([A_BOX])
    volume.close()
    HeldTransport.full = False
    np.testing.assert_array_equal(client.wait(run, WAIT).mask, a_volume > 0)


def test_an_opening_that_is_cancelled_before_it_was_sent_leaves_the_worker_alone(
    start_client: StartClient, a_volume: NDArray
) -> None:
    client = start_client(transport=HeldTransport)
    client.wait(RemoteVolume(client, "any", a_volume, window="ct-abdomen").open(), WAIT)
    HeldTransport.full = True
    volume = RemoteVolume(client, "any", a_volume, window="mr")
    opening = volume.open()
    client.cancel(opening)
    assert isinstance(opening.error, Cancelled)
    HeldTransport.full = False
    assert client.wait(volume.segment_slice(0, 5, A_BOX), WAIT).mask.sum() == 49
    assert client.generation == 1


VOLUMES = {
    "int16": np.arange(-600, 600, dtype=np.int16).reshape(10, 12, 10),
    "float32": np.linspace(-900, 800, 1200, dtype=np.float32).reshape(10, 12, 10),
    "nan": np.where(np.arange(1200) % 7, np.linspace(-900, 800, 1200), np.nan).reshape(10, 12, 10),
    "uint8": (np.arange(1200) % 251).astype(np.uint8).reshape(10, 12, 10),
    "big-endian": np.arange(-600, 600).astype(">i2").reshape(10, 12, 10),
    "bool": (np.arange(1200) % 3 == 0).reshape(10, 12, 10),
    "colour": (np.arange(3600) % 200).astype(np.uint16).reshape(10, 12, 10, 3),
    "rgba": ((np.arange(4800) % 200).astype(np.uint8).reshape(10, 12, 10, 4))[..., :3],
}


@pytest.mark.parametrize("window", ["auto", "ct-abdomen", "mr", "none", [-100.0, 300.0]])
@pytest.mark.parametrize("modality", [None, "CT", "MR", "US"])
@pytest.mark.parametrize("name", VOLUMES)
def test_what_arrives_in_parts_is_scaled_as_the_whole(name: str, modality: str | None, window: Any) -> None:
    volume = VOLUMES[name]
    stream = VolumeStream(1, volume, tuple((0, n - 1) for n in volume.shape[:3]), (window, modality))
    assert stream.nbytes == volume.nbytes
    early = [part for part in stream.before_open() if part is not None]
    late = [*stream.slice_first(2, 4), *stream.slice_first(0, 7), *stream.after_open()]
    arriving = ArrivingVolume(stream.shape, stream.dtype)
    for part in early:
        arriving.add(part)
    options = {"window": tuple(window) if isinstance(window, list) else window, "modality": modality}
    request = OpenVolume(1, "any", stream.shape, stream.dtype.name, value_range=stream.value_range)
    sendable = volume.view(np.uint8) if volume.dtype == bool else volume
    choice: Any = tuple(window) if isinstance(window, list) else window
    found = _windowed(request, arriving, options)
    for part in late:
        arriving.add(part)
    assert arriving.complete
    if found is None:
        assert arriving.whole().dtype == DTYPES[sendable.dtype.name]
        assert len(early) > 0
        return
    expected = to_uint8(sendable, choice, modality=modality)
    np.testing.assert_array_equal(found.volume_u8, expected.volume_u8)
    assert (found.window, found.description) == (expected.window, expected.description)


def test_a_volume_knows_what_it_lacks() -> None:
    array = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    arriving = ArrivingVolume(array.shape, array.dtype)
    arriving.add(VolumePart(1, array.shape, (1, 0, 0), array[1:]))
    assert (arriving.lacks(0, 0), arriving.lacks(0, 1)) == (True, False)
    assert arriving.lacks(1, 0)
    arriving.add(VolumePart(1, array.shape, (0, 0, 2), array[:, :, 2:3]))
    assert (arriving.lacks(2, 2), arriving.lacks(2, 1)) == (False, True)
    arriving.add(VolumePart(1, array.shape, (0, 1, 0), array[:1, 1:2]))
    assert (arriving.lacks(1, 1), arriving.complete) == (False, False)
    with pytest.raises(WorkerError, match="as a whole"):
        arriving.whole()
    arriving.add(VolumePart(1, array.shape, (0, 0, 0), array[:1]))
    np.testing.assert_array_equal(arriving.whole(), array)
    assert not arriving.lacks(0, 99), "what does not exist is an error of its own"


@pytest.mark.parametrize(
    ("shape", "first", "values"),
    [
        ((4, 5, 6), (0, 0, 0), np.zeros((5, 5, 6), np.int16)),
        ((4, 5, 6), (-1, 0, 0), np.zeros((1, 5, 6), np.int16)),
        ((4, 5, 6), (0, 0, 0), np.zeros((1, 5, 6), np.int32)),
        ((4, 5, 7), (0, 0, 0), np.zeros((1, 5, 6), np.int16)),
        ((4, 5, 6), (0, 0, 0), np.zeros((1, 5, 6, 3), np.int16)),
        ((4, 5, 6), (0, 0, 0), np.zeros((5,), np.int16)),
    ],
)
def test_a_part_that_does_not_fit_is_the_answer_to_the_next_request(
    shape: tuple[int, ...], first: tuple[int, int, int], values: NDArray
) -> None:
    host = SessionHost(lambda *_: pytest.fail("nothing is opened"))
    host.receive(VolumePart(1, (4, 5, 6), (0, 0, 0), np.zeros((1, 5, 6), np.int16)))
    host.receive(VolumePart(1, shape, first, values))
    for request in (OpenVolume(1, "any", (4, 5, 6), "int16"), SegmentSlice(1, 0, 0, [A_BOX])):
        with pytest.raises(WorkerError, match="does not fit"):
            host.answer(request, lambda *_: None, lambda: False)
    host.answer(CloseVolume(1), lambda *_: None, lambda: False)


def test_nothing_is_reserved_for_a_volume_that_the_memory_cannot_hold() -> None:
    host = SessionHost(lambda *_: pytest.fail("nothing is opened"), memory=lambda: 10**6)
    host.receive(VolumePart(1, (1 << 11, 1 << 11, 1 << 11), (0, 0, 0), np.zeros((1, 1, 1), np.int16)))
    assert host._arriving == {}
    with pytest.raises(InputError, match="of memory"):
        host.answer(OpenVolume(1, "any", (1 << 11,) * 3, "int16"), lambda *_: None, lambda: False)


def test_a_slice_that_was_not_sent_is_not_made_up() -> None:
    class Session:
        device = "cpu"
        volume = to_uint8(np.zeros((4, 5, 6), np.uint8))

    host = SessionHost(lambda *_: Session())  # type: ignore[arg-type, return-value]
    host.answer(OpenVolume(1, "any", (4, 5, 6), "int16"), lambda *_: None, lambda: False)
    with pytest.raises(WorkerError, match="has not arrived"):
        host.answer(SegmentSlice(1, 0, 2, [A_BOX]), lambda *_: None, lambda: False)


def test_the_order_of_what_waits() -> None:
    outbox = Outbox()

    def request(session: int) -> Callable[[], Any]:
        return lambda: CloseVolume(session)

    def parts(session: int, *indices: int) -> Any:
        for index in indices:
            yield None
            yield VolumePart(session, (9, 1, 1), (index, 0, 0), np.zeros((1, 1, 1), np.int16))

    outbox.add_steps(1, parts(1, 0))
    outbox.add_behind(1, 11, request(1))
    outbox.add_steps(1, parts(1, 1, 2), rest=True)
    outbox.add_behind(1, 12, request(1))
    outbox.add_behind(1, 13, request(1), all_parts=False)
    outbox.add_steps(2, parts(2, 5))
    outbox.add(14, request(0))
    assert outbox.waits(1)
    assert not outbox.waits(2)
    taken = [header for header, _ in outbox.take(lambda: True)]
    while outbox.has_steps:
        taken += [header for header, _ in outbox.take(lambda: True)]
    words = [header["id"] or next(iter(header["first_zyx"])) for header in taken]
    assert words == [14, 0, 11, 13, 1, 2, 12, 5]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_that_was_sent_is_not_sent_again(a_volume: NDArray, axis: int) -> None:
    whole = tuple((0, n - 1) for n in a_volume.shape)
    stream = VolumeStream(1, a_volume, whole, ("ct-abdomen", "CT"))
    for index in (0, 5, a_volume.shape[axis] - 1):
        first, again = list(stream.slice_first(axis, index)), list(stream.slice_first(axis, index))
        assert [len(first), len(again)] == [1, 0]
        np.testing.assert_array_equal(first[0].values.take(0, axis), a_volume.take(index, axis))
    list(stream.after_open())
    assert not list(stream.slice_first(axis, 3))


def test_a_slice_within_a_part_that_went_ahead_is_not_sent_again(a_volume: NDArray) -> None:
    stream = VolumeStream(1, a_volume, tuple((0, n - 1) for n in a_volume.shape), ("ct-abdomen", "CT"))
    (part,) = itertools.islice(stream.after_open(), 1)
    first = part.first_zyx[0]
    for index in range(first, first + part.values.shape[0]):
        assert not list(stream.slice_first(0, index))
