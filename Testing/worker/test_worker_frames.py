from __future__ import annotations

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from MedSAMSegmentLib.errors import WorkerError
from MedSAMSegmentLib.worker.frames import DTYPES, Frame, FrameLimits, FrameParser, encode_frame

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
HEADERS = st.dictionaries(st.text().filter(lambda name: name != "arrays"), JSON_VALUES, max_size=4)
ARRAYS = st.dictionaries(
    st.text(max_size=5),
    st.sampled_from(sorted(DTYPES)).flatmap(
        lambda name: arrays_of.arrays(
            DTYPES[name], arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
        )
    ),
    max_size=3,
)
MESSAGES = st.lists(st.tuples(HEADERS, ARRAYS), max_size=3)


def as_bytes(header: dict[str, Any], arrays: dict[str, np.ndarray] | None = None) -> bytes:
    return b"".join(bytes(piece) for piece in encode_frame(header, arrays))


def raw_frame(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(4, "big") + text + body


def assert_same(frame: Frame, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    assert frame.header == header
    assert list(frame.arrays) == list(arrays)
    for name, array in arrays.items():
        received = frame.arrays[name]
        assert received.dtype == array.dtype
        assert received.shape == array.shape
        assert received.tobytes() == array.tobytes()


@settings(max_examples=80, deadline=None)
@given(MESSAGES, st.data())
def test_any_split_of_the_stream_gives_the_same_messages(messages: list, data: st.DataObject) -> None:
    stream = b"".join(as_bytes(header, arrays) for header, arrays in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    parser = FrameParser()
    frames = []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        frames.extend(parser.iter_feed(stream[start:stop]))
    parser.finish()
    assert len(frames) == len(messages)
    for frame, (header, arrays) in zip(frames, messages, strict=True):
        assert_same(frame, header, arrays)


def test_a_stream_fed_byte_by_byte_gives_its_messages() -> None:
    volume = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    odd = np.array([7], dtype=np.uint8)
    parser = FrameParser()
    stream = as_bytes({"kind": "a"}, {"odd": odd, "volume": volume}) + as_bytes({"kind": "b"})
    frames = [frame for byte in stream for frame in parser.iter_feed(bytes([byte]))]
    assert [frame.header["kind"] for frame in frames] == ["a", "b"]
    assert_same(frames[0], {"kind": "a"}, {"odd": odd, "volume": volume})
    assert frames[0].arrays["volume"].flags.aligned


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.data())
def test_any_bytes_give_messages_or_one_worker_error(data: bytes, draw: st.DataObject) -> None:
    cut = draw.draw(st.integers(0, len(data)))
    parser = FrameParser()
    try:
        list(parser.iter_feed(data[:cut]))
        list(parser.iter_feed(data[cut:]))
        parser.finish()
    except WorkerError as error:
        refused = error
    else:
        return
    assert refused.message
    assert refused.cure


@settings(max_examples=100, deadline=None)
@given(HEADERS, JSON_VALUES)
def test_any_json_in_place_of_the_array_list_gives_a_message_or_a_worker_error(header: dict, described: Any) -> None:
    parser = FrameParser()
    try:
        frames = list(parser.iter_feed(raw_frame({**header, "arrays": described})))
    except WorkerError:
        return
    # Nothing but a list that describes no bytes is complete without a body.
    assert isinstance(described, list)
    assert len(frames) == 1


HOSTILE_HEADERS: dict[str, Any] = {
    "a huge array": [{"name": "v", "dtype": "uint8", "shape": [1 << 35]}],
    "many large arrays": [{"name": str(n), "dtype": "float64", "shape": [1 << 22]} for n in range(500)],
}


@pytest.mark.parametrize("case", HOSTILE_HEADERS)
def test_an_announced_array_takes_no_memory_before_it_arrives(case: str) -> None:
    stream = raw_frame({"arrays": HOSTILE_HEADERS[case]}, b"\x01" * 1000)
    tracemalloc.start()
    try:
        assert list(FrameParser().iter_feed(stream)) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40 * len(stream) + 100_000


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=2000), st.integers(0, 2**32 - 1))
def test_no_input_makes_the_parser_hold_more_than_a_multiple_of_what_it_received(body: bytes, claimed: int) -> None:
    stream = claimed.to_bytes(4, "big") + body
    tracemalloc.start()
    try:
        list(FrameParser().iter_feed(stream))
    except WorkerError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 40 * len(stream) + 100_000


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "v", "dtype": "object", "shape": [1]},
        {"name": "v", "dtype": "bool", "shape": [1]},
        {"name": "v", "dtype": ">f4", "shape": [1]},
        {"name": "v", "dtype": "uint8", "shape": [-1]},
        {"name": "v", "dtype": "uint8", "shape": [True]},
        {"name": "v", "dtype": "uint8", "shape": [1.0]},
        {"name": "v", "dtype": "uint8", "shape": "1"},
        {"name": "v", "dtype": "uint8", "shape": [1] * 9},
        {"name": "v", "dtype": "uint8", "shape": [0, 1 << 62, 1 << 62]},
        {"name": 1, "dtype": "uint8", "shape": [1]},
        {"dtype": "uint8", "shape": [1]},
        "v",
    ],
)
def test_an_array_that_may_not_travel_is_refused(spec: object) -> None:
    with pytest.raises(WorkerError, match="array that cannot travel"):
        list(FrameParser().iter_feed(raw_frame({"arrays": [spec]}, b"\x00" * 64)))


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 5000,
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b"[]",
        b"17",
        b"\xff\xff",
        b'{"a":1',
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_a_header_that_is_no_plain_json_object_is_refused(text: bytes) -> None:
    with pytest.raises(WorkerError):
        list(FrameParser().iter_feed(raw_frame(text)))


