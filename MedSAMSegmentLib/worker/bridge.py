"""The process that stands for a worker on a server: frames from stdin go there, those of the worker there to stdout.

To Slicer it is a worker like any other, so that everything but the command is as with one on this machine. It does not
compute, and does not look into volumes. What the worker sends is read as frames, so that whole frames alone come out,
and a last one that says in a sentence what became of the connection.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import MedSAMError, WorkerError
from .exit_status import SHELL_OFFSET
from .frames import Frame, FrameParser, encode_frame, write_all
from .launch import ADDRESS_VARIABLE, TOKEN_VARIABLE
from .protocol import error_fields
from .records import RecordParser

if TYPE_CHECKING:
    import requests

PLACE = re.compile(r"/api/v1/workers/[0-9a-f]{1,64}")
CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
"""The server sends a ping every 15 seconds: after so long in silence the connection is broken."""

SIGN_OF_LIFE_SECONDS = 10.0
LEAST_BYTES = 1 << 16
MOST_BYTES = 1 << 20
"""Of one request's body. Proxies pass a megabyte without being told to."""

PIECE_SECONDS = 0.25
"""A piece should be on its way so long: a request behind it, and a cancel, wait for it."""

EXIT_LOST = 5
HERE = "choose This computer in the module MedSAM Segment"


