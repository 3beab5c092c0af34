"""Runs one job on checkpoints at a time beside Slicer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import qt
from slicer.i18n import tr as _

from ...errors import Cancelled, MedSAMError, WorkerError, error_types
from ...worker.launch import worker_command
from ...worker.qprocess_transport import QProcessTransport
from ..worker_settings import chosen_interpreter, worker_environment

SCRIPT = Path(__file__).parents[1] / "model_job.py"
GRACE_MILLISECONDS = 2000


class JobRunner:
    """`progress(done, total)` in bytes, or of a training in steps of its `stage`, then `ended(error)`; `error` is None
    when the job succeeded."""

    def __init__(self, progress: Callable[[int, int], None], ended: Callable[[MedSAMError | None], None]) -> None:
        self._progress = progress
        self._ended = ended
        self._transport: QProcessTransport | None = None
        self._buffer = b""
        self._answer: dict[str, object] | None = None
        self._cancelled = False
        self.stage = ""
        self._killer = qt.QTimer()
        self._killer.setSingleShot(True)
        self._killer.connect("timeout()", self._kill)

    @property
    def model(self) -> str:
        """The id of the model that the last job fetched, imported or removed; "" when it failed."""
        return str((self._answer or {}).get("ok", ""))

    @property
    def note(self) -> str:
        """The sentence that the last job ended with; "" for none."""
        return str((self._answer or {}).get("note", ""))

    @property
    def busy(self) -> bool:
        return self._transport is not None

    def start(self, *arguments: str) -> None:
        """Raises `WorkerError` when the interpreter does not exist, or a job runs already."""
        if self.busy:
            raise WorkerError(_("A download or import is running."), _("Wait for its end or cancel it."))
        command = worker_command(
            chosen_interpreter(), environment=worker_environment(), options=arguments, script=SCRIPT
        )
        transport = QProcessTransport()
        self._buffer, self._answer, self._cancelled = b"", None, False
        self._transport = transport
        transport.on_activity = self._poll
        try:
            transport.start(command)
        except WorkerError:
            self._transport = None
            raise

    def cancel(self) -> None:
        """Ask, and end the process when it does not stop within two seconds."""
        if self._transport is not None:
            self._cancelled = True
            self._transport.close_input()
            self._killer.start(GRACE_MILLISECONDS)

    def close(self) -> None:
        """The panel goes: nothing is reported any more."""
        self._killer.stop()
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.on_activity = None
            transport.kill()
            transport.reap(2.0)

    def _kill(self) -> None:
        if self._transport is not None:
            self._transport.kill()

    def _poll(self) -> None:
        transport = self._transport
        if transport is None:
            return
        self._buffer += transport.read()
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            self._take(line)
        if transport.at_end:
            self._end(transport)

    def _take(self, line: bytes) -> None:
        try:
            fields = json.loads(line)
        except ValueError:
            return  # a warning that some library printed
        if "done" in fields:
            self.stage = str(fields.get("stage", ""))
            self._progress(int(fields["done"]), int(fields["total"]))
        else:
            self._answer = fields

    def _end(self, transport: QProcessTransport) -> None:
        self._transport = None
        self._killer.stop()
        transport.on_activity = None
        self._ended(self._error(transport))

    def _error(self, transport: QProcessTransport) -> MedSAMError | None:
        if self._answer is None:
            if self._cancelled:
                return Cancelled()
            return WorkerError(
                _("The process ended without an answer (status {number}).").format(number=transport.exit_status),
                _("Try again; check the interpreter with Self-check."),
                transport.error_text,
            )
        if "ok" in self._answer:
            return None
        kind = error_types().get(str(self._answer.get("code")), MedSAMError)
        return kind(str(self._answer["error"]), str(self._answer["cure"]))
