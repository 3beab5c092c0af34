"""Frames: what crosses the pipe between Slicer and the worker.

A frame is a 4-byte big-endian length, a JSON header of that length, then the raw bytes of the arrays that
`header["arrays"]` names, one after the other: `{"name", "dtype", "shape"}`, C order, little-endian.
The other end is not trusted: nothing is reserved for what a header merely announces.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WorkerError

PREFIX_BYTES = 4
READ_BYTES = 1 << 20
MAX_DIMENSIONS = 8
DTYPES: dict[str, np.dtype] = {
    name: np.dtype(name).newbyteorder("<")
    for name in (
        *("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
        *("float16", "float32", "float64"),
    )
}
"""What may travel. Booleans travel as packed bits, so that no byte other than 0 and 1 can pose as one."""

CURE = "Start the worker again. If this repeats, check that nothing else prints to its standard output."


@dataclass(frozen=True)
class FrameLimits:
    """The largest frame that is accepted. `body_bytes` bounds the sum of a frame's arrays."""

    header_bytes: int = 1 << 20
    arrays: int = 1 << 16
    body_bytes: int = 1 << 36


@dataclass(frozen=True, eq=False)
class Frame:
    """A header without its `arrays` entry, and the arrays by name."""

    header: dict[str, Any]
    arrays: dict[str, NDArray] = field(default_factory=dict)


