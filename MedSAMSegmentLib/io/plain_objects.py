"""Plain values out of an object array of numpy's, without ever running a pickle.

The files of the CVPR 2025 challenge keep boxes, clicks and texts in object arrays, which numpy stores as pickles. A
pickle is a program: what it asks for is not done here. Its opcodes are read one by one, and only those are known that
make numbers, texts, lists, tuples and dictionaries. Of the names that it may call three are known, numpy's array, dtype
and scalar, and these are made here from checked bytes. All else is refused, and so is what is too large, too deep or
shared so often that it grows.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import InputError

MAX_PICKLE_BYTES = 16 << 20
"""Boxes and clicks of a case need some kilobytes."""

MAX_OPCODES = 1_000_000
MAX_VALUES = 200_000
"""Numbers and texts in all, each counted as often as it is reached."""

MAX_MADE_BYTES = 64 << 20
"""Bytes that become numbers and texts of numpy's, each counted as often as something is made of it."""

MAX_DEPTH = 10
MAX_AXES = 8
MAX_INTEGER_BYTES = 8

_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_NAMES = {("numpy", "ndarray"): "ndarray", ("numpy", "dtype"): "dtype"}
_NAMES |= {(module, name): name for module in _MODULES for name in ("_reconstruct", "scalar")}

_NUMBERS = re.compile(r"[<>|=]?([biuf])(1|2|4|8)")
_TEXT = re.compile(r"[<>=]?U(\d{1,6})")
_OBJECTS = re.compile(r"\|?O[48]?")

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = {
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "SHORT_BINBYTES", "BINBYTES", "BINBYTES8",
}  # fmt: skip
_MADE: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Refused(Exception):
    """The bytes ask for something that is not done; the text says what."""


class _Name:
    """One of the names that may be called."""

    def __init__(self, meaning: str) -> None:
        self.meaning = meaning


class _DType:
    """The type of an array's items, by numpy's code for it."""

    def __init__(self, code: str) -> None:
        self.code = code

    @property
    def is_object(self) -> bool:
        return _OBJECTS.fullmatch(self.code) is not None

    def plain(self) -> np.dtype:
        """Return numpy's type of numbers or texts. Raises `_Refused` for any other."""
        if _NUMBERS.fullmatch(self.code) or _TEXT.fullmatch(self.code):
            try:
                return np.dtype(self.code)
            except TypeError as error:
                raise _Refused(f"items of the type {self.code[:20]!r}") from error
        raise _Refused(f"items of the type {self.code[:20]!r}")


class _Array:
    """An array that is filled after it was made."""

    def __init__(self) -> None:
        self.items: list[Any] | np.ndarray | None = None
        self.shape: tuple[int, ...] = ()
        self.order: str = "C"


class _Mark:
    """The place on the stack where a group of values begins."""


def read_plain_objects(data: bytes, name: str) -> Any:
    """Return what the pickle of an object array holds: nested lists along its axes, or one value where it has none.

    Items are numbers, texts, bytes, None, lists, tuples, dictionaries by texts or whole numbers, and arrays of numbers;
    numpy's scalars become Python's. `name` says in an error which array it was. Raises `InputError`.
    """
    try:
        if len(data) > MAX_PICKLE_BYTES:
            raise _Refused(f"{len(data)} bytes")
        return _Plain().of(_Interpreter().run(data), MAX_DEPTH)
    except _Refused as error:
        raise _refusal(name, str(error)) from error
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, AttributeError, RecursionError) as error:
        raise _refusal(name, "bytes that make no sense", repr(error)) from error


def require_texts(array: np.ndarray) -> None:
    """Raise ValueError where an array of texts holds what is none; numpy would not see it before it is too late."""
    if array.dtype.kind == "U":
        array.tobytes().decode("utf-32-be" if array.dtype.str[0] == ">" else "utf-32-le")


def _refusal(name: str, what: str, detail: str = "") -> InputError:
    cure = "Save boxes and clicks as lists of dictionaries of numbers, as the challenge does."
    return InputError(f"{name} holds {what}, which is not read.", cure, detail)


