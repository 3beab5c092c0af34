"""The state that all routes share: settings, sessions, and the owner of the worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..auto_window import window_of_objects
from ..checkpoints.custom_models import CustomModels, find_entry
from ..checkpoints.store import CheckpointStore
from ..errors import MissingCheckpoint
from ..intensity import parse_window
from ..prompts import Prompt
from ..registry import ModelEntry, entries
from ..results import SliceResult
from ..worker.launch import LaunchCommand, worker_command
from .owner import WorkerOwner
from .remote_workers import RemoteWorkers
from .runs import Job, Preview, Run, RunOrder, VolumeSetup
from .sessions import ImageSession, SessionStore
from .settings import ServiceSettings


class Service:
    """One server's state.

    `clock` gives the seconds that sessions expire by and that a worker may be silent, `command` starts a worker, which
    loads the model before the first request with `prepare`, and is killed when it does not stop within `grace_seconds`.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        command: Callable[[], LaunchCommand] = worker_command,
        grace_seconds: float = 2.0,
        prepare: bool = False,
    ) -> None:
        self.settings = settings
        self._prepare = prepare
        self.checkpoints = CheckpointStore()
        self.owner = WorkerOwner(
            settings.compute,
            most_waiting=settings.limits.queue,
            command=command,
            grace_seconds=grace_seconds,
            clock=clock,
        )
        self.sessions = SessionStore(settings.limits, clock=clock, on_removed=self.owner.forget)
        self.workers = RemoteWorkers(settings, command=command, clock=clock)
        """Those that clients on other machines compute with; the server's own is the owner's."""

    def start(self) -> None:
        self.owner.start(prepare=self._prepare)

    def close(self) -> None:
        """Delete all images and end the worker."""
        self.sessions.close()
        self.owner.close()

    def preview(
        self,
        session: ImageSession,
        prompts: Sequence[Prompt],
        *,
        axis: int,
        index: int,
        model: str | None,
        window: str,
        reading: int,
        on_first_look: Callable[[SliceResult], None] | None = None,
    ) -> Preview:
        """Ask for one slice. Raises `MedSAMError` for what cannot be computed."""
        setup = self._setup(session, [prompts], model, window)
        job = Preview(
            session,
            setup,
            axis=axis,
            index=index,
            prompts=prompts,
            reading=reading,
            on_first_look=on_first_look,
        )
        self.owner.submit(job)
        return job

    def run(self, session: ImageSession, order: RunOrder, *, model: str | None, window: str) -> Run:
        """Ask for objects in 3D. Raises `MedSAMError` for what cannot be computed."""
        run = Run(session, self._setup(session, order.objects, model, window), order)
        self.sessions.add_run(run)
        try:
            self.owner.submit(run)
        except BaseException:
            self.sessions.drop_run(run)
            raise
        return run

    def models(self) -> list[ModelEntry]:
        """Return the models that are published, then the own ones of whoever runs the server."""
        return [*entries(), *(model.entry for model in CustomModels(self.checkpoints).all())]

    def cancel(self, job: Job) -> None:
        self.owner.cancel(job)

    def give_up(self, preview: Preview) -> None:
        """Take back a preview that nobody waits for any more."""
        self.owner.give_up(preview)

    def _setup(
        self, session: ImageSession, objects: Sequence[Sequence[Prompt]], model: str | None, window: str
    ) -> VolumeSetup:
        """Return the model and the window, by the same choice as on the command line. Raises `MedSAMError`."""
        volume = session.volume
        for prompts in objects:
            for prompt in prompts:
                prompt.fitted(volume.shape_zyx)
        parse_window(window)
        if window == "auto":
            window, _ = window_of_objects(volume.array_zyx, volume.modality, objects)
        return VolumeSetup(self.model_id(model), window)

    def model_id(self, wanted: str | None) -> str:
        """Return the id of a model that is on this machine. Raises `UsageError`, `ModelError`."""
        entry = find_entry(wanted or self.settings.compute.model, self.checkpoints)
        if self.checkpoints.state(entry) == "missing":
            raise MissingCheckpoint(
                f"The server does not have the weights of {entry.title}.",
                f"Whoever runs it can fetch them: medsam-segment models pull {entry.id}",
            )
        return entry.id
