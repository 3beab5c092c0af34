"""The life of a request: idle, opening, previewing, propagating, cancelling. No Qt, no MRML.

Requests may come at any time. The newest preview replaces an older one that has not started; a propagation waits for
the preview that runs; a second propagation is refused. Every request ends in one call of the view, or in none when it
was abandoned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec

from ...errors import Cancelled, MedSAMError, WorkerError
from ...geometry import SlicePlane
from ...prompts import Prompt
from ...results import ObjectResult, PackedMask
from .error_boundary import guarded
from .protocols import (
    InferenceService,
    PropagateJob,
    RunOutcome,
    RunState,
    RunView,
    SessionInfo,
    SessionTarget,
    SlicePreview,
)

P = ParamSpec("P")


@dataclass(frozen=True, eq=False)
class _PreviewRequest:
    target: SessionTarget
    plane: SlicePlane
    prompts: list[Prompt]
    reading: int


@dataclass(frozen=True, eq=False)
class _PropagateRequest:
    target: SessionTarget
    job: PropagateJob
    shape_zyx: tuple[int, int, int]


_Request = _PreviewRequest | _PropagateRequest


class GuardedView:
    """A `RunView` whose methods never raise."""

    def __init__(self, view: RunView, fail: Callable[[MedSAMError], None]) -> None:
        self.run_state_changed = guarded(view.run_state_changed, fail)
        self.session_opened = guarded(view.session_opened, fail)
        self.first_look_ready = guarded(view.first_look_ready, fail)
        self.preview_ready = guarded(view.preview_ready, fail)
        self.run_progressed = guarded(view.run_progressed, fail)
        self.slice_ready = guarded(view.slice_ready, fail)
        self.run_finished = guarded(view.run_finished, fail)
        self.run_failed = guarded(view.run_failed, fail)


class RequestScheduler:
    """Drives one `InferenceService` and tells one `RunView`.

    `state` is what happens now. Answers that belong to an abandoned request are dropped: each request has a token,
    and an answer with an old token is not delivered.
    """

    def __init__(self, service: InferenceService, view: RunView) -> None:
        self.service = service
        self._view = view
        self.state = RunState.IDLE
        self._wanted: _Request | None = None
        self._running: _Request | None = None
        self._opened: SessionTarget | None = None
        self._token = 0
        self._partial: ObjectResult | None = None

    @property
    def opened(self) -> SessionTarget | None:
        """The target that the worker holds open."""
        return self._opened

    @property
    def busy(self) -> bool:
        return self.state is not RunState.IDLE

    @property
    def propagates(self) -> bool:
        """A propagation runs or waits to run."""
        return isinstance(self._running, _PropagateRequest) or isinstance(self._wanted, _PropagateRequest)

    def preview(self, target: SessionTarget, plane: SlicePlane, prompts: list[Prompt], reading: int = 1) -> bool:
        """Ask for one slice. False when a propagation is on: nothing is asked then."""
        if self.propagates:
            return False
        self._wanted = _PreviewRequest(target, plane, prompts, reading)
        self._advance()
        return True

    def propagate(self, target: SessionTarget, job: PropagateJob, shape_zyx: tuple[int, int, int]) -> bool:
        """Ask for a 3D run. False when one is on already."""
        if self.propagates:
            return False
        self._wanted = _PropagateRequest(target, job, shape_zyx)
        self._advance()
        return True

    def cancel(self) -> None:
        """Stop what runs; the view hears `Cancelled` when the worker has stopped (or was ended)."""
        dropped, self._wanted = self._wanted, None
        if self.state in (RunState.IDLE, RunState.CANCELLING):
            return
        if self._running is None and isinstance(dropped, _PropagateRequest):
            self._running = dropped
        self._enter(RunState.CANCELLING)
        self.service.cancel()

    def abandon(self) -> None:
        """Stop what runs and say nothing: its segment, volume or scene is gone."""
        self._wanted = None
        if self.state is RunState.IDLE:
            return
        self._token += 1
        self._running = self._partial = None
        cancelling = self.state is RunState.CANCELLING
        self._enter(RunState.CANCELLING)
        if not cancelling:
            self.service.cancel()

    def forget_session(self) -> None:
        """The next request opens anew, for the volume is another one; the old one is freed."""
        self._opened = None
        self.service.close_volume()

    def shutdown(self) -> None:
        """End for good: no answer is delivered any more."""
        self._token += 1
        self._wanted = self._running = self._partial = self._opened = None
        self.state = RunState.IDLE
        self.service.shutdown()

    def _advance(self) -> None:
        if self.state is not RunState.IDLE or self._wanted is None:
            return
        self._token += 1
        request = self._wanted
        if request.target != self._opened:
            self._opened = None
            self._enter(RunState.OPENING)
            opened = self._answer(partial(self._on_open, request.target))
            self._start(lambda: self.service.open(request.target, opened, self._failure()))
            return
        self._wanted, self._running = None, request
        if isinstance(request, _PreviewRequest):
            self._enter(RunState.PREVIEWING)
            done = self._answer(self._on_preview)
            asked, look = request, self._live(self._view.first_look_ready)
            self._start(
                lambda: self.service.segment_slice(
                    asked.plane, asked.prompts, done, self._failure(), reading=asked.reading, on_first_look=look
                )
            )
        else:
            self._start_propagation(request)

    def _start_propagation(self, request: _PropagateRequest) -> None:
        packed = PackedMask(request.shape_zyx, request.job.axis)
        self._partial = ObjectResult(request.job.name, packed)
        self._enter(RunState.PROPAGATING)
        on_slice, on_progress = self._live(self._on_slice), self._live(self._view.run_progressed)
        done, failed = self._answer(self._on_propagated), self._failure()
        self._start(lambda: self.service.propagate(request.job, on_slice, on_progress, done, failed))

    def _start(self, send: Callable[[], None]) -> None:
        """A request that cannot even be sent fails like any other."""
        guarded(send, self._failure())()

    def _on_open(self, target: SessionTarget, info: SessionInfo) -> None:
        self._opened = target
        self._become_idle()
        self._view.session_opened(info)
        self._advance()

    def _on_preview(self, preview: SlicePreview) -> None:
        self._become_idle()
        self._view.preview_ready(preview)
        self._advance()

    def _on_slice(self, preview: SlicePreview) -> None:
        if self._partial is not None:
            self._partial.packed.set_slice(preview.plane.index, preview.mask)
        self._view.slice_ready(preview)

    def _on_propagated(self, outcome: RunOutcome) -> None:
        request = self._running
        self._become_idle()
        if isinstance(request, _PropagateRequest):
            self._view.run_finished(request.job, outcome)
        self._advance()

    def _on_failure(self, error: MedSAMError) -> None:
        if isinstance(error, WorkerError):
            self._opened = None
        opening = self.state is RunState.OPENING
        request = self._wanted if opening else self._running
        if opening:
            self._wanted = None
        if self.state is RunState.CANCELLING and not isinstance(error, Cancelled):
            error = Cancelled()
        so_far = self._partial
        self._become_idle()
        job = request.job if isinstance(request, _PropagateRequest) else None
        self._view.run_failed(job, error, so_far if so_far is not None and so_far.packed.slices else None)
        self._advance()

    def _become_idle(self) -> None:
        self._running = self._partial = None
        self._enter(RunState.IDLE)

    def _enter(self, state: RunState) -> None:
        self.state = state
        self._view.run_state_changed()

    def _answer(self, deliver: Callable[P, None]) -> Callable[P, None]:
        """The last word on a request: delivered when its token is current, else it only frees the run."""
        token = self._token

        def receive(*args: P.args, **kwargs: P.kwargs) -> None:
            if token == self._token and self.state is not RunState.CANCELLING:
                deliver(*args, **kwargs)
            else:
                self._on_late_answer(token)

        return receive

    def _failure(self) -> Callable[[MedSAMError], None]:
        token = self._token

        def receive(error: MedSAMError) -> None:
            if token == self._token:
                self._on_failure(error)
            else:
                self._on_late_answer(token)

        return receive

    def _live(self, deliver: Callable[P, None]) -> Callable[P, None]:
        """News on the way: dropped once the request was cancelled or abandoned."""
        token = self._token

        def receive(*args: P.args, **kwargs: P.kwargs) -> None:
            if token == self._token and self.state is not RunState.CANCELLING:
                deliver(*args, **kwargs)

        return receive

    def _on_late_answer(self, token: int) -> None:
        """An answer after cancel or abandon: the worker is free again."""
        if self.state is not RunState.CANCELLING:
            return
        if token == self._token:
            self._on_failure(Cancelled())
            return
        self._become_idle()
        self._advance()
