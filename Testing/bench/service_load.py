"""Memory and open files of the service under many clients: `python Testing/bench/service_load.py [--json FILE]`.

`medsam-segment serve` runs as it ships, with its limits and the real weights, on a port of loopback. CLIENTS threads
open SESSIONS small images of their own, each client one after the other: a run on one slice, masks, report, deleted.
Most are clicked, which encodes a slice once; every tenth gets a box and a preview. Every fourth is a DICOM series, and
its masks are fetched as DICOM SEG. A client that is turned away (429, 503) comes again.
The processes of the server and of the worker are looked at twice a second. Ends with 1 when something is left behind.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

TESTING = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTING), str(TESTING / "service")]

from service_support import STAND_IN, TOKEN, served_process, settings, write_ct, write_image  # noqa: E402

from MedSAMSegmentLib.prompts import Box, Point  # noqa: E402
from MedSAMSegmentLib.service.client import ServiceClient, ServiceError  # noqa: E402
from MedSAMSegmentLib.service.server import serve  # noqa: E402
from MedSAMSegmentLib.service.service import Service  # noqa: E402
from MedSAMSegmentLib.worker.launch import worker_command  # noqa: E402

BOX = Box(i=(22, 58), j=(30, 70), k=(1, 1))
CLICK = Point(40, 50, 1)
DICOM_EVERY = 4
BOX_EVERY = 10
LOOK_SECONDS = 0.5
ROWS = 10
"""Of the table: each is a tenth of the sessions."""

TURNED_AWAY = (429, 503)


@dataclass(frozen=True)
class Look:
    """What the processes held at one time; `done` sessions were over."""

    done: int
    server_mb: float
    worker_mb: float
    server_files: int
    worker_files: int
    threads: int


@dataclass
class Load:
    """The sessions that are to be, and what has become of them; the stand-in knows boxes alone."""

    address: str
    folder: Path
    boxes_alone: bool
    waiting: queue.SimpleQueue[int] = field(default_factory=queue.SimpleQueue)
    done: int = 0
    turned_away: int = 0
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self) -> None:
        """Open one image after the other, until none is left."""
        with ServiceClient(self.address, TOKEN, timeout=300) as service:
            while True:
                try:
                    number = self.waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    self._session(service, number)
                except Exception as error:  # noqa: BLE001 - counted and told at the end
                    detail = getattr(error, "detail", "")
                    self.errors.append(f"session {number}: {type(error).__name__}: {error} {detail}")
                with self.lock:
                    self.done += 1

    def _session(self, service: ServiceClient, number: int) -> None:
        dicom, boxed = number % DICOM_EVERY == 0, number % BOX_EVERY == BOX_EVERY - 1
        prompt = BOX if boxed or self.boxes_alone else CLICK
        path = an_image(self.folder / str(number), number, dicom)
        with self._asked(lambda: service.open(path)) as image:
            if boxed:
                assert self._asked(lambda: image.preview(prompt, index=1)).mask.any()
            run = self._asked(lambda: image.run([prompt], names=["ball"], slice_range=[1, 1]))
            run.wait()
            labels, report = run.labels(), run.report()
            run.save(self.folder / f"{number}.{'dcm' if dicom else 'seg.nrrd'}")
        assert int((labels > 0).sum()) == report["objects"][0]["voxels"] > 0

    def _asked(self, ask: Any) -> Any:
        while True:
            try:
                return ask()
            except ServiceError as error:
                if error.status not in TURNED_AWAY:
                    raise
                with self.lock:
                    self.turned_away += 1
                time.sleep(2.0)


def an_image(folder: Path, number: int, dicom: bool) -> Path:
    """Write four slices of 96 x 80 with a bright ball in noise of their own; the path."""
    folder.mkdir()
    z, y, x = np.ogrid[:4, :96, :80]
    ball = ((z - 1.5) / 3.5) ** 2 + ((y - 50) / 20) ** 2 + ((x - 40) / 18) ** 2 < 1
    noise = np.random.default_rng(number).normal(0, 8, ball.shape)
    array: NDArray[np.int16] = (np.where(ball, 180, 40) + noise).astype(np.int16)
    return write_ct(folder, array) if dicom else write_image(folder / "ball.nrrd", array)


def look(server: psutil.Process, done: int) -> Look:
    """Return what the server and the processes below it hold now."""
    found = []
    for process in (server, *server.children(recursive=True)):
        with process.oneshot():
            found.append((process.memory_info().rss / 1e6, process.num_fds(), process.num_threads()))
    own, others = found[0], found[1:]
    return Look(
        done,
        own[0],
        sum(memory for memory, _, _ in others),
        own[1],
        sum(files for _, files, _ in others),
        sum(threads for _, _, threads in found),
    )


def rows_of(looks: Sequence[Look], sessions: int) -> list[dict[str, float]]:
    """Return the looks of each tenth of the sessions in one row: the middle of the memory, the most of the rest."""
    rows = []
    for number in range(ROWS):
        first, last = (sessions * n // ROWS for n in (number, number + 1))
        part = [one for one in looks if first <= one.done < last]
        if part:
            rows.append(
                {
                    "sessions": last,
                    "server_mb": statistics.median(one.server_mb for one in part),
                    "worker_mb": statistics.median(one.worker_mb for one in part),
                    "server_files": max(one.server_files for one in part),
                    "worker_files": max(one.worker_files for one in part),
                    "threads": max(one.threads for one in part),
                }
            )
    return rows


def serve_stand_in() -> None:
    """Serve with the tests' stand-in for the model in a real worker process, until the process is told to end."""
    command = partial(worker_command, script=STAND_IN)
    serve(Service(settings(port=0), command=command), lambda address: print(f"Serving on {address}/api/", flush=True))


