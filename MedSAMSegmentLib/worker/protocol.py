"""The messages between client and worker, as dataclasses.

Requests: `hello`, `prepare`, `part`, `open`, `segment_slice`, `propagate`, `self_check`, `cancel`, `close`, `shutdown`.
Events: `ready`, `progress`, `slice`, `done`, `error`. Every request carries an id that its events repeat; `done` and
`error` are its last. `cancel`, `close` and `shutdown` are answered too, but for `cancel` of something that is over.
`part` is never answered: what is wrong with it is the answer to the next request for its volume.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from numpy.typing import NDArray

from ..errors import MedSAMError, WorkerError, error_types
from ..prompts import Prompt
from .frames import DTYPES, Frame
from .wire_prompts import decode_objects, encode_objects

PROTOCOL = 2
DETAIL_CHARACTERS = 20_000
MOST_VOXELS = 1 << 34
CURE = "Use the same version of the library on both ends."

Fields: TypeAlias = dict[str, Any]
Arrays: TypeAlias = dict[str, NDArray]


@dataclass(frozen=True)
class Hello:
    """The first request. Answered by `ready` with the interpreter's version and the protocol's."""

    kind: ClassVar[str] = "hello"
    protocol: int = PROTOCOL

    def payload(self) -> tuple[Fields, Arrays]:
        return {"protocol": self.protocol}, {}


@dataclass(frozen=True)
class Prepare:
    """Load a model before a volume is opened with it. `options` are those of loading that JSON can hold."""

    kind: ClassVar[str] = "prepare"
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def payload(self) -> tuple[Fields, Arrays]:
        return {"model": self.model, "options": dict(self.options)}, {}

    @classmethod
    def parse(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> Prepare:
        return cls(str(header["model"]), dict(header["options"]))


@dataclass(frozen=True, eq=False)
class VolumePart:
    """A block of voxels (z,y,x[,3]) of the volume `session`, which has `shape`; `first_zyx` is its first voxel.

    Parts may come before the volume is opened and after, in any order, and more than once.
    """

    kind: ClassVar[str] = "part"
    session: int
    shape: tuple[int, ...]
    first_zyx: tuple[int, int, int]
    values: NDArray

    def payload(self) -> tuple[Fields, Arrays]:
        fields = {"session": self.session, "shape": list(self.shape), "first_zyx": list(self.first_zyx)}
        return fields, {"values": self.values}

    @classmethod
    def parse(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> VolumePart:
        k, j, i = (int(n) for n in header["first_zyx"])
        return cls(int(header["session"]), _volume_shape(header["shape"]), (k, j, i), arrays["values"])


@dataclass(frozen=True, eq=False)
class OpenVolume:
    """Open the volume of `shape` (z,y,x[,3]) and `dtype` as `session`, a number that the client chooses.

    `model` is an id of the registry, or of a model of the user's own in the worker's model folder. `options` are those
    of `inference.open_session` that JSON can hold. With `value_range`, the lowest and highest finite value of the
    volume, it can be opened before all its parts are there; without, all have to be.
    """

    kind: ClassVar[str] = "open"
    session: int
    model: str
    shape: tuple[int, ...]
    dtype: str
    spacing_zyx: tuple[float, float, float] = (1.0, 1.0, 1.0)
    options: Mapping[str, Any] = field(default_factory=dict)
    value_range: tuple[float, float] | None = None

    def payload(self) -> tuple[Fields, Arrays]:
        fields = {
            "session": self.session,
            "model": self.model,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "spacing_zyx": list(self.spacing_zyx),
            "options": dict(self.options),
            "value_range": None if self.value_range is None else list(self.value_range),
        }
        return fields, {}

    @classmethod
    def parse(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> OpenVolume:
        spacing = tuple(float(s) for s in header["spacing_zyx"])
        span = header["value_range"]
        ends = None if span is None else tuple(float(value) for value in span)
        if len(spacing) != 3 or (ends is not None and (len(ends) != 2 or not ends[0] <= ends[1])):
            raise ValueError("spacing_zyx or value_range")
        return cls(
            int(header["session"]),
            str(header["model"]),
            _volume_shape(header["shape"]),
            DTYPES[str(header["dtype"])].name,
            spacing,
            dict(header["options"]),
            ends,
        )


def _volume_shape(values: Sequence[Any]) -> tuple[int, ...]:
    """z,y,x[,3]. Raises ValueError for anything else."""
    shape = tuple(int(n) for n in values)
    if len(shape) not in (3, 4) or min(shape) < 1 or shape[3:] not in ((), (3,)) or math.prod(shape) > MOST_VOXELS:
        raise ValueError("shape")
    return shape


@dataclass(frozen=True, eq=False)
class SegmentSlice:
    """One object's mask on slice `index` across `axis` of an open volume.

    `reading` 2 is the other thing that its box may mean; a request that does not say gets the first. With `first_look`
    a `slice` event tells what the first view of the slice shows, while others are on their way.
    """

    kind: ClassVar[str] = "segment_slice"
    session: int
    axis: int
    index: int
    prompts: Sequence[Prompt]
    reading: int = 1
    first_look: bool = False

    def payload(self) -> tuple[Fields, Arrays]:
        objects, arrays = encode_objects([self.prompts])
        place = {"session": self.session, "axis": self.axis, "index": self.index}
        return {**place, "objects": objects, "reading": self.reading, "first_look": self.first_look}, arrays

    @classmethod
    def parse(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> SegmentSlice:
        (prompts,) = decode_objects(header["objects"], arrays)
        place = (int(header["session"]), int(header["axis"]), int(header["index"]))
        return cls(*place, prompts, int(header.get("reading", 1)), bool(header.get("first_look", False)))


@dataclass(frozen=True, eq=False)
class Propagate:
    """All objects in 3D; `options` are those of `VolumeSession.propagate` that JSON can hold.

    `slices` asks for a `slice` event for each slice as it is computed.
    """

    kind: ClassVar[str] = "propagate"
    session: int
    objects: Sequence[Prompt | Sequence[Prompt]]
    options: Mapping[str, Any] = field(default_factory=dict)
    slices: bool = False

    def payload(self) -> tuple[Fields, Arrays]:
        objects, arrays = encode_objects(self.objects)
        fields = {"session": self.session, "objects": objects, "options": dict(self.options), "slices": self.slices}
        return fields, arrays

    @classmethod
    def parse(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> Propagate:
        objects = decode_objects(header["objects"], arrays)
        return cls(int(header["session"]), objects, dict(header["options"]), bool(header["slices"]))


@dataclass(frozen=True)
class SelfCheck:
    """Report Python, torch, the devices and a 2x2 product on each."""

    kind: ClassVar[str] = "self_check"

    def payload(self) -> tuple[Fields, Arrays]:
        return {}, {}

    @classmethod
    def parse(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> SelfCheck:
        return cls()


@dataclass(frozen=True)
class CloseVolume:
    """Free an open volume."""

    kind: ClassVar[str] = "close"
    session: int

    def payload(self) -> tuple[Fields, Arrays]:
        return {"session": self.session}, {}

    @classmethod
    def parse(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> CloseVolume:
        return cls(int(header["session"]))


@dataclass(frozen=True)
class CancelRequest:
    """Stop the request `target`, whether it waits or runs."""

    kind: ClassVar[str] = "cancel"
    target: int

    def payload(self) -> tuple[Fields, Arrays]:
        return {"target": self.target}, {}


@dataclass(frozen=True)
class Shutdown:
    """End the worker once the requests before this one are done."""

    kind: ClassVar[str] = "shutdown"

    def payload(self) -> tuple[Fields, Arrays]:
        return {}, {}


AnsweredRequest: TypeAlias = Prepare | OpenVolume | SegmentSlice | Propagate | SelfCheck | CloseVolume
SessionRequest: TypeAlias = AnsweredRequest | VolumePart
Request: TypeAlias = Hello | SessionRequest | CancelRequest | Shutdown

_PARSED: dict[str, type[SessionRequest]] = {
    request.kind: request
    for request in (Prepare, VolumePart, OpenVolume, SegmentSlice, Propagate, SelfCheck, CloseVolume)
}


def request_payload(request: Request, request_id: int) -> tuple[Fields, Arrays]:
    """Return the header and arrays of a request's frame."""
    fields, arrays = request.payload()
    return {"kind": request.kind, "id": request_id, **fields}, arrays


def parse_request(frame: Frame) -> SessionRequest:
    """Return a request that a session answers. Raises `WorkerError` when the frame is none, `PromptError` for bad
    prompts."""
    kind = frame.header.get("kind")
    if not isinstance(kind, str) or kind not in _PARSED:
        raise WorkerError(f"The request {kind!r} is not known.", CURE)
    try:
        return _PARSED[kind].parse(frame.header, frame.arrays)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise WorkerError(f"The request {kind!r} has a form that is not known.", CURE, repr(error)) from error


def error_fields(error: MedSAMError) -> Fields:
    return {
        "code": error.code,
        "message": error.message,
        "cure": error.cure,
        "detail": error.detail[-DETAIL_CHARACTERS:],
    }


def error_from_fields(header: Mapping[str, Any]) -> MedSAMError:
    """Return the error with the type that its code names; a code of a newer version becomes a `WorkerError`."""
    kind = error_types().get(str(header.get("code")), WorkerError)
    message = str(header.get("message") or "The worker reported an error without a message.")
    return kind(message, str(header.get("cure", "")), str(header.get("detail", "")))
