"""Viewers for a real browser: servers on loopback ports with an image of their own, and pages that show it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from browser import Browser, executable
from service_support import STAND_IN, TOKEN, served, settings
from viewer_support import StartViewer, Viewer

from MedSAMSegmentLib.service.local_images import open_local
from MedSAMSegmentLib.service.service import Service
from MedSAMSegmentLib.worker.launch import worker_command


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = executable()
    if program is None:
        pytest.skip("no chromium is installed")
    if sys.platform == "win32":
        pytest.skip("the browser is driven through inherited pipes")
    started = Browser(program)
    yield started
    started.close()


@pytest.fixture
def start_viewer(browser: Browser, lite_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartViewer]:
    """Opens a page on an image, or on none; the model is the stand-in, which marks what is above zero in the box."""
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(lite_checkpoint.parent))
    with ExitStack() as stack:

        def start(image: Path | None = None, *faults: str, **page_options: int) -> Viewer:
            service = Service(settings(), command=partial(worker_command, script=STAND_IN, options=faults))
            server = stack.enter_context(served(service))
            address = f"{server.address}/viewer/#token={TOKEN}"
            if image is not None:
                address += f"&image={open_local(service, image).id}"
            page = stack.enter_context(browser.page(**page_options))
            viewer = Viewer(page, address, server.client())
            viewer.open(has_image=image is not None)
            return viewer

        yield start
