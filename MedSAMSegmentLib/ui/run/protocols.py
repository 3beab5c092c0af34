"""The protocols of a run's partners: the worker that computes, and the view that shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import MedSAMError
from ...geometry import SlicePlane
from ...prompts import Prompt
from ...propagation import Direction
from ...results import ObjectResult


class RunState(Enum):
    IDLE = "idle"
    OPENING = "opening"
    PREVIEWING = "previewing"
    PROPAGATING = "propagating"
    CANCELLING = "cancelling"


@dataclass(frozen=True)
class SessionTarget:
    """The target of a session. Equal targets share one open session, so only prompts travel.

    `volume_id` and `volume_time` name the node and its state; `window` is a preset id, "auto" or (lo, hi). `part` is
    the axis, first and last slice that are sent; None sends all. `time_series`: k counts frames in time.
    `keep_speckle`: small parts beside the largest of a slice stay.
    """

    volume_id: str
    volume_time: int
    model: str
    window: str | tuple[float, float]
    device: str
    modality: str | None
    spacing_zyx: tuple[float, float, float]
    read: Callable[[], NDArray[Any]] = field(compare=False, repr=False)
    """Gives the voxels (z,y,x[,3]); called only when a session has to be opened."""
    part: tuple[int, int, int] | None = None
    time_series: bool = False
    keep_speckle: bool = False


@dataclass(frozen=True, eq=False)
class PropagateJob:
    """One object to compute in 3D. `stop_early` ends it where the object ends, also within `slice_range`.

    `reading` 2 is the other thing that its box may mean.
    """

    name: str
    prompts: tuple[Prompt, ...]
    axis: int
    slice_range: tuple[int, int] | None = None
    direction: Direction = "both"
    stop_early: bool = False
    reading: int = 1


@dataclass(frozen=True, eq=False)
class SlicePreview:
    """One slice's mask (rows, columns) and score, as the user draws.

    `seconds` is what it took from the image on; None where the slice may have been encoded before. `two_readings` tells
    that the box here may mean two things, of which this is one.
    """

    plane: SlicePlane
    mask: NDArray[np.bool_]
    score: float
    seconds: float | None = None
    two_readings: bool = False


@dataclass(frozen=True)
class SessionInfo:
    """The worker's choices: shown beside the model."""

    device: str = ""


@dataclass(frozen=True, eq=False)
class RunOutcome:
    """A finished run: the object, and the worker's figures. `encodes` counts the slices that were new to it."""

    result: ObjectResult
    seconds: float = 0.0
    window: str = ""
    encodes: int = 0


Failed = Callable[[MedSAMError], None]


def ignore_preview(preview: SlicePreview) -> None:
    """Do nothing with what a slice looks like so far."""


class InferenceService(Protocol):
    """Requests to the worker. Each ends in exactly one call of `done` or `failed`, from the event loop.

    One request runs at a time; the caller waits for its end before the next. A cancelled request ends in `failed`
    with `Cancelled`.
    """

    def prepare(self, model: str = "", device: str = "auto") -> None:
        """Get ready for the first request, without a wait and without a word; with `model` load that, too."""

    def open(self, target: SessionTarget, done: Callable[[SessionInfo], None], failed: Failed) -> None: ...

    def segment_slice(
        self,
        plane: SlicePlane,
        prompts: list[Prompt],
        done: Callable[[SlicePreview], None],
        failed: Failed,
        *,
        reading: int = 1,
        on_first_look: Callable[[SlicePreview], None] = ignore_preview,
    ) -> None:
        """Ask for one slice. `on_first_look` may hear once of what it looks like so far, before the end."""

    def propagate(
        self,
        job: PropagateJob,
        on_slice: Callable[[SlicePreview], None],
        on_progress: Callable[[int, int], None],
        done: Callable[[RunOutcome], None],
        failed: Failed,
    ) -> None: ...

    def cancel(self) -> None: ...

    def close_volume(self) -> None:
        """Free the volume, here and in the worker. The next request is an `open`."""

    def shutdown(self) -> None: ...


class RunView(Protocol):
    """The surroundings of a run, and what it tells them."""

    def run_state_changed(self) -> None: ...
    def session_opened(self, info: SessionInfo) -> None: ...
    def first_look_ready(self, preview: SlicePreview) -> None: ...
    def preview_ready(self, preview: SlicePreview) -> None: ...
    def run_progressed(self, done: int, total: int) -> None: ...
    def slice_ready(self, preview: SlicePreview) -> None: ...
    def run_finished(self, job: PropagateJob, outcome: RunOutcome) -> None: ...
    def run_failed(self, job: PropagateJob | None, error: MedSAMError, partial: ObjectResult | None) -> None: ...
