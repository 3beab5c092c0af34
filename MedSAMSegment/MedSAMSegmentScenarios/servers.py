"""A server that computes in place of this computer: named in the panel, agreed to once, left again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import SkipTest

import numpy as np
import slicer
from numpy.typing import NDArray

from MedSAMSegmentLib.ui.run.worker_service import WorkerService
from MedSAMSegmentLib.worker.server_address import ServerAddress, parse_server

from . import scenario
from .phantom import Phantom
from .suite import users_choices_kept
from .user import User, wait_until
from .workspace import Workspace

SERVER_VARIABLE = "MEDSAM_TEST_SERVER"
"""The line that a server, with LiteMedSAM, printed at its start."""

PHANTOM = Phantom()


@scenario
def a_server_computes_once_the_user_has_agreed() -> None:
    line = os.environ.get(SERVER_VARIABLE, "")
    if not line:
        raise SkipTest(f"{SERVER_VARIABLE} names no server")
    server = parse_server(line)
    with users_choices_kept():
        choose_server(shown_panel().server, line, server.address)
        about = plain(slicer.util.getModuleWidget("MedSAMSegment").panel.about.text)
        assert f"Runs on {server.address}" in about
        workspace = Workspace(PHANTOM.node())
        workspace.set(model="lite_medsam", range_rule="slices", first=8, last=9, intensity="none")
        there = segmented_there(workspace, server)
        go_back(workspace)
        if computes_here():
            workspace.editor.undo()
            workspace.draw_box(PHANTOM)
            workspace.propagate()
            workspace.wait()
            assert "server" not in facts_of(workspace)
            here = checked(workspace)
            assert 2 * (there & here).sum() / (there.sum() + here.sum()) > 0.98
        workspace.parts.service.shutdown()


def choose_server(section: Any, line: str, address: str) -> None:
    """Say no, then yes, then ask the same server again."""
    user = User()
    assert "on this computer" in section.place.text
    section.address.text = line
    with answered(False) as questions:
        user.press(section.use)
    assert len(questions) == 1
    assert address in questions[0]
    assert section.status.text == "Nothing was sent."
    assert not section.here.enabled

    with answered(True) as questions:
        for _ in range(2):
            user.press(section.use)
            wait_until(lambda: section.use.enabled, "answer of the server")
            assert "It answers" in section.status.text, section.status.text
    assert len(questions) == 1, "asked once for this server"
    assert f"Runs on {address}" in plain(section.place.text)
    assert section.here.enabled


def segmented_there(workspace: Workspace, server: ServerAddress) -> NDArray[np.bool_]:
    """Segment two slices of the ball on the server; what was found."""
    assert f"Runs on {server.address}" in workspace.parts.frame.runs.place.text
    workspace.draw_box(PHANTOM)
    workspace.wait_for_preview()
    workspace.propagate()
    assert server.address in workspace.status
    workspace.wait()
    assert facts_of(workspace).get("server") == server.address
    report = workspace.parts.report()
    assert server.address in report
    assert server.token not in report
    return checked(workspace)


def go_back(workspace: Workspace) -> None:
    """Let this computer compute again, and come back to the effect, which was left with the editor."""
    panel = shown_panel()
    User().press(panel.server.here)
    assert "on this computer" in panel.server.place.text
    User().press(panel.open_editor)
    assert workspace.state.active
    assert workspace.parts.frame.runs.place.text == ""


def computes_here() -> bool:
    from .suite import skip_unless_possible

    def run() -> None: ...

    run.needs_weights = True  # type: ignore[attr-defined]
    try:
        skip_unless_possible(run)
    except SkipTest:
        return False
    return True


def facts_of(workspace: Workspace) -> dict[str, Any]:
    service = workspace.parts.service
    assert isinstance(service, WorkerService)
    return service.client.worker


def checked(workspace: Workspace) -> NDArray[np.bool_]:
    """Return the slices that were segmented, which have to be those of the ball."""
    assert workspace.runs.last_error is None, workspace.status
    found, ball = workspace.mask()[8:10], PHANTOM.ball(0)[8:10]
    assert 2 * (found & ball).sum() / (found.sum() + ball.sum()) > 0.8
    return found


def shown_panel() -> Any:
    slicer.util.selectModule("MedSAMSegment")
    return slicer.util.getModuleWidget("MedSAMSegment").panel


def plain(text: str) -> str:
    """Return a text without the places where a long word may be broken."""
    return text.replace("\u200b", "")


@contextmanager
def answered(answer: bool) -> Iterator[list[str]]:
    """Answer questions for a while; what was asked."""
    asked: list[str] = []

    def note(text: str, *more: Any, **options: Any) -> bool:
        asked.append(text)
        return answer

    before = slicer.util.confirmOkCancelDisplay
    slicer.util.confirmOkCancelDisplay = note
    try:
        yield asked
    finally:
        slicer.util.confirmOkCancelDisplay = before
