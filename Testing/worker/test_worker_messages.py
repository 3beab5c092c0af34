from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from MedSAMSegmentLib.errors import (
    Cancelled,
    CheckpointError,
    DeviceError,
    MedSAMError,
    PromptError,
    WorkerError,
    error_types,
)
from MedSAMSegmentLib.prompts import Box, Line, MaskPrompt, Point
from MedSAMSegmentLib.results import (
    FLAG_TWO_READINGS,
    ObjectResult,
    PackedMask,
    Segmentation3D,
    SliceResult,
    SliceScore,
)
from MedSAMSegmentLib.service.client import ServiceError
from MedSAMSegmentLib.service.problems import ServiceProblem
from MedSAMSegmentLib.worker.frames import FrameParser, encode_frame
from MedSAMSegmentLib.worker.protocol import (
    OpenVolume,
    Propagate,
    SegmentSlice,
    VolumePart,
    error_fields,
    error_from_fields,
    parse_request,
    request_payload,
)
from MedSAMSegmentLib.worker.wire_masks import (
    decode_segmentation,
    decode_slice,
    encode_segmentation,
    encode_slice,
    pack_mask,
    unpack_mask,
)
from MedSAMSegmentLib.worker.wire_prompts import shift_prompt

BOX = Box(i=(0, 3), j=(0, 3), k=(2, 2))


def over_the_wire(request: Any) -> Any:
    header, arrays = request_payload(request, 7)
    stream = b"".join(bytes(piece) for piece in encode_frame(header, arrays))
    (frame,) = list(FrameParser().iter_feed(stream))
    return parse_request(frame)


@settings(max_examples=100, deadline=None)
@given(arrays_of.arrays(np.bool_, arrays_of.array_shapes(min_dims=1, max_dims=3, max_side=9)))
def test_a_packed_mask_unpacks_to_itself(mask: np.ndarray) -> None:
    fields, bits = pack_mask(mask)
    np.testing.assert_array_equal(unpack_mask(fields, bits), mask)


def test_a_packed_mask_takes_the_bits_of_its_tight_box_only() -> None:
    mask = np.zeros((512, 512), dtype=bool)
    mask[100:108, 200:210] = True
    fields, bits = pack_mask(mask)
    assert fields == {"shape": [512, 512], "lower": [100, 200], "extent": [8, 10]}
    assert bits.nbytes == 10


@pytest.mark.parametrize(
    "change",
    [
        {"extent": [9, 10]},
        {"lower": [505, 200]},
        {"lower": [-1, 0]},
        {"shape": [1 << 20, 1 << 20]},
        {"extent": [80]},
        {"lower": "x"},
    ],
)
def test_a_mask_that_does_not_fit_its_grid_is_refused(change: dict[str, Any]) -> None:
    mask = np.zeros((512, 512), dtype=bool)
    mask[100:108, 200:210] = True
    fields, bits = pack_mask(mask)
    with pytest.raises(WorkerError, match="A mask arrived"):
        unpack_mask({**fields, **change}, bits)


@pytest.mark.parametrize(
    "change",
    [
        lambda bits: bits[:-1],
        lambda bits: np.append(bits, np.uint8(0)),
        lambda bits: bits.astype(np.int16),
        lambda bits: bits.reshape(2, 5),
    ],
    ids=["a byte short", "a byte too many", "another type", "another shape"],
)
def test_bits_that_are_not_those_of_the_box_are_refused(change: Callable[[np.ndarray], np.ndarray]) -> None:
    mask = np.zeros((512, 512), dtype=bool)
    mask[100:108, 200:210] = True
    fields, bits = pack_mask(mask)
    with pytest.raises(WorkerError, match="does not fit"):
        unpack_mask(fields, change(bits))


def test_every_prompt_arrives_as_it_was() -> None:
    mask = np.zeros((6, 7), dtype=bool)
    mask[2:4, 3] = True
    prompts = [
        Box(i=(1, 5), j=(2, 6), k=(3, 3)),
        Point(1.5, 2.5, 3.0, positive=False),
        Line((1.0, 2.0, 3.0), (4.5, 5.0, 3.0)),
        MaskPrompt(0, 3, mask),
    ]
    received = over_the_wire(Propagate(4, [prompts[0], prompts[1:]], {"direction": "up"}, slices=True))
    assert received.session == 4
    assert received.slices
    assert received.options == {"direction": "up"}
    assert [len(group) for group in received.objects] == [1, 3]
    assert received.objects[0] == [prompts[0]]
    assert received.objects[1][:2] == prompts[1:3]
    np.testing.assert_array_equal(received.objects[1][2].mask, mask)


