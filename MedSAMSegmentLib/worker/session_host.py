"""Open sessions of the worker, and what each request does with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import Cancelled, InputError, MedSAMError, WorkerError
from ..intensity import WindowedVolume, scaling_of
from ..results import Progress, Segmentation3D, SliceResult
from .admission import Admission
from .arriving_volume import ArrivingVolume
from .failure import describe
from .frames import DTYPES
from .memory import available_bytes, check_volume_fits
from .prefetch import PrefetchQueue
from .protocol import (
    CURE,
    AnsweredRequest,
    CloseVolume,
    OpenVolume,
    Prepare,
    Propagate,
    SegmentSlice,
    SelfCheck,
    SessionRequest,
    VolumePart,
)
from .self_check import self_check
from .wire_masks import encode_segmentation, encode_slice

if TYPE_CHECKING:
    from ..inference.session import Counters
    from ..inference.slice_predictor import SlicePredictor

R = TypeVar("R", bound=SessionRequest)
Answer = tuple[dict[str, Any], dict[str, NDArray]]
Emit = Callable[[str, Mapping[str, Any], Mapping[str, NDArray]], None]
ShouldStop = Callable[[], bool]


class Session(Protocol):
    """The host's needs of `inference.VolumeSession`."""

    device: str
    volume: WindowedVolume
    counters: Counters

    @property
    def shape_zyx(self) -> tuple[int, int, int]: ...

    def encode_slice(self, axis: int, index: int) -> None: ...

    def segment_slice(
        self,
        axis: int,
        index: int,
        prompts: Any,
        *,
        reading: int,
        on_first_look: Callable[[SliceResult], None] | None,
        cancel: ShouldStop,
    ) -> SliceResult: ...

    @property
    def propagate(self) -> Callable[..., Segmentation3D]: ...

    def close(self) -> None: ...


Report = Callable[[str], None]
SessionFactory = Callable[[OpenVolume, ArrivingVolume, Report], Session]

LOADING = ("device", "precision", "engine", "weights", "download")
"""Options of `open` that are those of loading a model."""


