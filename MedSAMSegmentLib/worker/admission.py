"""Bounds of a worker whose client is on another machine: what it may ask for, and how much may lie here.

A client on this machine may name files, and fetch weights. One on another machine must make this one read, write and
fetch nothing of its own choosing: options that are not listed here are refused, whatever they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from ..errors import InputError, ModelError, UsageError, WorkerError
from .frames import DTYPES, FrameLimits
from .memory import human_bytes
from .protocol import OpenVolume, Prepare, Propagate, SessionRequest, VolumePart

FRAME_BYTES = 256 << 20
"""Of the arrays of one message: parts of a volume have two megabytes, or are one slice."""

PART_BYTES = 4 << 20
"""A part may have so many whatever a volume may: that it is of one that is too large is then said of the volume."""

FRAME_COST = 4096
"""Bytes that a message costs besides its arrays, at most or about."""

LONGEST_TEXT = 200
LONGEST_LIST = 1000


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _are_two_numbers(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_is_number(one) for one in value)


def _is_window(value: object) -> bool:
    return _is_text(value) or _are_two_numbers(value)


def _are_names(value: object) -> bool:
    return isinstance(value, list) and len(value) <= LONGEST_LIST and all(_is_text(one) for one in value)


def _is_stop_rule(value: object) -> bool:
    return isinstance(value, dict) and all(_is_text(name) and _is_number(one) for name, one in value.items())


Check = Callable[[object], bool]
R = TypeVar("R", bound=SessionRequest)

LOADING: Mapping[str, Check] = {"device": _is_text, "precision": _is_text, "engine": _is_text}
OPENING: Mapping[str, Check] = {
    **LOADING,
    "window": _is_window,
    "modality": _is_text,
    "mode": _is_text,
    "time_series": _is_flag,
    "keep_speckle": _is_flag,
}
RUNNING: Mapping[str, Check] = {
    "axis": _is_number,
    "slice_range": _are_two_numbers,
    "direction": _is_text,
    "strategy": _is_text,
    "stop": _is_stop_rule,
    "names": _are_names,
    "reading": _is_number,
}


@dataclass(frozen=True)
class Admission:
    """`volume_bytes` bounds the voxels of one volume, and what waits to be answered; `volumes` those open at a time.

    `loading` are the options of loading a model that whoever runs the server has chosen; those that are "auto" are the
    client's to choose.
    """

    volume_bytes: int
    volumes: int = 4
    loading: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_text(cls, text: str) -> Admission:
        """Return what `text` makes of itself. Raises ValueError, TypeError."""
        return cls(**json.loads(text))

    @property
    def text(self) -> str:
        """The argument of the worker's `--confined`."""
        return json.dumps(asdict(self))

    @property
    def frame_limits(self) -> FrameLimits:
        return FrameLimits(body_bytes=min(FRAME_BYTES, self.volume_bytes + PART_BYTES))

    @property
    def waiting_bytes(self) -> int:
        """Bytes of messages that may wait while another is answered: a whole volume comes while torch is imported."""
        return 2 * self.volume_bytes + FRAME_BYTES

    def admit(self, request: R) -> R:
        """Return the request as it is to be answered. Raises `UsageError`, `InputError` or `ModelError` for others."""
        if isinstance(request, VolumePart):
            self._check_size(request.shape, request.values.dtype.itemsize)
        elif isinstance(request, Prepare):
            _check_options(request.options, LOADING)
            _check_model(request.model)
            return replace(request, options=self._loading(request.options))
        elif isinstance(request, OpenVolume):
            self._check_size(request.shape, DTYPES[request.dtype].itemsize)
            _check_options(request.options, OPENING)
            _check_model(request.model)
            return replace(request, options=self._loading(request.options))
        elif isinstance(request, Propagate):
            _check_options(request.options, RUNNING)
        return request

    def _loading(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {**options, **{name: value for name, value in self.loading.items() if value != "auto"}}

    def _check_size(self, shape: tuple[int, ...], item_bytes: int) -> None:
        wanted = math.prod(shape) * item_bytes
        if wanted > self.volume_bytes:
            raise InputError(
                f"The volume has {human_bytes(wanted)}, the server takes {human_bytes(self.volume_bytes)}.",
                "Choose a smaller range of slices, crop the volume, or compute on this computer.",
            )


def _check_options(options: Mapping[str, Any], known: Mapping[str, Check]) -> None:
    for name, value in options.items():
        if name not in known:
            raise UsageError(
                f"The server does not take the option {str(name)[:LONGEST_TEXT]!r}.",
                "Compute on this computer with it.",
            )
        if not known[name](value):
            raise WorkerError(
                f"The option {name!r} has a form that is not known.",
                "Use the same version of the library on both ends.",
            )


def _check_model(model: str) -> None:
    """Refuse a model whose weights are not on the server: a client cannot make it fetch any."""
    from ..checkpoints.custom_models import find_entry
    from ..checkpoints.store import CheckpointStore

    if not _is_text(model):
        raise UsageError("This is no name of a model.", "Choose one of the server's list.")
    store = CheckpointStore()
    entry = find_entry(model, store)
    if store.state(entry) == "missing":
        # Not the error of a model that is missing here: its cure is a download, which the user cannot start there.
        raise ModelError(
            f"The server does not have the weights of {entry.title}.",
            f"Choose another model, or let whoever runs it fetch them: medsam-segment models pull {entry.id}",
        )
