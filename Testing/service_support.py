"""What the service's tests share: servers on loopback ports, and images."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from dicom_support import a_dataset, save

from MedSAMSegmentLib.service.client import ServiceClient
from MedSAMSegmentLib.service.server import listen, make_server
from MedSAMSegmentLib.service.service import Service
from MedSAMSegmentLib.service.settings import ServiceSettings

TOKEN = "a-token-for-the-tests"
WAIT = 120.0
STAND_IN = Path(__file__).with_name("worker") / "stand_in_child.py"
"""A real worker process whose model marks what is above zero in the box."""


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def a_block() -> np.ndarray:
    """Twelve slices of 20 x 24 with a block of 6 x 8 voxels on the slices 3 to 8."""
    volume = np.full((12, 20, 24), -5, dtype=np.int16)
    volume[3:9, 4:10, 6:14] = 100
    return volume


BOX = {"type": "box", "lower": [5, 3, 2], "upper": [15, 11, 9]}
"""It holds the whole block."""


def write_image(path: Path, array: np.ndarray, *, spacing: tuple[float, float, float] = (0.8, 0.9, 4.0)) -> Path:
    """Write a volume on an oblique, anisotropic grid; the path."""
    image = sitk.GetImageFromArray(array)
    angle = np.deg2rad(17)
    image.SetDirection([np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0, 0, 0, 1])
    image.SetSpacing(spacing)
    image.SetOrigin((-11.0, 23.0, 101.0))
    sitk.WriteImage(image, str(path))
    return path


def write_ct(folder: Path, stored: np.ndarray, places: range | list[int] | None = None, **tags: object) -> Path:
    """A CT of values (z,y,x) in HU, slices of 3 mm with the patient's name in each and in the names of the files."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, (place, values) in enumerate(zip(places or range(len(stored)), stored, strict=True)):
        own: dict[str, object] = {"ImagePositionPatient": [-7, 5, 3 * place], "InstanceNumber": index + 1}
        same: dict[str, object] = {"RescaleSlope": 1, "RescaleIntercept": 0, "PixelRepresentation": 1}
        same |= {"PatientName": "Doe^Jane", "PatientID": "77", "FrameOfReferenceUID": "1.2.9", "SliceThickness": 3}
        save(a_dataset(values.astype(np.int16), **{**same, **own, **tags}), folder / f"DOE^JANE {index:02d}.dcm")
    return folder


class RunningServer:
    """A server in a thread of this process, on a real socket."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.socket = listen("127.0.0.1", 0)
        self.port = self.socket.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        ready = threading.Event()
        self._server: Any = make_server(service, ready.set)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self.socket]}, daemon=True)
        self._thread.start()
        assert ready.wait(WAIT)

    def client(self, token: str = TOKEN) -> ServiceClient:
        return ServiceClient(self.address, token, timeout=WAIT)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(WAIT)
        self.socket.close()
        assert not self._thread.is_alive(), f"the server hangs:\n{self._stacks()}"

    @staticmethod
    def _stacks() -> str:
        """Where all threads are."""
        frames = sys._current_frames().values()
        return "\n".join("".join(traceback.format_stack(frame)) for frame in frames)


@contextmanager
def served(service: Service) -> Iterator[RunningServer]:
    server = RunningServer(service)
    try:
        yield server
    finally:
        server.stop()


def settings(**changes: Any) -> ServiceSettings:
    return ServiceSettings(**{"token": TOKEN, **changes})


@contextmanager
def served_process(
    *arguments: str, environment: dict[str, str], command: str = "serve"
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `medsam-segment serve`, or another command, on a free port; the process and the first line that it prints."""
    started = [sys.executable, "-m", "MedSAMSegmentLib", command, "--port", "0", *arguments]
    process = subprocess.Popen(
        started, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.terminate()
        try:
            process.wait(WAIT)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()