@pytest.mark.parametrize("reading", [1, 2])
def test_the_reading_of_a_preview_arrives(reading: int) -> None:
    assert over_the_wire(SegmentSlice(1, 0, 2, [BOX], reading)).reading == reading


def test_a_preview_that_says_nothing_of_readings_is_of_the_first() -> None:
    header, arrays = request_payload(SegmentSlice(1, 0, 2, [BOX], 2), 1)
    del header["reading"]
    (frame,) = list(FrameParser().iter_feed(b"".join(bytes(p) for p in encode_frame(header, arrays))))
    assert parse_request(frame).reading == 1  # type: ignore[union-attr]


def test_a_reading_that_is_no_number_is_refused() -> None:
    with pytest.raises(WorkerError, match="a form that is not known"):
        over_the_wire(SegmentSlice(1, 0, 2, [BOX], "other"))  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 3)])
def test_an_opened_volume_arrives_with_its_options(shape: tuple[int, ...]) -> None:
    sent = OpenVolume(3, "lite_medsam", shape, "int16", (5.0, 0.7, 0.7), {"window": [-160, 240]}, (-5.0, 7.0))
    assert vars(over_the_wire(sent)) == vars(sent)


def test_a_part_of_a_volume_arrives_with_its_voxels() -> None:
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    received = over_the_wire(VolumePart(3, (9, 8, 7), (1, 2, 3), values))
    np.testing.assert_array_equal(received.values, values)
    assert received.values.dtype == np.int16
    assert (received.session, received.shape, received.first_zyx) == (3, (9, 8, 7), (1, 2, 3))


@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 4), (2, 3, 4, 2), (1 << 20, 1 << 20, 1 << 20), (-1, 3, 4)])
def test_a_volume_of_no_possible_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(WorkerError, match="a form that is not known"):
        over_the_wire(VolumePart(3, shape, (0, 0, 0), np.zeros((1, 1, 1), np.int16)))
    with pytest.raises(WorkerError, match="a form that is not known"):
        over_the_wire(OpenVolume(3, "any", shape, "int16"))


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(["prepare", "part", "open", "segment_slice", "propagate", "close", "self_check", "what"]),
    st.dictionaries(
        st.sampled_from(
            [
                *("session", "model", "axis", "index", "objects", "options", "slices", "spacing_zyx"),
                *("shape", "dtype", "first_zyx", "value_range"),
            ]
        ),
        st.none()
        | st.integers()
        | st.text(max_size=3)
        | st.lists(st.integers() | st.lists(st.dictionaries(st.text(max_size=4), st.integers())), max_size=3),
    ),
)
def test_any_fields_give_a_request_or_a_typed_error(kind: str, fields: dict[str, Any]) -> None:
    (frame,) = list(
        FrameParser().iter_feed(b"".join(bytes(p) for p in encode_frame({**fields, "kind": kind, "id": 1})))
    )
    try:
        request = parse_request(frame)
    except (WorkerError, PromptError):
        return
    assert request.kind == kind


def test_a_prompt_error_in_a_request_keeps_its_type() -> None:
    header, arrays = request_payload(SegmentSlice(1, 0, 2, [Box(i=(0, 3), j=(0, 3), k=(2, 2))]), 1)
    header["objects"][0][0]["i"] = [3, 0]
    (frame,) = list(FrameParser().iter_feed(b"".join(bytes(p) for p in encode_frame(header, arrays))))
    with pytest.raises(PromptError, match="reversed on i"):
        parse_request(frame)


@pytest.mark.parametrize("code", sorted(error_types()))
def test_every_error_keeps_type_and_words_over_the_wire(code: str) -> None:
    error = error_types()[code]("Größe ≠ 三", "Try it.", "trace")
    received = error_from_fields(error_fields(error))
    assert type(received) is type(error)
    assert (received.message, received.cure, received.detail) == ("Größe ≠ 三", "Try it.", "trace")


