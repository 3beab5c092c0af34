"""The worker process under napari's event loop: volumes that are open in it, a preview, and a run at a time.

Unlike the service, where requests come from many threads, all come from one here, and the client of the worker was
made for that: a timer looks after it, and it calls back in the thread of the window.
"""

from __future__ import annotations

import atexit
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from qtpy.QtCore import QTimer

from ..errors import MedSAMError
from ..prompts import Prompt
from ..propagation import StopRule
from ..results import Progress, Segmentation3D, SliceResult
from ..worker.client import WorkerClient
from ..worker.launch import LaunchCommand, worker_command
from ..worker.pending import Pending
from ..worker.popen_transport import PopenTransport
from ..worker.protocol import Prepare
from ..worker.remote_volume import RemoteVolume
from .layer_image import LayerImage

BUSY_MS = 15
QUIET_MS = 250

OPEN_VOLUMES = 2
"""Images that stay open in the worker: each takes memory there."""

IDLE_SECONDS = 900.0
"""A worker that nobody asked anything for so long is ended, and its memory is free."""

E = TypeVar("E")
OnError = Callable[[MedSAMError], None]


@dataclass(frozen=True)
class Setup:
    """The model and the window, a preset or its two ends, that an image is opened with."""

    model: str
    window: str | tuple[float, float]


@dataclass(frozen=True)
class Order:
    """One object to segment in 3D."""

    name: str
    prompts: Sequence[Prompt]
    axis: int
    slice_range: tuple[int, int] | None = None
    stop: bool = True
    reading: int = 1


class Computation:
    """The worker and what is asked of it, for the thread of the window. `loading` are options of loading a model."""

    def __init__(
        self, loading: Mapping[str, Any] | None = None, command: Callable[[], LaunchCommand] = worker_command
    ) -> None:
        self.loading = dict(loading or {})
        self._client = WorkerClient(command, PopenTransport, idle_seconds=IDLE_SECONDS)
        self._volumes: OrderedDict[tuple[int, Setup], tuple[LayerImage, RemoteVolume]] = OrderedDict()
        self._preview: Pending[SliceResult] | None = None
        self._run: Pending[Segmentation3D] | None = None
        self._prepared = ""
        self._silent = False
        self._timer = QTimer()
        self._timer.timeout.connect(self._look)
        atexit.register(self.close)

    @property
    def process_id(self) -> int | None:
        """The worker's process, once it has said so; None where none runs."""
        return self._client.worker.get("pid")

    @property
    def running(self) -> bool:
        """True while a run waits or computes."""
        return self._run is not None and not self._run.over

    def prepare(self, model: str) -> None:
        """Let the worker load a model before it is asked for anything. Silent: the first request says what is wrong."""
        if model == self._prepared and self._client.running:
            return
        self._prepared = model
        with contextlib.suppress(MedSAMError):
            self._client.submit(Pending(Prepare(model, self.loading), lambda frame: None))
        self._watch()

    def preview(
        self,
        image: LayerImage,
        setup: Setup,
        order: Order,
        index: int,
        *,
        on_done: Callable[[SliceResult], None],
        on_error: OnError,
    ) -> None:
        """Segment an object on one slice; a preview that was asked for before is dropped. Raises `MedSAMError`."""
        if self._preview is not None:
            self._client.abandon(self._preview)
        self._preview = self._volume(image, setup).segment_slice(
            order.axis, index, list(order.prompts), reading=order.reading,
            on_first_look=self._told(on_done), on_done=self._told(on_done), on_error=self._told(on_error),
        )  # fmt: skip
        self._watch()

    def run(
        self,
        image: LayerImage,
        setup: Setup,
        order: Order,
        *,
        on_progress: Callable[[Progress], None],
        on_done: Callable[[Segmentation3D], None],
        on_error: OnError,
    ) -> None:
        """Segment an object in 3D. Raises `MedSAMError`."""
        self._run = self._volume(image, setup).propagate(
            [list(order.prompts)],
            axis=order.axis,
            slice_range=order.slice_range,
            stop=StopRule() if order.stop else None,
            names=[order.name],
            reading=order.reading,
            on_progress=self._told(on_progress),
            on_done=self._told(on_done),
            on_error=self._told(on_error),
        )
        self._watch()

    def cancel(self) -> None:
        """End the run; it costs the worker its life where it does not stop within two seconds."""
        if self._run is not None:
            self._client.cancel(self._run)

    def close(self) -> None:
        """End the worker, and what waits for it unheard; another is started when one is needed. Blocks for a moment."""
        with contextlib.suppress(RuntimeError):
            # Qt may have ended before.
            self._timer.stop()
        self._silent = True
        self._client.close()
        self._silent = False
        self._volumes.clear()
        # They know whoever asked.
        self._preview = self._run = None

    def _told(self, callback: Callable[[E], None]) -> Callable[[E], None]:
        """Return the callback, which is not called while all of this ends: the window may be gone."""

        def call(value: E) -> None:
            if not self._silent:
                callback(value)

        return call

    def _volume(self, image: LayerImage, setup: Setup) -> RemoteVolume:
        """Return the image as it is, or will be, open in the worker; the one longest unused is closed for it."""
        key = (id(image), setup)
        if key not in self._volumes:
            while len(self._volumes) >= OPEN_VOLUMES:
                self._volumes.popitem(last=False)[1][1].close()
            volume = RemoteVolume(
                self._client,
                setup.model,
                image.array_zyx,
                image.geometry.spacing_zyx,
                window=setup.window,
                modality=image.modality,
                time_series=image.time_axis,
                **self.loading,
            )
            # The image is kept, so that no other one gets its id.
            self._volumes[key] = (image, volume)
        self._volumes.move_to_end(key)
        return self._volumes[key][1]

    def _watch(self) -> None:
        self._timer.start(BUSY_MS)

    def _look(self) -> None:
        self._client.poll()
        if not self._client.running:
            self._timer.stop()
        elif not self._client.busy and self._timer.interval() != QUIET_MS:
            self._timer.setInterval(QUIET_MS)
        elif self._client.busy and self._timer.interval() != BUSY_MS:
            self._timer.setInterval(BUSY_MS)
