"""Object arrays as plain values, and all the ways in which a pickle may try to be more than that."""

from __future__ import annotations

import os
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MedSAMSegmentLib.errors import InputError
from MedSAMSegmentLib.io.plain_objects import MAX_PICKLE_BYTES, MAX_VALUES, read_plain_objects

BOX = {"z_min": np.int64(3), "z_mid": 5, "part": np.float32(1.5), "name": np.str_("Gefäß"), "told": np.bool_(True)}


def stored(value: Any, protocol: int = 4) -> bytes:
    """The bytes behind the header of an .npy file; numpy 1 writes protocol 3, numpy 2 protocol 4."""
    return pickle.dumps(np.array(value, dtype=object), protocol=protocol)


@pytest.mark.parametrize("protocol", [3, 4])
def test_dictionaries_of_numpys_numbers_become_plain(protocol: int) -> None:
    (found,) = read_plain_objects(stored([BOX], protocol), "boxes")
    assert found == {"z_min": 3, "z_mid": 5, "part": 1.5, "name": "Gefäß", "told": True}
    assert [type(value) for value in found.values()] == [int, int, float, str, bool]


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize(
    "value",
    [
        [{"fg": [[1, 2, 3], [4, 5, 6]], "bg": []}, {"fg": [], "bg": [[-7, 2**40, 0]]}],
        [["fg", None], ["bg", "fg"]],
        {"1": "liver", "instance_label": 0},
        [{"a": (1,), "b": (1, 2), "c": (1, 2, 3), "d": (1, 2, 3, 4), "e": b"bytes", "f": False, "g": 1e-300}],
        [{}, {}],
    ],
)
def test_what_numpy_reads_is_what_is_read(value: Any, protocol: int) -> None:
    data = stored(value, protocol)
    assert read_plain_objects(data, "clicks") == pickle.loads(data).tolist() == value


def test_arrays_within_keep_their_shape_and_byte_order() -> None:
    arrays = [np.arange(6, dtype=">i2").reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.array("ab")]
    (found,) = read_plain_objects(stored([{"arrays": arrays}]), "boxes")
    for array, copy in zip(arrays, found["arrays"], strict=True):
        assert np.array_equal(array, copy)


def test_a_list_that_is_shared_is_read_twice() -> None:
    click = [1, 2, 3]
    assert read_plain_objects(stored([{"fg": [click, click]}]), "clicks") == [{"fg": [[1, 2, 3], [1, 2, 3]]}]