class _Interpreter:
    """The part of the pickle machine that makes values: a stack, its marks, and a memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self._bytes_left = MAX_MADE_BYTES

    def run(self, data: bytes) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count > MAX_OPCODES:
                raise _Refused("more steps than a case needs")
            if opcode.name == "STOP":
                (value,) = self.stack
                return value
            self._step(opcode.name, argument)
        raise _Refused("no end")

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in ("PROTO", "FRAME"):
            return
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            stack.append(_literal(argument))
        elif name in _MADE:
            stack.append(_MADE[name]())
        elif name in _TUPLES:
            count = _TUPLES[name]
            if len(stack) < count:
                raise _Refused("a tuple of nothing")
            stack[-count:] = [tuple(stack[-count:])]
        elif name == "MARK":
            stack.append(_Mark())
        elif name in ("MEMOIZE", "BINPUT", "LONG_BINPUT"):
            self.memo[len(self.memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        else:
            self._combine(name, argument)

    def _combine(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name == "TUPLE":
            stack.append(tuple(self._to_mark()))
        elif name == "LIST":
            stack.append(self._to_mark())
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else self._to_mark()
            _of_type(stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS", "DICT"):
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else self._to_mark()
            if name == "DICT":
                stack.append({})
            target = _of_type(stack[-1], dict)
            for key, value in zip(items[::2], items[1::2], strict=True):
                target[_key(key)] = value
        elif name == "GLOBAL":
            stack.append(_name(*argument.split(" ")))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_name(module, attribute))
        elif name == "REDUCE":
            arguments, called = self._paid(stack.pop()), stack.pop()
            stack.append(_call(_of_type(called, _Name).meaning, arguments))
        elif name == "BUILD":
            state = self._paid(stack.pop())
            _fill(stack[-1], state)
        else:
            raise _Refused(f"the step {name}")

    def _paid(self, arguments: Any) -> tuple[Any, ...]:
        """Return what something is made of, its bytes counted."""
        found: tuple[Any, ...] = _of_type(arguments, tuple)
        self._bytes_left -= sum(len(value) for value in found if isinstance(value, bytes))
        if self._bytes_left < 0:
            raise _Refused("more bytes than a case needs")
        return found

    def _to_mark(self) -> list[Any]:
        """Take the values above the last mark, and the mark."""
        for place in range(len(self.stack) - 1, -1, -1):
            if isinstance(self.stack[place], _Mark):
                items = self.stack[place + 1 :]
                del self.stack[place:]
                return items
        raise _Refused("a group without a beginning")


class _Plain:
    """The values as the caller gets them: copied, counted, and no deeper than they may be."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def of(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise _Refused("more values than a case needs")
        if depth == 0:
            raise _Refused("values within values without end")
        if isinstance(value, (list, tuple)):
            return type(value)(self.of(item, depth - 1) for item in value)
        if isinstance(value, dict):
            return {key: self.of(item, depth - 1) for key, item in value.items()}
        if isinstance(value, _Array):
            return self._of_array(value, depth)
        if value is None or isinstance(value, (bool, int, float, str, bytes)):
            return value
        raise _Refused("a name in the place of a value")

    def _of_array(self, array: _Array, depth: int) -> Any:
        if isinstance(array.items, np.ndarray):
            self._left -= array.items.nbytes // 4
            if self._left < 0:
                raise _Refused("more values than a case needs")
            return array.items.copy()
        if array.items is None:
            raise _Refused("an array without its values")
        cells = np.empty(len(array.items), object)
        for place, item in enumerate(array.items):
            cells[place] = self.of(item, depth - 1)
        return cells.reshape(array.shape, order="F" if array.order == "F" else "C").tolist()


def _literal(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() >= 8 * MAX_INTEGER_BYTES:
        raise _Refused("a number of many digits")
    return value


def _key(key: Any) -> str | int:
    if not isinstance(key, (str, int)):
        raise _Refused("a dictionary by other keys than texts and numbers")
    return key


def _name(module: Any, attribute: Any) -> _Name:
    meaning = _NAMES.get((module, attribute)) if isinstance(module, str) and isinstance(attribute, str) else None
    if meaning is None:
        raise _Refused(f"the name {str(module)[:40]}.{str(attribute)[:40]}")
    return _Name(meaning)


def _call(meaning: str, arguments: tuple[Any, ...]) -> Any:
    """Make what numpy's function of this name would."""
    if meaning == "_reconstruct":
        kind, shape, code = arguments
        if _of_type(kind, _Name).meaning != "ndarray" or shape != (0,) or code != b"b":
            raise _Refused("an array of a kind of its own")
        return _Array()
    if meaning == "dtype":
        return _DType(_of_type(arguments[0], str))
    if meaning == "scalar":
        dtype, data = arguments
        return _array(_of_type(dtype, _DType), (), _of_type(data, bytes)).tolist()
    raise _Refused(f"a call of {meaning}")


def _fill(target: Any, state: tuple[Any, ...]) -> None:
    """Give a type its byte order, or an array its values."""
    if isinstance(target, _DType):
        _, order, subarray, names, fields = state[:5]
        if subarray is not None or names is not None or fields is not None or order not in ("<", ">", "=", "|"):
            raise _Refused("items with parts")
        if order in ("<", ">"):
            target.code = order + target.code.lstrip("<>=|")
        return
    array = _of_type(target, _Array)
    _, shape, dtype, fortran, values = state
    dimensions = tuple(_of_type(n, int) for n in _of_type(shape, tuple))
    if array.items is not None or len(dimensions) > MAX_AXES or any(n < 0 for n in dimensions):
        raise _Refused(f"an array of the shape {dimensions[:MAX_AXES]}")
    if math.prod(max(n, 1) for n in dimensions) > MAX_VALUES:  # also where one of them is 0
        raise _Refused("more values than a case needs")
    array.shape, array.order = dimensions, "F" if fortran else "C"
    if not _of_type(dtype, _DType).is_object:
        array.items = _array(dtype, dimensions, _of_type(values, bytes), array.order)
        return
    array.items = _of_type(values, list)
    if len(array.items) != math.prod(dimensions):
        raise _Refused("an array of more or fewer values than it says")


def _array(dtype: _DType, shape: tuple[int, ...], data: bytes, order: str = "C") -> np.ndarray:
    plain = dtype.plain()
    if plain.itemsize == 0 or plain.itemsize * math.prod(shape) != len(data):
        raise _Refused("an array of more or fewer values than it says")
    if plain.kind == "b" and not set(data) <= {0, 1}:
        raise _Refused("truth values that are neither")
    found = np.frombuffer(data, plain).reshape(shape, order="F" if order == "F" else "C")
    require_texts(found)
    return found


def _of_type(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise _Refused(f"a {type(value).__name__.strip('_')} in a place where it cannot be")
    return value
