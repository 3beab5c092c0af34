from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from MedSAMSegmentLib.worker.client import WorkerClient
from MedSAMSegmentLib.worker.launch import worker_command
from MedSAMSegmentLib.worker.popen_transport import PopenTransport

STAND_IN = Path(__file__).with_name("stand_in_child.py")

StartClient = Callable[..., WorkerClient]


@pytest.fixture
def start_client() -> Iterator[StartClient]:
    """Clients of the stand-in worker with the named faults; each is ended after the test."""
    clients: list[WorkerClient] = []

    def start(*faults: str, transport: Callable[[], Any] = PopenTransport, **options: Any) -> WorkerClient:
        command = partial(worker_command, script=STAND_IN, options=faults)
        clients.append(WorkerClient(command, transport, **options))
        return clients[-1]

    yield start
    for client in clients:
        client.close()


@pytest.fixture
def a_volume() -> NDArray[np.int16]:
    """Twelve slices with a block of 6 x 8 voxels on the slices 3 to 8, one voxel larger on slice 5."""
    volume = np.full((12, 20, 24), -5, dtype=np.int16)
    volume[3:9, 4:10, 6:14] = 100
    volume[5, 10, 6] = 100
    return volume