def test_an_error_of_an_unknown_code_becomes_a_worker_error() -> None:
    received = error_from_fields({"code": "from-the-future", "message": "New.", "cure": "Update."})
    assert isinstance(received, WorkerError)
    assert str(received) == "New. Update."
    assert {DeviceError, CheckpointError, Cancelled, ServiceError, ServiceProblem} <= set(error_types().values())
    assert issubclass(WorkerError, MedSAMError)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_of_a_part_lands_at_its_place_in_the_whole_volume(axis: int) -> None:
    whole, offset, part = (10, 11, 12), (2, 3, 4), (5, 6, 7)
    volume = np.zeros(whole, dtype=bool)
    volume[4, 5, 6] = volume[5, 6, 8] = True
    inside = volume[tuple(slice(o, o + n) for o, n in zip(offset, part, strict=True))]
    index = np.argwhere(inside)[0][axis]
    result = SliceResult(1, axis, int(index), inside.take(index, axis=axis), 0.5, ("empty", FLAG_TWO_READINGS), True)
    header, arrays = encode_slice(result)
    received = decode_slice(header, arrays, offset, whole)
    np.testing.assert_array_equal(received.mask, volume.take(index + offset[axis], axis=axis))
    assert (received.index, received.axis, received.object_index) == (index + offset[axis], axis, 1)
    assert (received.score, received.flags, received.key) == (0.5, ("empty", FLAG_TWO_READINGS), True)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_segmentation_of_a_part_lands_at_its_place_in_the_whole_volume(axis: int) -> None:
    whole, offset, part = (10, 11, 12), (2, 3, 4), (5, 6, 7)
    rng = np.random.default_rng(axis)
    masks = [rng.random(part) > 0.7, np.zeros(part, dtype=bool)]
    masks[0][:, 0] = False
    objects = []
    for name, mask in zip("ab", masks, strict=True):
        packed = PackedMask(part, axis)
        for index in range(part[axis]):
            packed.set_slice(index, mask.take(index, axis=axis))
        scores = {1: SliceScore(0.25, 5, ("low-score",), False), 3: SliceScore(0.5, 7, (FLAG_TWO_READINGS,), True)}
        objects.append(ObjectResult(name, packed, scores))
    run = Segmentation3D(objects, axis, part, "m", "static", "cpu", "CT", 1.5, 2, 3)
    header, arrays = encode_segmentation(run)
    received = decode_segmentation(header, arrays, offset, whole)
    place = tuple(slice(o, o + n) for o, n in zip(offset, part, strict=True))
    for item, mask in zip(received.objects, masks, strict=True):
        expected = np.zeros(whole, dtype=bool)
        expected[place] = mask
        np.testing.assert_array_equal(item.mask, expected)
        assert item.slices == {
            1 + offset[axis]: SliceScore(0.25, 5, ("low-score",), False),
            3 + offset[axis]: SliceScore(0.5, 7, (FLAG_TWO_READINGS,), True),
        }
    assert [item.name for item in received.objects] == ["a", "b"]
    assert (received.model, received.strategy, received.device, received.window) == ("m", "static", "cpu", "CT")
    assert (received.seconds, received.encodes, received.predictions, received.shape_zyx) == (1.5, 2, 3, whole)


def test_prompts_move_into_the_indices_of_the_part() -> None:
    offset, part = (3, 0, 0), (4, 6, 7)
    mask = np.eye(6, 7, dtype=bool)
    assert shift_prompt(Box(i=(1, 2), j=(2, 3), k=(3, 5)), offset, part) == Box(i=(1, 2), j=(2, 3), k=(0, 2))
    assert shift_prompt(Point(1, 2, 4), offset, part) == Point(1, 2, 1)
    assert shift_prompt(Line((1, 2, 4), (3, 2, 4)), offset, part) == Line((1, 2, 1), (3, 2, 1))
    moved = shift_prompt(MaskPrompt(0, 5, mask), offset, part)
    assert isinstance(moved, MaskPrompt)
    assert moved.index == 2
    np.testing.assert_array_equal(moved.mask, mask)