@contextmanager
def served_stand_in(temporary: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `serve_stand_in` in a process of its own; the process and the line that it prints."""
    environment = {**os.environ, "TMPDIR": str(temporary)}
    command = [sys.executable, __file__, "--serve-stand-in"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.terminate()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=600.0, help="it ends then, with what was done")
    parser.add_argument("--stand-in", action="store_true", help="a stand-in for the model: the server alone is judged")
    parser.add_argument("--serve-stand-in", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="where the figures are written")
    options = parser.parse_args()
    if options.serve_stand_in:
        serve_stand_in()
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        of_the_server = folder / "server"
        of_the_server.mkdir()
        environment = {"MEDSAM_SERVICE_TOKEN": TOKEN, "TMPDIR": str(of_the_server)}
        compute = ("--device", "cpu", "--engine", "torch")
        shipped = served_process(*compute, environment=environment)
        with served_stand_in(of_the_server) if options.stand_in else shipped as (process, line):
            until = time.monotonic() + 60 * options.minutes
            load = Load(line.removeprefix("Serving on ").partition("/api/")[0], folder, options.stand_in)
            for number in range(options.sessions):
                load.waiting.put(number)
            server, looks = psutil.Process(process.pid), []
            clients = [threading.Thread(target=load.client, daemon=True) for _ in range(options.clients)]
            for client in clients:
                client.start()
            while any(client.is_alive() for client in clients) and time.monotonic() < until:
                time.sleep(LOOK_SECONDS)
                try:
                    looks.append(look(server, load.done))
                except psutil.NoSuchProcess:
                    # A child that has just ended, or the server: then the clients say so.
                    continue
                if len(looks) % 60 == 0:
                    print(looks[-1], flush=True)
            done, errors = load.done, list(load.errors)
            whole = not any(client.is_alive() for client in clients)
            left = [str(path.relative_to(folder)) for path in of_the_server.rglob("*") if path.is_file() and whole]
        left += [str(path.relative_to(folder)) for path in of_the_server.iterdir()]
    found = {
        "model": "a stand-in" if options.stand_in else "LiteMedSAM",
        "clients": options.clients,
        "sessions": done,
        "failed": len(errors),
        "turned_away": load.turned_away,
        "left_files": len(left),
        "rows": rows_of(looks, done),
    }
    print(json.dumps(found, indent=1), *errors[:20], *left[:20], sep="\n")
    if options.json is not None:
        options.json.write_text(json.dumps(found), encoding="utf-8")
    return int(bool(errors or left))


if __name__ == "__main__":
    sys.exit(main())