class LibrarySessions:
    """Opens sessions of the library; keeps the last loaded model, so that the next volume opens without a load."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._predictor: SlicePredictor | None = None

    def warm_up(self) -> None:
        """Import what the first volume will need."""
        # torch, which both import, takes a second or more; scipy is what the first preview would wait for.
        from scipy import ndimage  # noqa: F401

        from ..inference import open, slice_predictor  # noqa: F401
        from ..inference.strategies import consensus  # noqa: F401

    def load(self, model: str, loading: Mapping[str, Any], report: Report) -> SlicePredictor:
        """Return the model, loaded with these options unless it is loaded already."""
        report("load torch")
        self.warm_up()
        from ..inference.open import load_predictor

        chosen = dict(loading)
        if chosen.get("weights") is not None:
            chosen["weights"] = Path(chosen["weights"])
        name, chosen, version = _resolve_custom_weights(model, chosen)
        key = (name, version, *sorted(chosen.items()))
        if self._predictor is None or self._key != key:
            self._predictor = None  # frees the last model before the next one is loaded
            report("load model")
            self._predictor = load_predictor(name, **chosen)
            self._key = key
        return self._predictor

    def __call__(self, request: OpenVolume, arriving: ArrivingVolume, report: Report) -> Session:
        options = dict(request.options)
        loading: dict[str, Any] = {name: options.pop(name) for name in LOADING if name in options}
        if isinstance(options.get("window"), list):
            options["window"] = tuple(options["window"])
        predictor = self.load(request.model, loading, report)
        from ..inference.open import open_session

        report("prepare volume")
        volume = _windowed(request, arriving, options) or arriving.whole()
        return open_session(predictor, volume, request.spacing_zyx, **options)


def _windowed(request: OpenVolume, arriving: ArrivingVolume, options: dict[str, Any]) -> WindowedVolume | None:
    """Return the 8-bit volume that the parts fill as they come; None where all voxels have to be looked at first.

    Takes the options that were used out of `options`.
    """
    if request.value_range is None or options.get("mode", "default") != "default":
        return None
    scaling = scaling_of(
        arriving.dtype,
        colour=len(arriving.shape) == 4,
        window=options.get("window", "auto"),
        modality=options.get("modality"),
        value_range=request.value_range,
    )
    if scaling is None:
        return None
    options.pop("window", None)
    options.pop("modality", None)
    volume_u8 = arriving.into(np.zeros(arriving.shape, np.uint8), scaling.convert)
    return WindowedVolume(volume_u8, scaling.window, scaling.description)


MOST_FAILED = 1000
"""Volumes of which is known why they could not be opened; the oldest are forgotten."""


class SessionHost:
    """Answers requests one after the other. `memory` tells how many bytes are free.

    `admission` bounds what a client on another machine may ask for; None for one on this.
    """

    def __init__(
        self,
        factory: SessionFactory | None = None,
        memory: Callable[[], int | None] = available_bytes,
        admission: Admission | None = None,
    ) -> None:
        library = LibrarySessions()
        self._factory = factory or library
        self._load = library.load if factory is None else None
        self._warm_up: Callable[[], None] | None = library.warm_up if factory is None else None
        self._memory = memory
        self._admission = admission
        self._sessions: dict[int, Session] = {}
        self._failed: dict[int, MedSAMError] = {}
        self._arriving: dict[int, ArrivingVolume] = {}
        self._prefetch = PrefetchQueue()

    @property
    def has_idle_work(self) -> bool:
        """True while there is something to do when nothing is asked for."""
        return self._warm_up is not None or bool(self._prefetch)

    def do_idle_work(self) -> None:
        """Import torch, or encode one slice near the last preview.

        Raises what the library raises; then no more is done ahead.
        """
        if self._warm_up is not None:
            warm_up, self._warm_up = self._warm_up, None
            warm_up()
            return
        wanted = self._prefetch.take()
        if self._arriving[wanted.session].lacks(wanted.axis, wanted.index):
            return
        try:
            self._session(wanted.session).encode_slice(wanted.axis, wanted.index)
        except BaseException:
            self._prefetch.forget()
            raise

    def receive(self, part: VolumePart) -> None:
        """Take a part of a volume. What is wrong with it is the answer to the next request for the volume."""
        number = part.session
        if number in self._failed:
            return
        try:
            self._admit(part)
            if number not in self._arriving:
                self._expect(number, part.shape, part.values.dtype)
            self._arriving[number].add(part)
        except (MedSAMError, MemoryError) as error:
            self._drop(number)
            self._note_failure(number, error)

    def answer(self, request: AnsweredRequest, emit: Emit, should_stop: ShouldStop) -> Answer:
        """Return the fields and arrays of the `done` event. Raises what the library raises, and `Cancelled`."""
        if should_stop():
            raise Cancelled()

        def report(stage: str) -> None:
            emit("progress", {"stage": stage, "done": 0, "total": 0}, {})
            if should_stop():
                raise Cancelled()

        self._prefetch.forget()
        self._warm_up = None
        request = self._admit(request)
        if isinstance(request, Prepare):
            if self._load is not None:
                self._load(request.model, request.options, report)
            return {}, {}
        if isinstance(request, OpenVolume):
            return self._open(request, report)
        if isinstance(request, SegmentSlice):
            return self._segment_slice(request, emit, should_stop)
        if isinstance(request, Propagate):
            return self._propagate(request, emit, should_stop)
        if isinstance(request, SelfCheck):
            return self_check(report), {}
        return self._close(request)

    def close_all(self) -> None:
        for number in list(self._sessions):
            self._drop(number)

    def _admit(self, request: R) -> R:
        """Return the request as it is to be answered. Raises for what a client on another machine may not ask for."""
        return request if self._admission is None else self._admission.admit(request)

    def _note_failure(self, number: int, error: BaseException) -> None:
        self._failed[number] = describe(error)
        while len(self._failed) > MOST_FAILED:
            del self._failed[next(iter(self._failed))]

    def _expect(self, number: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Make room for a volume. One that was never opened is given up for it: its request was taken back."""
        for other in [n for n in self._arriving if n not in self._sessions]:
            del self._arriving[other]
        if self._admission is not None and len(self._sessions) >= self._admission.volumes:
            raise InputError("Too many volumes are open on the server.", "Close one of them.")
        arriving = ArrivingVolume(shape, dtype)
        check_volume_fits(arriving.nbytes, arriving.voxels, self._memory())
        self._arriving[number] = arriving

    def _open(self, request: OpenVolume, report: Callable[[str], None]) -> Answer:
        number = request.session
        if number in self._failed:
            raise self._failed[number]
        try:
            if number not in self._arriving:
                self._expect(number, request.shape, DTYPES[request.dtype])
            arriving = self._arriving[number]
            if (arriving.shape, arriving.dtype) != (request.shape, DTYPES[request.dtype]):
                raise WorkerError("The parts of a volume do not fit it.", CURE)
            session = self._factory(request, arriving, report)
        except Exception as error:
            # A request for this volume may already be on its way; it gets the same answer.
            self._drop(number)
            self._note_failure(number, error)
            raise
        self._sessions[number] = session
        return {"device": str(session.device), "window": session.volume.description}, {}

    def _drop(self, number: int) -> None:
        self._arriving.pop(number, None)
        session = self._sessions.pop(number, None)
        if session is not None:
            session.close()

    def _segment_slice(self, request: SegmentSlice, emit: Emit, should_stop: ShouldStop) -> Answer:
        session = self._session(request.session)
        if self._arriving[request.session].lacks(request.axis, request.index):
            raise WorkerError("The slice has not arrived.", CURE)
        started, encoded = time.monotonic(), session.counters.encodes

        def on_first_look(result: SliceResult) -> None:
            emit("slice", *encode_slice(result))

        result = session.segment_slice(
            request.axis,
            request.index,
            list(request.prompts),
            reading=request.reading,
            on_first_look=on_first_look if request.first_look else None,
            cancel=should_stop,
        )
        # A box is looked at in up to three views.
        seconds = (time.monotonic() - started) / max(session.counters.encodes - encoded, 1)
        self._prefetch.plan(request.session, request.axis, request.index, session.shape_zyx[request.axis], seconds)
        return encode_slice(result)

    def _propagate(self, request: Propagate, emit: Emit, should_stop: ShouldStop) -> Answer:
        session = self._session(request.session)
        if not self._arriving[request.session].complete:
            raise WorkerError("The volume has not arrived as a whole.", CURE)
        options = dict(request.options)
        if options.get("slice_range") is not None:
            first, last = options["slice_range"]
            options["slice_range"] = (int(first), int(last))
        if options.get("stop") is not None:
            options["stop"] = _stop_rule(options["stop"])
        options["reading"] = int(options.get("reading", 1))

        def on_slice(result: SliceResult) -> None:
            emit("slice", *encode_slice(result))

        def on_progress(progress: Progress) -> None:
            emit("progress", {"stage": progress.stage, "done": progress.done, "total": progress.total}, {})

        result = session.propagate(
            [list(prompts) if isinstance(prompts, Sequence) else [prompts] for prompts in request.objects],
            **options,
            on_slice=on_slice if request.slices else None,
            on_progress=on_progress,
            cancel=should_stop,
        )
        return encode_segmentation(result)

    def _close(self, request: CloseVolume) -> Answer:
        self._failed.pop(request.session, None)
        self._drop(request.session)
        return {}, {}

    def _session(self, number: int) -> Session:
        if number in self._failed:
            raise self._failed[number]
        if number not in self._sessions:
            raise WorkerError("The volume is not open in the worker.", "Start the run again.")
        return self._sessions[number]


def _resolve_custom_weights(model: str, loading: dict[str, Any]) -> tuple[str, dict[str, Any], str]:
    """Return model, loading options and the weights' SHA-256: weights of the user's own are a file for a known
    network."""
    from ..checkpoints.custom_models import CustomModels, is_custom

    if not is_custom(model):
        return model, loading, ""
    folder = CustomModels()
    own = folder.get(model)
    return own.network, {**loading, "weights": folder.require(own)}, own.sha256


def _stop_rule(fields: Mapping[str, float]) -> object:
    from ..propagation import StopRule

    return StopRule(**{str(name): float(value) for name, value in fields.items()})
