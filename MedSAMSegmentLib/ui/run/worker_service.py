"""The worker as the effect's inference service: one open volume, one request at a time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...errors import MedSAMError
from ...geometry import SlicePlane
from ...prompts import Prompt
from ...results import FLAG_TWO_READINGS, Progress, Segmentation3D, SliceResult
from ...worker.client import WorkerClient
from ...worker.pending import Pending
from ...worker.protocol import Prepare
from ...worker.remote_volume import RemoteVolume
from .protocols import Failed, PropagateJob, RunOutcome, SessionInfo, SessionTarget, SlicePreview, ignore_preview

STOP_RULE: dict[str, float] = {}
"""The library's own rule, with its own values: asked for where a range would switch it off."""


class WorkerService:
    """`InferenceService` over a `WorkerClient`. The client may be shared; the open volume is this object's own."""

    def __init__(self, client: WorkerClient, clock: Callable[[], float] = time.monotonic) -> None:
        self.client = client
        self._timer = PreviewTimer(clock)
        self._volume: RemoteVolume | None = None
        self._pending: Pending[Any] | None = None
        self._prepared = (0, "", "")

    def prepare(self, model: str = "", device: str = "auto") -> None:
        """Start the worker before it is asked for anything, so that the first answer does not wait for its start.

        With `model`, let it load that. Says nothing when something fails: the first request will.
        """
        with contextlib.suppress(MedSAMError):
            self.client.renew()
            self.client.prepare()
            wanted = (self.client.generation, model, device)
            if model and wanted != self._prepared:
                self._prepared = wanted
                self.client.submit(Pending(Prepare(model, {"device": device}), lambda frame: None))

    def open(self, target: SessionTarget, done: Callable[[SessionInfo], None], failed: Failed) -> None:
        self._close_volume()
        self.client.renew()
        answered = False

        def opened(fields: dict[str, Any]) -> None:
            # The volume opens itself again when the worker was replaced; only the first time is an answer.
            nonlocal answered
            self._timer.opened()
            if not answered:
                answered = True
                done(SessionInfo(str(fields.get("device", ""))))

        axis, *part = target.part or (0,)
        self._volume = RemoteVolume(
            self.client,
            target.model,
            target.read(),
            target.spacing_zyx,
            axis=axis,
            slice_range=(part[0], part[1]) if part else None,
            on_opened=opened,
            window=target.window,
            modality=target.modality,
            device=target.device,
            time_series=target.time_series,
            keep_speckle=target.keep_speckle,
        )
        self._pending = self._volume.open(failed)

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
        def looked(result: SliceResult) -> None:
            on_first_look(timed(result))

        def answered(result: SliceResult) -> None:
            done(timed(result))

        def timed(result: SliceResult) -> SlicePreview:
            return replace(_preview(result), seconds=self._timer.answered())

        self._timer.asked()
        self._pending = self._opened().segment_slice(
            plane.axis,
            plane.index,
            prompts,
            reading=reading,
            on_first_look=looked,
            on_done=answered,
            on_error=failed,
        )

    def propagate(
        self,
        job: PropagateJob,
        on_slice: Callable[[SlicePreview], None],
        on_progress: Callable[[int, int], None],
        done: Callable[[RunOutcome], None],
        failed: Failed,
    ) -> None:
        def report(progress: Progress) -> None:
            on_progress(progress.done, progress.total)

        def finished(found: Segmentation3D) -> None:
            done(RunOutcome(found.objects[0], found.seconds, found.window, found.encodes))

        def computed(result: SliceResult) -> None:
            self._timer.passed()
            on_slice(_preview(result))

        self._pending = self._opened().propagate(
            [list(job.prompts)],
            axis=job.axis,
            slice_range=job.slice_range,
            direction=job.direction,
            stop=STOP_RULE if job.stop_early and job.slice_range is not None else None,
            names=[job.name],
            reading=job.reading,
            on_slice=computed,
            on_progress=report,
            on_done=finished,
            on_error=failed,
        )

    def cancel(self) -> None:
        if self._pending is not None and not self._pending.over:
            self.client.cancel(self._pending)

    def close_volume(self) -> None:
        self._close_volume()
        self._pending = None

    def shutdown(self) -> None:
        self._volume = None
        self.client.close()

    def _opened(self) -> RemoteVolume:
        assert self._volume is not None, "open comes first"
        self.client.renew()
        return self._volume

    def _close_volume(self) -> None:
        if self._volume is not None:
            self._volume.close()
            self._volume = None


def _preview(result: SliceResult) -> SlicePreview:
    plane = SlicePlane(result.axis, result.index)
    return SlicePreview(plane, result.mask, result.score, two_readings=FLAG_TWO_READINGS in result.flags)


class PreviewTimer:
    """Times the first slice of an open volume. Later ones may have been encoded before, and then take next to nothing.

    `clock` gives seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._first = False
        self._since = clock()

    def opened(self) -> None:
        """A volume was opened, maybe on the way to an answer: what came before was no work on a slice."""
        self._first = True
        self._since = self._clock()

    def asked(self) -> None:
        self._since = self._clock()

    def answered(self) -> float | None:
        """Seconds since the question; None for any but the first slice."""
        first, self._first = self._first, False
        return self._clock() - self._since if first else None

    def passed(self) -> None:
        """A run went through slices of the volume."""
        self._first = False