class Intake:
    """The bytes that came from Slicer and were not sent yet, at most about `limit` bytes."""

    def __init__(self, read_fd: int) -> None:
        self.limit = LEAST_BYTES
        self._read_fd = read_fd
        self._changed = threading.Condition()
        self._waiting = bytearray()

    def fill(self) -> None:
        """Read until the other end is closed: Slicer has ended, or wants no worker any more."""
        while data := os.read(self._read_fd, LEAST_BYTES):
            with self._changed:
                self._waiting += data
                self._changed.notify_all()
                while len(self._waiting) >= self.limit:
                    self._changed.wait()

    def take(self, seconds: float) -> bytes:
        """Return up to `limit` bytes, none where none came within `seconds`."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(seconds)
            taken = bytes(self._waiting[: self.limit])
            del self._waiting[: len(taken)]
            self._changed.notify_all()
        return taken


class Packing:
    """Compresses where that saves more time on the way than it takes. Rates are those of the last pieces."""

    WEIGHT = 0.3
    TRY_AGAIN = 32
    """Pieces: networks change, and volumes have parts of another kind."""

    def __init__(self) -> None:
        self._network = 0.0
        self._saved_each_second = 0.0
        self._count = 0

    def pack(self, data: bytes) -> tuple[bytes, bool]:
        """Return the body, and whether it is compressed."""
        self._count += 1
        pays = self._network == 0.0 or self._saved_each_second > self._network
        if len(data) < LEAST_BYTES // 4 or not (pays or self._count % self.TRY_AGAIN == 0):
            return data, False
        began = time.perf_counter()
        packed = zlib.compress(data, 1)
        took = max(time.perf_counter() - began, 1e-6)
        self._saved_each_second = self._mean(self._saved_each_second, (len(data) - len(packed)) / took)
        return (packed, True) if len(packed) < len(data) else (data, False)

    def note(self, size: int, seconds: float) -> None:
        """Take in that a body of `size` bytes was on its way so long."""
        if size >= LEAST_BYTES // 4:
            self._network = self._mean(self._network, size / max(seconds, 1e-6))

    def piece_bytes(self) -> int:
        """Return how many bytes, as they come, should go at once."""
        return int(min(max(self._network * PIECE_SECONDS, LEAST_BYTES), MOST_BYTES))

    def _mean(self, before: float, now: float) -> float:
        return now if before == 0.0 else (1 - self.WEIGHT) * before + self.WEIGHT * now


class Bridge:
    """One connection to the worker at `address`, which ends with it. `run` does not return before."""

    def __init__(self, read_fd: int, write_fd: int, address: str, token: str) -> None:
        import requests

        self._requests = requests
        self._address = address
        self._write_fd = write_fd
        self._intake = Intake(read_fd)
        self._packing = Packing()
        self._telling = threading.Lock()
        self._http = requests.Session()
        # Neither proxies nor passwords of the environment: images go to this server alone. Certificates are asked for.
        self._http.trust_env = False
        self._http.verify = next((os.environ[n] for n in CERTIFICATE_VARIABLES if os.environ.get(n)), True)
        self._http.headers["Authorization"] = f"Bearer {token}"
        self._models: list[dict[str, str]] = []

    def run(self) -> NoReturn:
        """Carry frames until one of both ends is gone; then end this process."""
        threading.Thread(target=self._end_with_slicer, name="requests", daemon=True).start()
        try:
            self._models = _models(self._ask("GET", "/api/v1/info").json())
            output = self._ask("POST", "/api/v1/workers", stream=True)
            place = _place(output.headers["Location"])
            threading.Thread(target=self._send, args=(place,), name="sender", daemon=True).start()
            last = self._receive(output)
        except MedSAMError as error:
            self._fail(error)
        except (ValueError, KeyError, TypeError) as error:
            self._fail(WorkerError(f"{self._address} is no server of this version.", "Check the address.", repr(error)))
        self._end(last)

    def _end_with_slicer(self) -> None:
        with contextlib.suppress(OSError):
            self._intake.fill()
        # The connection closes with this process, and the worker ends with the connection.
        os._exit(0)

    def _ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Return an answer that is a result. Raises `WorkerError`, or the error that it is."""
        failure = self._requests.exceptions
        try:
            answer = self._http.request(
                method,
                self._address + path,
                allow_redirects=False,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                **options,
            )
        except failure.SSLError as error:
            raise WorkerError(
                f"The certificate of {self._address} is not trusted.",
                f"Name a file with your authority's certificate in {CERTIFICATE_VARIABLES[0]} and restart, or {HERE}.",
                str(error),
            ) from error
        except (failure.RequestException, OSError) as error:
            raise WorkerError(
                f"{self._address} does not answer.",
                f"Check that the server runs, and the network, or {HERE}.",
                str(error),
            ) from error
        if not 200 <= answer.status_code < 300:
            with answer:
                raise self._refusal(answer)
        return answer

    def _refusal(self, answer: requests.Response) -> MedSAMError:
        if answer.status_code == 401:
            return WorkerError(
                f"{self._address} does not accept the token.",
                f"Enter the one that the server printed at its start, under Where it runs, or {HERE}.",
            )
        try:
            problem = answer.json()
            message, cure = str(problem["message"]), str(problem["cure"])
        except (ValueError, KeyError, TypeError):
            message, cure = f"It answered with {answer.status_code}.", "Check the address."
        return WorkerError(f"{self._address}: {message}", f"{cure} Or {HERE}.")

    # From Slicer

    def _send(self, place: str) -> None:
        offset = 0
        while True:
            data = self._intake.take(SIGN_OF_LIFE_SECONDS)
            try:
                self._post(place, offset, data)
            except MedSAMError as error:
                self._fail(error)
            offset += len(data)

    def _post(self, place: str, offset: int, data: bytes) -> None:
        """Send bytes, once more where the connection broke, as one that was idle may.

        What had come before is known by its offset.
        """
        body, packed = self._packing.pack(data)
        headers = {"Content-Encoding": "deflate"} if packed else {}
        for attempt in (1, 2):
            began = time.perf_counter()
            try:
                answer = self._http.post(
                    f"{self._address}{place}/input",
                    params={"offset": offset},
                    data=body,
                    headers=headers,
                    allow_redirects=False,
                    timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                )
            except self._requests.exceptions.Timeout as error:
                raise self._lost(error) from error
            except (self._requests.exceptions.RequestException, OSError) as error:
                if attempt == 2:
                    raise self._lost(error) from error
                continue
            break
        if answer.status_code == 404:
            # It has ended; how, comes by the other way.
            time.sleep(ANSWER_SECONDS)
            raise self._lost(None)
        if answer.status_code != 204:
            raise self._refusal(answer)
        self._packing.note(len(body), time.perf_counter() - began)
        self._intake.limit = self._packing.piece_bytes()

    # To Slicer

    def _receive(self, output: requests.Response) -> dict[str, Any]:
        """Hand on what the worker sends, to its end; the fields of the last record."""
        frames, records = FrameParser(), RecordParser()
        for data in self._read(output):
            for part in records.feed(data):
                for frame in frames.iter_feed(part):
                    self._tell(frame)
            if records.last is not None:
                return records.last
        raise self._lost(None)

    def _read(self, output: requests.Response) -> Iterator[bytes]:
        from urllib3.exceptions import HTTPError

        try:
            # What is there is wanted, not so many bytes.
            yield from output.raw.stream(MOST_BYTES, decode_content=False)
        except (HTTPError, self._requests.exceptions.RequestException, OSError) as error:
            raise self._lost(error) from error

    def _tell(self, frame: Frame) -> None:
        header = frame.header
        if header.get("kind") == "ready":
            # The process to end in an emergency is this one, never one of that number on the other machine.
            header = {**header, "pid": os.getpid(), "server": self._address, "models": self._models}
        self._write({**header}, frame.arrays)

    def _write(self, header: dict[str, Any], arrays: Any = None) -> None:
        with self._telling:
            try:
                for piece in encode_frame(header, arrays):
                    write_all(self._write_fd, piece)
            except OSError:
                os._exit(0)

    def _fail(self, error: MedSAMError) -> NoReturn:
        self._write({**error_fields(error), "kind": "error", "id": None})
        os._exit(EXIT_LOST)

    def _end(self, last: dict[str, Any]) -> NoReturn:
        """End as the worker did, so that it is explained as one on this machine is."""
        problem = last.get("problem")
        if isinstance(problem, dict):
            self._fail(WorkerError(str(problem.get("message")), str(problem.get("cure", ""))))
        status, signal = last.get("status"), last.get("signal")
        if isinstance(signal, int) and 0 < signal < SHELL_OFFSET:
            os._exit(SHELL_OFFSET + signal)
        os._exit(status & 0xFF if isinstance(status, int) else EXIT_LOST)

    def _lost(self, error: BaseException | None) -> WorkerError:
        return WorkerError(
            f"The connection to {self._address} was lost.",
            f"Start again when the network is back, or {HERE}.",
            "" if error is None else str(error),
        )


def _place(location: str) -> str:
    """Return the path of the worker. Raises ValueError for another: the token goes to this server alone."""
    if PLACE.fullmatch(location) is None:
        raise ValueError("Location")
    return location


def _models(facts: Any) -> list[dict[str, str]]:
    """Return what the server says of its models, as text."""
    wanted = ("id", "title", "state", "licence", "licence_note", "good_for")
    return [{name: str(one[name]) for name in wanted} for one in facts["models"]]


def run(read_fd: int, write_fd: int) -> NoReturn:
    """Carry frames to the server that the environment names, and back. The token leaves the environment at once."""
    address, token = os.environ[ADDRESS_VARIABLE], os.environ.pop(TOKEN_VARIABLE, "")
    try:
        bridge = Bridge(read_fd, write_fd, address, token)
    except ImportError as error:
        missing = WorkerError(
            f"This Python cannot reach a server: {error}.", "Install the package requests into it.", repr(error)
        )
        for piece in encode_frame({**error_fields(missing), "kind": "error", "id": None}):
            write_all(write_fd, piece)
        os._exit(EXIT_LOST)
    bridge.run()