class _Calls:
    """Pickled as a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self._call


@pytest.mark.parametrize(
    ("function", "argument"),
    [(os.system, "touch {0}"), (eval, "open('{0}', 'w')"), (Path.touch, Path("{0}")), (np.save, "{0}"), (dict, ())],
)
def test_a_call_is_never_made(tmp_path: Path, function: Any, argument: Any) -> None:
    target = tmp_path / "exploded"
    filled = type(argument)(str(argument).format(target)) if isinstance(argument, (str, Path)) else argument
    with pytest.raises(InputError, match="the name"):
        read_plain_objects(stored([_Calls(function, filled)]), "boxes")
    assert not target.exists()


def program(*steps: bytes) -> bytes:
    return b"\x80\x04" + b"".join(steps) + b"."


def text(word: str) -> bytes:
    return b"\x8c" + bytes([len(word)]) + word.encode()


def name(module: str, attribute: str) -> bytes:
    return text(module) + text(attribute) + b"\x93"


RECONSTRUCT = name("numpy.core.multiarray", "_reconstruct")
DTYPE = name("numpy", "dtype")
AN_ARRAY = RECONSTRUCT + name("numpy", "ndarray") + b"K\x00\x85C\x01b\x87R"


def of_type(code: str) -> bytes:
    return DTYPE + text(code) + b"\x89\x88\x87R"


def an_array(shape: bytes, code: str, values: bytes) -> bytes:
    """An array whose state is what is given."""
    return AN_ARRAY + b"(K\x01" + shape + of_type(code) + b"\x89" + values + b"tb"


def test_the_hand_written_programs_of_this_file_are_right() -> None:
    whole = program(an_array(b"K\x02\x85", "i2", b"C\x04\x01\x00\x02\x00"))
    assert read_plain_objects(whole, "x").tolist() == pickle.loads(whole).tolist() == [1, 2]


HUGE = b"\x8a\x06" + (2**40).to_bytes(6, "little")
HOSTILE = {
    "a name of numpy that runs code": program(name("numpy.f2py.crackfortran", "myeval"), text("1"), b"\x85R"),
    "a name through a module": program(name("numpy", "os.system"), text("true"), b"\x85R"),
    "a name of protocol 2": program(b"cos\nsystem\n", text("true"), b"\x85R"),
    "an instance": program(b"(ios\nsystem\n"),
    "a new object": program(name("numpy", "ndarray"), b")\x81"),
    "a persistent id": program(b"Ppersistent\n"),
    "an extension": program(b"\x82\x01"),
    "a buffer from outside": program(b"\x97"),
    "a set": program(b"\x8f"),
    "a call of the type itself": program(name("numpy", "ndarray"), HUGE, b"\x85R"),
    "another kind of array": program(RECONSTRUCT, DTYPE, b"K\x00\x85C\x01b\x87R"),
    "an array with a shape from the start": program(RECONSTRUCT, name("numpy", "ndarray"), HUGE, b"\x85C\x01b\x87R"),
    "an array larger than its bytes": program(an_array(HUGE + b"\x85", "i8", b"C\x08" + bytes(8))),
    "an array smaller than its bytes": program(an_array(b"K\x01\x85", "i2", b"C\x04" + bytes(4))),
    "an array of a negative length": program(an_array(b"J\xff\xff\xff\xff\x85", "i2", b"C\x04" + bytes(4))),
    "an array of nothing but very long": program(an_array(HUGE + b"K\x00\x86", "O8", b"]")),
    "an array of objects in bytes": program(an_array(b"K\x01\x85", "O8", b"C\x08" + bytes(8))),
    "an array of fewer objects": program(an_array(b"K\x03\x85", "O8", b"]K\x01a")),
    "an array that is filled twice": program(
        an_array(b"K\x00\x85", "O8", b"]"), b"(K\x01K\x00\x85", of_type("O8"), b"\x89]tb"
    ),
    "an array that is not filled": program(AN_ARRAY),
    "a type with fields": program(DTYPE, text("V8"), b"\x89\x88\x87R", b"(K\x03", text("|"), b"N}}K\x08K\x01K\x00tb"),
    "an array of a void type": program(an_array(b"K\x01\x85", "V8", b"C\x08" + bytes(8))),
    "an array of dates": program(an_array(b"K\x01\x85", "M8", b"C\x08" + bytes(8))),
    "a type by a comma": program(an_array(b"K\x01\x85", "i4,i4", b"C\x08" + bytes(8))),
    "texts beyond Unicode": program(an_array(b"K\x01\x85", "<U1", b"C\x04\xff\xff\xff\xff")),
    "truth of 7": program(an_array(b"K\x01\x85", "b1", b"C\x01\x07")),
    "a type in the place of a value": program(of_type("i8")),
    "a name in the place of a value": program(DTYPE),
    "a mark in the place of a value": program(b"("),
    "a list that holds itself": program(b"]\x94h\x00a"),
    "lists without end": program(b"]" * 5000, b"a" * 4999),
    "each list twice in the next": program(
        b"]K\x01a", *(b"\x94]h" + bytes([n]) + b"ah" + bytes([n]) + b"a" for n in range(40))
    ),
    "an array of a megabyte a thousand times": program(
        b"]", an_array(b"K\x01\x85", "<U250000", b"B" + (10**6).to_bytes(4, "little") + bytes(10**6)), b"\x94a",
        b"h\x00a" * 1000,
    ),
    "a text of a megabyte made a thousand times": program(
        name("numpy.core.multiarray", "scalar"), b"\x94", of_type("<U250000"), b"\x94",
        b"B" + (10**6).to_bytes(4, "little") + bytes(10**6), b"\x94", b"]", b"h\x00h\x01h\x02\x86Ra" * 1000,
    ),
    "a number of a thousand digits": program(b"\x8a\xff" + b"\x7f" * 255),
    "a number in decimal": program(b"L" + b"9" * 5000 + b"L\n"),
    "a key that is a list": program(b"}]K\x01s"),
    "a key that is a tuple": program(b"}K\x01\x85K\x01s"),
    "a key without a value": program(b"}(K\x01u"),
    "an append to a number": program(b"K\x01K\x02a"),
    "a state for a list": program(b"])b"),
    "a memory that was never written": program(b"h\x07"),
    "nothing": program(),
    "two values": program(b"K\x01K\x02"),
    "more than there is": program(b"\x87"),
    "no end": b"\x80\x04K\x01",
    "a text longer than the file": b"\x80\x04X\xff\xff\xff\x7fabc.",
    "an unknown step": b"\x80\x04\xff.",
    "no bytes": b"",
}  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_programs_are_refused_with_a_cure(data: bytes) -> None:
    with pytest.raises(InputError, match=r"^boxes holds .*") as caught:
        read_plain_objects(data, "boxes")
    assert caught.value.cure


def test_too_much_is_refused_before_it_is_read() -> None:
    with pytest.raises(InputError, match="bytes"):
        read_plain_objects(bytes(MAX_PICKLE_BYTES + 1), "boxes")
    with pytest.raises(InputError, match="more values"):
        read_plain_objects(program(b"]", b"(", b"K\x01" * MAX_VALUES, b"e"), "boxes")


def test_damaged_bytes_are_refused_or_give_plain_values() -> None:
    rng = np.random.default_rng(3)
    whole = stored([BOX, {"fg": [[np.int64(1), 2, 3]], "array": np.arange(3)}])
    refused = 0
    for _ in range(3000):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), rng.integers(1, 6)):
            data[place] = rng.integers(256)
        try:
            read_plain_objects(bytes(data[: rng.integers(1, len(data) + 1)] if rng.random() < 0.2 else data), "boxes")
        except InputError:
            refused += 1
    assert refused > 1000


def test_the_steps_that_numpy_writes_are_all_known() -> None:
    """A newer numpy or Python would be seen here first."""
    data = stored([BOX] * 300 + [{"fg": [list(range(2000))], "deep": [[[[1]]]], "array": np.arange(3)}])
    assert {opcode.name for opcode, _, _ in pickletools.genops(data)} > {"STACK_GLOBAL", "REDUCE", "BUILD", "MEMOIZE"}
    assert len(read_plain_objects(data, "boxes")) == 301
