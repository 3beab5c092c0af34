"""Mishaps: nothing is left half done, and the next run works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import qt

from MedSAMSegmentLib.errors import InputError
from MedSAMSegmentLib.ui.objects.queue import ObjectState

from . import scenario
from .phantom import Ball, Phantom
from .user import wait_until
from .volumes import bend
from .workspace import EFFECT, Workspace, another_effect

TWO_BALLS = Phantom(balls=(Ball((12, 24, 8), 6), Ball((36, 24, 8), 6)))


@contextmanager
def failing(owner: Any, name: str, error: Exception) -> Iterator[None]:
    """A method that raises, for a while."""

    def fail(*_arguments: Any, **_named: Any) -> Any:
        raise error

    setattr(owner, name, fail)
    try:
        yield
    finally:
        delattr(owner, name)


@scenario
def an_error_that_nobody_foresaw_is_told_and_the_next_run_works() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.draw_box(phantom)
    with failing(workspace.state.scene, "write", MemoryError()):
        workspace.propagate()
        workspace.wait()
    assert "not enough memory" in workspace.status
    assert "Copy report" in workspace.status
    assert workspace.current.state is ObjectState.FAILED
    workspace.parts.frame.runs.status.linkActivated.emit("report:")
    assert "MemoryError" in qt.QApplication.clipboard().text()

    for where, name in ((workspace.state.scene, "segment_mask"), (workspace.service, "propagate")):
        with failing(where, name, RuntimeError("odd")):
            workspace.propagate()
            workspace.wait()
        assert "RuntimeError: odd" in workspace.status
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(), phantom.ball(0))


@scenario
def a_segmentation_under_a_bent_transform_is_refused_with_the_cure() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    painted = phantom.ball(0)
    painted[np.arange(16) != 8] = False
    with another_effect(workspace):
        workspace.write(painted)
    workspace.segmentation.SetAndObserveTransformNodeID(bend().GetID())
    workspace.propagate()
    assert "not linear" in workspace.status
    assert "Harden" in workspace.status
    assert workspace.runs.batch is None


@scenario
def a_write_that_fails_half_way_leaves_nothing_behind() -> None:
    workspace = Workspace(TWO_BALLS.node(), stand_in=True)
    for number in (0, 1):
        workspace.draw_box(TWO_BALLS, number)
        workspace.wait_for_preview()
    host = workspace.editor.effectByName(EFFECT)
    writer = workspace.state.scene._writer
    writer._host = HalfHost(host)
    workspace.propagate()
    workspace.wait()
    assert "did not write" in workspace.status
    assert len(workspace.segment_ids) == 1, "the new segment is gone again"
    assert not workspace.mask().any()
    writer._host = host
    workspace.propagate()
    workspace.wait()
    assert len(workspace.segment_ids) == 2
    for number, segment_id in enumerate(workspace.segment_ids):
        np.testing.assert_array_equal(workspace.mask(segment_id), TWO_BALLS.ball(number))
    workspace.editor.undo()
    assert len(workspace.segment_ids) == 1


class AskedHost:
    """An editor whose user answers the question about a hidden segment; `asked` are the segments it was about."""

    def __init__(self, host: Any, answer: bool) -> None:
        self._host = host
        self._answer = answer
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def confirmCurrentSegmentVisible(self) -> Any:
        self.asked.append(self._host.parameterSetNode().GetSelectedSegmentID())
        return self._host.ConfirmedWithDialog if self._answer else self._host.NotConfirmed


@scenario
def a_question_about_a_hidden_segment_is_about_the_one_that_is_written() -> None:
    workspace = Workspace(TWO_BALLS.node(), stand_in=True)
    workspace.draw_box(TWO_BALLS)
    workspace.propagate()
    workspace.wait()
    finished = workspace.segment_id
    display = workspace.segmentation.GetDisplayNode()
    display.SetSegmentVisibility(finished, False)
    scene = workspace.state.scene
    host = scene._host
    asked = AskedHost(host, answer=False)
    scene._host = asked
    try:
        workspace.draw_box(TWO_BALLS, 1)
        workspace.wait_for_preview()
        workspace.user.press(workspace.parts.frame.runs.segment_slice)
        workspace.propagate()
        workspace.wait()
        assert asked.asked == [], "the selected segment is hidden, another one is written"
        assert len(workspace.segment_ids) == 2

        written = workspace.segment_ids[1]
        first = int(workspace.mask(written).sum())
        display.SetSegmentVisibility(finished, True)
        display.SetSegmentVisibility(written, False)
        workspace.draw_box(TWO_BALLS, 1, k=10, control=True)
        workspace.editor.setCurrentSegmentID(finished)
        workspace.propagate()
        workspace.wait()
        assert asked.asked == [written]
        assert int(workspace.mask(written).sum()) == first, "the user did not want it"
        assert workspace.editor.currentSegmentID() == finished
        jobs = len(workspace.service.jobs)
        asked._answer = True
        workspace.propagate()
        workspace.wait()
        assert len(workspace.service.jobs) == jobs + 1
    finally:
        scene._host = host


class HalfHost:
    """An editor that swallows the second write."""

    def __init__(self, host: Any) -> None:
        self._host = host
        self._writes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def modifySegmentByLabelmap(self, *arguments: Any) -> None:
        self._writes += 1
        if self._writes != 2:
            self._host.modifySegmentByLabelmap(*arguments)


def one_done_one_running() -> Workspace:
    """A queue of two objects that stands still in the second."""
    workspace = Workspace(TWO_BALLS.node(), stand_in=True)
    for number in (0, 1):
        workspace.draw_box(TWO_BALLS, number)
        workspace.wait_for_preview()
    workspace.service.hold_after = 15
    workspace.propagate()
    wait_until(lambda: workspace.service.holding and len(workspace.service.jobs) == 2, "second object")
    return workspace


@scenario
def a_cancelled_queue_says_how_many_objects_were_written() -> None:
    workspace = one_done_one_running()
    workspace.user.press(workspace.parts.frame.runs.cancel)
    workspace.wait()
    assert workspace.status == "Cancelled. 1 of 2 objects were written."
    np.testing.assert_array_equal(workspace.mask(), TWO_BALLS.ball(0))
    assert len(workspace.segment_ids) == 1
    assert [r.state for r in workspace.state.queue.rows] == [ObjectState.DONE, ObjectState.CANCELLED]
    workspace.propagate()
    workspace.service.release()
    workspace.wait()
    assert workspace.service.jobs[-1].name == "Segment_1"
    np.testing.assert_array_equal(workspace.mask(workspace.segment_ids[1]), TWO_BALLS.ball(1))


@scenario
def what_a_queue_has_done_is_written_when_another_effect_is_chosen() -> None:
    workspace = one_done_one_running()
    workspace.editor.setActiveEffectByName("Paint")
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(), TWO_BALLS.ball(0))
    assert workspace.editor.currentSegmentID() == workspace.segment_id
    workspace.editor.setActiveEffectByName(EFFECT)
    assert workspace.status == "Cancelled. 1 of 2 objects were written."
    workspace.editor.undo()
    assert not workspace.mask().any()


@scenario
def a_run_that_ended_with_the_effect_is_explained_on_return() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.hold_a_run(phantom)
    with another_effect(workspace):
        pass
    assert "another effect was chosen" in workspace.status


@scenario
def what_is_done_is_written_when_the_next_object_breaks() -> None:
    workspace = Workspace(TWO_BALLS.node(), stand_in=True, segment=None)
    for number in (0, 1):
        workspace.draw_box(TWO_BALLS, number)
        workspace.wait_for_preview()
    asked: list[int] = []
    propagate = workspace.service.propagate

    def breaking(*arguments: Any, **named: Any) -> None:
        asked.append(1)
        if len(asked) == 2:
            raise RuntimeError("odd")
        propagate(*arguments, **named)

    workspace.service.propagate = breaking  # type: ignore[method-assign]
    workspace.propagate()
    workspace.wait()
    assert "RuntimeError: odd" in workspace.status
    first, second = workspace.state.queue.rows
    assert (first.state, second.state) == (ObjectState.DONE, ObjectState.FAILED)
    np.testing.assert_array_equal(workspace.mask(), TWO_BALLS.ball(0))


@scenario
def a_failure_that_is_not_the_prompts_runs_again_by_itself() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.draw_box(phantom)
    workspace.wait_for_preview()
    workspace.service.fail_next = InputError("The volume needs 9 GB of memory.", "Close other programs.")
    workspace.propagate()
    workspace.wait()
    assert "9 GB" in workspace.status
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(), phantom.ball(0))