def test_a_size_above_the_limit_is_refused_with_the_bytes_named() -> None:
    limits = FrameLimits(body_bytes=1000)
    parser = FrameParser(limits)
    with pytest.raises(WorkerError, match="announces 1,001 bytes, more than the 1,000"):
        list(parser.iter_feed(raw_frame({"arrays": [{"name": "v", "dtype": "uint8", "shape": [1001]}]})))
    with pytest.raises(WorkerError, match="1,001 bytes of data"):
        encode_frame({}, {"v": np.zeros(1001, np.uint8)}, limits)


def test_messages_before_damaged_bytes_are_still_delivered() -> None:
    parser = FrameParser()
    frames = parser.iter_feed(as_bytes({"kind": "good"}) + b"Traceback")
    assert next(frames).header == {"kind": "good"}
    with pytest.raises(WorkerError, match="not a message"):
        next(frames)
    with pytest.raises(WorkerError, match="not a message"):
        list(parser.iter_feed(as_bytes({"kind": "later"})))


@pytest.mark.parametrize("kept", [1, 3, 4, 10, 40])
def test_a_stream_that_ends_inside_a_message_is_reported(kept: int) -> None:
    parser = FrameParser()
    assert list(parser.iter_feed(as_bytes({"kind": "slice"}, {"v": np.zeros(50, np.uint8)})[:kept])) == []
    with pytest.raises(WorkerError, match="ended inside a message"):
        parser.finish()


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, object(), b"bytes"])
def test_a_value_that_is_not_json_is_refused_by_the_sender(value: object) -> None:
    with pytest.raises(WorkerError, match="cannot travel"):
        encode_frame({"value": value})


def test_big_endian_and_strided_arrays_arrive_with_the_same_values() -> None:
    array = np.arange(40, dtype=">i2").reshape(5, 8)[::2, ::3]
    (frame,) = list(FrameParser().iter_feed(as_bytes({}, {"v": array})))
    assert frame.arrays["v"].dtype == np.dtype("<i2")
    np.testing.assert_array_equal(frame.arrays["v"], array)


def test_a_contiguous_volume_is_not_copied_by_the_sender() -> None:
    volume = np.zeros((4, 8, 8), np.int16)
    piece = encode_frame({}, {"volume": volume})[1]
    volume[0, 0, 0] = 9
    assert bytes(piece[:2]) == b"\x09\x00"
