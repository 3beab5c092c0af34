"""Runs one item after the other and writes what they found in one undo step."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from ...errors import Cancelled, InputError, MedSAMError, OutputError, PromptError
from ...mrml.segment_writer import WriteOutcome
from ...results import ObjectResult, PackedMask
from ..objects.corrections import merged
from ..objects.queue import ObjectState, QueuedObject, Written, WrittenResult
from ..scene.editor_scene import EffectScene, MaskToWrite, SceneVolume
from .error_boundary import nothing_found
from .planning import PlannedRun
from .protocols import RunOutcome

STEP_SECONDS = 0.03
"""After so long the event loop has its turn, as soon as the step that is on ends."""


@dataclass(eq=False)
class _Found:
    run: PlannedRun
    outcome: RunOutcome


@dataclass(eq=False)
class BatchSummary:
    """The end of a batch. `error` is what stopped it, or the last row's failure; `written` are those of `total` rows
    that were written, `partial` tells that a part of one was kept."""

    total: int = 0
    written: list[QueuedObject] = field(default_factory=list)
    error: MedSAMError | None = None
    partial: bool = False


class Batch:
    """`rows` on one volume, computed in the order of `sequence` and written in their own.

    `send` starts a run (False when refused), `planned` makes its job. `later` calls a function when the event loop runs
    again: so long no other write begins, and the scene may change.
    """

    def __init__(
        self,
        rows: Sequence[QueuedObject],
        volume: SceneVolume,
        scene: EffectScene,
        *,
        sequence: Sequence[QueuedObject],
        planned: Callable[[QueuedObject], PlannedRun],
        send: Callable[[PlannedRun], bool],
        ended: Callable[[BatchSummary], None],
        later: Callable[[Callable[[], None]], None],
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
        self._later = later
        self._steps: Generator[None, None, None] | None = None
        self._keep_partial = keep_partial
        self._found: list[_Found] = []
        self._summary = BatchSummary(len(rows))

    @property
    def position(self) -> int:
        """Number of the row that runs, from 1."""
        return self.total - len(self._left)

    def holds(self, item: QueuedObject) -> bool:
        """The row runs, waits in this batch, or has a result that is not written yet."""
        if item in self._summary.written:
            return False
        running = self.running is not None and self.running.item is item
        return running or item in self._left or any(found.run.item is item for found in self._found)

    @property
    def ending(self) -> bool:
        """Tell whether what was found is being written."""
        return self._steps is not None

    def advance(self) -> None:
        """Start the next row, or write and end."""
        while self._left:
            item = self._left.popleft()
            try:
                run = self._planned(item)
            except InputError as error:
                self._mark_failed(item, error)
                continue
            self.running = run
            item.state = ObjectState.RUNNING
            if not self._send(run):
                item.state = ObjectState.WAITING
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
            self._mark_failed(run.item, error)
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
            self._mark_failed(run.item, error)
        self._summary.error = error
        self._left.clear()

    def broken(self, error: MedSAMError) -> None:
        """Something failed between two objects: what is done is written, the rest waits."""
        run, self.running = self.running, None
        if run is not None:
            self._mark_failed(run.item, error)
        self._summary.error = error
        self._left.clear()
        self.end()

    def dropped(self, reason: str) -> None:
        """The scene changed under it: nothing is written, and what was half written is taken back."""
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.close()
        unfinished = [*(f.run.item for f in self._found), *([self.running.item] if self.running else [])]
        for item in [item for item in unfinished if item not in self._summary.written]:
            item.state, item.message = ObjectState.CANCELLED, reason
        self._left.clear()
        self._found = []
        self.running = None

    def _mark_failed(self, item: QueuedObject, error: MedSAMError) -> None:
        item.state = ObjectState.CANCELLED if isinstance(error, Cancelled) else ObjectState.FAILED
        item.message = str(error)
        item.fruitless = isinstance(error, PromptError)
        self._summary.error = error

    def end(self) -> None:
        """Write what is done, in one undo step and several turns of the event loop, and say how it ended."""
        self._steps = self._write()
        self._later(self._go_on)

    def end_at_once(self) -> None:
        """Write what is done, or the rest of it, before anything else happens, and say how it ended."""
        if self._steps is None:
            self._steps = self._write()
        self._take_steps(lambda: False)

    def _go_on(self) -> None:
        until = time.monotonic() + STEP_SECONDS
        self._take_steps(lambda: time.monotonic() > until)

    def _take_steps(self, interrupted: Callable[[], bool]) -> None:
        steps = self._steps
        if steps is None:
            return
        try:
            for _ in steps:
                if interrupted():
                    self._later(self._go_on)
                    return
        except MedSAMError as error:
            for found in self._found:
                self._mark_failed(found.run.item, error)
                # Other Masking settings may let it be written.
                found.run.item.fruitless = False
        except BaseException:
            self._close()
            raise
        self._close()

    def _close(self) -> None:
        """End the batch, also when something failed that nobody foresaw: one that does not end blocks all later
        ones."""
        self._steps = None
        for found in self._found:
            if found.run.item.state is ObjectState.RUNNING:
                found.run.item.state = ObjectState.FAILED
        self._ended(self._summary)

    def _write(self) -> Generator[None, None, None]:
        useful = []
        for found in sorted(self._found, key=lambda found: self._rows.index(found.run.item)):
            if found.outcome.result.packed.slices:
                useful.append(found)
            else:
                self._mark_failed(found.run.item, nothing_found(found.run.item.name))
        if not useful:
            return
        masks = [self._mask_to_write(found) for found in useful]
        outcomes = yield from self._scene.write(masks, self.volume.geometry)
        # All that needs no look at the voxels, in the same turn: from now on they are written, whatever happens.
        for found, outcome in zip(useful, outcomes, strict=True):
            self._complete(found, outcome)
        for found in useful:
            yield
            # The segment may be gone again.
            with suppress(OutputError):
                self._read_back(found)

    def _mask_to_write(self, found: _Found) -> MaskToWrite:
        item, packed = found.run.item, found.outcome.result.packed
        if not item.segment_id:
            return MaskToWrite(lambda: packed, "", item.name)

        def together() -> PackedMask:
            current = self._scene.segment_mask(item.segment_id, self.volume.geometry, packed.axis)
            return merged(current, packed, previous=found.run.previous, locked=found.run.locked)

        return MaskToWrite(together, item.segment_id, item.name)

    def _complete(self, found: _Found, outcome: WriteOutcome) -> None:
        item, result, axis = found.run.item, found.outcome.result, found.run.job.axis
        item.segment_id = outcome.segment_id
        item.remember(Written(result.packed, found.run.drawn))
        item.keys.clear()
        flagged = {index: result.slices[index] for index in result.flagged}
        item.complete(
            WrittenResult(
                axis,
                flagged,
                outcome.masked_voxels,
                outcome.outside_voxels,
                outcome.interpolated,
                found.outcome.seconds,
                outcome.voxels,
                spacing_known=self.volume.spacing_known,
                assessment=result.assessment,
            )
        )
        self._summary.written.append(item)

    def _read_back(self, found: _Found) -> None:
        """Remember what the segment holds: masking and the other objects may have left something else in it."""
        item = found.run.item
        stored = self._scene.segment_mask(item.segment_id, self.volume.geometry, found.run.job.axis)
        item.written = Written(stored, found.run.drawn)
