"""The service from Python, with `requests` alone.

with ServiceClient("http://127.0.0.1:8000", token) as service, service.open("ct.nii.gz") as image:
    run = image.run([Box(i=(56, 104), j=(38, 96), k=(7, 33))], names=["right lung"])
    run.wait()
    run.save("lung.seg.nrrd")

Errors are those of the library, by their code. Only the suffix of a file's name is sent.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Cancelled, MedSAMError, UsageError, WorkerError, error_types
from ..io.atomic import atomic_write
from ..io.file_kinds import IMAGE_SUFFIXES, image_suffix
from ..prompts import Box, Line, ObjectPrompts, Point, Prompt
from ..results import Progress, SliceResult
from .mask_bits import mask_from_json, mask_to_json

if TYPE_CHECKING:
    import requests

AXES = ("k", "j", "i")
BLOCK = 1 << 20
EVENT_STREAM = "text/event-stream"
DICOM_FORMATS = {"seg": "dcm", "rtstruct": "rtstruct"}
"""The service's name of each type of DICOM result."""


class ServiceError(MedSAMError):
    """An answer of the service that is no result: `status` of HTTP, `code` of the problem."""

    code = "service"

    def __init__(self, message: str, cure: str = "", detail: str = "", *, status: int = 0, problem: str = "") -> None:
        super().__init__(message, cure, detail)
        self.status = status
        self.problem = problem


@dataclass(frozen=True)
class RunEvent:
    """One event of a run or a preview: its number, its kind (progress, done, failed, cancelled) and its fields."""

    number: int
    kind: str
    fields: dict[str, Any]