@dataclass(frozen=True)
class _ArraySpec:
    name: str
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def encode_frame(
    header: Mapping[str, Any], arrays: Mapping[str, NDArray] | None = None, limits: FrameLimits | None = None
) -> list[bytes | memoryview]:
    """Return the pieces of one frame, to be written one after the other; contiguous arrays are not copied.

    Raises `WorkerError` when the frame is larger than `limits`, has an array of another dtype, or a value that is
    not JSON.
    """
    bounds = limits or FrameLimits()
    ready = {name: _wire_array(name, array) for name, array in (arrays or {}).items()}
    specs = [{"name": n, "dtype": a.dtype.name, "shape": list(a.shape)} for n, a in ready.items()]
    try:
        text = json.dumps({**header, "arrays": specs}, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise WorkerError("The message holds a value that cannot travel.", CURE, str(error)) from error
    encoded = text.encode()
    body = sum(array.nbytes for array in ready.values())
    if len(encoded) > bounds.header_bytes or len(ready) > bounds.arrays or body > bounds.body_bytes:
        raise WorkerError(
            f"The message is too large: {len(encoded):,} bytes of header, {len(ready)} arrays, {body:,} bytes of data.",
            "Send fewer slices or objects at once.",
        )
    pieces: list[bytes | memoryview] = [len(encoded).to_bytes(PREFIX_BYTES, "big") + encoded]
    pieces.extend(array.data.cast("B") for array in ready.values() if array.nbytes)
    return pieces


def _wire_array(name: str, array: NDArray) -> NDArray:
    if array.dtype.name not in DTYPES:
        raise WorkerError(f"The array {name!r} is of type {array.dtype}, which cannot travel.", "Convert it first.")
    # ascontiguousarray would turn a 0-d array into a 1-d one.
    return np.asarray(array, dtype=DTYPES[array.dtype.name], order="C")


class FrameParser:
    """Frames out of a byte stream, however it is cut.

    Memory in use is bounded by the bytes received so far (and their JSON objects). After an error the stream has no
    known position: every later call raises the same error.
    """

    def __init__(self, limits: FrameLimits | None = None) -> None:
        self._limits = limits or FrameLimits()
        self._error: WorkerError | None = None
        self._next_frame()

    def iter_feed(self, data: bytes | bytearray | memoryview) -> Iterator[Frame]:
        """Yield the frames that `data` completes, one by one. Raises `WorkerError` for bytes that are no frame."""
        rest = memoryview(data)
        if self._error is None:
            while rest:
                try:
                    rest, frame = self._step(rest)
                except WorkerError as error:
                    self._error = error
                    break
                if frame is not None:
                    yield frame
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        """Raise `WorkerError` when the stream ended inside a frame."""
        if self._error is not None:
            raise self._error
        if self._head or self._body:
            received = len(self._head) + len(self._body)
            raise WorkerError("The stream ended inside a message.", CURE, f"{received:,} bytes of an unfinished frame")

    def _next_frame(self) -> None:
        self._head = bytearray()
        self._header: dict[str, Any] | None = None
        self._specs: list[_ArraySpec] = []
        self._body = bytearray()
        self._wanted = PREFIX_BYTES

    def _step(self, data: memoryview) -> tuple[memoryview, Frame | None]:
        """Take what the present part still wants; return what is left over, and the frame if it is complete."""
        part = self._head if self._header is None else self._body
        missing = self._wanted - len(part)
        part += data[:missing]
        rest = data[missing:]
        if len(part) < self._wanted:
            return rest, None
        if self._header is None:
            if self._wanted == PREFIX_BYTES:
                self._wanted += self._header_length()
                return rest, None
            self._open_body()
            if self._wanted:
                return rest, None
        return rest, self._finish_frame()

    def _header_length(self) -> int:
        length = int.from_bytes(self._head, "big")
        if not 2 <= length <= self._limits.header_bytes:
            raise WorkerError("The bytes received are not a message.", CURE, f"it starts with {bytes(self._head)!r}")
        return length

    def _open_body(self) -> None:
        header = _parse_header(bytes(self._head[PREFIX_BYTES:]))
        self._specs = _parse_specs(header.pop("arrays", []), self._limits)
        self._header = header
        self._wanted = sum(spec.nbytes for spec in self._specs)

    def _finish_frame(self) -> Frame:
        assert self._header is not None
        arrays: dict[str, NDArray] = {}
        start = 0
        for spec in self._specs:
            flat = np.frombuffer(self._body, spec.dtype, math.prod(spec.shape), start)
            # An array behind one of an odd length may lie at an address that its type does not allow.
            arrays[spec.name] = np.require(flat, requirements=["A"]).reshape(spec.shape)
            start += spec.nbytes
        frame = Frame(self._header, arrays)
        self._next_frame()
        return frame


def _parse_header(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise WorkerError("A message has an unreadable header.", CURE, f"{error}: {text[:200]!r}") from error
    if not isinstance(header, dict):
        raise WorkerError("A message's header is not an object.", CURE, repr(text[:200]))
    return header


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _parse_specs(described: object, limits: FrameLimits) -> list[_ArraySpec]:
    if not isinstance(described, list) or len(described) > limits.arrays:
        raise WorkerError(f"A message names its arrays wrongly, or more than {limits.arrays}.", CURE)
    specs = [_parse_spec(item) for item in described]
    if len({spec.name for spec in specs}) != len(specs):
        raise WorkerError("A message names an array twice.", CURE)
    total = sum(spec.nbytes for spec in specs)
    if total > limits.body_bytes:
        raise WorkerError(
            f"A message announces {total:,} bytes, more than the {limits.body_bytes:,} that are accepted.",
            "Choose a smaller range of slices, or crop the volume.",
        )
    return specs


def _parse_spec(item: object) -> _ArraySpec:
    if isinstance(item, dict):
        name, dtype, shape = item.get("name"), item.get("dtype"), item.get("shape")
        if isinstance(name, str) and isinstance(dtype, str) and dtype in DTYPES and _is_shape(shape):
            return _ArraySpec(name, DTYPES[dtype], tuple(shape))  # type: ignore[arg-type]
    raise WorkerError("A message describes an array that cannot travel.", CURE, repr(item)[:200])


def _is_shape(shape: object) -> bool:
    return (
        isinstance(shape, list)
        and len(shape) <= MAX_DIMENSIONS
        and all(type(n) is int and n >= 0 for n in shape)
        # A size of zero must not let the others be of a magnitude that numpy cannot hold.
        and math.prod(max(n, 1) for n in shape) <= 1 << 56
    )


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write every byte; a pipe takes them in parts."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest[:READ_BYTES]) :]
