"""Servers with the stand-in of the model in a real worker process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from service_support import STAND_IN, RunningServer, a_block, served, settings, write_ct, write_image

from MedSAMSegmentLib.service.client import RemoteImage
from MedSAMSegmentLib.service.service import Service
from MedSAMSegmentLib.service.settings import Limits
from MedSAMSegmentLib.worker.launch import worker_command

DEFAULT = Limits()
StartServer = Callable[..., RunningServer]


@pytest.fixture
def start_server(lite_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartServer]:
    """Starts servers whose worker has the named faults; each is ended after the test."""
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(lite_checkpoint.parent))
    with ExitStack() as stack:

        def start(*faults: str, limits: Limits = DEFAULT, **options: Any) -> RunningServer:
            command = partial(worker_command, script=STAND_IN, options=faults)
            service = Service(settings(limits=limits), command=command, **options)
            return stack.enter_context(served(service))

        yield start


@pytest.fixture
def block_file(tmp_path: Path) -> Path:
    return write_image(tmp_path / "DOE^JANE.nrrd", a_block())


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    """The block as a DICOM series."""
    return write_ct(tmp_path / "ct", a_block())


@pytest.fixture
def server(start_server: StartServer) -> RunningServer:
    return start_server()


@pytest.fixture
def image(server: RunningServer, block_file: Path) -> Iterator[RemoteImage]:
    with server.client() as client, client.open(block_file) as opened:
        yield opened
