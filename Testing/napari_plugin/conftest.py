"""A screen for napari, and windows whose widget computes with the stand-in of the model in a real worker process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from MedSAMSegmentLib.worker.launch import worker_command

if TYPE_CHECKING:
    from napari_support import Window

STAND_IN = Path(__file__).parents[1] / "worker" / "stand_in_child.py"
"""A worker whose model marks what is above zero in the box."""

OpenWindow = Callable[..., "Window"]

# Settings of whoever runs the tests stay as they are.
os.environ["NAPARI_CONFIG"] = ""


@pytest.fixture(scope="session")
def screen() -> Iterator[None]:
    """A screen with OpenGL: the one that is there, else one of Xvfb."""
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        yield
        return
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("there is no screen, and Xvfb is not installed")
    reading, writing = os.pipe()
    command = [program, "-displayfd", str(writing), "-screen", "0", "1400x900x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
        os.close(writing)
        try:
            with os.fdopen(reading, encoding="ascii") as told, pytest.MonkeyPatch.context() as patch:
                number = told.readline().strip()
                if not number:
                    pytest.skip("Xvfb does not start here")
                patch.setenv("DISPLAY", f":{number}")
                patch.setenv("LIBGL_ALWAYS_SOFTWARE", "1")
                yield
        finally:
            server.terminate()


@pytest.fixture
def open_window(screen: None, lite_checkpoint: Path, request: pytest.FixtureRequest) -> Iterator[OpenWindow]:
    """Opens windows of napari with the widget; their worker has the named faults."""
    from napari_support import Window

    from MedSAMSegmentLib.napari.widget import SegmentWidget

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDSAM_MODEL_DIR", str(lite_checkpoint.parent))
        make_viewer: Callable[..., Any] = request.getfixturevalue("make_napari_viewer")
        opened: list[Window] = []

        def start(*faults: str) -> Window:
            viewer = make_viewer()
            command = partial(worker_command, script=STAND_IN, options=faults)
            widget = SegmentWidget(viewer, command=command)
            viewer.window.add_dock_widget(widget)
            opened.append(Window(viewer, widget, request.getfixturevalue("qtbot")))
            return opened[-1]

        yield start
        for window in opened:
            window.widget.computation.close()
            # The list of a test that has ended must not keep a window from going.
            vars(window).clear()
