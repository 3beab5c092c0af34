"""Runs one lesion after the other and writes what they found in one undo step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from slicer.i18n import tr as _

from ..errors import Cancelled, InputError, MedSAMError, PromptError
from ..mrml.segment_writer import WriteOutcome
from ..results import ObjectResult
from .collaborators import RunOutcome
from .corrections import Written, merged
from .effect_scene import EffectScene, MaskToWrite, SceneVolume
from .job_builder import PlannedRun
from .lesion_queue import Lesion, LesionResult, LesionState


@dataclass(eq=False)
class _Found:
    run: PlannedRun
    outcome: RunOutcome


@dataclass(eq=False)
class BatchSummary:
    """The end of a batch. `error` is what stopped it, or the last row's failure; `written` are those of `total` rows
    that were written, `partial` tells that a part of one was kept."""

    total: int = 0
    written: list[Lesion] = field(default_factory=list)
    error: MedSAMError | None = None
    partial: bool = False


class Batch:
    """`rows` on one volume, computed in the order of `sequence` and written in their own.

    `send` starts a run (False when refused), `planned` makes its job.
    """

    def __init__(
        self,
        rows: Sequence[Lesion],
        volume: SceneVolume,
        scene: EffectScene,
        *,
        sequence: Sequence[Lesion],
        planned: Callable[[Lesion], PlannedRun],
        send: Callable[[PlannedRun], bool],
        ended: Callable[[BatchSummary], None],
        keep_partial: bool = False,
    ) -> None:
        self.volume = volume
        self.total = len(rows)
        self.running: PlannedRun | None = None
        self._rows = list(rows)
        self._left = deque(sequence)
        self._scene = scene
        self._planned = planned
        self._send = send
        self._ended = ended
        self._keep_partial = keep_partial
        self._found: list[_Found] = []
        self._summary = BatchSummary(len(rows))

    @property
    def position(self) -> int:
        """Number of the row that runs, from 1."""
        return self.total - len(self._left)

    def holds(self, lesion: Lesion) -> bool:
        """The row runs, waits in this batch, or has a result that is not written yet."""
        running = self.running is not None and self.running.lesion is lesion
        return running or lesion in self._left or any(found.run.lesion is lesion for found in self._found)

    def advance(self) -> None:
        """Start the next row, or write and end."""
        while self._left:
            lesion = self._left.popleft()
            try:
                run = self._planned(lesion)
            except InputError as error:
                self._mark_failed(lesion, error)
                continue
            self.running = run
            lesion.state = LesionState.RUNNING
            if not self._send(run):
                lesion.state = LesionState.WAITING
                self.running = None
                self._left.clear()
                break
            return
        self.end()

    def finished(self, outcome: RunOutcome) -> None:
        run, self.running = self.running, None
        if run is not None:
            self._found.append(_Found(run, outcome))
        self.advance()

    def failed(self, error: MedSAMError, partial: ObjectResult | None) -> None:
        """A failure of one object goes on to the next row; what would fail them all ends the batch."""
        run, self.running = self.running, None
        if run is None:
            return
        if partial is not None and self._keep_partial:
            self._found.append(_Found(run, RunOutcome(partial)))
            self._summary.partial = True
        else:
            self._mark_failed(run.lesion, error)
        self._summary.error = error
        if isinstance(error, PromptError):
            self.advance()
            return
        self._left.clear()
        self.end()

    @property
    def has_results(self) -> bool:
        """Some objects are done, though not written."""
        return any(found.outcome.result.packed.slices for found in self._found)

    def cut(self, error: Cancelled) -> None:
        """Nothing more is computed; `end` writes what is done."""
        run, self.running = self.running, None
        if run is not None:
            self._mark_failed(run.lesion, error)
        self._summary.error = error
        self._left.clear()

    def broken(self, error: MedSAMError) -> None:
        """Something failed between two objects: what is done is written, the rest waits."""
        run, self.running = self.running, None
        if run is not None:
            self._mark_failed(run.lesion, error)
        self._summary.error = error
        self._left.clear()
        self.end()

    def dropped(self, reason: str) -> None:
        """The scene changed under it: nothing is written."""
        unfinished = [*(f.run.lesion for f in self._found), *([self.running.lesion] if self.running else [])]
        for lesion in unfinished:
            lesion.state, lesion.message = LesionState.CANCELLED, reason
        self._left.clear()
        self._found = []
        self.running = None

    def _mark_failed(self, lesion: Lesion, error: MedSAMError) -> None:
        lesion.state = LesionState.CANCELLED if isinstance(error, Cancelled) else LesionState.FAILED
        lesion.message = str(error)
        lesion.fruitless = isinstance(error, PromptError)
        self._summary.error = error

    def end(self) -> None:
        """Write what is done, in one undo step, and say how it ended."""
        try:
            self._write()
        except MedSAMError as error:
            for found in self._found:
                self._mark_failed(found.run.lesion, error)
                # Other Masking settings may let it be written.
                found.run.lesion.fruitless = False
        finally:
            # Also when something failed that nobody foresaw: a batch that does not end blocks all later ones.
            for found in self._found:
                if found.run.lesion.state is LesionState.RUNNING:
                    found.run.lesion.state = LesionState.FAILED
            self._ended(self._summary)

    def _write(self) -> None:
        useful = []
        for found in sorted(self._found, key=lambda found: self._rows.index(found.run.lesion)):
            if found.outcome.result.packed.slices:
                useful.append(found)
            else:
                self._mark_failed(found.run.lesion, nothing_found(found.run.lesion.name))
        if not useful:
            return
        masks = [self._mask_to_write(found) for found in useful]
        outcomes = self._scene.write(masks, self.volume.geometry)
        for found, outcome in zip(useful, outcomes, strict=True):
            self._complete(found, outcome)

    def _mask_to_write(self, found: _Found) -> MaskToWrite:
        lesion, packed = found.run.lesion, found.outcome.result.packed
        if not lesion.segment_id:
            return MaskToWrite(packed.unpack, "", lesion.name)

        def together() -> NDArray[np.bool_]:
            current = self._scene.segment_mask(lesion.segment_id, self.volume.geometry)
            return merged(current, packed, previous=found.run.previous, locked=found.run.locked)

        return MaskToWrite(together, lesion.segment_id, lesion.name)

    def _complete(self, found: _Found, outcome: WriteOutcome) -> None:
        lesion, result, axis = found.run.lesion, found.outcome.result, found.run.job.axis
        lesion.segment_id = outcome.segment_id
        stored = self._scene.segment_mask(outcome.segment_id, self.volume.geometry)
        lesion.remember(Written.of(stored, axis, found.run.drawn))
        lesion.keys.clear()
        flagged = {index: result.slices[index] for index in result.flagged}
        lesion.complete(
            LesionResult(
                axis,
                flagged,
                outcome.masked_voxels,
                outcome.outside_voxels,
                outcome.interpolated,
                found.outcome.seconds,
                outcome.voxels,
            )
        )
        self._summary.written.append(lesion)


def nothing_found(name: str) -> PromptError:
    message = _("Nothing was found for {name}.").format(name=name)
    return PromptError(message, _("Draw a larger box, or choose another intensity preset."))
