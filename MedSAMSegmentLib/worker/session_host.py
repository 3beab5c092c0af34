"""Open sessions of the worker, and what each request does with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from ..errors import Cancelled, MedSAMError, WorkerError
from ..intensity import WindowedVolume
from ..results import Progress, Segmentation3D, SliceResult
from .memory import available_bytes, check_volume_fits
from .prefetch import PrefetchQueue
from .protocol import CloseVolume, OpenVolume, Propagate, SegmentSlice, SelfCheck, SessionRequest
from .self_check import self_check
from .wire_masks import encode_segmentation, encode_slice

if TYPE_CHECKING:
    from ..inference.session import Counters
    from ..inference.slice_predictor import SlicePredictor

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

    def segment_slice(self, axis: int, index: int, prompts: Any, *, cancel: ShouldStop) -> SliceResult: ...

    @property
    def propagate(self) -> Callable[..., Segmentation3D]: ...

    def close(self) -> None: ...


SessionFactory = Callable[[OpenVolume, Callable[[str], None]], Session]


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

    def __call__(self, request: OpenVolume, report: Callable[[str], None]) -> Session:
        report("load torch")
        self.warm_up()
        from ..inference.open import load_predictor, open_session

        options = dict(request.options)
        loading: dict[str, Any] = {
            name: options.pop(name)
            for name in ("device", "precision", "engine", "weights", "download")
            if name in options
        }
        if loading.get("weights") is not None:
            loading["weights"] = Path(loading["weights"])
        if isinstance(options.get("window"), list):
            options["window"] = tuple(options["window"])
        model, loading, version = _resolve_custom_weights(request.model, loading)
        key = (model, version, *sorted(loading.items()))
        if self._predictor is None or self._key != key:
            self._predictor = None  # frees the last model before the next one is loaded
            report("load model")
            self._predictor = load_predictor(model, **loading)
            self._key = key
        report("prepare volume")
        return open_session(self._predictor, request.volume, request.spacing_zyx, **options)


class SessionHost:
    """Answers requests one after the other. `memory` tells how many bytes are free."""

    def __init__(
        self, factory: SessionFactory | None = None, memory: Callable[[], int | None] = available_bytes
    ) -> None:
        library = LibrarySessions()
        self._factory = factory or library
        self._warm_up: Callable[[], None] | None = library.warm_up if factory is None else None
        self._memory = memory
        self._sessions: dict[int, Session] = {}
        self._failed: dict[int, MedSAMError] = {}
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
        try:
            self._session(wanted.session).encode_slice(wanted.axis, wanted.index)
        except BaseException:
            self._prefetch.forget()
            raise

    def answer(self, request: SessionRequest, emit: Emit, should_stop: ShouldStop) -> Answer:
        """Return the fields and arrays of the `done` event. Raises what the library raises, and `Cancelled`."""
        if should_stop():
            raise Cancelled()

        def report(stage: str) -> None:
            emit("progress", {"stage": stage, "done": 0, "total": 0}, {})
            if should_stop():
                raise Cancelled()

        self._prefetch.forget()
        self._warm_up = None
        if isinstance(request, OpenVolume):
            return self._open(request, report)
        if isinstance(request, SegmentSlice):
            return self._segment_slice(request, should_stop)
        if isinstance(request, Propagate):
            return self._propagate(request, emit, should_stop)
        if isinstance(request, SelfCheck):
            return self_check(report), {}
        return self._close(request)

    def close_all(self) -> None:
        for number in list(self._sessions):
            self._sessions.pop(number).close()

    def _open(self, request: OpenVolume, report: Callable[[str], None]) -> Answer:
        try:
            check_volume_fits(request.volume.nbytes, request.volume.size, self._memory())
            session = self._factory(request, report)
        except MedSAMError as error:
            # A request for this volume may already be on its way; it gets the same answer.
            self._failed[request.session] = error
            raise
        self._sessions[request.session] = session
        return {"device": str(session.device), "window": session.volume.description}, {}

    def _segment_slice(self, request: SegmentSlice, should_stop: ShouldStop) -> Answer:
        session = self._session(request.session)
        started, encoded = time.monotonic(), session.counters.encodes
        result = session.segment_slice(request.axis, request.index, list(request.prompts), cancel=should_stop)
        # A small box is looked at in two views.
        seconds = (time.monotonic() - started) / max(session.counters.encodes - encoded, 1)
        self._prefetch.plan(request.session, request.axis, request.index, session.shape_zyx[request.axis], seconds)
        return encode_slice(result)

    def _propagate(self, request: Propagate, emit: Emit, should_stop: ShouldStop) -> Answer:
        session = self._session(request.session)
        options = dict(request.options)
        if options.get("slice_range") is not None:
            first, last = options["slice_range"]
            options["slice_range"] = (int(first), int(last))
        if options.get("stop") is not None:
            options["stop"] = _stop_rule(options["stop"])

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
        session = self._sessions.pop(request.session, None)
        if session is not None:
            session.close()
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
