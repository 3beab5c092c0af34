"""Faults, with the real worker: cancel, a killed worker, no torch, no model, no network."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np

from MedSAMSegmentLib.ui.run.worker_service import WorkerService
from MedSAMSegmentLib.ui.worker_settings import choose_interpreter

from . import needs_weights, scenario
from .phantom import Phantom
from .suite import another_model_folder, users_choices_kept
from .user import wait_until
from .workspace import Workspace


@needs_weights
@scenario
def cancel_stops_and_a_killed_worker_is_replaced() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node())
    workspace.set(range_rule="slices", first=0, last=15, intensity="none")
    runs = workspace.parts.frame.runs

    workspace.draw_box(phantom)
    workspace.propagate()
    wait_until(lambda: "of 16" in runs.progress.format and not runs.progress.format.startswith("0"), "first slice")
    workspace.user.press(runs.cancel)
    workspace.wait("end of the cancelled run")
    assert "Cancelled" in workspace.status
    assert not workspace.mask().any(), "the segment is as it was"

    service = workspace.parts.service
    assert isinstance(service, WorkerService)
    workspace.propagate()
    wait_until(lambda: "pid" in service.client.worker and workspace.runs.propagates, "run")
    process = int(service.client.worker["pid"])
    os.kill(process, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    workspace.wait("end of the broken run")
    assert not workspace.mask().any()
    assert "worker" in workspace.status.lower()
    assert "report:" in workspace.status
    assert "Interpreter:" in workspace.parts.report()

    workspace.set(range_rule="slices", first=7, last=9)
    workspace.propagate()
    workspace.wait()
    assert workspace.state.queue.rows[0].result is not None, workspace.status
    assert int(service.client.worker["pid"]) != process
    found, ball = workspace.mask(), phantom.ball(0)
    overlap = 2 * (found & ball)[7:10].sum() / (found[7:10].sum() + ball[7:10].sum())
    assert overlap > 0.8


@scenario
def without_torch_there_is_a_sentence_and_the_scene_is_untouched() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node())
    with tempfile.TemporaryDirectory() as folder, users_choices_kept():
        choose_interpreter(str(_python_without_torch(Path(folder))))
        try:
            workspace.draw_box(phantom)
            workspace.propagate()
            workspace.wait()
        finally:
            workspace.parts.state.runs.requests.service.shutdown()
    assert "torch" in workspace.status.lower(), workspace.status
    assert "panel:" in workspace.status
    assert not workspace.mask().any()


@scenario
def offline_with_an_empty_model_folder_says_what_to_do() -> None:
    with tempfile.TemporaryDirectory() as folder, another_model_folder(Path(folder)):
        phantom = Phantom()
        workspace = Workspace(phantom.node())
        # A worker that an earlier scenario left knows the other folder.
        workspace.runs.requests.service.shutdown()
        try:
            assert "download 39 MB" in workspace.parts.frame.choices.model_state.text
            workspace.draw_box(phantom)
            workspace.propagate()
            workspace.wait()
        finally:
            workspace.runs.requests.service.shutdown()
        assert "not on this machine" in workspace.status
        assert "Press Download in Models and settings" in workspace.status
        assert "medsam-segment" not in workspace.status, "no command of the command line"
        assert not workspace.mask().any()
        assert [p.name for p in Path(folder).iterdir() if p.suffix == ".pth"] == [], "nothing is fetched"


@scenario
def a_failed_run_can_be_repeated() -> None:
    from MedSAMSegmentLib.errors import DeviceError

    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.draw_box(phantom)
    workspace.wait_for_preview()
    workspace.service.fail_next = DeviceError("The GPU ran out of memory.", "Choose CPU, or a smaller model.")
    workspace.propagate()
    workspace.wait()
    assert "ran out of memory" in workspace.status
    assert not workspace.mask().any()
    workspace.propagate()
    workspace.wait()
    np.testing.assert_array_equal(workspace.mask(), phantom.ball(0))


@scenario
def slices_done_can_be_kept_on_cancel() -> None:
    phantom = Phantom()
    workspace = Workspace(phantom.node(), stand_in=True)
    workspace.set(keep_partial=True)
    workspace.hold_a_run(phantom, slices=3)
    workspace.user.press(workspace.parts.frame.runs.cancel)
    workspace.service.release()
    workspace.wait()
    assert int(workspace.mask().any(axis=(1, 2)).sum()) == 3
    assert "kept" in workspace.status


def _python_without_torch(folder: Path) -> Path:
    """An interpreter like this one in which torch cannot be imported."""
    code = (
        "import runpy, sys; sys.modules['torch'] = None; "
        "sys.argv = [a for a in sys.argv[1:] if a != '-s']; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    if sys.platform == "win32":
        launcher = folder / "python.bat"
        launcher.write_text(f'@"{sys.executable}" -c "{code}" %*\n')
    else:
        launcher = folder / "python"
        launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n')
        launcher.chmod(0o755)
    return launcher