class ServiceClient:
    """One server. `address` without a path; `verify` is that of requests: False, or a file of certificates.

    `timeout` are the seconds to wait for an answer; previews, uploads and runs may take longer.
    """

    def __init__(self, address: str, token: str, *, verify: bool | str = True, timeout: float = 60.0) -> None:
        import requests

        self._base = address.rstrip("/")
        self._timeout = timeout
        self._http = requests.Session()
        self._http.verify = verify
        # Proxies and credentials of the environment are not asked: images go to the server alone.
        self._http.trust_env = False
        self._http.headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> ServiceClient:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Images stay open on the server until they expire."""
        self._http.close()

    def info(self) -> dict[str, Any]:
        """Return the server's versions, models and limits."""
        fields: dict[str, Any] = self.request("GET", "/api/v1/info").json()
        return fields

    def open(self, path: str | Path, *, series: str | None = None, frame: int = 0) -> RemoteImage:
        """Send an image file, or the files of a folder. Raises `MedSAMError` with the server's reason."""
        path = Path(path)
        if path.is_dir():
            with tempfile.TemporaryFile() as packed:
                _pack(path, packed)
                packed.seek(0)
                return self._send(packed, "image.zip", series, frame)
        try:
            with path.open("rb") as file:
                return self._send(file, f"image{image_suffix(path)}", series, frame)
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error

    def _send(self, file: IO[bytes], name: str, series: str | None, frame: int) -> RemoteImage:
        asked = {"name": name, "series": series, "frame": frame or None}
        # A long image is read once it is there, which may take a while.
        sent = self.request("POST", "/api/v1/sessions", params=asked, data=file, timeout=600.0)
        return RemoteImage(self, sent.json())

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Return the answer to a request, if it is a result. Raises the error that it is otherwise."""
        import requests

        options.setdefault("timeout", self._timeout)
        try:
            answer = self._http.request(method, self._base + path, allow_redirects=False, **options)
        except requests.RequestException as error:
            raise WorkerError(
                f"The service at {self._base} does not answer.", "Check that it runs, and its address.", str(error)
            ) from error
        if not answer.ok:
            with answer:
                raise _error(answer)
        return answer


class RemoteImage:
    """An image on the server; `facts` are its grid, window and notes. Deleted there when the block ends."""

    def __init__(self, client: ServiceClient, facts: dict[str, Any]) -> None:
        self._client = client
        self.facts = facts
        self.id = str(facts["id"])

    def __enter__(self) -> RemoteImage:
        return self

    def __exit__(self, *error: object) -> None:
        self.delete()

    @property
    def path(self) -> str:
        return f"/api/v1/sessions/{self.id}"

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        k, j, i = self.facts["shape_zyx"]
        return (k, j, i)

    def delete(self) -> None:
        """Delete it on the server, with everything made of it; nothing happens where it is gone."""
        try:
            self._client.request("DELETE", self.path)
        except ServiceError as error:
            if error.status != 404:
                raise

    def preview(
        self,
        prompts: ObjectPrompts,
        *,
        index: int,
        axis: int = 0,
        on_first_look: Callable[[SliceResult], None] | None = None,
        **options: Any,
    ) -> SliceResult:
        """Segment one object on one slice across `axis`. `options` are the service's: `model`, `window`, `reading`.

        `on_first_look` may hear once of what the slice looks like so far, before the end.
        """
        body = {"axis": AXES[axis], "index": index, "prompts": _prompts(prompts), **options}
        asked: dict[str, Any] = {"json": body, "timeout": 300.0}
        if on_first_look is None:
            return _slice_result(self._client.request("POST", f"{self.path}/preview", **asked).json(), axis)
        headers = {"Accept": EVENT_STREAM}
        answer = self._client.request("POST", f"{self.path}/preview", headers=headers, stream=True, **asked)
        for event in _streamed(answer):
            if event.kind == "failed":
                raise _error_of(event.fields["problem"])
            if event.kind == "preview":
                return _slice_result(event.fields, axis)
            on_first_look(_slice_result(event.fields, axis))
        raise _cut_off()

    def run(
        self, objects: Sequence[ObjectPrompts], *, names: Sequence[str] = (), axis: int = 0, **options: Any
    ) -> RemoteRun:
        """Start segmenting objects in 3D; each element of `objects` is a prompt, or prompts that belong together.

        `options` are the service's: `slice_range`, `direction`, `strategy`, `stop`, `reading`, `model`, `window`.
        """
        if len(names) > len(objects):
            raise UsageError(f"There are {len(names)} names for {len(objects)} objects.", "Give at most one an object.")
        listed = [
            {"prompts": _prompts(prompts), **({"name": names[number]} if number < len(names) else {})}
            for number, prompts in enumerate(objects)
        ]
        body = {"objects": listed, "axis": AXES[axis], **options}
        return RemoteRun(self._client, self._client.request("POST", f"{self.path}/runs", json=body).json())

    def save(self, path: str | Path) -> None:
        """Save the image as the server reads it, as .nii.gz. Raises `OutputError`."""
        _save(self._client, f"{self.path}/image.nii.gz", {}, Path(path))


class RemoteRun:
    """A run on the server."""

    def __init__(self, client: ServiceClient, facts: dict[str, Any]) -> None:
        self._client = client
        self.id = str(facts["id"])

    @property
    def path(self) -> str:
        return f"/api/v1/runs/{self.id}"

    def state(self) -> dict[str, Any]:
        """Return what the server says of it: `state`, `progress`, `problem`."""
        fields: dict[str, Any] = self._client.request("GET", self.path).json()
        return fields

    def events(self, after: int = 0) -> Iterator[RunEvent]:
        """Yield its events from the number `after` on, as they come, to its end."""
        headers = {"Accept": EVENT_STREAM, "Last-Event-ID": str(after)}
        # Pings come every few seconds, so a connection that is silent for a minute is broken.
        yield from _streamed(
            self._client.request("GET", f"{self.path}/events", headers=headers, stream=True, timeout=60.0)
        )

    def wait(self, on_progress: Callable[[Progress], None] | None = None) -> None:
        """Return when it is done. Raises the error that it failed with, and `Cancelled`."""
        for event in self.events():
            if event.kind == "progress" and on_progress is not None:
                fields = event.fields
                on_progress(Progress(int(fields["done"]), int(fields["total"]), str(fields["stage"])))
            elif event.kind == "failed":
                raise _error_of(event.fields["problem"])
            elif event.kind == "cancelled":
                raise Cancelled()
            elif event.kind == "done":
                return
        raise WorkerError("The service ended before the run did.", "Start the run again.")

    def cancel(self) -> None:
        """Ask it to end."""
        self._client.request("POST", f"{self.path}/cancel")

    def report(self) -> dict[str, Any]:
        """Return what went in, what computed it, and the figures of each object."""
        fields: dict[str, Any] = self._client.request("GET", f"{self.path}/report").json()
        return fields

    def save(self, path: str | Path, *, dicom_type: str | None = None) -> None:
        """Save the masks in the format of the path: .seg.nrrd, .nii.gz, .npz; .dcm for an image that was DICOM.

        `dicom_type` of a .dcm is "seg", the default, or "rtstruct". Segments that are empty are left out of it. Raises
        `OutputError`, `UsageError`, `ServiceError`.
        """
        path = Path(path)
        kind = image_suffix(path).removeprefix(".")
        if dicom_type is not None:
            if kind != "dcm" or dicom_type not in DICOM_FORMATS:
                raise UsageError(
                    f"{path.name} cannot be a DICOM file of type {dicom_type}.",
                    f"Give FILE.dcm, and {' or '.join(DICOM_FORMATS)}.",
                )
            kind = DICOM_FORMATS[dicom_type]
        _save(self._client, f"{self.path}/result", {"format": kind}, path)

    def labels(self) -> NDArray[np.uint16]:
        """Return the labels 1, 2, ... (z,y,x); where objects overlap the later one stands."""
        from ..io.challenge_npz import read_npz

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "labels.npz"
            self.save(path)
            return read_npz(path, ("segs",))["segs"].astype(np.uint16)


def _prompts(prompts: ObjectPrompts) -> list[dict[str, Any]]:
    together = list(prompts) if isinstance(prompts, Sequence) else [prompts]
    return [_fields(prompt) for prompt in together]


def _fields(prompt: Prompt) -> dict[str, Any]:
    """Return a prompt as the service takes it, in voxels."""
    if isinstance(prompt, Box):
        (k0, k1), (j0, j1), (i0, i1) = prompt.bounds_zyx
        return {"type": "box", "lower": [i0, j0, k0], "upper": [i1, j1, k1]}
    if isinstance(prompt, Point):
        return {"type": "point", "position": [prompt.i, prompt.j, prompt.k], "positive": prompt.positive}
    if isinstance(prompt, Line):
        return {"type": "line", "start": list(prompt.start), "end": list(prompt.end)}
    return {"type": "mask", "axis": AXES[prompt.axis], "index": prompt.index, "mask": mask_to_json(prompt.mask)}


def _pack(folder: Path, packed: IO[bytes]) -> None:
    """Write the files of a folder into a zip archive; of those that are no pictures not even the names."""
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        number = 0
        for root, folders, names in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(name for name in names if not name.startswith(".")):
                number += 1
                path = Path(root, name)
                # The order of frames is in their names; that of DICOM in their headers.
                kept = path.suffix.lower() in IMAGE_SUFFIXES
                archive.write(path, path.relative_to(folder).as_posix() if kept else f"{number:06d}{path.suffix}")
    if not number:
        raise UsageError(f"{folder} holds no files.", "Give the folder of the image.")


def _save(client: ServiceClient, address: str, asked: dict[str, str], path: Path) -> None:
    import requests

    with (
        client.request("GET", address, params=asked, stream=True, timeout=300.0) as answer,
        atomic_write(path) as temporary,
        temporary.open("wb") as file,
    ):
        try:
            for block in answer.iter_content(BLOCK):
                file.write(block)
        except requests.RequestException as error:
            raise _cut_off() from error


def _cut_off() -> WorkerError:
    return WorkerError("The service ended in the middle of its answer.", "Ask again.")


def _slice_result(fields: dict[str, Any], axis: int) -> SliceResult:
    mask = mask_from_json(**fields["mask"])
    return SliceResult(0, axis, int(fields["index"]), mask, float(fields["score"]), tuple(fields["flags"]))


def _streamed(answer: requests.Response) -> Iterator[RunEvent]:
    """Yield the events of an answer as they come, and close it."""
    import requests

    with answer:
        answer.encoding = "utf-8"
        try:
            yield from _parsed(answer.iter_lines(chunk_size=1, decode_unicode=True))
        except requests.RequestException as error:
            raise _cut_off() from error


def _parsed(lines: Iterator[str]) -> Iterator[RunEvent]:
    """Yield the events in the lines of a stream; comments are pings."""
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif fields.get("data"):
            yield RunEvent(int(fields.get("id", "0")), fields.get("event", "message"), json.loads(fields["data"]))
            fields = {}


def _error(answer: requests.Response) -> MedSAMError:
    try:
        return _error_of(answer.json())
    except (ValueError, KeyError, TypeError):
        return ServiceError(f"The service answered with {answer.status_code}.", status=answer.status_code)


def _error_of(problem: dict[str, Any]) -> MedSAMError:
    """Return the library's error where its code is one, else a `ServiceError`."""
    message, cure = str(problem["message"]), str(problem["cure"])
    kind = error_types().get(str(problem["code"]))
    if kind is None or kind in (MedSAMError, ServiceError):
        return ServiceError(message, cure, status=int(problem["status"]), problem=str(problem["code"]))
    return kind(message, cure)
